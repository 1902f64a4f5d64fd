"""MFA sessions in the files of the AWS configuration: written, listed, removed. Each change is locked and backed up.

eicctl changes only the sections that it owns; all other bytes stay.

The rules are those of botocore's parser (Python's `configparser`): a header is indented no deeper than the option
before it, a line that is continues that option's value, comments are whole lines.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from eicctl.aws.config_files import CONFIG, CREDENTIALS, config_file, credentials_file
from eicctl.core.errors import ConflictError, LocalError, UsageError
from eicctl.core.model import Credentials
from eicctl.support.files import check_writable as check_file
from eicctl.support.files import locked, make_private, read_text, write_whole

MARK = "eicctl_mfa"
"""Keys that begin so belong to eicctl, and so does a section that has one. botocore ignores them."""

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")
_HEADER = re.compile(r"\[(?P<name>.+)\]")
_OPTION = re.compile(r"(?P<key>[^=:]*?)\s*[=:]\s*(?P<value>.*)")

Name = Callable[[str], str]
"""Returns the profile of a header; empty if that is another section's."""


def credentials_profile(header: str) -> str:
    """The profile of a header in the credentials file."""
    return header


def config_profile(header: str) -> str:
    """The profile of a header in the config file: `profile NAME`, or `default`."""
    if header == "default":
        return header
    try:
        words = shlex.split(header)
    except ValueError:
        return ""
    return words[1] if len(words) == 2 and header.startswith("profile") else ""


@dataclass(frozen=True, slots=True)
class _Section:
    """Lines `start` to `stop` (exclusive); the first is the header. `options` has each key's first and last line."""

    profile: str
    start: int
    stop: int
    options: dict[str, tuple[int, int, str]]

    @property
    def owned(self) -> bool:
        return any(key.startswith(MARK) for key in self.options)


def owned(text: str, name: Name) -> dict[str, dict[str, str]]:
    """Return the options of each section that eicctl owns, by profile; keys in small letters."""
    return {
        section.profile: {key: value for key, (_, _, value) in section.options.items()}
        for section in _sections(_LINE.findall(text), name)
        if section.owned
    }


def has(text: str, name: Name, profile: str) -> bool:
    """Return whether the profile has a section."""
    return any(section.profile == profile for section in _sections(_LINE.findall(text), name))


def put(text: str, name: Name, profile: str, header: str, values: Mapping[str, str]) -> str:
    """Return the text with a section that eicctl owns; the one that it owned is replaced, wherever it was.

    Lines that others added to that section are kept.

    Args:
        text: The file.
        name: How the file's headers name profiles.
        profile: The profile.
        header: The header, without brackets.
        values: The section's options. A key with `MARK` must be among them.
    """
    lines = _LINE.findall(text)
    end = (lines[0][len(lines[0].rstrip("\r\n")) :] if lines else "") or "\n"
    written = [f"{key} = {value}{end}" for key, value in values.items()]
    for section in _sections(lines, name):
        if section.profile == profile and section.owned:
            drop = _lines_of(section, values)
            head, *_ = own = range(section.start, section.stop)
            kept = [lines[number] for number in own[1:] if number not in drop]
            if not lines[head].endswith(("\r", "\n")):
                lines[head] += end
            return "".join([*lines[: head + 1], *written, *kept, *lines[section.stop :]])
    if lines and not lines[-1].endswith(("\r", "\n")):
        lines[-1] += end
    return "".join([*lines, *([end] if lines else []), f"[{header}]{end}", *written])


def take(text: str, name: Name, profile: str, keys: Iterable[str]) -> str:
    """Return the text without what `put` wrote of a profile: these keys, those with `MARK`, and a header left alone."""
    lines = _LINE.findall(text)
    for section in reversed(list(_sections(lines, name))):
        if section.profile != profile or not section.owned:
            continue
        drop = _lines_of(section, keys)
        if set(section.options) <= {*keys, *(key for key in section.options if key.startswith(MARK))}:
            drop.add(section.start)
            if section.start and not lines[section.start - 1].strip():
                drop.add(section.start - 1)
        lines = [line for number, line in enumerate(lines) if number not in drop]
    return "".join(lines)


def _lines_of(section: _Section, keys: Iterable[str]) -> set[int]:
    wanted = set(keys)
    return {
        number
        for key, (first, last, _) in section.options.items()
        if key in wanted or key.startswith(MARK)
        for number in range(first, last + 1)
    }


def _sections(lines: list[str], name: Name) -> Iterator[_Section]:
    section: tuple[str, int, dict[str, tuple[int, int, str]]] | None = None
    key, margin = "", 0
    for number, line in enumerate(lines):
        bare = line.strip()
        if not bare or bare.startswith(("#", ";")):
            continue
        indent = len(line) - len(line.lstrip())
        if section and key and indent > margin:
            first, _, value = section[2][key]
            section[2][key] = (first, number, f"{value}\n{bare}")
            continue
        margin = indent
        if found := _HEADER.match(bare):
            if section:
                yield _Section(name(section[0]), section[1], number, section[2])
            section, key = (found["name"], number, {}), ""
        elif section and (option := _OPTION.match(bare)):
            key = option["key"].strip().lower()
            section[2][key] = (number, number, option["value"].strip())
    if section:
        yield _Section(name(section[0]), section[1], len(lines), section[2])


_KEYS = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
_EXPIRES = f"{MARK}_expiration"
_BASE = f"{MARK}_base"
SETTINGS = ("region", "ca_bundle", "endpoint_url", "use_fips_endpoint", "use_dualstack_endpoint", "services")
"""What the profile of a session takes over from its base, in the config file."""
_NAME = re.compile(r"[A-Za-z0-9_.@/+=,-]+")


@dataclass(frozen=True, slots=True)
class Stored:
    """An MFA session of a profile. `expires` has a zone; None if the file's value is not a time."""

    profile: str
    base: str
    expires: datetime | None


def check_name(profile: str, base: str) -> None:
    """Refuse a profile in which a session cannot be stored.

    Raises:
        UsageError: It is the base's, or has characters that would need quotes.
        ConflictError: The profile exists and holds something else.
    """
    if profile == base:
        raise UsageError(f"The session must have its own profile, not {base!r}", hint="--into NAME")
    if not _NAME.fullmatch(profile) or profile == "DEFAULT":
        raise UsageError(
            f"Invalid profile name for a session: {profile!r}", hint="--into NAME; use letters, digits and _.@/+=,-"
        )
    _check_free(read_text(_path(CREDENTIALS)), profile)


def check_writable() -> None:
    """Refuse files that `store` could not write: an MFA code is good once, and would be lost.

    Raises:
        LocalError: One of them cannot be written.
    """
    for path in (_path(CONFIG), _path(CREDENTIALS)):
        _make_folder(path)
        with locked(path):  # the lock is a file beside it, and so is a copy of what was there
            text = read_text(path)
            check_file(path, text)
            check_file(_backup(path), text)


def store(profile: str, base: str, keys: Credentials, settings: Mapping[str, str]) -> None:
    """Write the keys of a session into its profile, with the settings in the config file.

    Raises:
        ConflictError: The profile exists and holds something else.
        LocalError: A file cannot be written.
    """
    values = dict(zip(_KEYS, (keys.access_key_id, keys.secret_access_key, keys.session_token or ""), strict=True))
    expires = keys.expires.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if keys.expires else ""
    values |= {_EXPIRES: expires, _BASE: base}

    def with_settings(text: str) -> str:
        there = has(text, config_profile, profile)
        if there and profile not in owned(text, config_profile):
            return text  # the user's own settings for it
        cleared = take(text, config_profile, profile, SETTINGS)
        if not settings:
            return cleared
        wanted = {**settings, _BASE: base}
        return put(text, config_profile, profile, f"profile {profile}", wanted)

    def with_keys(text: str) -> str:
        _check_free(text, profile)
        return put(text, credentials_profile, profile, profile, values)

    _change(_path(CONFIG), with_settings)
    _change(_path(CREDENTIALS), with_keys)


def stored() -> list[Stored]:
    """The sessions that are stored, in the order of the file."""
    found = owned(read_text(_path(CREDENTIALS)), credentials_profile)
    return [Stored(name, values.get(_BASE, ""), _time(values.get(_EXPIRES, ""))) for name, values in found.items()]


def remove(profile: str) -> None:
    """Remove what `store` wrote for a profile."""
    _change(_path(CREDENTIALS), lambda text: take(text, credentials_profile, profile, _KEYS))
    _change(_path(CONFIG), lambda text: take(text, config_profile, profile, SETTINGS))


def _path(variable: str) -> Path:
    """Return the path of a file of the AWS configuration.

    Raises:
        UsageError: The variable names none, or what it names cannot be expanded.
        LocalError: The user has no home.
    """
    path = config_file() if variable == CONFIG else credentials_file()
    if path and (os.path.exists(path) or not ("$" in path or path.startswith("~"))):  # noqa: PTH110
        return Path(path)
    if variable not in os.environ:
        raise LocalError(f"Cannot expand {path}: the home folder is unknown", hint="export HOME=FOLDER")
    raise UsageError(f"{variable} does not name a file: {os.environ.get(variable, path)!r}", hint=f"unset {variable}")


def _check_free(text: str, profile: str) -> None:
    name = credentials_profile
    if has(text, name, profile) and profile not in owned(text, name):
        raise ConflictError(f'Profile "{profile}" already has other keys', hint="specify another name: --into NAME")


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
        raise LocalError(f"Cannot create the folder {path.parent}: {error.strerror}") from error


def _time(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
