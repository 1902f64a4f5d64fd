"""Clients of Remote Desktop: which one exists, its connection file, its command, and its process beside the tunnel.

Also the administrator's password, which EC2 encrypts with the RSA key of the instance's key pair (PKCS #1 v1.5).
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import shutil
import subprocess
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from eicctl.core.errors import LocalError, UsageError
from eicctl.core.names import host_port
from eicctl.support import streams
from eicctl.support.redact import register
from eicctl.support.threads import in_thread

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey


@dataclass(frozen=True, slots=True)
class RdpConnection:
    """What a client connects to: the local end of a tunnel, and the user; `label` is the window's title."""

    port: int
    user: str
    label: str
    address: str = "127.0.0.1"

    @property
    def where(self) -> str:
        """Address and port in one word."""
        return host_port(self.address, self.port)


def file_text(connection: RdpConnection) -> str:
    """Return the file's text, with CRLF line ends. It holds no password.

    Raises:
        UsageError: The user's name would break the line.
    """
    check_user(connection.user)
    rows = [
        f"full address:s:{connection.where}",
        f"username:s:{connection.user}",
        "prompt for credentials:i:0",
        # The certificate is the machine's own, for another name.
        "authentication level:i:0",
        "enablecredsspsupport:i:1",
        "redirectclipboard:i:1",
        "autoreconnection enabled:i:1",
    ]
    return "".join(f"{row}\r\n" for row in rows)


def check_user(user: str) -> None:
    """Raise `UsageError` if a user's name has a control character."""
    if any(unicodedata.category(char) in ("Cc", "Zl", "Zp", "Cs") for char in user):
        raise UsageError("The user name has a control character")


def title(label: str) -> str:
    """Return a label as a window's title: one line."""
    return "".join(" " if unicodedata.category(char)[0] in "CZ" else char for char in label)


END_TIMEOUT = 3.0
"""Seconds that a client has to end before it is killed."""


class Serves(Protocol):
    """A listener."""

    async def serve(self, stop: asyncio.Event) -> None:
        """Serve until `stop` is set."""


def start(command: Sequence[str], password: str | None) -> subprocess.Popen[bytes]:
    """Start a client; the password is a line of its stdin. Without one it may ask on the terminal.

    This process's stdin and stdout are not passed on: they may be pipes of other programs.

    Raises:
        LocalError: It cannot be started.
    """
    try:
        with streams.Terminal() as terminal:
            source = subprocess.PIPE if password is not None else subprocess.DEVNULL if terminal is None else terminal
            process = subprocess.Popen(list(command), stdin=source, stdout=2)
    except OSError as error:
        raise LocalError(f"Cannot start {command[0]}: {error.strerror}") from error
    if password is not None and process.stdin:
        with contextlib.suppress(OSError):  # it has ended; its exit code shows why
            process.stdin.write(f"{password}\n".encode())
            process.stdin.close()
    return process


async def serve_client(
    listener: Serves, stop: asyncio.Event, command: Sequence[str], password: str | None
) -> int | None:
    """Serve a client until it ends; return its exit code, or None if `stop` came first, which ends the client."""
    closing = asyncio.Event()  # set after the client's end, which would otherwise report a lost connection
    serving = asyncio.create_task(listener.serve(closing))
    stopping = asyncio.create_task(stop.wait())
    try:
        process = start(command, password)
        # In a thread: the selector loop of Windows has no subprocesses.
        ending = asyncio.create_task(in_thread(process.wait))
        await asyncio.wait({serving, stopping, ending}, return_when=asyncio.FIRST_COMPLETED)
        # Ctrl-C on a terminal reaches the client too, which may have ended by it already.
        if ending.done() and not stop.is_set():
            return ending.result()
        process.terminate()
        await asyncio.wait({ending}, timeout=END_TIMEOUT)
        if not ending.done():
            process.kill()
        await ending
        return None
    finally:
        stopping.cancel()
        closing.set()
        await serving


FREERDP = ("xfreerdp3", "xfreerdp", "wlfreerdp3", "wlfreerdp", "sdl-freerdp3", "sdl-freerdp")
CLIENTS = (*FREERDP, "remmina", "mstsc", "open")

_ONLY_ON = {"remmina": "linux", "wlfreerdp3": "linux", "wlfreerdp": "linux", "mstsc": "win32", "open": "darwin"}
"""Clients of one platform. Elsewhere a program of that name is another one: `open` of Linux knows no `-W`."""

_PLATFORMS = {"linux": "Linux", "win32": "Windows", "darwin": "macOS"}

_ENDED_WELL = (0, 2, 11, 12)
"""FreeRDP's exit codes for a session that was ended (`XF_EXIT_CODE` in its xfreerdp.h): success, logged off,
disconnected by the user. 12 is what a server sends when the user logs off (ERRINFO_LOGOFF_BY_USER). Not 1,
"disconnected": it is also the code of a client that could not start, as without a display."""


@dataclass(frozen=True, slots=True)
class Client:
    """A client: its name in `CLIENTS`, and its program."""

    name: str
    program: str

    @property
    def takes_password(self) -> bool:
        """Whether it reads the password from its stdin."""
        return self.name in FREERDP

    @property
    def reads_file(self) -> bool:
        """Whether it takes what to connect to from a connection file."""
        return self.name not in FREERDP

    def command(self, connection: RdpConnection, file: Path | None, *, with_password: bool) -> list[str]:
        """Return the command line that starts it, without a password.

        Args:
            connection: What to connect to.
            file: The same as a file, for a client that `reads_file`.
            with_password: Whether the password comes on stdin.
        """
        if file and self.reads_file:
            return [self.program, *{"remmina": ["-c"], "open": ["-W"]}.get(self.name, []), str(file)]
        options = [f"/v:{connection.where}", f"/u:{connection.user}", f"/t:{title(connection.label)}"]
        options += ["/cert:ignore", "+clipboard", *(["/from-stdin:force"] if with_password else [])]
        return [self.program, *options]

    def ended_well(self, code: int) -> bool:
        """Whether an exit code stands for a session that was opened and ended."""
        return code in _ENDED_WELL if self.name in FREERDP else code == 0


def find_client(platform: str, wanted: str = "", find: Callable[[str], str | None] = shutil.which) -> Client:
    """Return the client to use.

    Args:
        platform: As `sys.platform`.
        wanted: A name in `CLIENTS`; empty for the first one of the platform that is installed.
        find: Returns a program's path, or None.

    Raises:
        UsageError: `wanted` is unknown, or a client of another platform.
        LocalError: None is installed.
    """
    if wanted and wanted not in CLIENTS:
        raise UsageError(f"Unknown client {wanted!r}", hint=f"one of {', '.join(CLIENTS)}")
    here = platform if platform in _PLATFORMS else "linux"
    if (home := _ONLY_ON.get(wanted, here)) != here:
        there = ", ".join(name for name in CLIENTS if _ONLY_ON.get(name, here) == here)
        raise UsageError(f"{wanted} is a client of {_PLATFORMS[home]}", hint=f"on {_PLATFORMS[here]}: {there}")
    usual = {"darwin": ("open",), "win32": ("mstsc",)}.get(platform, (*FREERDP, "remmina"))
    for name in (wanted,) if wanted else usual:
        if program := find(name):
            return Client(name, program)
    install = {"darwin": "install the Windows App", "win32": "mstsc is part of Windows"}.get(
        platform, "install FreeRDP (Debian: freerdp2-x11 or freerdp3-x11)"
    )
    what = f"the client {wanted}" if wanted else "a Remote Desktop client"
    raise LocalError(
        f"Cannot find {what}", hint=f"{install}; --no-launch opens the tunnel only, for a client that you start"
    )


Ask = Callable[[str], str]
"""Returns the passphrase of the key file of this name."""

_SHORTEST = 6
"""Characters that Windows demands of a password (Password must meet complexity requirements)."""


def decrypt(data: str, key_file: Path, ask: Ask) -> str:
    """Return the password.

    Args:
        data: GetPasswordData's `PasswordData`: base64.
        key_file: The private key: PEM (PKCS #1 or PKCS #8) or OpenSSH's form.
        ask: Asks for the passphrase, if the key has one.

    Raises:
        LocalError: The key cannot be read.
        UsageError: It is not an RSA key, or not that of the instance.
    """
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15

    key = _read_key(key_file, ask)
    wrong = UsageError(
        f"{key_file} does not decrypt the password", hint="it must be the key pair that the instance was launched with"
    )
    try:
        plain = key.decrypt(base64.b64decode(data), PKCS1v15()).decode()
    except (ValueError, binascii.Error):
        raise wrong from None
    # OpenSSL gives random bytes for a wrong key, so that nobody can learn from the error. A few may look like text.
    if len(plain) < _SHORTEST or not plain.isprintable():
        raise wrong
    register(plain)
    return plain


def _read_key(path: Path, ask: Ask) -> RSAPrivateKey:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_ssh_private_key

    try:
        content = path.read_bytes()
    except OSError as error:
        raise LocalError(f"Cannot read {path}: {error.strerror}") from error
    load = load_ssh_private_key if b"BEGIN OPENSSH PRIVATE KEY" in content else load_pem_private_key
    try:
        try:
            key = load(content, None)
        except TypeError:  # it has a passphrase
            key = load(content, ask(str(path)).encode())
    except (TypeError, ValueError, UnsupportedAlgorithm):  # TypeError: an empty passphrase
        raise LocalError(f"Cannot read the private key {path}", hint="wrong passphrase, or not a PEM file?") from None
    if not isinstance(key, RSAPrivateKey):
        raise UsageError(f"{path} is not an RSA key", hint="EC2 encrypts passwords for RSA key pairs only")
    return key
