"""The parts of moto that the emulator reads, replaces and wraps."""

from __future__ import annotations

import base64
import datetime
import os
import re
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import moto.ec2.exceptions
import moto.ec2.models.security_groups
import moto.ec2.models.tags
import moto.ec2.utils
from moto.athena.responses import AthenaResponse
from moto.cloudtrail.responses import CloudTrailResponse
from moto.core.base_backend import BackendDict
from moto.core.errors import COMMON_ERROR_CODES
from moto.core.exceptions import ServiceException
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.ec2.models import ec2_backends
from moto.ec2.models.availability_zones_and_regions import RegionsAndZonesBackend
from moto.ec2.models.core import TaggedEC2Resource
from moto.ec2.models.instances import InstanceBackend
from moto.ec2.models.subnets import Subnet
from moto.ec2.responses import EC2Response
from moto.ec2.utils import EC2_PREFIX_TO_RESOURCE, EC2_RESOURCE_TO_PREFIX, filter_dict_attribute_mapping
from moto.ec2instanceconnect.responses import Ec2InstanceConnectResponse
from moto.iam.models import iam_backends
from moto.iam.responses import IamResponse
from moto.organizations.responses import OrganizationsResponse
from moto.rds.models import rds_backends
from moto.sts.models import sts_backends
from moto.sts.responses import TokenResponse

# The images are those of the world file. moto's own 1,300 cost a tenth of a second at every start and reset.
os.environ.setdefault("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")

ACCOUNT = DEFAULT_ACCOUNT_ID
"""The account of the emulator's own user, and of all that the world file gives to no other one."""

LOCK = threading.RLock()
"""Held while moto's memory is read or changed: moto iterates over dicts that its other threads change."""

Action = Callable[[Any], Any]
"""A method of one of moto's response classes: takes the response object, answers with an `ActionResult`."""


Around = Callable[[Action, Any], Any]
"""An action around one of moto's: also takes moto's, which it may call."""


class ApiError(ServiceException):
    """An error of an AWS operation: its code and its message. moto answers with it in the service's form."""

    # moto looks for the model of the service from whose package an exception comes, so it must not come from moto's.


def page_of(
    rows: Sequence[Any], token: str | None, size: int, name: str = "NextToken"
) -> tuple[Sequence[Any], dict[str, str]]:
    """Return the page that a token stands for, and what its response says of the next one; nothing after the last page.

    Args:
        rows: All rows.
        token: The token; empty or None for the first page.
        size: Most rows of a page.
        name: What the operation calls tokens in its responses.

    Raises:
        ApiError: The token is not valid.
    """
    start = 0
    if token:
        try:
            start = int(base64.b64decode(token, validate=True))
        except ValueError:
            start = -1
    if start < 0:
        raise ApiError("InvalidNextToken", "The token is not valid.")
    end = start + size
    return rows[start:end], {name: base64.b64encode(str(end).encode()).decode()} if end < len(rows) else {}


def ec2(region: str, account: str = ACCOUNT) -> Any:
    """moto's EC2 of a region and an account."""
    return ec2_backends[account][region]


def zones(region: str) -> list[str]:
    """The Availability Zones of a region; none if the region does not exist."""
    return [str(zone.name) for zone in RegionsAndZonesBackend.zones.get(region, [])]


def rds(region: str, account: str = ACCOUNT) -> Any:
    """moto's RDS of a region and an account."""
    return rds_backends[account][region]


def iam(account: str = ACCOUNT) -> Any:
    """moto's IAM of an account."""
    return iam_backends[account]["aws"]


def sts(account: str = ACCOUNT) -> Any:
    """moto's STS of an account."""
    return sts_backends[account]["aws"]


def accounts() -> list[str]:
    """The accounts that moto knows, the emulator's own first."""
    return list(dict.fromkeys((ACCOUNT, *iam_backends, *sts_backends)))


def reset() -> None:
    """Remove all resources of all services."""
    with LOCK:
        ec2_backends.clear()  # otherwise moto recreates each region's network first, only to drop it
        BackendDict.reset()


def _ipv6_ranges(subnet: Any) -> list[dict[str, Any]]:
    return [
        {
            "ipv6CidrBlock": row["ipv6CidrBlock"],
            "associationId": row["associationId"],
            "ipv6CidrBlockState": {"state": row["ipv6CidrBlockState"]["State"]},
        }
        for row in subnet.ipv6_cidr_block_associations.values()
        if row["ipv6CidrBlockState"]["State"] == "associated"
    ]


_moto: dict[tuple[type, str], Action] = {}


RESPONSES: Mapping[str, type] = {
    "ec2": EC2Response,
    "ec2-instance-connect": Ec2InstanceConnectResponse,
    "cloudtrail": CloudTrailResponse,
    "athena": AthenaResponse,
    "sts": TokenResponse,
    "iam": IamResponse,
    "organizations": OrganizationsResponse,
}
"""moto's response classes, whose methods are the operations of a service."""


def install(own: Mapping[str, Mapping[str, Action]], around: Mapping[str, Mapping[str, Around]]) -> None:
    """Add operations, by service and name in snake case, to moto's, or replace those; and wrap moto's own.

    What an earlier call has installed is replaced.
    """
    # moto warns of codes that a service's model lacks; these any service may answer with.
    for code in ("AccessDenied", "ThrottlingException"):
        if code not in COMMON_ERROR_CODES:
            COMMON_ERROR_CODES.append(code)
    # DescribeInstances: moto lacks EC2's filters for IPv6 addresses. Instances of a world file have the attribute.
    for name in ("ipv6-address", "network-interface.ipv6-addresses.ipv6-address"):
        filter_dict_attribute_mapping[name] = "ipv6_address"
    install_filters()
    # DescribeSubnets: moto writes the state of an IPv6 range as Python writes a dict.
    setattr(Subnet, "ipv6_cidr_block_association_set", property(_ipv6_ranges))  # noqa: B010 - not to be assigned to
    # moto accepts tags of IDs with a known prefix only.
    EC2_RESOURCE_TO_PREFIX["instance-connect-endpoint"] = "eice"
    EC2_PREFIX_TO_RESOURCE["eice"] = "instance-connect-endpoint"
    for service, actions in own.items():
        for name, action in actions.items():
            setattr(RESPONSES[service], name, _method(action))
    for service, wraps in around.items():
        kind = RESPONSES[service]
        for name, wrap in wraps.items():
            moto = _moto.setdefault((kind, name), getattr(kind, name))
            setattr(kind, name, _method(partial(wrap, moto)))


def _method(action: Action) -> Action:
    """A plain function, which works as a method of a class."""

    def method(response: Any) -> Any:
        return action(response)

    return method


# Not the standard library's fnmatch: there `[…]` is a set, in EC2 literal text.
_PARTS = re.compile(r"\\.|\*|\?|[^\\*?]+|\\", re.DOTALL)
_WILDCARDS = {"*": ".*", "?": "."}


def matches(patterns: Sequence[str], values: Iterable[str]) -> bool:
    """Whether any of the values matches any of the patterns. Case counts."""
    compiled = [re.compile(_expression(pattern)) for pattern in patterns]
    return any(pattern.fullmatch(value) for value in values for pattern in compiled)


def install_filters() -> None:
    """Let moto's EC2 compare as EC2 does."""
    utils, groups, tags = moto.ec2.utils, moto.ec2.models.security_groups, moto.ec2.models.tags
    for module, name, ours in (
        (utils, "simple_aws_filter_to_re", _expression),
        (tags, "simple_aws_filter_to_re", _expression),
        (utils, "tag_filter_matches", _tags_match),
        (groups, "tag_filter_matches", _tags_match),
        (utils, "is_filter_matching", _object_matches),
        (utils, "instance_value_in_filter_values", _value_matches),
        (groups, "aws_api_matches", lambda pattern, value: _value_matches(value, [pattern])),
    ):
        if not hasattr(module, name):
            raise AttributeError(f"{module.__name__} has no {name}")  # moto has changed
        setattr(module, name, ours)


def _instance_by_id(ec2: Any, instance_id: str) -> Any:
    for reservation in reversed(ec2.reservations.values()):  # most are asked for when they are new
        for instance in reservation.instances:
            if instance.id == instance_id:
                return instance
    raise moto.ec2.exceptions.InvalidInstanceIdError(instance_id)


def _tags_of(resource: Any) -> list[dict[str, str]]:
    kind = EC2_PREFIX_TO_RESOURCE.get(str(resource.id).rpartition("-")[0], "")
    tags = resource.ec2_backend.tags.get(resource.id, {})
    return [
        {"resource_id": resource.id, "key": key, "value": value, "resource_type": kind} for key, value in tags.items()
    ]


# moto goes through those of all others to find an instance or a resource's tags, which takes minutes for thousands.
setattr(InstanceBackend, "get_instance", _instance_by_id)  # noqa: B010 - not to be assigned to
setattr(TaggedEC2Resource, "get_tags", _tags_of)  # noqa: B010


def _tags_match(resource: Any, name: str, patterns: Sequence[str]) -> bool:
    tags = [(str(tag["key"]), str(tag["value"])) for tag in resource.get_tags()]
    if name == "tag-key":
        return matches(patterns, [key for key, _ in tags])
    return matches(patterns, [value for key, value in tags if name in ("tag-value", f"tag:{key}")])


def _object_matches(resource: Any, name: str, patterns: Any) -> bool:
    return _value_matches(resource.get_filter_value(name), patterns)


def _value_matches(value: Any, patterns: Any) -> bool:
    return matches([patterns] if isinstance(patterns, str) else list(patterns or ()), _texts(value))


def _texts(value: Any) -> list[str]:
    """A value of moto's as the texts that a filter looks at."""
    if value is None:
        return []
    if isinstance(value, bool):
        return [str(value).lower()]
    if isinstance(value, datetime.datetime):
        return [moto.ec2.utils.format_timestamp(value)]
    if isinstance(value, (str, int)):
        return [str(value)]
    return [text for item in value for text in _texts(item)]


def _expression(pattern: str) -> str:
    """The regular expression of a filter's value. moto matches with it at the start only, so it has its own end."""
    return "(?s:" + "".join(map(_regex, _PARTS.findall(pattern))) + r")\Z"


def _regex(part: str) -> str:
    if part in _WILDCARDS:
        return _WILDCARDS[part]
    return re.escape(part[1:] if part[0] == "\\" and part != "\\" else part)
