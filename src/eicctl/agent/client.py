"""What commands ask of background processes."""

from __future__ import annotations

import contextlib
import os
import socket
from typing import Any

from eicctl import __version__
from eicctl.agent import wire
from eicctl.agent.peer import user_of
from eicctl.agent.place import Place
from eicctl.errors import ConflictError, EicctlError, LocalError

TIMEOUT = 10.0
"""Seconds to wait for an answer that needs nothing of AWS."""


class GoneError(Exception):
    """No process listens there, or it ended before it answered."""


def ask(place: Place, verb: str, *, timeout: float = TIMEOUT, **fields: Any) -> wire.Message:
    """Send a request and return the answer.

    Raises:
        GoneError: Nobody answers.
        ConflictError: The process is of another version of eicctl and holds tunnels.
        EicctlError: The request failed.
    """
    with _connected(place) as sock:
        sock.settimeout(timeout)
        request = {"Do": verb, "Version": __version__, "Protocol": wire.PROTOCOL, **fields}
        try:
            sock.sendall(wire.encode(request))
            answer = wire.receive(sock)
        except TimeoutError as error:
            raise LocalError("the background process does not answer", hint=f"its log: {place.log}") from error
        except (OSError, wire.WireError) as error:
            raise GoneError(str(error)) from error
    if answer is None:
        raise GoneError
    if answer.get("OtherVersion"):
        raise _other_version(answer)
    if not answer.get("Ok"):
        raise EicctlError(str(answer.get("Error")), hint=answer.get("Hint"), exit_code=int(answer.get("ExitCode") or 1))
    return answer


def answers(place: Place) -> bool:
    """Whether a process listens in a place."""
    with contextlib.suppress(GoneError), _connected(place):
        return True
    return False


def _connected(place: Place) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.settimeout(TIMEOUT)
    try:
        sock.connect(str(place.socket))
        if user_of(sock) not in (None, os.getuid()):
            raise LocalError(f"a process of another user listens at {place.socket}")
    except OSError as error:
        sock.close()
        raise GoneError(str(error)) from error
    except BaseException:
        sock.close()
        raise
    return sock


def _other_version(answer: wire.Message) -> EicctlError:
    if not answer.get("Tunnels"):
        raise GoneError  # it makes way
    return ConflictError(
        f"the background process (PID {answer.get('Pid')}) is of eicctl {answer.get('Version')}, and this is "
        f"{__version__}",
        hint=f"eicctl down --all ends it with its {answer.get('Tunnels')} tunnels; then open them again",
    )
