"""Local addresses to listen on, and which process listens on a port that is busy."""

from __future__ import annotations

import contextlib
import errno
import shutil
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from eicctl.core.errors import LocalError, UsageError
from eicctl.core.names import host_port

_LISTEN = "0A"


def occupant(port: int) -> str | None:
    """Return `NAME (PID n)` of the process that listens on `port`, or None if that cannot be known.

    On Linux from /proc, for processes of the same user (proc(5)); elsewhere from `lsof`, if it is installed.
    """
    inodes = _listening(port)
    if inodes is None:
        return _by_lsof(port)
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            for descriptor in (process / "fd").iterdir():
                with contextlib.suppress(OSError):
                    if str(descriptor.readlink()) in inodes:
                        name = (process / "comm").read_text().strip()
                        return f"{name} (PID {process.name})"
    return None


def _listening(port: int) -> set[str] | None:
    """Return `socket:[inode]` of the sockets that listen on `port`, or None without a /proc/net."""
    found: set[str] = set()
    try:
        for table in ("/proc/net/tcp", "/proc/net/tcp6"):
            if not Path(table).exists():
                continue
            for row in Path(table).read_text().splitlines()[1:]:
                columns = row.split()
                if columns[3] == _LISTEN and int(columns[1].rpartition(":")[2], 16) == port:
                    found.add(f"socket:[{columns[9]}]")
    except OSError:
        return None
    return found if Path("/proc/net/tcp").exists() else None


def _by_lsof(port: int) -> str | None:
    if not shutil.which("lsof"):
        return None
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        answer = subprocess.run(
            ["lsof", "-nP", f"-iTCP:{port}", "-sTCP:LISTEN", "-Fpc"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=2,
            check=False,
        ).stdout
        fields = {line[0]: line[1:] for line in answer.splitlines() if line}
        if "p" in fields:
            return f"{fields.get('c', 'a process')} (PID {fields['p']})"
    return None


BACKLOG = 128
_BUSY = "specify another local port, or 0 for a free one; or end that process"
_LOOPBACK = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))
_TRIES = 20


class _NotHereError(UsageError):
    """An address that this machine does not have."""


def bind_tcp(port: int, address: str | None = None) -> list[socket.socket]:
    """Return listening sockets: on both loopback addresses, or on the one address or host name given.

    Port 0 lets the system choose one, the same for all sockets. Where the machine has one loopback address only, that
    will do.

    Raises:
        LocalError: The port is busy (the message names the process where that can be known) or not permitted.
        UsageError: The address is not one of this machine's.
    """
    if address is not None:
        return [_listen(family, host, port) for family, host in _resolve(address, port)[:1]]
    for _ in range(_TRIES):
        found: list[socket.socket] = []
        try:
            for family, host in _LOOPBACK:
                with contextlib.suppress(_NotHereError):
                    found.append(_listen(family, host, found[0].getsockname()[1] if found else port))
        except LocalError:
            for sock in found:
                sock.close()
            if port:
                raise
        else:
            if found:
                return found
            raise LocalError("This machine has neither 127.0.0.1 nor ::1")
    raise LocalError("No local port is free on both 127.0.0.1 and ::1", hint="specify a local port")


def bind_wanted(
    port: int | None, wanted: int, address: str | None = None, note: Callable[[str], None] = lambda _: None
) -> list[socket.socket]:
    """Return listening sockets, on the usual port where none is given.

    Args:
        port: The port that the user has given, 0 for a free one, None for none given.
        wanted: The port to take if none is given and it is free; else a free one is taken.
        address: See `bind_tcp`.
        note: Called with a message if `wanted` was not free.

    Raises:
        LocalError, UsageError: See `bind_tcp`.
    """
    try:
        return bind_tcp(wanted if port is None else port, address)
    except LocalError as error:
        if port is not None:
            raise
        sockets = bind_tcp(0, address)
        note(f"{error.message}; {sockets[0].getsockname()[1]} instead")
        return sockets


def loopback_only(sockets: Sequence[socket.socket]) -> bool:
    """Whether only this machine can connect to the sockets."""
    hosts = [str(name[0]) for sock in sockets if isinstance(name := sock.getsockname(), tuple)]
    return all(host == "::1" or host.startswith("127.") for host in hosts)


def local_addresses(sockets: Sequence[socket.socket]) -> list[str]:
    """Return where sockets listen: `127.0.0.1:PORT`, `[::1]:PORT`, or a path."""
    names = []
    for sock in sockets:
        name = sock.getsockname()
        names.append(name if isinstance(name, str) else host_port(*name[:2]))
    return names


def bind_unix(path: Path) -> socket.socket:
    """Return a socket that listens at `path`, for this user only. The caller removes the file at the end.

    A stale socket, without a listener, is replaced; any other file is not.

    Raises:
        LocalError: Something else is there, or the folder cannot be written.
        UsageError: The path is too long for a Unix socket, or the platform has none.
    """
    if not hasattr(socket, "AF_UNIX"):
        raise UsageError("This platform has no Unix sockets", hint="specify a local port")
    _remove_stale(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.bind(str(path))
        path.chmod(0o600)  # nobody can connect before it listens; a umask would be that of all threads
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        if "too long" in str(error):
            raise UsageError(
                f"The path is too long for a Unix socket: {path}", hint="about 100 bytes at most"
            ) from error
        raise LocalError(f"Cannot listen at {path}: {error.strerror}") from error
    sock.setblocking(False)
    return sock


def _remove_stale(path: Path) -> None:
    try:
        kind = path.lstat().st_mode
    except OSError:
        return
    if not stat.S_ISSOCK(kind):
        raise LocalError(f"{path} exists and is not a socket", hint="specify another path")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        if probe.connect_ex(str(path)) != errno.ECONNREFUSED:
            raise LocalError(f"Another process listens at {path}", hint="end that process, or specify another path")
    with contextlib.suppress(FileNotFoundError):
        path.unlink()


def _resolve(address: str, port: int) -> list[tuple[int, str]]:
    try:
        found = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise UsageError(f"Not an address to listen on: {address!r}", hint="127.0.0.1, ::1, 0.0.0.0, …") from error
    return [(int(family), str(sockaddr[0])) for family, _, _, _, sockaddr in found]


def _listen(family: int, host: str, port: int) -> socket.socket:
    try:
        sock = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
            raise LocalError(f"Cannot listen on {host}: {error.strerror}") from error
        raise _NotHereError(f"This machine cannot listen on {host}: {error.strerror}") from error
    try:
        if sys.platform == "win32":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((host, port))
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise _refused(error, host, port) from error
    sock.setblocking(False)
    return sock


def _refused(error: OSError, host: str, port: int) -> LocalError | UsageError:
    if error.errno == errno.EADDRINUSE:
        who = occupant(port)
        by = f" by {who}" if who else ""
        return LocalError(f"Port {port} on {host} is in use{by}", hint=_BUSY)
    if error.errno == errno.EACCES and sys.platform == "win32":  # so it says for a port that another holds exclusively
        return LocalError(f"Port {port} on {host} is in use, or reserved", hint=_BUSY)
    if error.errno == errno.EACCES:
        return LocalError(f"Not permitted to listen on port {port}", hint="use a port above 1023, or 0 for a free one")
    if error.errno == errno.EADDRNOTAVAIL:
        return _NotHereError(f"{host} is not an address of this machine", hint="127.0.0.1, ::1, or one of its own")
    return LocalError(f"Cannot listen on {host} port {port}: {error.strerror}")
