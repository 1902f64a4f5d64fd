"""Requests to EC2: filters of Describe calls, dry runs, and changes that can be undone."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from eicctl.aws.errors import code_of, translated
from eicctl.aws.session import Session
from eicctl.core.errors import EicctlError

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import FilterTypeDef


R = TypeVar("R")


PAGE_SIZE = 1000
"""Most rows of a page, where EC2 does not set another limit."""

_PAGE_SIZES = {
    "describe_instance_connect_endpoints": 50,
    "describe_route_tables": 100,
    "get_managed_prefix_list_entries": 100,
}

FILTER_VALUES = 200
"""EC2 takes no more values in one filter."""


def listed(client: EC2Client, operation: str, key: str, **request: Any) -> Iterator[Any]:
    """Yield what a call lists, of all its pages, each as large as EC2 allows.

    A request with a page size also has a higher request rate (EC2 developer guide, request throttling).
    With IDs, EC2 takes no page size.

    Args:
        client: The client.
        operation: As botocore's clients name it.
        key: The key of the list in its responses.
        request: Its parameters.
    """
    size = None if any(key.endswith("Ids") for key in request) else _PAGE_SIZES.get(operation, PAGE_SIZE)
    name: Any = operation  # the stubs have each name as a type of its own
    for page in client.get_paginator(name).paginate(**request, PaginationConfig={"PageSize": size}):
        yield from page[key]


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
