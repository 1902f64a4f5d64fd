"""The background process: it answers requests on its socket, and holds named tunnels."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, TypeAlias

from eicctl import __version__
from eicctl.agent import protocol
from eicctl.agent.paths import AgentPaths
from eicctl.agent.protocol import user_of
from eicctl.agent.session import Connection, PendingTunnel, ProxySession, serve_login
from eicctl.aws import credentials
from eicctl.aws.session import Sessions
from eicctl.core.errors import EicctlError
from eicctl.core.request import ConnectRequest
from eicctl.support.threads import in_thread
from eicctl.tunnel.accept import Acceptor
from eicctl.tunnel.slots import connections

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from eicctl.named_tunnels.supervisor import Supervisor

SETTLE_TIMEOUT = 45.0
"""Seconds for which a request to open tunnels waits for their first attempts."""

CHECKED_EVERY = 30.0
"""Seconds between two checks whether the process is idle, or its socket is gone."""

ASKED_AGAIN = 60.0
"""Age in seconds from which a failed `credential_process` runs again for a client's request."""

_log = logging.getLogger(__name__)

Handler: TypeAlias = "Callable[[protocol.Message], Awaitable[protocol.Message]]"


class Server:
    """Answers requests until it is asked to end, or has been idle for some time.

    Args:
        paths: Its files.
        listening: Its socket, which listens.
        idle: Seconds without tunnels and requests after which it ends.
    """

    def __init__(self, paths: AgentPaths, listening: socket.socket, *, idle: float) -> None:
        self._paths = paths
        self._listening = listening
        self._idle = idle
        self._loop = asyncio.get_running_loop()
        self._supervisor: Supervisor | None = None
        self._last_use = time.monotonic()
        self._clients: set[asyncio.Task[None]] = set()
        self._stop = asyncio.Event()
        self._inode = _inode(paths)
        self._sessions = Sessions()
        self._pending: dict[str, PendingTunnel] = {}
        self._handlers: dict[str, Handler] = {"open": self._open, "status": self._status, "close": self._close}

    async def serve(self) -> None:
        """Answer requests until the end, then close every tunnel."""
        self._listening.setblocking(False)
        # `_answer` checks the client's user: a Unix socket has it.
        acceptor = Acceptor([self._listening], self._accepted, None)
        acceptor.start()
        watching = asyncio.create_task(self._watch())
        try:
            await self._stop.wait()
        finally:
            acceptor.stop()
            watching.cancel()
            if self._supervisor:
                await self._supervisor.close()
            if self._clients:
                await asyncio.wait(self._clients, timeout=1.0)

    def stop(self) -> None:
        """End."""
        self._stop.set()

    def _accepted(self, sock: socket.socket, _name: str) -> None:
        task = asyncio.create_task(self._answer(sock))
        self._clients.add(task)
        task.add_done_callback(self._clients.discard)

    async def _answer(self, sock: socket.socket) -> None:
        connection = Connection(sock)
        try:
            if user_of(sock) not in (None, os.getuid()):
                _log.warning("a process of another user has connected; ignored")
                return
            while (message := await connection.receive()) is not None:
                if message.get("Do") != "status":  # `ps` and completion only look
                    self._last_use = time.monotonic()
                if message.get("Do") in ("proxy", "login") and _same_version(message):
                    await self._serve_client(connection, message)
                    return
                await connection.send(await self._handled(message))
        except (protocol.WireError, OSError) as error:
            _log.debug("a client is gone: %s", error)
        finally:
            for descriptor in connection.descriptors:
                os.close(descriptor)
            connection.close()

    async def _handled(self, message: protocol.Message) -> protocol.Message:
        """Return the answer to a request."""
        about = {"Version": __version__, "Protocol": protocol.PROTOCOL, "Pid": os.getpid()}
        verb = message.get("Do")
        if verb == "end":
            self._loop.call_later(0.05, self.stop)
            return {**about, "Ok": True}
        if not _same_version(message):
            if not self._supervisor:
                self._loop.call_later(
                    0.05, self.stop
                )  # nothing is lost, and a process of the client's version can start
            return {**about, "Ok": False, "OtherVersion": True, "Tunnels": len(self._supervisor or ())}
        handler = self._handlers.get(str(verb))
        if handler is None:
            return {**about, "Ok": False, "Error": f"no such request: {verb!r}", "Hint": None, "ExitCode": 1}
        try:
            return {**about, "Ok": True, **await handler(message)}
        except EicctlError as error:
            failure = {"Error": error.message, "Hint": error.hint, "ExitCode": error.exit_code}
        except Exception as error:  # one request must not end the tunnels of others
            _log.exception("a request failed")
            failure = {"Error": f"unexpected {type(error).__name__}: {error}", "Hint": None, "ExitCode": 1}
        return {**about, "Ok": False, **failure}

    async def _serve_client(self, connection: Connection, message: protocol.Message) -> None:
        """Serve a client that waits; its connection is over afterwards."""
        try:
            request = ConnectRequest.from_json(message["Request"])
            credentials.ask_again(older_than=ASKED_AGAIN)
            session = self._sessions.for_request(request)
            if message["Do"] == "proxy":
                await ProxySession(connection, request, session, self._pending).serve()
            else:
                await serve_login(connection, request, str(message["Key"]), session, self._pending)
        except (protocol.WireError, OSError):
            raise
        except Exception:  # the client sees the end of its connection, and goes on by itself
            _log.exception("a connection failed")
        self._last_use = time.monotonic()

    def _get_supervisor(self) -> Supervisor:
        from eicctl.named_tunnels.log import TunnelLogs
        from eicctl.named_tunnels.supervisor import Supervisor

        if self._supervisor is None:
            self._supervisor = Supervisor(TunnelLogs().write)
        return self._supervisor

    async def _open(self, message: protocol.Message) -> protocol.Message:
        from eicctl.named_tunnels.config_file import Definition

        await in_thread(_load_supervisor)
        definitions = [Definition.from_json(row) for row in message["Definitions"]]
        credentials.ask_again()
        supervisor = self._get_supervisor()
        await supervisor.open(definitions)
        self._record()
        names = {definition.name for definition in definitions}
        try:
            async with asyncio.timeout(SETTLE_TIMEOUT):
                await supervisor.settled(names)
        except TimeoutError:
            _log.info("some tunnels take their time: %s", ", ".join(sorted(names)))
        return {"Statuses": [asdict(status) for status in supervisor.statuses() if status.name in names]}

    async def _status(self, _message: protocol.Message) -> protocol.Message:
        unused, clients = time.monotonic() - self._last_use, len(self._clients) - 1
        about = {"Unused": unused, "Clients": clients, "Connections": connections()}
        if not self._supervisor:
            return {**about, "Statuses": []}
        from eicctl.named_tunnels.status import SHORTEST, Meter

        meter = Meter()
        statuses = meter.with_rates(self._supervisor.statuses())
        if any(status.connections for status in statuses):
            await asyncio.sleep(SHORTEST * 1.5)
            statuses = meter.with_rates(self._supervisor.statuses())
        return {**about, "Statuses": [asdict(status) for status in statuses]}

    async def _close(self, message: protocol.Message) -> protocol.Message:
        closed = await self._supervisor.close(message["Names"]) if self._supervisor else []
        self._record()
        return {"Names": closed}

    def _record(self) -> None:
        definitions = self._supervisor.definitions() if self._supervisor else []
        self._paths.write_record([definition.to_json() for definition in definitions], os.getpid())

    async def _watch(self) -> None:
        """End when idle, or when the socket is gone, so that no client can reach this process."""
        while True:
            await asyncio.sleep(min(CHECKED_EVERY, self._idle / 2))
            busy = self._supervisor or self._clients
            if not busy and time.monotonic() - self._last_use > self._idle:
                _log.info("idle for %.0f s", self._idle)
                self.stop()
            elif _inode(self._paths) != self._inode:
                _log.warning("%s is gone or belongs to another process; ending", self._paths.socket)
                self.stop()


def _load_supervisor() -> None:
    """Import the supervisor: in a thread, as that takes long enough to stall connections."""
    import eicctl.named_tunnels.log
    import eicctl.named_tunnels.supervisor  # noqa: F401


def _same_version(message: protocol.Message) -> bool:
    return message.get("Version") == __version__ and message.get("Protocol") == protocol.PROTOCOL


def _inode(paths: AgentPaths) -> int | None:
    try:
        return paths.socket.lstat().st_ino
    except OSError:
        return None
