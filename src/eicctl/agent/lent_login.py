"""A login of OpenSSH that the background process prepares and carries; this process starts OpenSSH meanwhile."""

from __future__ import annotations

import os
import socket
import threading
from concurrent.futures import Future
from dataclasses import dataclass, field

from eicctl.agent import wire
from eicctl.agent.lend import DECLINED, ENDED, READY, TARGET, VERDICT
from eicctl.agent.told import from_message
from eicctl.errors import EicctlError, NetworkError
from eicctl.model import Target
from eicctl.ssh.doors import Elsewhere, NotCarriedError, Tunnel
from eicctl.ssh.host_keys import Verdict
from eicctl.ssh.login import Login
from eicctl.ssh.os_user import OsUser
from eicctl.tunnel.ending import Ending


class DeclinedError(NotCarriedError):
    """The background process does not do it, for whatever reason; nothing has happened that another way would undo."""


@dataclass(eq=False)
class LentTunnel(Elsewhere):
    """The background process's end of one connection.

    Attributes:
        target: Where it goes.
        user: As whom.
    """

    sock: socket.socket
    target: Target
    user: OsUser
    max_duration: float = 0.0
    _used: bool = False

    def carry(self, pipes: tuple[int, int]) -> Ending:
        """Have OpenSSH's pipes carried until the end, which is returned. The pipes are closed here."""
        try:
            self._used = True
            socket.send_fds(self.sock, [wire.encode({"Do": "go"})], list(pipes))
        except OSError:
            return _lost()
        finally:
            for fd in pipes:
                os.close(fd)
        try:
            message = wire.receive(self.sock)
        except (OSError, wire.WireError):
            message = None
        finally:
            self.sock.close()
        if message is None:
            return _lost()
        error = from_message(message) if message.get("Error") else None
        return Ending(
            str(message.get("Reason")),
            error,
            int(message.get("BytesIn") or 0),
            int(message.get("BytesOut") or 0),
            float(message.get("Duration") or 0),
            str(message.get("RequestId") or ""),
        )

    def leave(self) -> None:
        """Let it go on when this process has ended."""
        try:
            self.sock.sendall(wire.encode({"Do": "leave"}))
        except OSError:
            return

    def close(self) -> None:
        """Give it up, if nothing has used it."""
        if not self._used:
            self.sock.close()


def _lost() -> Ending:
    error = NetworkError("the background process that carried the connection has ended", hint="connect again")
    return Ending(error.message, error, 0, 0, 0.0, "")


def begun(sock: socket.socket) -> LentTunnel | None:
    """Return the tunnel to come, when the target of a login is known that `lend.ask_for_login` has asked for.

    None where the background process leaves it to this one: it could not resolve the request, perhaps, and the user is
    to be asked.
    """
    try:
        while message := wire.receive(sock):
            stage = message.get("Stage")
            if stage == TARGET:
                return LentTunnel(sock, Target(**message["Target"]), OsUser(**message["User"]))
            if stage in (ENDED, DECLINED) or not message.get("Ok"):
                break
    except (OSError, wire.WireError, KeyError, TypeError):
        pass
    sock.close()
    return None


@dataclass
class LentLogin(Login):
    """A login whose first tunnel is the background process's; further ones are this process's own."""

    lent: LentTunnel | None = None
    _begun: bool = False
    _first: Future[LentTunnel] = field(default_factory=Future, repr=False)
    _said: Future[Verdict] = field(default_factory=Future, repr=False)

    def start(self, *, dial: bool) -> None:
        """Send the key, and begin to listen to what the background process says."""
        if self.lent is None or not dial:
            super().start(dial=dial)
            return
        self.check_key()
        self._begun = True
        try:
            self.lent.sock.sendall(wire.encode({"Do": "key", "PublicKey": self.key.public if self.key else ""}))
        except OSError as error:
            raise DeclinedError from error
        threading.Thread(target=self._listen, args=(self.lent,), daemon=True).start()

    def verdict(self) -> Verdict:
        """What OpenSSH is told of the host's keys.

        Raises:
            DeclinedError: The background process has given up.
            EicctlError: By the failure.
        """
        return self._said.result() if self._begun else super().verdict()

    def wait(self) -> None:
        """Wait until the host accepts the key, and the first tunnel is open.

        Raises:
            DeclinedError: The background process has given up.
            EicctlError: The push's failure, or the dial's.
        """
        # Also where the tunnel has been taken meanwhile: OpenSSH may be quicker than this thread.
        if self._begun:
            self._first.result()
        else:
            super().wait()

    def tunnel(self) -> Tunnel:
        """Return the background process's tunnel, or a further one of this process.

        Raises:
            DeclinedError: The background process has given up.
            EicctlError: The push's failure, or the dial's.
        """
        with self._lock:
            lent, self.lent = self.lent, None
        return self._first.result() if lent else self.open()

    def discard(self) -> None:
        """Give up the tunnel that was begun, if nothing has used it."""
        if self.lent:
            self.lent.close()
        super().discard()

    def _listen(self, lent: LentTunnel) -> None:
        """Take what is said before the tunnel is open."""
        try:
            while message := wire.receive(lent.sock):
                stage = message.get("Stage")
                if stage == VERDICT:
                    self._said.set_result(Verdict(str(message["Strict"]), str(message.get("Note") or "")))
                elif stage == READY:
                    lent.max_duration = float(message.get("Left") or 0)
                    lent.sock.settimeout(None)
                    self._first.set_result(lent)
                    return
                elif stage == ENDED:
                    self._fail(from_message(message))
                    return
                elif stage == DECLINED or not message.get("Ok"):
                    break
        except (OSError, wire.WireError, KeyError, TypeError):
            pass
        self._fail(DeclinedError())

    def _fail(self, error: EicctlError | DeclinedError) -> None:
        for future in (self._said, self._first):
            if not future.done():
                future.set_exception(error)
