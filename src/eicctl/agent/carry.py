"""Connections of ProxyCommands, carried by the background process: see `lend` for their small half."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from dataclasses import asdict
from functools import partial
from typing import Any

from eicctl import settings
from eicctl.agent import wire
from eicctl.agent.asked import Words, wanted
from eicctl.agent.connection import Connection
from eicctl.agent.lend import DECLINED, ENDED, NOTE, READY
from eicctl.agent.told import to_message
from eicctl.aws.session import Session
from eicctl.errors import EicctlError, TargetUnreachableError
from eicctl.ssh.opening import Opening
from eicctl.tunnel.channel import Channel, Ending
from eicctl.tunnel.dial import Link
from eicctl.tunnel.ends import DescriptorEnd
from eicctl.tunnel.threads import in_thread

STILL_THERE = 1.0
"""Seconds after which a client that waits for its tunnel is told that there is somebody."""

GO_TIMEOUT = 10.0
"""Seconds for which a client may leave an open tunnel unused: it has been stopped, then, or has given up."""

CLOSE_TIMEOUT = 0.05
"""Seconds to wait for the service's half of the closing handshake, as in stdio mode."""

_log = logging.getLogger(__name__)


class Carriage:
    """One connection.

    Args:
        client: The client's connection, with the descriptors that it lends: its stdin and its stdout.
        words: What it wants.
        session: Access to AWS.
    """

    def __init__(self, client: Connection, words: Words, session: Session) -> None:
        self._client = client
        self._loop = asyncio.get_running_loop()
        self._notes: asyncio.Queue[str] = asyncio.Queue()
        self._opening: Opening | None = None
        self._words = words
        self._session = session

    async def run(self) -> None:
        """Carry until one side ends, and tell the client how that was.

        Raises:
            wire.WireError: The client sends what is no message.
            OSError: The client is gone.
        """
        if len(self._client.descriptors) != 2 or not settings.config().agent:
            await self._tell(DECLINED)
            return
        reading, writing = self._client.descriptors
        stack = contextlib.ExitStack()
        opening = asyncio.create_task(in_thread(partial(self._open, stack), partial(_end_in_thread, stack=stack)))
        try:
            link = await self._attended(opening)
            if link is None:
                return
            await self._tell(READY)
            async with asyncio.timeout(GO_TIMEOUT):
                if (await self._client.receive() or {}).get("Do") != "go":
                    return
            self._client.descriptors.clear()  # they are the channel's now
            ending = await self._carried(link, reading, writing)
            await self._tell(ENDED, ending.error, ending.request_id)
        except EicctlError as error:
            await self._tell(ENDED, error)
        except TimeoutError:
            _log.info("a client has left its tunnel unused")
        finally:
            opening.cancel()
            if opening.done() and not opening.cancelled() and not opening.exception():
                await in_thread(partial(_ended, opening.result(), stack))

    def _open(self, stack: contextlib.ExitStack) -> Link:
        """Open the tunnel; in a thread."""
        self._opening = Opening(wanted(self._words, self._session), self._note)
        return stack.enter_context(self._opening.opened())

    async def _attended(self, opening: asyncio.Task[Link]) -> Link | None:
        """Return the tunnel when it is open, or None if the client goes away before. Notes are passed on meanwhile."""
        hearing = asyncio.create_task(self._client.receive())
        try:
            while True:
                noting = asyncio.create_task(self._notes.get())
                await asyncio.wait({opening, hearing, noting}, timeout=STILL_THERE, return_when=asyncio.FIRST_COMPLETED)
                if noting.done():
                    await self._tell(NOTE, Text=noting.result())
                noting.cancel()
                if opening.done():
                    while not self._notes.empty():
                        await self._tell(NOTE, Text=self._notes.get_nowait())
                    return opening.result()
                if hearing.done():  # it has no more to say: this is its end
                    return None
                if not noting.done():
                    await self._tell("opening")
        finally:
            hearing.cancel()
            await asyncio.wait({hearing})

    async def _carried(self, link: Link, reading: int, writing: int) -> Ending:
        """Carry bytes until one side ends; a client that goes away ends the tunnel."""
        ended: asyncio.Future[Ending] = self._loop.create_future()
        done = asyncio.Event()
        channel = Channel(
            self._loop,
            link,
            DescriptorEnd(reading, writing, owned=True),
            on_end=ended.set_result,
            on_done=done.set,
            linger=0,
            close_timeout=CLOSE_TIMEOUT,
        )
        hearing = asyncio.create_task(self._client.receive())
        hearing.add_done_callback(lambda _: channel.close("interrupted"))
        channel.start()
        try:
            ending = await ended
            await done.wait()
        except BaseException:
            channel.abort()
            raise
        finally:
            hearing.cancel()
        if isinstance(ending.error, TargetUnreachableError) and self._opening:
            await in_thread(self._opening.forget)
        return ending

    def _note(self, text: str) -> None:
        self._loop.call_soon_threadsafe(self._notes.put_nowait, text)

    async def _tell(self, stage: str, error: EicctlError | None = None, request_id: str = "", **more: Any) -> None:
        """Send a message; with an error, all that the client needs to look for its cause."""
        message: wire.Message = {"Ok": True, "Stage": stage, **more}
        if error:
            message |= to_message(error)
            message["RequestId"] = message["RequestId"] or request_id or None
            if self._opening:
                session, target = self._opening.session, self._opening.target
                message |= {"Profile": session.profile, "Region": session.given_region}
                message["Target"] = asdict(target) if target else None
        await self._client.send(message)


def _end_in_thread(link: Link, stack: contextlib.ExitStack) -> None:
    threading.Thread(target=_ended, args=(link, stack), daemon=True).start()


def _ended(link: Link, stack: contextlib.ExitStack) -> None:
    """Close what a connection has had; closing twice does nothing."""
    link.close()
    stack.close()
