"""The OS user to log in as: said, set, or read from the image, which is remembered for each instance.

Which OS user an instance has, by its AMI.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from eicctl.aws.instances import describe_images
from eicctl.aws.session import Session
from eicctl.core.errors import EicctlError, LocalError
from eicctl.core.model import Target
from eicctl.support import files, settings
from eicctl.support.documents import parse_json

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
    """Return the OS user of an AMI's instances, or None where nothing tells.

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
class Host:
    """An instance, as far as its OS user is concerned. All may be empty where the target is no known instance."""

    instance_id: str
    name: str
    image_id: str


@dataclass(frozen=True, slots=True)
class OsUser:
    """An OS user, and where it is from.

    Attributes:
        name: The user.
        source: `said`, `config`, `image` or `usual`.
    """

    name: str
    source: str

    @property
    def note(self) -> str:
        """What to say of a guess; empty where it is none."""
        why = {"config": "from config.toml", "image": "from the AMI", "usual": "the usual one; --os-user gives another"}
        return f"using OS user {self.name} ({why[self.source]})" if self.source in why else ""


def choose(session: Session, target: Target, said: str | None) -> OsUser:
    """Return the OS user for a target: `said`, else the one that is set, else the image's, else the usual one."""
    if said:
        return OsUser(said, "said")
    host = Host(target.instance_id, target.instance_name, target.image_id)
    return choose_all(session, [host])[host]


def choose_all(session: Session, hosts: Sequence[Host]) -> dict[Host, OsUser]:
    """Return the OS user of each host: the one that is set, else the image's, else the usual one."""
    config = settings.config()
    found = {host: OsUser(user, "config") for host in hosts if (user := config.user_for(host.name, host.instance_id))}
    of_image = _image_users(session, [host for host in hosts if host not in found])
    for host in hosts:
        if host not in found:
            found[host] = OsUser(of_image[host], "image") if host in of_image else OsUser(DEFAULT, "usual")
    return found


def image_user(session: Session, target: Target) -> str | None:
    """Return the OS user that the target's image has, or None where that cannot be known."""
    host = Host(target.instance_id, target.instance_name, target.image_id)
    return _image_users(session, [host]).get(host)


def _image_users(session: Session, hosts: Sequence[Host]) -> dict[Host, str]:
    """Return the OS users of images. AWS is asked once for an instance: its image cannot change."""
    remembered = _load()
    found = {host: remembered[host.instance_id] for host in hosts if host.instance_id in remembered}
    new: dict[str, str] = {}
    with contextlib.suppress(EicctlError):  # without the right to look, the usual one must do
        images = describe_images(session, {host.image_id for host in hosts if host.image_id and host not in found})
        for host in hosts:
            image = images.get(host.image_id)
            if image and host not in found and (user := user_of(image.name, image.owner, image.platform)):
                found[host] = new[host.instance_id] = user
    _remember(new)
    return found


def _file() -> Path:
    return settings.state_dir() / "os_users.json"


def _load() -> dict[str, str]:
    try:
        found = parse_json(files.read_text(_file()) or "{}")
    except (ValueError, LocalError):
        return {}  # what can be asked again needs no repair
    return {str(key): str(value) for key, value in found.items()} if isinstance(found, dict) else {}


def _remember(users: Mapping[str, str]) -> None:
    if not users:
        return
    with contextlib.suppress(LocalError), files.locked(path := _file()):  # what cannot be kept can be asked again
        known = {**{key: user for key, user in _load().items() if key not in users}, **users}
        files.write_whole(path, json.dumps(dict(list(known.items())[-_KEPT:]), indent=1))
