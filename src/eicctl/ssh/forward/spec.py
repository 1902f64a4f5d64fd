"""Forward specifications: `[LOCAL:]HOST:PORT`, as in ssh(1)'s `-L`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from eicctl.core.errors import UsageError

FORMS = "HOST:PORT, LOCALPORT:HOST:PORT or PATH:HOST:PORT; with --via also PORT; an IPv6 address in brackets"

_PARTS = re.compile(r"\[[^\]]*\]|[^:]+")


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
    if "/" in host or (len(parts) == 2 and host.isdigit()):
        # LOCALPORT:PORT and PATH:PORT would read like HOST:PORT.
        raise _wrong(text)
    if not local:
        return ForwardSpec(host, port, 0 if remote_path else None, remote_path=remote_path)
    if "/" in local:
        return ForwardSpec(host, port, local_path=Path(local), remote_path=remote_path)
    return ForwardSpec(host, port, _port(local, 0, text), remote_path=remote_path)


def _port(text: str, least: int, whole: str) -> int:
    if not (text.isascii() and text.isdigit()) or not least <= int(text) < 65536:
        raise UsageError(f"invalid port in {whole!r}: {text}", hint=FORMS)
    return int(text)


def _wrong(text: str) -> UsageError:
    return UsageError(f"invalid forward: {text!r}", hint=FORMS)
