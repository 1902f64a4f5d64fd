"""What moto lacks for instances: machines, boot time, console output, Windows passwords, pushed SSH keys."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from eicctl.emulator.control.backends import ApiError
from eicctl.emulator.state import Machine, State


def console_output(machine: Machine | None) -> str:
    """Return the console output; without host keys unless it is a Linux machine (docs/explanation/protocol.md#keys)."""
    lines = ["[    0.000000] Linux version 6.1.0 (emulated)", "cloud-init[900]: Cloud-init running 'modules:final'"]
    if machine is None or not machine.host_public_key:
        return "\r\n".join([*lines, ""])
    blob = base64.b64decode(machine.host_public_key.split()[1])
    fingerprint = base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")
    name = f"root@ip-{machine.address.replace('.', '-')}"
    lines += [
        "-----BEGIN SSH HOST KEY FINGERPRINTS-----",
        f"256 SHA256:{fingerprint} {name} (ED25519)",
        "-----END SSH HOST KEY FINGERPRINTS-----",
        "-----BEGIN SSH HOST KEY KEYS-----",
        f"{machine.host_public_key} {name}",
        "-----END SSH HOST KEY KEYS-----",
        f"{name.removeprefix('root@')} login: ",
    ]
    return "\r\n".join(lines)


def password_of(instance_id: str) -> str:
    """Return the password of an instance's administrator: always the same one of an instance."""
    return "Eic-" + hashlib.sha256(f"password of {instance_id}".encode()).hexdigest()[:24]


def password_data(ec2: Any, instance: Any) -> str:
    """Return the encrypted password in base64; empty for an instance without Windows, or without an RSA key pair."""
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.hazmat.primitives.serialization import load_ssh_public_key

    pair = ec2.key_pairs.get(instance.key_name)
    if instance.platform != "windows" or pair is None:
        return ""
    line = pair.material_public
    key = load_ssh_public_key(line if isinstance(line, bytes) else line.encode())
    if not isinstance(key, RSAPublicKey):
        return ""
    return base64.b64encode(key.encrypt(password_of(str(instance.id)).encode(), PKCS1v15())).decode()


# The lengths and the pattern are those of the service model in botocore.
_USER = re.compile(
    r"(^[A-Za-z_][A-Za-z0-9\@\._-]{0,30}[A-Za-z0-9\$_-]?$)"
    r"|(^(?=.{2,32}$)[0-9]{1,32}[A-Za-z\@\._-][A-Za-z0-9\@\._-]*[A-Za-z0-9\$_-]?$)"
)
_INSTANCE = re.compile(r"i-[a-f0-9]{8,30}")
_KEY_SIZES = range(80, 4097)
_KEY_TYPES = ("ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521")


def send_key(state: State, ec2: Any, *, instance_id: str, os_user: str, public_key: str, zone: str) -> None:
    """Accept a key for 60 s, or raise the service's error."""
    if len(os_user) > 32 or not _USER.match(os_user):
        raise ApiError("InvalidArgsException", "The OS user is not valid.")
    instance = check_key(ec2, instance_id=instance_id, public_key=public_key)
    if zone and instance._placement.zone != zone:
        raise ApiError("EC2InstanceNotFoundException", "The instance is not in that Availability Zone.")
    if instance.state != "running":
        raise ApiError("EC2InstanceStateInvalidException", f"The instance is in state {instance.state}.")
    machine = state.machine_of(instance_id)
    if machine and machine.ec2_instance_connect:
        state.push_key(instance_id, os_user, public_key.strip())


def check_key(ec2: Any, *, instance_id: str, public_key: str) -> Any:
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


DEFAULT_USERS = ("ec2-user",)
"""The OS users of an instance whose image the world does not know."""


def host_key() -> tuple[str, str]:
    """Return a new ed25519 host key: the private key in OpenSSH's PEM form, and the public key's line."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
    return private, key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def machine_of(state: State, instance: Any) -> Machine:
    """Return a machine for an instance, with the OS users of its image and a host key of its own."""
    windows = instance.platform == "windows"
    private, public = ("", "") if windows else host_key()
    return Machine(
        kind="windows" if windows else "linux",
        name=next((str(tag["value"]) for tag in instance.get_tags() if tag["key"] == "Name"), ""),
        address=str(instance.private_ip),
        region=str(instance.region_name),
        vpc_id=str(instance.vpc_id),
        instance_id=str(instance.id),
        users=state.users.get(instance.image_id) or DEFAULT_USERS,
        host_key=private,
        host_public_key=public,
        names=(str(instance.private_dns_name),),
        account=str(instance.owner_id),
    )


def make_ipv6_only(instance: Any) -> None:
    """Remove an instance's private IPv4 address, which every instance of moto has, and name it by its ID.

    So are instances in subnets with IPv6 only (EC2 user guide, EC2 instance hostnames: resource names).
    """
    nic = instance.nics[0]
    nic.private_ip_address, nic.private_ip_addresses, nic.private_dns_name = None, [], None
    suffix = "ec2.internal" if instance.region_name == "us-east-1" else f"{instance.region_name}.compute.internal"
    kind = type(instance)
    instance.__class__ = type(kind.__name__, (kind,), {"private_dns_name": f"{instance.id}.{suffix}"})


def describe_platform(resource: Any) -> None:
    """Fill the platform fields of moto's instances and images."""
    windows = resource.platform == "windows"
    resource.platform_details = "Windows" if windows else "Linux/UNIX"
    resource.usage_operation = "RunInstances:0002" if windows else "RunInstances"


def follow(state: State, ec2: Any) -> None:
    """Create a machine for each instance that has none."""
    known = {machine.instance_id for machine in state.machines()}
    for instance in ec2.all_instances():
        if instance.id not in known and instance.state != "terminated":
            describe_platform(instance)
            state.put_machine(machine_of(state, instance))


def update_boot_states(state: State, ec2: Any) -> None:
    """Update which instances are still pending after their start."""
    for instance in ec2.all_instances():
        if instance.state in ("pending", "running"):
            pending = state.boot_stage(instance.id) == "pending"
            instance._state.name, instance._state.code = ("pending", 0) if pending else ("running", 16)
