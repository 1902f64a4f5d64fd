"""Names and IDs that AWS has reported, on disk, so that the completion of a command line calls no API.

One JSON file per identity and region, in the cache folder, mode 0600, with names and IDs and no secret. The identity is
a hash of what is readable without importing botocore, which takes longer than a completion may: the keys of the
environment, or the profile's own lines. A profile that leads to another account has other lines, and so another file.

Imports as little as can be: a completion waits for it.
"""

from __future__ import annotations

import os
import sys
import time

from eicctl.aws.config_files import config_file, credentials_file
from eicctl.support import jsonstore
from eicctl.support.pins import named_profile, named_region

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path
    from typing import Any

    from eicctl.aws.session import Session

LIFETIME = 30 * 86400.0
"""Seconds for which a name is offered."""

MOST = 2000
"""Values of one kind that a file holds."""

FILES = 40
"""Files that are kept: those written last."""

_FRESH = 86400.0
"""Seconds within which what is known already is not written again."""

_ENDPOINTS = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_EC2", "AWS_ENDPOINT_URL_RDS")
_LEADS_TO = ("source_profile", "sso_session")
_CHANGING = ("aws_secret_access_key", "aws_session_token", "aws_security_token")

INSTANCES, ENDPOINTS, DATABASES = "instances", "endpoints", "databases"
"""The kinds: IDs, each with its name or an empty string. A database's name is empty."""


def note(session: Session, kind: str, names: Mapping[str, str], *, region: str, whole: bool = False) -> None:
    """Remember what AWS has told. A cache that cannot be written is none.

    Args:
        session: Who has asked.
        kind: `INSTANCES`, `ENDPOINTS` or `DATABASES`.
        names: IDs and their names.
        region: Where.
        whole: Whether this is all that there is of the kind, so that what else is known is gone.
    """
    now = time.time()
    path = _path(session.profile, region)
    known = _read(path, kind)
    # One that is a day old is written anew, so that it lives on; all others cost no writing.
    newer = {
        key: name
        for key, name in names.items()
        if key not in known or known[key][0] != name or not 0 <= now - known[key][1] < _FRESH
    }
    gone = known.keys() - names.keys() if whole else set()
    if path and (newer or gone):
        _write(path, kind, newer, gone, now)


def recall(kind: str, profile: str | None, region: str) -> dict[str, str]:
    """Return IDs and their names, those noted last first."""
    now = time.time()
    rows = _read(_path(profile, region), kind)
    return {key: row[0] for key, row in reversed(rows.items()) if 0 <= now - row[1] < LIFETIME}


def region_of(profile: str | None, region: str | None = None) -> str:
    """Return the region that a command with these options would use, or an empty string."""
    given = named_region(region)
    return _settings(sections(), _profile(profile)).get("region", "") if given is None else given


def regions() -> dict[str, str]:
    """Return the regions of the standard partition with their descriptions, from botocore's data without botocore."""
    from importlib.util import find_spec

    spec = find_spec("botocore")
    folder = spec.submodule_search_locations[0] if spec and spec.submodule_search_locations else ""
    partitions: Any = jsonstore.read(f"{folder}/data/partitions.json").get("partitions", [])
    found: Mapping[str, Any] = next((partition["regions"] for partition in partitions if partition["id"] == "aws"), {})
    return {name: region["description"] for name, region in found.items() if not name.endswith("-global")}


def sections() -> dict[str, dict[str, str]]:
    """Return the lines of the AWS configuration by their sections: profiles by name, others as `KIND NAME`."""
    found: dict[str, dict[str, str]] = {}
    for path in (config_file(), credentials_file()):
        try:
            with open(path, encoding="utf-8", errors="replace") as file:  # noqa: PTH123
                _sort(file, found)
        except OSError:
            continue
    return found


def _sort(lines: Iterable[str], found: dict[str, dict[str, str]]) -> None:
    section: dict[str, str] = {}
    for line in lines:
        text = line.strip()
        if text.startswith("[") and "]" in text:
            words = text[1 : text.index("]")].split(None, 1)
            name = words[1] if words[0:1] == ["profile"] and len(words) > 1 else " ".join(words)
            section = found.setdefault(name.strip("\"' "), {})
        elif "=" in text and text[:1] not in "#;":
            key, _, value = text.partition("=")
            section[key.strip().lower()] = value.strip()


def _settings(found: Mapping[str, Mapping[str, str]], name: str) -> Mapping[str, str]:
    return found.get(name, {})


def _profile(given: str | None) -> str:
    named = named_profile(given)
    return "default" if named is None else named


def _who(profile: str | None) -> list[object]:
    """What differs where another account might be asked."""
    name = _profile(profile)
    found = sections()
    trail: list[object] = [name]
    if not profile:
        trail.append(os.environ.get("AWS_ACCESS_KEY_ID"))
    seen: set[str] = set()
    while name and name not in seen:
        seen.add(name)
        settings = _settings(found, name)
        trail.append(sorted((key, value) for key, value in settings.items() if key not in _CHANGING))
        session = settings.get(_LEADS_TO[1])
        if session:
            trail.append(sorted(_settings(found, f"sso-session {session}").items()))
        name = settings.get(_LEADS_TO[0], "")
    return trail


def identity(profile: str | None, region: str | None) -> list[object]:
    """Return what tells who asks, and where: options, environment and the profile's lines, without secrets."""
    return [_who(profile), region_of(profile, region), [os.environ.get(name) for name in _ENDPOINTS]]


def _path(profile: str | None, region: str) -> str | None:
    folder = _folder()
    if not folder:
        return None
    try:
        from _blake2 import blake2b  # hashlib loads OpenSSL, which takes some milliseconds
    except ImportError:  # a Python that was built without it
        from hashlib import blake2b

    words = repr([_who(profile), region, [os.environ.get(name) for name in _ENDPOINTS]])
    return f"{folder}/{blake2b(words.encode(errors='replace'), digest_size=16).hexdigest()}.json"


def _folder() -> str | None:
    """`known` in the cache folder, as `paths.cache_dir` has it."""
    home, base = os.environ.get("EICCTL_HOME"), os.environ.get("XDG_CACHE_HOME", "").strip()
    if home and not home.startswith("~"):
        return f"{home}/cache/known"
    if not base.startswith("/"):  # which counts for nothing (XDG Base Directory Specification)
        base = os.path.expanduser("~/.cache")  # noqa: PTH111
    if not home and sys.platform == "linux" and base.startswith("/"):
        return f"{base}/eicctl/known"
    from eicctl.core.errors import LocalError
    from eicctl.support import paths

    try:
        return str(paths.cache_dir() / "known")
    except LocalError:
        return None


def _read(path: str | None, kind: str) -> dict[str, tuple[str, float]]:
    return _rows(jsonstore.read(path).get(kind))


def _rows(rows: object) -> dict[str, tuple[str, float]]:
    if not isinstance(rows, dict):
        return {}
    return {
        key: (row[0], row[1])
        for key, row in rows.items()
        if isinstance(row, list) and len(row) == 2 and isinstance(row[0], str) and isinstance(row[1], float)
    }


def _write(path: str, kind: str, newer: Mapping[str, str], gone: Iterable[str], now: float) -> None:
    import contextlib
    from pathlib import Path

    from eicctl.core.errors import LocalError
    from eicctl.support import paths

    def changed(content: dict[str, Any]) -> dict[str, Any]:
        left = {k: row for k, row in _rows(content.get(kind)).items() if k not in newer and k not in set(gone)}
        rows = left | {key: (name, now) for key, name in newer.items()}
        return {**content, kind: jsonstore.newest(rows, MOST)}

    with contextlib.suppress(LocalError):
        paths.cache_dir()
        folder = paths.private(Path(path).parent)
        jsonstore.update(Path(path), changed, lock=folder / "all")
        _thin(folder)


def _thin(folder: Path) -> None:
    import contextlib

    files = sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime)
    for path in files[:-FILES]:
        with contextlib.suppress(OSError):
            path.unlink()
