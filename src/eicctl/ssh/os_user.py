"""The OS user to log in as: specified, configured, or that of the instance's AMI, which is cached."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self

from eicctl.aws.instances import describe_images
from eicctl.aws.session import Session
from eicctl.core.errors import EicctlError, LocalError
from eicctl.core.model import Instance, Target
from eicctl.support import jsonstore, paths, settings

DEFAULT = "ec2-user"
"""The user of Amazon Linux, and of most images that are made for EC2."""

_BY_NAME = (
    (r"^windows", "Administrator"),
    (r"^(al20|amzn)", "ec2-user"),
    (r"ubuntu", "ubuntu"),
    (r"^debian|debian-1", "admin"),
    (r"rocky", "rocky"),
    (r"^fedora", "fedora"),
    (r"^centos (linux )?[67]|centos-7", "centos"),
    (r"flatcar|coreos", "core"),
    (r"bitnami", "bitnami"),
    (r"^arch", "arch"),
    (r"kali", "kali"),
    (r"^(rhel|almalinux|suse|ol[89]|freebsd|centos)", "ec2-user"),
)

_BY_OWNER = {
    "137112412989": "ec2-user",  # Amazon
    "099720109477": "ubuntu",  # Canonical
    "136693071363": "admin",  # Debian
    "792107900819": "rocky",  # Rocky Linux
    "125523088429": "fedora",  # Fedora
    "309956199498": "ec2-user",  # Red Hat
    "764336703387": "ec2-user",  # AlmaLinux
    "013907871322": "ec2-user",  # SUSE
    "782442783595": "ec2-user",  # FreeBSD
}
"""Publishers' accounts. Marketplace images have other owners, so the name is asked first."""

_BY_PLATFORM = ((r"windows", "Administrator"), (r"ubuntu", "ubuntu"), (r"red hat|suse|amazon linux", "ec2-user"))


def user_of(name: str, owner: str = "", platform: str = "") -> str | None:
    """Return the OS user of an AMI's instances, or None if unknown.

    Args:
        name: The AMI's name.
        owner: The owner's account ID.
        platform: EC2's PlatformDetails, such as `Red Hat Enterprise Linux`.
    """
    for pattern, user in _BY_NAME:
        if re.search(pattern, name.lower()):
            return user
    for pattern, user in _BY_PLATFORM:
        if re.search(pattern, platform.lower()):
            return user
    return _BY_OWNER.get(owner)


_KEPT = 1000
"""Instances that are remembered, the latest ones."""


@dataclass(frozen=True, slots=True)
class OsUser:
    """An OS user, and where it is from.

    Attributes:
        name: The user.
        source: `specified`, `config`, `image` or `default`.
    """

    name: str
    source: str

    @property
    def note(self) -> str:
        """What the user should know: a user that was guessed; otherwise empty."""
        return f"Logging in as {self.name} (default; override with --os-user)" if self.source == "default" else ""

    @property
    def explanation(self) -> str:
        """The user, and where it is from."""
        origin = {"specified": "specified", "config": "config.toml", "image": "from the AMI", "default": "default"}
        return f"{self.name} ({origin[self.source]})"


class _Host(NamedTuple):
    """What the OS user depends on. All are empty if the target is not a known instance."""

    instance_id: str
    name: str
    image_id: str

    @classmethod
    def of(cls, target: Target) -> Self:
        return cls(target.instance_id, target.instance_name, target.image_id)


def choose(session: Session, target: Target, specified: str | None) -> OsUser:
    """Return the OS user for a target: the specified, else the configured, else the image's, else the default one."""
    if specified:
        return OsUser(specified, "specified")
    host = _Host.of(target)
    return _choose(session, [host])[host]


def choose_all(session: Session, instances: Sequence[Instance]) -> dict[str, OsUser]:
    """Return the OS user of each instance, by its ID: the configured, else the image's, else the default one."""
    users = _choose(session, [_Host(instance.id, instance.name, instance.image_id) for instance in instances])
    return {host.instance_id: user for host, user in users.items()}


def image_user(session: Session, target: Target) -> str | None:
    """Return the OS user that the target's image has, or None if that cannot be known."""
    return _image_users(session, [host := _Host.of(target)]).get(host)


def _choose(session: Session, hosts: Sequence[_Host]) -> dict[_Host, OsUser]:
    config = settings.config()
    users = {host: OsUser(user, "config") for host in hosts if (user := config.user_for(host.name, host.instance_id))}
    of_image = _image_users(session, [host for host in hosts if host not in users])
    for host in hosts:
        if host not in users:
            users[host] = OsUser(of_image[host], "image") if host in of_image else OsUser(DEFAULT, "default")
    return users


def _image_users(session: Session, hosts: Sequence[_Host]) -> dict[_Host, str]:
    """Return the OS users of images. AWS is asked once for an instance: its image cannot change."""
    remembered = _load()
    found = {host: remembered[host.instance_id] for host in hosts if host.instance_id in remembered}
    new: dict[str, str] = {}
    with contextlib.suppress(EicctlError):  # without the permission to look, the default one must do
        images = describe_images(session, {host.image_id for host in hosts if host.image_id and host not in found})
        for host in hosts:
            image = images.get(host.image_id)
            if image and host not in found and (user := user_of(image.name, image.owner, image.platform)):
                found[host] = new[host.instance_id] = user
    _remember(new)
    return found


def _file() -> Path:
    return paths.state_dir() / "os_users.json"


def _load() -> dict[str, str]:
    return {key: str(value) for key, value in jsonstore.read(_file()).items()}


def _remember(users: Mapping[str, str]) -> None:
    if not users:
        return

    def changed(known: dict[str, str]) -> dict[str, str]:
        return jsonstore.newest({name: user for name, user in known.items() if name not in users} | dict(users), _KEPT)

    with contextlib.suppress(LocalError):  # what cannot be kept can be asked again
        jsonstore.update(_file(), changed)
