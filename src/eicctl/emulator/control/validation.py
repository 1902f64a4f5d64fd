"""What no request of the control plane may hold: malformed IDs, and text that XML cannot hold."""

from __future__ import annotations

import re
from collections.abc import Mapping

from eicctl.emulator.signature import Rejected

UNWRITABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 has no form for: an answer with one of them could not be read (XML 1.0, section 2.2)."""

_IDS = {
    "i": ("InstanceId", "InvalidInstanceID.Malformed"),
    "subnet": ("SubnetId", "InvalidSubnetID.Malformed"),
    "vpc": ("VpcId", "InvalidVpcID.Malformed"),
    "sg": ("GroupId", "InvalidGroupId.Malformed"),
    "eice": ("InstanceConnectEndpointId", "InvalidInstanceConnectEndpointId.Malformed"),
    "eni": ("NetworkInterfaceId", "InvalidNetworkInterfaceId.Malformed"),
    "rtb": ("RouteTableId", "InvalidRouteTableId.Malformed"),
    "ami": ("ImageId", "InvalidAMIID.Malformed"),
    "pcx": ("VpcPeeringConnectionId", "InvalidVpcPeeringConnectionId.Malformed"),
}
"""Prefixes of EC2's IDs, their parameters, and the error codes of malformed ones (EC2 API, error codes)."""

_BY_PARAMETER = {name: prefix for prefix, (name, _) in _IDS.items()} | {"SecurityGroupId": "sg"}
_FORM = re.compile(r"([a-z]+)-(?:[0-9a-f]{8}|[0-9a-f]{17})")
_LISTED = re.compile(r"(\w+?)(?:\.\d+)?")


def invalid(service: str, parameters: Mapping[str, str]) -> Rejected | None:
    """Return the error of a request's parameters, as they are sent in the query protocol; None where they are fine."""
    for name, value in parameters.items():
        if UNWRITABLE.search(name + value):
            code = "InvalidParameterValue" if service == "ec2" else "ValidationError"
            return Rejected(code, f"The value of {name!a} has characters that are not valid.")
        if service == "ec2" and (code := _malformed(name, value)):
            return Rejected(code, f'Invalid id: "{value}" (expecting "{prefix_of(name, value)}-...")')
    return None


def prefix_of(name: str, value: str) -> str:
    """Return the prefix of the ID that a parameter of EC2 is; empty where it is none of those known here."""
    listed = _LISTED.fullmatch(name)
    key = listed[1] if listed else ""
    if key == "ResourceId":  # of CreateTags: whatever has tags
        return next((prefix for prefix in _IDS if value.startswith(f"{prefix}-")), "")
    return _BY_PARAMETER.get(key, "")


def _malformed(name: str, value: str) -> str:
    """Return the error code of a malformed ID, or an empty string."""
    prefix = prefix_of(name, value)
    found = _FORM.fullmatch(value)
    return "" if not prefix or (found and found[1] == prefix) else _IDS[prefix][1]
