"""MFA sessions in the files of the AWS configuration: written, listed, removed. Each change is locked and backed up."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from eicctl.aws import profile_text
from eicctl.aws.config_files import CONFIG, CREDENTIALS, config_file, credentials_file
from eicctl.core.errors import ConflictError, LocalError, UsageError
from eicctl.support.files import check_writable as check_file
from eicctl.support.files import locked, make_private, read_text, write_whole

_KEYS = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
_EXPIRES = f"{profile_text.MARK}_expiration"
_BASE = f"{profile_text.MARK}_base"
SETTINGS = ("region", "ca_bundle", "endpoint_url", "use_fips_endpoint", "use_dualstack_endpoint", "services")
"""What the profile of a session takes over from its base, in the config file."""
_NAME = re.compile(r"[A-Za-z0-9_.@/+=,-]+")


@dataclass(frozen=True, slots=True)
class Stored:
    """An MFA session of a profile. `expires` has a zone; None where the file's value is no time."""

    profile: str
    base: str
    expires: datetime | None


@dataclass(frozen=True, slots=True)
class NewSession:
    """The temporary keys that STS has issued."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str = field(repr=False)
    expires: datetime


def check_name(profile: str, base: str) -> None:
    """Refuse a profile in which a session cannot be stored.

    Raises:
        UsageError: It is the base's, or has characters that would need quotes.
        ConflictError: The profile is there and holds something else.
    """
    if profile == base:
        raise UsageError(f"the session must have a profile of its own, not {base!r}", hint="--into NAME")
    if not _NAME.fullmatch(profile) or profile == "DEFAULT":
        raise UsageError(
            f"{profile!r} cannot be the profile of a session", hint="--into NAME, of letters, digits and _.@/+=,-"
        )
    _check_free(read_text(credentials_path()), profile)


def check_writable() -> None:
    """Refuse files that `store` could not write: an MFA code is good once, and would be lost.

    Raises:
        LocalError: One of them cannot be written.
    """
    for path in (config_path(), credentials_path()):
        _make_folder(path)
        with locked(path):  # the lock is a file beside it, and so is a copy of what was there
            text = read_text(path)
            check_file(path, text)
            check_file(_backup(path), text)


def store(profile: str, base: str, session: NewSession, settings: Mapping[str, str]) -> None:
    """Write a session into its profile, with the settings in the config file.

    Raises:
        ConflictError: The profile is there and holds something else.
        LocalError: A file cannot be written.
    """
    values = dict(zip(_KEYS, (session.access_key_id, session.secret_access_key, session.session_token), strict=True))
    values |= {_EXPIRES: session.expires.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), _BASE: base}

    def with_settings(text: str) -> str:
        there = profile_text.has(text, profile_text.config_profile, profile)
        if there and profile not in profile_text.owned(text, profile_text.config_profile):
            return text  # the user's own settings for it
        cleared = profile_text.take(text, profile_text.config_profile, profile, SETTINGS)
        if not settings:
            return cleared
        wanted = {**settings, _BASE: base}
        return profile_text.put(text, profile_text.config_profile, profile, f"profile {profile}", wanted)

    def with_keys(text: str) -> str:
        _check_free(text, profile)
        return profile_text.put(text, profile_text.credentials_profile, profile, profile, values)

    _change(config_path(), with_settings)
    _change(credentials_path(), with_keys)


def stored() -> list[Stored]:
    """The sessions that are stored, in the order of the file."""
    found = profile_text.owned(read_text(credentials_path()), profile_text.credentials_profile)
    return [Stored(name, values.get(_BASE, ""), _time(values.get(_EXPIRES, ""))) for name, values in found.items()]


def remove(profile: str) -> None:
    """Remove what `store` wrote for a profile."""
    for path, name, keys in (
        (credentials_path(), profile_text.credentials_profile, _KEYS),
        (config_path(), profile_text.config_profile, SETTINGS),
    ):
        _change(path, lambda text, name=name, keys=keys: profile_text.take(text, name, profile, keys))  # type: ignore[misc]


def credentials_path() -> Path:
    """The credentials file."""
    return _file(CREDENTIALS, credentials_file())


def config_path() -> Path:
    """The config file."""
    return _file(CONFIG, config_file())


def _file(variable: str, path: str) -> Path:
    """A file of the AWS configuration.

    Raises:
        UsageError: The variable names none, or what it names cannot be expanded.
        LocalError: The user has no home.
    """
    if path and (os.path.exists(path) or not ("$" in path or path.startswith("~"))):  # noqa: PTH110
        return Path(path)
    if variable not in os.environ:
        raise LocalError(f"cannot expand {path}: no home folder is known", hint="export HOME=FOLDER")
    raise UsageError(f"{variable} does not name a file: {os.environ.get(variable, path)!r}", hint=f"unset {variable}")


def _check_free(text: str, profile: str) -> None:
    name = profile_text.credentials_profile
    if profile_text.has(text, name, profile) and profile not in profile_text.owned(text, name):
        raise ConflictError(f"the profile {profile!r} holds other keys", hint="choose another one with --into")


def _change(path: Path, edit: Callable[[str], str]) -> None:
    """Edit a file under its lock, with the old text beside it in `NAME.eicctl-backup`; both for this user only."""
    _make_folder(path)
    with locked(path):
        old = read_text(path)
        new = edit(old)
        if new == old:
            return
        if old:
            write_whole(_backup(path), old)
        write_whole(path, new)


def _backup(path: Path) -> Path:
    return path.with_name(f"{path.name}.eicctl-backup")


def _make_folder(path: Path) -> None:
    try:
        make_private(path.parent)
    except OSError as error:
        raise LocalError(f"cannot make {path.parent}: {error.strerror}") from error


def _time(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
