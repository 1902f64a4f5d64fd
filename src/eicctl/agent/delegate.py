"""The client side of an `eicctl proxy` that the background process serves: passes stdin and stdout, and waits.

It must never hang, nor lose a byte, whatever becomes of that process. So the process reads nothing before it has
reported that its tunnel is open and the client has answered; until then, silence or an end means that this process
opens a tunnel itself.
"""

from __future__ import annotations

import os
import stat
import sys

from eicctl import __version__
from eicctl.agent import protocol
from eicctl.agent.paths import AgentPaths, fingerprint, switched, usual_path
from eicctl.support import pins
from eicctl.support.bare import signal, socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import FrameType

    from eicctl.aws.caches import LoginSettings
    from eicctl.core.request import ConnectRequest

PATIENCE = 3.0
"""Seconds of silence before the tunnel is open after which the process counts as stuck; while it dials, it sends a
message each second."""

READY = "ready"
"""The tunnel is open."""

NOTE = "note"
"""`Text` is for the user."""

OPENING = "opening"
"""Nothing new: the target is being looked up, or the tunnel opened."""

ENDED = "ended"
"""The connection is over, or there will be none: `Error` tells why, if it is not an ordinary end."""

DECLINED = "declined"
"""The process does not serve this one."""

INTERRUPTED = 130


def delegate(
    request: ConnectRequest,
    say: Callable[[str], None],
    opened: Callable[[float], None],
    waiting: Callable[[], None],
) -> protocol.Message | None:
    """Have the background process of this environment relay stdin and stdout.

    Args:
        request: What is to be opened.
        say: Called with what the user should know.
        opened: Called when the tunnel is open, with the seconds for which it may live.
        waiting: Called each second until then.

    Returns:
        The message that tells how the connection has ended. None means that nothing was read or written, and that this
        process must open the tunnel: no background process listens, or it cannot do it.
    """
    if not all(_can_delegate(fd) for fd in (0, 1)):
        return None
    sock = connect(os.environ)
    if sock is None:
        return None
    descriptors = b"".join(descriptor.to_bytes(4, sys.byteorder) for descriptor in (0, 1))
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)]
    try:
        sock.sendmsg([protocol.encode(_message("proxy", request))], rights)
        message = _until_ready(sock, say, waiting)
        if message.get("Stage") == READY:
            opened(float(message["MaxDuration"]))
            return _end(sock)
        return message if message.get("Stage") == ENDED else None
    except (OSError, protocol.WireError):
        return None
    finally:
        sock.close()


_login_sockets: list[socket.socket] = []
"""The connections of `login`: when one ends, the process gives up what it has begun for it."""


def login(request: ConnectRequest, key: str, waiting: Callable[[], None]) -> LoginSettings | None:
    """Ask the background process for OpenSSH's settings for a login; it begins with the tunnel and the key.

    Args:
        request: The target and the login, with the session's folder.
        key: The login's key in `aws.caches`.
        waiting: Called each second until the process has them.

    Returns:
        See `ssh.openssh_options.login_settings`; empty where the process declines, None where none listens.
    """
    sock = connect(os.environ)
    if sock is None:
        return None
    _login_sockets.append(sock)
    try:
        sock.sendall(protocol.encode({**_message("login", request), "Key": key}))
        while (answer := protocol.receive(sock)) and answer.get("Stage") == OPENING:
            waiting()
    except (OSError, protocol.WireError):
        return None
    found: LoginSettings | None = answer.get("Login", {}) if answer and "OtherVersion" not in answer else None
    return found


def _message(verb: str, request: ConnectRequest) -> protocol.Message:
    pinned = request.replace(
        profile=request.profile or pins.environment_profile() or None,
        region=request.region or pins.environment_region() or None,
    )
    return {"Do": verb, "Version": __version__, "Protocol": protocol.PROTOCOL, "Request": pinned.to_json()}


def connect(environ: Mapping[str, str]) -> socket.socket | None:
    """Return a connection with the background process, or None where there is none that this process can use.

    Its time-out is `PATIENCE`.
    """
    if sys.platform == "win32" or switched(environ) is False:
        return None
    name = fingerprint(environ)
    path = usual_path(name, environ)
    if path is None:
        from eicctl.core.errors import EicctlError

        try:
            path = str(AgentPaths(name).socket)
        except EicctlError:
            return None
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.settimeout(PATIENCE)
    try:
        sock.connect(path)
        if protocol.user_of(sock) in (None, os.getuid()):
            return sock
    except OSError:
        pass
    sock.close()
    return None


def _can_delegate(fd: int) -> bool:
    """Whether a descriptor is a pipe or a socket: what an event loop can wait for, and OpenSSH gives to its proxies."""
    try:
        mode = os.fstat(fd).st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


def _until_ready(sock: socket.socket, say: Callable[[str], None], waiting: Callable[[], None]) -> protocol.Message:
    """Wait for the open tunnel and confirm it; return the message that says so, or why there is none.

    Raises:
        OSError: The process is stuck.
        WireError: It sent something that is not a message.
    """
    while message := protocol.receive(sock):
        stage = message.get("Stage")
        if stage == READY:
            # From now on bytes flow, and who sees them may end this process.
            for name in ("SIGINT", "SIGTERM", "SIGHUP"):
                signal.signal(getattr(signal, name), _exit)
            sock.sendall(protocol.encode({"Do": "go"}))
            return message
        if stage == NOTE:
            say(str(message.get("Text")))
        elif stage in (ENDED, DECLINED) or not message.get("Ok"):
            return message
        waiting()
    return {"Stage": DECLINED}


def _end(sock: socket.socket) -> protocol.Message:
    """Wait for the end of the connection, and return the message that tells of it."""
    blocking = [(fd, os.get_blocking(fd)) for fd in (0, 1)]
    sock.settimeout(None)
    try:
        message = protocol.receive(sock)
    except (OSError, protocol.WireError):
        message = None
    if message is not None:
        return message
    for fd, before in blocking:  # who was killed has not set them back
        os.set_blocking(fd, before)
    return {
        "Kind": "NetworkError",
        "Error": "The background process that relayed the connection has ended",
        "Hint": "connect again; --no-agent does without it",
        "ExitCode": 5,
    }


def _exit(_number: int, _frame: FrameType | None) -> None:
    os._exit(INTERRUPTED)  # the process sees the end of this one's socket, and closes the tunnel
