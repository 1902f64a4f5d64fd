"""From an instance of moto's to the machine that stands for it."""

from __future__ import annotations

from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from eicctl.emulator.state import Machine, State

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
        users=state.users_of(instance.image_id) or DEFAULT_USERS,
        host_key=private,
        host_public_key=public,
        names=(str(instance.private_dns_name),),
    )


def make_ipv6_only(instance: Any) -> None:
    """Take an instance's private IPv4 address away, which every instance of moto's has, and name it by its ID.

    So are instances in subnets with IPv6 only (EC2 user guide, EC2 instance hostnames: resource names).
    """
    nic = instance.nics[0]
    nic.private_ip_address, nic.private_ip_addresses, nic.private_dns_name = None, [], None
    suffix = "ec2.internal" if instance.region_name == "us-east-1" else f"{instance.region_name}.compute.internal"
    kind = type(instance)
    instance.__class__ = type(kind.__name__, (kind,), {"private_dns_name": f"{instance.id}.{suffix}"})


def describe_platform(resource: Any) -> None:
    """Give an instance or an image of moto's the platform fields that moto does not fill."""
    windows = resource.platform == "windows"
    resource.platform_details = "Windows" if windows else "Linux/UNIX"
    resource.usage_operation = "RunInstances:0002" if windows else "RunInstances"


def follow(state: State, ec2: Any) -> None:
    """Make a machine for each instance that has none."""
    known = {machine.instance_id for machine in state.machines()}
    for instance in ec2.all_instances():
        if instance.id not in known and instance.state != "terminated":
            describe_platform(instance)
            state.put_machine(machine_of(state, instance))


def show_boots(state: State, ec2: Any) -> None:
    """Let instances that start be pending for the time that this takes."""
    for instance in ec2.all_instances():
        if instance.state in ("pending", "running"):
            pending = state.boot_stage(instance.id) == "pending"
            instance._state.name, instance._state.code = ("pending", 0) if pending else ("running", 16)
