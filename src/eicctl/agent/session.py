"""What the background process does for one client that waits: it answers as it goes, and carries the client's bytes.

A background process's end of a client's connection.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any, TypeVar

from eicctl.agent import protocol
from eicctl.agent.delegate import NOTE
from eicctl.aws.session import Session
from eicctl.core.errors import EicctlError, to_json
from eicctl.core.events import CloseInfo
from eicctl.core.model import Target
from eicctl.support import settings
from eicctl.tunnel.dial import Link
from eicctl.tunnel.local_streams import DescriptorEnd
from eicctl.tunnel.relay import PIPE_CLOSE_TIMEOUT, PIPES, Linger, Relay

MOST_DESCRIPTORS = 3
"""File descriptors that a client may hand over with its first message: its stdin, stdout and stderr."""


class Connection:
    """One client. Messages come with the file descriptors that were sent along.

    Args:
        sock: The accepted socket. It is closed by `close`.
    """

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._loop = asyncio.get_running_loop()
        self._buffer = bytearray()
        self._sending = asyncio.Lock()
        self.descriptors: list[int] = []

    async def receive(self) -> protocol.Message | None:
        """Return the next message, or None at the end.

        Raises:
            wire.WireError: What came is no message.
            OSError: The connection broke.
        """
        head = await self._exactly(protocol.HEAD_SIZE)
        if not head:
            return None
        body = await self._exactly(protocol.body_length(head))
        return protocol.decode(body)

    async def send(self, message: protocol.Message) -> None:
        """Send a message."""
        async with self._sending:
            await self._loop.sock_sendall(self._sock, protocol.encode(message))

    def close(self) -> None:
        """Close the connection."""
        self._sock.close()

    async def _exactly(self, size: int) -> bytes:
        """Read so many bytes; nothing where the end comes first and nothing has come."""
        while len(self._buffer) < size:
            await self._readable()
            data, descriptors, _, _ = socket.recv_fds(self._sock, 65536, MOST_DESCRIPTORS)
            self.descriptors += descriptors
            if len(self.descriptors) > MOST_DESCRIPTORS:
                raise protocol.WireError("too many file descriptors")
            if not data:
                if self._buffer:
                    raise protocol.WireError("the end came within a message")
                return b""
            self._buffer += data
        found = bytes(self._buffer[:size])
        del self._buffer[:size]
        return found

    async def _readable(self) -> None:
        ready = self._loop.create_future()

        def wake() -> None:
            if not ready.done():
                ready.set_result(None)

        self._loop.add_reader(self._sock.fileno(), wake)
        try:
            await ready
        finally:
            self._loop.remove_reader(self._sock.fileno())


STILL_THERE = 1.0
"""Seconds after which a client that waits is told that there is somebody."""

GO_TIMEOUT = 30.0
"""Seconds for which a client may leave an open tunnel unused: it has been stopped, then, or has given up."""

OPENING = "opening"
"""Nothing new: somebody is there."""

T = TypeVar("T")


class ClientGoneError(Exception):
    """The client has gone, or has said what it should not."""


class Errand:
    """One client's wish, in the event loop.

    Args:
        client: Its connection, with the descriptors that it lends.
    """

    def __init__(self, client: Connection) -> None:
        self.client = client
        self._loop = asyncio.get_running_loop()
        self._notes: asyncio.Queue[str] = asyncio.Queue()

    def note(self, text: str) -> None:
        """Have the client tell its user something. Callable from any thread."""
        self._loop.call_soon_threadsafe(self._notes.put_nowait, text)

    async def attended(self, work: asyncio.Future[T]) -> T:
        """Return what the work returns; meanwhile pass notes on, and say that somebody is there.

        Raises:
            ClientGoneError: The client goes away first.
            Exception: What the work raises.
        """
        hearing = asyncio.ensure_future(self.client.receive())
        try:
            while True:
                noting = asyncio.ensure_future(self._notes.get())
                waited: set[asyncio.Future[Any]] = {work, hearing, noting}
                await asyncio.wait(waited, timeout=STILL_THERE, return_when=asyncio.FIRST_COMPLETED)
                if noting.done():
                    await self.tell(NOTE, Text=noting.result())
                noting.cancel()
                if work.done():
                    while not self._notes.empty():
                        await self.tell(NOTE, Text=self._notes.get_nowait())
                    return work.result()
                if hearing.done():  # it has nothing to say now: this is its end
                    raise ClientGoneError
                if not noting.done():
                    await self.tell(OPENING)
        finally:
            hearing.cancel()
            await asyncio.wait({hearing})

    async def told(self, word: str) -> protocol.Message:
        """Return the client's next message, which must be that one.

        Raises:
            ClientGoneError: It is not, or does not come in time.
        """
        try:
            async with asyncio.timeout(GO_TIMEOUT):
                message = await self.client.receive()
        except TimeoutError as error:
            raise ClientGoneError from error
        if message is None or message.get("Do") != word:
            raise ClientGoneError
        return message

    async def carry(self, link: Link, on_end: Callable[[CloseInfo], Awaitable[None]], linger: Linger = PIPES) -> None:
        """Carry bytes between a tunnel and the client's two descriptors until one side ends.

        A client that goes away ends the tunnel.

        Args:
            link: The tunnel, which is closed at the end.
            linger: See `Relay`.
            on_end: Awaited with how it has ended, unless nobody is there any more.
        """
        reading, writing = self.client.descriptors
        self.client.descriptors.clear()  # they are the relay's
        ended: asyncio.Future[CloseInfo] = self._loop.create_future()
        done = asyncio.Event()
        relay = Relay(
            self._loop,
            link,
            DescriptorEnd(reading, writing, owned=True),
            on_end=ended.set_result,
            on_done=done.set,
            linger=linger,
            close_timeout=PIPE_CLOSE_TIMEOUT,
        )
        hearing = asyncio.ensure_future(self.client.receive())
        alone = False

        def heard(of: asyncio.Future[protocol.Message | None]) -> None:
            nonlocal alone
            if of.cancelled():
                return
            alone = True
            relay.interrupt()

        hearing.add_done_callback(heard)
        relay.start()
        try:
            ending = await ended
            if not alone:
                await on_end(ending)
            await done.wait()
        except BaseException:
            relay.abort()
            raise
        finally:
            hearing.cancel()
            await asyncio.wait({hearing})  # before the socket is closed: its number is another one's then

    async def tell(self, stage: str, **more: Any) -> None:
        """Send the client a message."""
        await self.client.send({"Ok": True, "Stage": stage, **more})


def lending() -> bool:
    """Whether the user wants connections in another process, where they are not in the log of their command."""
    config = settings.config()
    return config.agent and not config.log_file


def failure_fields(
    error: EicctlError | None, request_id: str, session: Session | None, target: Target | None
) -> protocol.Message:
    """Return the fields that tell of an error, with all that a client needs to look for its cause."""
    if error is None:
        return {}
    fields = to_json(error)
    fields["RequestId"] = fields["RequestId"] or request_id or None
    if session and target:
        fields |= {"Profile": session.profile, "Region": session.given_region, "Target": asdict(target)}
    return fields


def in_own_thread(call: Callable[[], object]) -> None:
    """Make a blocking call whose result nobody waits for."""
    threading.Thread(target=call, daemon=True).start()
