"""Requests to EC2: Describe calls and their filters, dry runs, and changes that can be undone."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from eicctl.aws import signed_request
from eicctl.aws.errors import code_of, translated
from eicctl.aws.session import Session
from eicctl.core.errors import EicctlError

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import FilterTypeDef


R = TypeVar("R")


VERSION = "2016-11-15"
"""EC2's version of its API, the only one."""

_FORM = {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}

_NAMES = {
    "groupSet": "SecurityGroups",
    "imageOwnerId": "OwnerId",
    "imagesSet": "Images",
    "instanceConnectEndpointSet": "InstanceConnectEndpoints",
    "instanceState": "State",
    "instancesSet": "Instances",
    "ipv6AddressesSet": "Ipv6Addresses",
    "networkInterfaceIdSet": "NetworkInterfaceIds",
    "networkInterfaceSet": "NetworkInterfaces",
    "reservationSet": "Reservations",
    "securityGroupIdSet": "SecurityGroupIds",
    "tagSet": "Tags",
}
"""Names of boto3 that differ from those of EC2's XML by more than their first letter, of what eicctl reads."""

_VALUES: Mapping[str, Callable[[str], Any]] = {
    "createdAt": datetime.fromisoformat,
    "output": lambda text: base64.b64decode(text).decode(errors="replace"),
    "preserveClientIp": lambda text: text == "true",
}


PAGE_SIZE = 1000
"""Most rows of a page, where EC2 does not set another limit."""

_PAGE_SIZES = {
    "describe_instance_connect_endpoints": 50,
    "describe_route_tables": 100,
    "get_managed_prefix_list_entries": 100,
}

FILTER_VALUES = 200
"""EC2 takes no more values in one filter."""


def listed(client: EC2Client, operation: str, key: str, *, start: str = "", **request: Any) -> Iterator[Any]:
    """Yield what a call lists, of all its pages, each as large as EC2 allows.

    A request with a page size also has a higher request rate (EC2 developer guide, request throttling).
    With IDs, EC2 takes no page size.

    Args:
        client: The client.
        operation: As botocore's clients name it.
        key: The key of the list in its responses.
        start: EC2's token of the page to begin with; empty for the first one.
        request: Its parameters.
    """
    from botocore.paginate import TokenEncoder

    name: Any = operation  # the stubs have each name as a type of its own
    pages: dict[str, Any] = {"PageSize": _page_size(operation, request)}
    if start:
        pages["StartingToken"] = TokenEncoder().encode({"NextToken": start})
    for page in client.get_paginator(name).paginate(**request, PaginationConfig=pages):
        yield from page[key]


def _page_size(operation: str, request: Mapping[str, Any]) -> int | None:
    return None if any(key.endswith("Ids") for key in request) else _PAGE_SIZES.get(operation, PAGE_SIZE)


def described(session: Session, operation: str, key: str, region: str = "", **request: Any) -> list[Any]:
    """Return what a call lists, as `listed` does, but without botocore where that is possible."""
    asked = dict(request)
    if size := _page_size(operation, request):
        asked["MaxResults"] = size
    rows: list[Any] = []
    while (page := _answer(session, operation, region, asked)) is not None:
        rows += page.get(key) or ()
        if not (token := page.get("NextToken")):
            return rows
        asked["NextToken"] = token
    client = session.client("ec2", region or None)
    return rows + list(listed(client, operation, key, start=asked.get("NextToken", ""), **request))


def answered(session: Session, operation: str, **request: Any) -> Mapping[str, Any]:
    """Return the response to a call, without botocore where that is possible."""
    if (found := _answer(session, operation, "", request)) is not None:
        return found
    call: Callable[..., Mapping[str, Any]] = getattr(session.client("ec2"), operation)
    return call(**request)


def _answer(session: Session, operation: str, region: str, parameters: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the response to one request, or None where boto3 must ask."""
    from urllib.parse import urlencode
    from xml.parsers import expat

    name = "".join(map(str.capitalize, operation.split("_")))
    body = urlencode({"Action": name, "Version": VERSION, **dict(_flat("", parameters))}).encode()
    if (xml := signed_request.response(session, "ec2", name, headers=_FORM, body=body, region=region)) is None:
        return None
    try:
        return parsed(xml)
    except (expat.ExpatError, ValueError):
        return None


def _flat(prefix: str, value: Any) -> Iterator[tuple[str, str]]:
    """Return parameters as EC2's query has them: `Filters=[{"Name": …}]` as `Filter.1.Name=…`."""
    if isinstance(value, Mapping):
        for name, each in value.items():
            yield from _flat(f"{prefix}.{name}" if prefix else name, each)
    elif isinstance(value, list):
        for number, each in enumerate(value, 1):
            yield from _flat(f"{prefix.removesuffix('s')}.{number}", each)
    else:
        yield prefix, str(value).lower() if isinstance(value, bool) else str(value)


def parsed(xml: bytes) -> dict[str, Any]:
    """Return a response of EC2 in boto3's names; every list and every structure that is empty is an empty text.

    Raises:
        ExpatError: It is not XML.
        ValueError: A value has not its form.
    """
    from xml.parsers.expat import ParserCreate

    open_elements: list[tuple[list[tuple[str, Any]], list[str]]] = [([], [])]

    def end(name: str) -> None:
        children, text = open_elements.pop()
        value: Any = _VALUES.get(name, str)("".join(text)) if not children else dict(children)
        if children and all(child == "Item" for child, _ in children):
            value = [each for _, each in children]
        open_elements[-1][0].append((_NAMES.get(name, name[:1].upper() + name[1:]), value))

    parser = ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = lambda _name, _attributes: open_elements.append(([], []))
    parser.EndElementHandler = end
    parser.CharacterDataHandler = lambda text: open_elements[-1][1].append(text)  # noqa: PLW0108 - not always the same
    parser.Parse(xml, True)
    response: dict[str, Any] = open_elements[0][0][0][1]
    return response


def batches(values: Sequence[str]) -> Iterator[Sequence[str]]:
    """Yield values in as many parts as there have to be filters for them."""
    for first in range(0, len(values), FILTER_VALUES):
        yield values[first : first + FILTER_VALUES]


def request_change(action: str, call: Callable[..., R], *, dry_run: bool = False, **request: object) -> R | None:
    """Make a call of EC2 that changes something, and return its response.

    Args:
        action: What it does, after "cannot".
        call: The method of a client.
        dry_run: Only ask EC2 whether it would: it answers with the error `DryRunOperation` then, and None is returned.
        request: Its parameters.

    Raises:
        EicctlError: By EC2's error.
    """
    try:
        with translated(action):
            return call(**request, **({"DryRun": True} if dry_run else {}))
    except EicctlError as error:
        if not dry_run or code_of(error) != "DryRunOperation":
            raise
    return None


def change_network(
    session: Session, operation: str, parameters: Mapping[str, object], *, region: str = "", dry_run: bool = False
) -> list[str]:
    """Make a call that changes the network; return the IDs of the security-group rules that it has added.

    Args:
        session: Access to AWS.
        operation: As botocore's clients name it.
        parameters: In EC2's spelling.
        region: Another region than the session's.
        dry_run: Only ask EC2 whether it would.

    Raises:
        DeniedError: The caller may not.
        EicctlError: By EC2's error.
    """
    call: Callable[..., Mapping[str, Any]] = getattr(session.client("ec2", region or None), operation)
    response = request_change(f"change the network ({operation})", call, dry_run=dry_run, **parameters) or {}
    return [row["SecurityGroupRuleId"] for row in response.get("SecurityGroupRules", [])]


def is_there(error: EicctlError) -> bool:
    """Whether a change failed because the rule exists already."""
    return code_of(error) == "InvalidPermission.Duplicate"


def is_gone(error: EicctlError) -> bool:
    """Whether undoing a change failed because the rule, or its group, no longer exists."""
    return code_of(error).endswith(".NotFound")


def exact_filters(values: Mapping[str, Sequence[str]]) -> list[FilterTypeDef]:
    """Return filters that match these values and no others, although EC2 takes `*` and `?` for wildcards.

    Args:
        values: The accepted values of each filter, by its name (`tag:Name`, `vpc-id`, …).
    """
    return [{"Name": name, "Values": [_literal(value) for value in each]} for name, each in values.items()]


def pattern_filters(values: Mapping[str, Sequence[str]]) -> list[FilterTypeDef]:
    """Return filters in whose values `*` and `?` are wildcards: for patterns that a user gives."""
    return [{"Name": name, "Values": list(each)} for name, each in values.items()]


def _literal(text: str) -> str:
    return re.sub(r"([\\*?])", r"\\\1", text)
