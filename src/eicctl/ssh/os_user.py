"""The OS user to log in as: said, set, or read from the image, which is remembered for each instance."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from eicctl.aws.images import describe_images
from eicctl.aws.session import Session
from eicctl.core.errors import EicctlError, LocalError
from eicctl.core.model import Target
from eicctl.ssh.ami_users import DEFAULT, user_of
from eicctl.support import files, settings
from eicctl.support.documents import parse_json

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
