"""SendSSHPublicKey: what it accepts, and what comes of it."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any

from eicctl.emulator.control.backends import ApiError
from eicctl.emulator.state import State

# The lengths and the pattern are those of the service model in botocore.
_USER = re.compile(
    r"(^[A-Za-z_][A-Za-z0-9\@\._-]{0,30}[A-Za-z0-9\$_-]?$)"
    r"|(^(?=.{2,32}$)[0-9]{1,32}[A-Za-z\@\._-][A-Za-z0-9\@\._-]*[A-Za-z0-9\$_-]?$)"
)
_INSTANCE = re.compile(r"i-[a-f0-9]{8,30}")
_KEY_SIZES = range(80, 4097)
_KEY_TYPES = ("ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521")


def send(state: State, ec2: Any, *, instance_id: str, os_user: str, public_key: str, zone: str) -> None:
    """Accept a key for 60 s, or raise the service's error."""
    if len(os_user) > 32 or not _USER.match(os_user):
        raise ApiError("InvalidArgsException", "The OS user is not valid.")
    instance = check(ec2, instance_id=instance_id, public_key=public_key)
    if zone and instance._placement.zone != zone:
        raise ApiError("EC2InstanceNotFoundException", "The instance is not in that Availability Zone.")
    if instance.state != "running":
        raise ApiError("EC2InstanceStateInvalidException", f"The instance is in state {instance.state}.")
    machine = state.machine_of(instance_id)
    if machine and machine.ec2_instance_connect:
        state.push_key(instance_id, os_user, public_key.strip())


def check(ec2: Any, *, instance_id: str, public_key: str) -> Any:
    """Return the instance that a key is for, or raise the service's error."""
    if not _INSTANCE.fullmatch(instance_id):
        raise ApiError("InvalidArgsException", "The instance ID is not valid.")
    if len(public_key) not in _KEY_SIZES or not _well_formed(public_key.strip()):
        raise ApiError("InvalidArgsException", "The SSH public key is not valid.")
    instance = next((found for found in ec2.all_instances() if found.id == instance_id), None)
    if instance is None:
        raise ApiError("EC2InstanceNotFoundException", "Could not find an instance with that ID.")
    return instance


def _well_formed(line: str) -> bool:
    parts = line.split(" ", 2)
    if len(parts) < 2 or parts[0] not in _KEY_TYPES or "\n" in line:
        return False
    try:
        blob = base64.b64decode(parts[1], validate=True)
    except binascii.Error:
        return False
    return blob[4 : 4 + int.from_bytes(blob[:4], "big")] == parts[0].encode()
