"""The files of the AWS configuration without botocore: where they are, what they hold, whether they have changed.

Imports as little as can be: completions and a ProxyCommand wait for it.
"""

from __future__ import annotations

import os

from eicctl.support.pins import named_profile, named_region

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

CONFIG, CREDENTIALS = "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"
_USUAL = {CONFIG: "~/.aws/config", CREDENTIALS: "~/.aws/credentials"}
ENDPOINT_VARIABLES = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_EC2", "AWS_ENDPOINT_URL_RDS")
_CHANGING = ("aws_secret_access_key", "aws_session_token", "aws_security_token")


def config_file() -> str:
    """Return the path of the config file; empty if `AWS_CONFIG_FILE` is."""
    return _path(CONFIG)


def credentials_file() -> str:
    """Return the path of the shared credentials file; empty if `AWS_SHARED_CREDENTIALS_FILE` is."""
    return _path(CREDENTIALS)


def _path(variable: str) -> str:
    """Expand as botocore does: variables, then `~`. What cannot be expanded stays, and is relative to this folder."""
    return os.path.expanduser(os.path.expandvars(os.environ.get(variable, _USUAL[variable])))  # noqa: PTH111


def signature(*more: str) -> tuple[object, ...]:
    """Return what changes whenever a file of the AWS configuration does, or one of `more`."""
    seen: list[object] = []
    for path in (credentials_file(), config_file(), *more):
        try:
            status = os.stat(path)  # noqa: PTH116 - an empty path is no folder
        except OSError:
            seen.append(None)
        else:
            seen.append((status.st_mtime_ns, status.st_size, status.st_ino))
    return tuple(seen)


def sections() -> dict[str, dict[str, str]]:
    """Return the options of the AWS configuration by their sections: profiles by name, others as `KIND NAME`.

    Good enough to tell callers apart and to complete; the credentials come from `plain_profile`, or botocore.
    """
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


def region_of(profile: str | None, region: str | None = None) -> str:
    """Return the region that a command with these options would use, or an empty string."""
    given = named_region(region)
    return sections().get(_profile(profile), {}).get("region", "") if given is None else given


def identity(profile: str | None, region: str | None) -> list[object]:
    """Return what differs where another account or region might be asked: options, environment, the profile's options.

    It holds no secret.
    """
    found: Mapping[str, Mapping[str, str]] = sections()
    name = _profile(profile)
    trail: list[object] = [name]
    if not profile and (key := os.environ.get("AWS_ACCESS_KEY_ID")):
        trail.append(key)
    seen: set[str] = set()
    while name and name not in seen:
        seen.add(name)
        options = found.get(name, {})
        trail.append(sorted((key, value) for key, value in options.items() if key not in _CHANGING))
        if session := options.get("sso_session"):
            trail.append(sorted(found.get(f"sso-session {session}", {}).items()))
        name = options.get("source_profile", "")
    return [trail, region_of(profile, region), [os.environ.get(name) for name in ENDPOINT_VARIABLES]]


def _profile(given: str | None) -> str:
    named = named_profile(given)
    return "default" if named is None else named
