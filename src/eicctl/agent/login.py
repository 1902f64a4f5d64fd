"""Logins that the background process prepares for `eicctl ssh`; see `lent_login` for its client.

The client is told where it goes as soon as that is known, so that OpenSSH starts while the key is pushed and the tunnel
opened. Its ProxyCommand's pipes come when OpenSSH has made them.
"""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import cast

from eicctl.agent.asked import wanted
from eicctl.agent.connection import Connection
from eicctl.agent.errand import ClientGoneError, Errand, failure_fields, in_own_thread, lending
from eicctl.agent.lend import DECLINED, ENDED, READY, TARGET, VERDICT
from eicctl.agent.words import Words
from eicctl.aws.remembered import RememberedTargets
from eicctl.aws.session import Session
from eicctl.aws.targets import resolve
from eicctl.errors import EicctlError, TargetUnreachableError, ThrottledError
from eicctl.model import Target
from eicctl.ssh.host_keys import Check
from eicctl.ssh.keys import Key
from eicctl.ssh.login import Login
from eicctl.ssh.os_user import OsUser, choose
from eicctl.tunnel.dial import Dialer, Link
from eicctl.tunnel.ending import Ending
from eicctl.tunnel.queue import open_link
from eicctl.tunnel.threads import in_thread


class LoginErrand:
    """One login.

    Args:
        client: The client's connection.
        words: The target.
        os_user: The OS user that was said, or empty.
        session: Access to AWS.
    """

    def __init__(self, client: Connection, words: Words, os_user: str, session: Session) -> None:
        self._errand = Errand(client)
        self._words = words
        self._os_user = os_user
        self._session = session
        self._request = wanted(words, session).request
        self._targets = RememberedTargets(session)
        self._recalled = False
        self._target: Target | None = None

    async def run(self) -> None:
        """Prepare the login, carry OpenSSH's connection, and tell how it has ended.

        A failure to resolve is left to the client, which can ask its user; so is one with a target from the cache,
        which may have moved.

        Raises:
            wire.WireError: The client sends what is no message.
            OSError: The client is gone.
        """
        errand = self._errand
        try:
            if not lending():
                raise EicctlError("not wanted")
            target, user = await errand.attended(asyncio.ensure_future(in_thread(self._found)))
        except EicctlError:
            await errand.tell(DECLINED)
            return
        except ClientGoneError:
            return
        self._target = target
        dialer = Dialer(target, self._session.credentials, self._session.ca_bundle, self._words["max_tunnel_duration"])
        dialling = asyncio.ensure_future(open_link(dialer))
        try:
            await errand.tell(TARGET, Target=asdict(target), User=asdict(user))
            link = await self._ready(target, user, dialling)
            await errand.tell(READY, Left=link.max_duration)
            await errand.told("go")
            if len(errand.client.descriptors) == 2:
                await errand.carry(link, self._ended)
        except EicctlError as error:
            if self._recalled and not isinstance(error, ThrottledError):
                await in_thread(self._forget)
                await errand.tell(DECLINED)
            else:
                await errand.tell(ENDED, **failure_fields(error, "", self._session, target))
        except ClientGoneError:
            return
        finally:
            dialling.add_done_callback(_close)
            dialling.cancel()

    def _found(self) -> tuple[Target, OsUser]:
        target = None if self._words["no_cache"] else self._targets.get(self._request)
        self._recalled = target is not None
        if target is None:
            target = resolve(self._session, self._request)
            self._targets.put(self._request, target)
        return target, choose(self._session, target, self._os_user or None)

    async def _ready(self, target: Target, user: OsUser, dialling: asyncio.Future[Link]) -> Link:
        """Push the client's key and check the host's while the tunnel is opened; return the tunnel."""
        check = cast("Check", self._words["host_key_check"])
        said = await self._errand.told("key")
        key = Key(Path(), str(said["PublicKey"])) if said.get("PublicKey") else None
        login = Login(self._session, target, user, key, check)

        async def checked() -> None:
            found = await in_thread(login.verdict)
            await self._errand.tell(VERDICT, Strict=found.strict, Note=found.note)

        await in_thread(partial(login.start, dial=False))
        together = asyncio.gather(dialling, in_thread(login.wait), checked())
        link, _, _ = await self._errand.attended(together)
        return link

    async def _ended(self, ending: Ending) -> None:
        if isinstance(ending.error, TargetUnreachableError):
            await in_thread(self._forget)
        await self._errand.tell(
            ENDED,
            Reason=ending.reason,
            BytesIn=ending.bytes_in,
            BytesOut=ending.bytes_out,
            Duration=ending.duration,
            **failure_fields(ending.error, ending.request_id, self._session, self._target),
        )

    def _forget(self) -> None:
        self._targets.forget(self._request)


def _close(dialling: asyncio.Future[Link]) -> None:
    if not dialling.cancelled() and not dialling.exception():
        in_own_thread(dialling.result().close)
