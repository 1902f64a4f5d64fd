"""Connections of ProxyCommands, carried by the background process: see `lend` for their small half."""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial

from eicctl.agent.asked import wanted
from eicctl.agent.connection import Connection
from eicctl.agent.errand import ClientGoneError, Errand, failure_fields, in_own_thread, lending
from eicctl.agent.lend import DECLINED, ENDED, READY
from eicctl.agent.words import Words
from eicctl.aws.session import Session
from eicctl.errors import EicctlError, TargetUnreachableError
from eicctl.ssh.opening import Opening
from eicctl.tunnel.channel import PIPES, Linger
from eicctl.tunnel.dial import Link
from eicctl.tunnel.ending import Ending
from eicctl.tunnel.threads import in_thread


async def carry(client: Connection, words: Words, session: Session) -> None:
    """Open a tunnel, carry the client's stdin and stdout until one side ends, and tell it how that was.

    Raises:
        wire.WireError: The client sends what is no message.
        OSError: The client is gone.
    """
    errand = Errand(client)
    if len(client.descriptors) != 2 or not lending():
        await errand.tell(DECLINED)
        return
    opening: Opening | None = None
    stack = contextlib.ExitStack()

    def open_() -> Link:
        nonlocal opening
        opening = Opening(wanted(words, session), errand.note)
        return stack.enter_context(opening.opened())

    async def ended(ending: Ending) -> None:
        if opening and isinstance(ending.error, TargetUnreachableError):
            await in_thread(opening.forget)
        await tell_end(ending.error, ending.request_id, ending.duration)

    async def tell_end(error: EicctlError | None, request_id: str = "", lived: float = 0.0) -> None:
        session_used, target = (opening.session, opening.target) if opening else (session, None)
        await errand.tell(ENDED, Lived=lived, **failure_fields(error, request_id, session_used, target))

    def discard(link: Link) -> None:
        in_own_thread(partial(_close, link, stack))

    work = asyncio.ensure_future(in_thread(open_, discard))
    try:
        link = await errand.attended(work)
        await errand.tell(READY, Left=link.max_duration)
        await errand.told("go")
        await errand.carry(link, ended, Linger.of(words["linger"], PIPES))
    except EicctlError as error:
        if error.needs_terminal:  # the client may have one
            await errand.tell(DECLINED)
        else:
            await tell_end(error)
    except ClientGoneError:
        return
    finally:
        work.cancel()
        if work.done() and not work.cancelled() and not work.exception():
            await in_thread(partial(_close, work.result(), stack))


def _close(link: Link, stack: contextlib.ExitStack) -> None:
    """Close what a connection has had; closing it again does nothing."""
    link.close()
    stack.close()
