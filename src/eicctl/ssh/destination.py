"""Destinations on command lines: hosts and remote paths as OpenSSH's programs parse them, and forwards as in ssh(1)'s
`-L`."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

from eicctl.core.errors import UsageError


@dataclass(frozen=True, slots=True)
class Destination:
    """`[USER@]HOST`, or `SCHEME://[USER@]HOST[:PORT][/PATH]`; parts that are missing are empty or 0."""

    host: str
    user: str = ""
    port: int = 0
    path: str = ""


def parse_destination(text: str, scheme: str = "ssh") -> Destination:
    """Parse `[USER@]HOST` or `SCHEME://[USER@]HOST[:PORT][/PATH]`.

    Raises:
        UsageError: It is not of that form, or could be taken for an option.
    """
    if text.startswith(f"{scheme}://"):
        try:
            parts = urlsplit(text)
            found = Destination(
                parts.hostname or "", unquote(parts.username or ""), parts.port or 0, unquote(parts.path[1:])
            )
        except ValueError as error:
            raise UsageError(f"Invalid {scheme} URL: {text!r}", hint=f"{scheme}://[USER@]HOST[:PORT]") from error
    else:
        user, _, host = text.rpartition("@")
        found = Destination(host, user)
    if (found.host.startswith("-") and found.host != "-") or found.user.startswith("-"):
        raise UsageError(f"User and host cannot start with a dash: {text!r}")
    return found


def parse_remote_path(text: str, scheme: str = "scp") -> Destination | None:
    """Parse a path as scp(1) does: `[USER@]HOST:[PATH]` or `scp://…`; None for a local path.

    With a slash before its first colon it is a local path; an IPv6 address is in brackets, and so may be any host.

    Raises:
        UsageError: It could be taken for an option, or has no host.
    """
    if text.startswith(f"{scheme}://"):
        return parse_destination(text, scheme)
    user, at, rest = text.rpartition("@") if "@" in text.partition(":")[0] else ("", "", text)
    if rest.startswith("[") and "]:" in rest:
        host, _, path = rest[1:].partition("]:")
    else:
        # A tag's key may have colons (`tag:aws:autoscaling:groupName=web`): its target ends at the first one after `=`.
        key, equals, value = rest.partition("=") if rest.startswith("tag:") else ("", "", rest)
        value, colon, path = value.partition(":")
        host = f"{key}{equals}{value}"
        if not colon or ("/" in host and not equals) or "/" in user:
            return None
    if not host:
        raise UsageError(f"No host before the colon: {text!r}", hint="use TARGET:PATH, or ./NAME for a local file")
    return replace(parse_destination(f"{user}{at}{host}"), path=path)


FORMS = "HOST:PORT, LOCALPORT:HOST:PORT or PATH:HOST:PORT; with --via also PORT; an IPv6 address in brackets"

_PARTS = re.compile(r"\[[^\]]*\]|tag:[^=]+=[^:]*|[^:]+")


@dataclass(frozen=True, slots=True)
class ForwardSpec:
    """One forward.

    Attributes:
        host: The host as the user calls it; empty for the jump host itself.
        port: The remote port; 0 with `remote_path`.
        local_port: The local port; 0 for a free one, None for the same as the remote one if that is free.
        local_path: A local Unix socket instead of a port.
        remote_path: A Unix socket of the jump host instead of a port.
    """

    host: str
    port: int
    local_port: int | None = None
    local_path: Path | None = None
    remote_path: str = ""


def parse_forward(text: str) -> ForwardSpec:
    """Parse a forward specification.

    Raises:
        UsageError: It has none of the `FORMS`.
    """
    parts = _PARTS.findall(text)
    if not 1 <= len(parts) <= 3 or ":".join(parts) != text:
        raise _wrong(text)
    *before, last = parts
    local, host = "", ""
    if len(before) == 2:
        local, host = before
    elif before:
        (host,) = before
    remote_path = last if last.startswith("/") else ""
    port = 0 if remote_path else _port(last, 1, text)
    host = host.removeprefix("[").removesuffix("]")
    if ("/" in host and not host.startswith("tag:")) or (len(parts) == 2 and host.isdigit()):
        # LOCALPORT:PORT and PATH:PORT would read like HOST:PORT.
        raise _wrong(text)
    if not local:
        return ForwardSpec(host, port, 0 if remote_path else None, remote_path=remote_path)
    if "/" in local:
        return ForwardSpec(host, port, local_path=Path(local), remote_path=remote_path)
    return ForwardSpec(host, port, _port(local, 0, text), remote_path=remote_path)


def _port(text: str, least: int, whole: str) -> int:
    if text == whole and not text.isdigit():
        raise UsageError(f"No port in {whole!r}", hint=FORMS)
    if not (text.isascii() and text.isdigit()) or not least <= int(text) < 65536:
        raise UsageError(f"Invalid port in {whole!r}: {text}", hint=FORMS)
    return int(text)


def _wrong(text: str) -> UsageError:
    return UsageError(f"Invalid forward: {text!r}", hint=FORMS)
