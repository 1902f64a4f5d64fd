"""The OS user to log in as: specified, configured, or that of the instance's AMI, which is cached."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from eicctl.aws.instances import describe_images
from eicctl.aws.session import Session
from eicctl.core.errors import EicctlError, LocalError
from eicctl.core.model import Instance, Target
from eicctl.support import defaults, jsonstore, paths

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


def _host(target: Target) -> _Host:
    return _Host(target.instance_id, target.instance_name, target.image_id)


def choose(session: Session, target: Target, specified: str | None) -> OsUser:
    """Return the OS user for a target: the specified, else the configured, else the image's, else the default one."""
    return OsUser(specified, "specified") if specified else _choose(session, [_host(target)])[target.instance_id]


def choose_all(session: Session, instances: Sequence[Instance]) -> dict[str, OsUser]:
    """Return the OS user of each instance, by its ID: the configured, else the image's, else the default one."""
    return _choose(session, [_Host(instance.id, instance.name, instance.image_id) for instance in instances])


def image_user(session: Session, target: Target) -> str | None:
    """Return the OS user that the target's image has, or None if that cannot be known."""
    return _image_users(session, [_host(target)]).get(target.instance_id)


def _choose(session: Session, hosts: Sequence[_Host]) -> dict[str, OsUser]:
    configured = {host.instance_id: defaults.user_for(host.name, host.instance_id) for host in hosts}
    of_image = _image_users(session, [host for host in hosts if not configured[host.instance_id]])
    users = {name: OsUser(user, "config") for name, user in configured.items() if user}
    images = {name: OsUser(user, "image") for name, user in of_image.items()}
    return dict.fromkeys(configured, OsUser(DEFAULT, "default")) | images | users


def _image_users(session: Session, hosts: Sequence[_Host]) -> dict[str, str]:
    """Return the OS users of images, by instance ID. AWS is asked once for an instance: its image cannot change."""
    file = paths.state_dir() / "os_users.json"
    remembered = jsonstore.read(file)
    found = {host.instance_id: str(remembered[host.instance_id]) for host in hosts if host.instance_id in remembered}
    new: dict[str, str] = {}
    with contextlib.suppress(EicctlError):  # without the permission to look, the default one must do
        unknown = [host for host in hosts if host.image_id and host.instance_id not in found]
        images = describe_images(session, {host.image_id for host in unknown})
        for host in unknown:
            image = images.get(host.image_id)
            if image and (user := user_of(image.name, image.owner, image.platform)):
                new[host.instance_id] = user
    if new:
        with contextlib.suppress(LocalError):  # what cannot be kept can be asked again
            jsonstore.update(file, lambda known: jsonstore.newest({**known, **new}, _KEPT))
    return found | new
