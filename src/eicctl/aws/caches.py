"""What earlier commands learned from AWS, on disk: names for completion, targets, OpenSSH's settings of logins.

The files are in the cache folder, mode 0600; they hold names, IDs, addresses and settings, and no secret. A cache that
cannot be read or written is empty.

Imports as little as can be: completions and warm logins wait for it.
"""

from __future__ import annotations

import os
import time

from eicctl.aws.config_files import ENDPOINT_VARIABLES, identity, signature
from eicctl.support import jsonstore
from eicctl.support.paths import usual_folder
from eicctl.support.pins import named_profile, named_region, profile_in_force

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path
    from typing import Any, TypedDict

    from eicctl.aws.session import Session
    from eicctl.core.model import Target
    from eicctl.core.request import ConnectRequest

    class LoginSettings(TypedDict):
        """OpenSSH's settings for a login, as JSON values; `ssh.openssh_options.login_settings` makes them."""

        Host: str
        User: dict[str, str]
        Target: dict[str, Any]
        Proxy: str
        Settings: dict[str, str]
        Notes: list[str]

    Row = tuple[str, ...]


# Names and IDs, so that the completion of a command line calls no API: one file per identity and region. The identity
# is what is readable without botocore, which takes longer to import than a completion may. A profile that leads to
# another account has other options, and so another file. Each file says for which profile and region it is, so that a
# name which is not in this region can be looked for in the others.

INSTANCES, ENDPOINTS, DATABASES, VPCS = "instances", "endpoints", "databases", "vpcs"
"""The kinds: IDs, each with its name or an empty string, and what else lists show of it: an instance's state, platform,
address, Availability Zone and VPC; an endpoint's state, VPC and Availability Zone; a database's engine, status and
address. A database's name is empty."""

_WHERE = "where"

NAMES_LIFETIME = 30 * 86400.0
"""Seconds for which a name is offered."""

MOST_NAMES = 10000
"""Values of one kind that a file holds."""

MOST_FILES = 1500
"""Files that are kept: those written last. 30 profiles and 40 regions have 1,200."""

_FRESH = 86400.0
"""Seconds within which what is known already is not written again."""


def note_names(
    session: Session, kind: str, names: Mapping[str, str | Row], *, region: str, whole: bool = False
) -> None:
    """Store names that AWS has returned.

    Args:
        session: The session that asked.
        kind: `INSTANCES`, `ENDPOINTS` or `DATABASES`.
        names: IDs and their names, perhaps with what else is shown.
        region: Where.
        whole: Whether these are all of the kind, so that what else is known is gone.
    """
    if session.assumed_role:  # no profile leads there
        return
    now = time.time()
    path = _names_file(session.profile, region)
    known = _rows(jsonstore.read(path).get(kind))
    # One that is a day old is written anew, so that it lives on; all others cost no writing.
    rows = {key: (name,) if isinstance(name, str) else name for key, name in names.items()}
    newer = {
        key: row
        for key, row in rows.items()
        if key not in known or known[key][0] != row or not 0 <= now - known[key][1] < _FRESH
    }
    gone = known.keys() - names.keys() if whole else set()
    if newer or gone:
        _write(path, kind, newer, gone, where=(profile_in_force(session.profile), region))


def known_names(kind: str, profile: str | None, region: str) -> dict[str, str]:
    """Return IDs and their names, those noted last first."""
    return {key: row[0] for key, row in known_rows(kind, profile, region).items()}


def known_rows(kind: str, profile: str | None, region: str) -> dict[str, Row]:
    """Return IDs, each with its name and what else lists show of it, those noted last first."""
    now = time.time()
    rows = _rows(jsonstore.read(_names_file(profile, region)).get(kind))
    return {key: row for key, (row, at) in reversed(rows.items()) if 0 <= now - at < NAMES_LIFETIME}


def seen_elsewhere(word: str, profile: str | None, region: str) -> list[tuple[str | None, str]]:
    """Return the other profiles and regions in which an instance of this name or ID was seen, this profile's first.

    Only those that lead there in this environment: other keys or endpoints in it are another account.
    """
    from pathlib import Path

    here = _names_file(profile, region)
    found: list[tuple[str | None, str]] = []
    for path in Path(here).parent.glob("*.json") if here else ():
        content = jsonstore.read(path) if str(path) != here else {}
        match content.get(_WHERE):
            case [None | str() as theirs, str() as there] if _names_file(theirs, there) == str(path):
                rows = _rows(content.get(INSTANCES))
                if word in rows or any(row[0] == word for row, _ in rows.values()):
                    found.append((theirs, there))
    ours = profile_in_force(profile)
    return sorted(found, key=lambda pair: (pair[0] != ours, pair[0] or "", pair[1]))


def known_regions() -> dict[str, str]:
    """Return the regions of the standard partition with their descriptions, from botocore's data without botocore."""
    from importlib.util import find_spec

    spec = find_spec("botocore")
    folder = spec.submodule_search_locations[0] if spec and spec.submodule_search_locations else ""
    partitions: Any = jsonstore.read(f"{folder}/data/partitions.json").get("partitions", [])
    found: Mapping[str, Any] = next((partition["regions"] for partition in partitions if partition["id"] == "aws"), {})
    return {name: region["description"] for name, region in found.items() if not name.endswith("-global")}


def _names_file(profile: str | None, region: str) -> str:
    return f"{usual_folder('cache')}/known/{jsonstore.digest(identity(profile, region))}.json"


def _rows(rows: object) -> dict[str, tuple[Row, float]]:
    """Return what a file has, `[NAME, TIME, …]` each, as `((NAME, …), TIME)`."""
    if not isinstance(rows, dict):
        return {}
    return {
        key: ((row[0], *row[2:]), row[1])
        for key, row in rows.items()
        if isinstance(row, list) and len(row) >= 2 and isinstance(row[1], float) and _are_texts(row[:1] + row[2:])
    }


def _are_texts(parts: list[object]) -> bool:
    return all(isinstance(part, str) for part in parts)


def _write(
    path: str, kind: str, newer: Mapping[str, Row], gone: Iterable[str], *, where: tuple[str | None, str]
) -> None:
    import contextlib
    from pathlib import Path

    from eicctl.core.errors import LocalError
    from eicctl.support import paths

    now = time.time()

    def changed(content: dict[str, object]) -> dict[str, object]:
        left = {key: row for key, row in _rows(content.get(kind)).items() if key not in newer and key not in set(gone)}
        rows = left | {key: (row, now) for key, row in newer.items()}
        kept = {key: (row[0], at, *row[1:]) for key, (row, at) in jsonstore.newest(rows, MOST_NAMES).items()}
        return {**content, _WHERE: where, kind: kept}

    with contextlib.suppress(LocalError):
        paths.cache_dir()
        folder = paths.private(Path(path).parent)
        jsonstore.update(Path(path), changed, lock=folder / "all")
        _thin(folder)


def _thin(folder: Path) -> None:
    """Remove the oldest files beyond `MOST_FILES`; other threads and processes may do the same at the same time."""
    import contextlib

    paths = list(folder.glob("*.json"))
    if len(paths) <= MOST_FILES:
        return
    written: dict[Path, float] = {}
    for path in paths:
        with contextlib.suppress(OSError):
            written[path] = path.stat().st_mtime
    for path in sorted(written, key=written.__getitem__)[:-MOST_FILES]:
        with contextlib.suppress(OSError):
            path.unlink()


LIFETIME = 300.0
"""Seconds for which a target and a login are known."""

_targets = jsonstore.Cache("targets.json", LIFETIME, 200)
_logins = jsonstore.Cache("logins.json", LIFETIME, 100)


class TargetCache:
    """Targets that a session has resolved, so that a ProxyCommand sends AWS no request before it dials.

    Args:
        session: The session that asks.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    def get(self, request: ConnectRequest) -> Target | None:
        """Return the target of an equal request, or None if none is known or it is too old."""
        import logging

        from eicctl.core.model import Target

        try:
            target = Target(**_targets.get(self._key(request)))
        except TypeError:
            return None
        logging.getLogger(__name__).debug("cached target: %s through %s", target.address, target.endpoint_id)
        return target

    def put(self, target: Target, *requests: ConnectRequest) -> None:
        """Store the target of some requests."""
        from dataclasses import asdict

        _targets.put({self._key(request): asdict(target) for request in requests})

    def forget(self, request: ConnectRequest) -> None:
        """Remove the target of a request."""
        _targets.put({self._key(request): None})

    def _key(self, request: ConnectRequest) -> str:
        """Return the same key whether an option or the environment names profile and region: the background process
        gets them as options."""
        session = self._session
        where = named_profile(session.profile), named_region(session.given_region), session.fips, session.dualstack
        endpoints = [os.environ.get(name) for name in ENDPOINT_VARIABLES]
        caller = session.credentials().access_key_id
        return jsonstore.digest(caller, where, endpoints, signature(), request.destination)


def login_key(profile: str | None, region: str | None, request: str) -> str:
    """Return the cache key of a login: the caller, the files that configure it, and the request."""
    config, state = usual_folder("config"), usual_folder("state")
    starts = ("AWS_", "EICCTL_")
    secrets = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN")
    variables = sorted(item for item in os.environ.items() if item[0].startswith(starts) and item[0] not in secrets)
    # The file of OS users differs after a change of an image or a setting.
    files = signature(f"{config}/config.toml", f"{state}/os_users.json")
    return jsonstore.digest(identity(profile, region), variables, files, request)


def known_login(key: str) -> LoginSettings | None:
    """Return OpenSSH's settings of a recent login, so that the next one needs neither AWS nor much Python.

    None if the host's keys, which they count on, are no longer in eicctl's known_hosts.
    """
    found = _logins.get(key)
    try:
        with open(f"{usual_folder('state')}/known_hosts", "rb") as file:  # noqa: PTH123
            pinned = f"\n{found['Host']} ".encode() in b"\n" + file.read()
    except (OSError, KeyError, TypeError):
        return None
    login: LoginSettings = found
    return login if pinned else None


def note_login(key: str, login: LoginSettings) -> None:
    """Store a login whose host's keys are known."""
    if login["Settings"].get("StrictHostKeyChecking") == "yes":
        _logins.put({key: login})


def forget_login(key: str) -> None:
    """Remove a login."""
    _logins.put({key: None})
