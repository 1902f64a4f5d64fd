"""Connections of ProxyCommands, carried by the background process: see `lend` for their small half.

What the words of a request mean.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from eicctl.agent import protocol
from eicctl.agent.delegate import DECLINED, ENDED, READY
from eicctl.agent.session import GO_TIMEOUT, ClientGoneError, Connection, Errand, failure_fields, in_own_thread, lending
from eicctl.agent.words import Words
from eicctl.aws import login_cache
from eicctl.aws.config_files import LEFT_KEYS
from eicctl.aws.session import Session, Sessions
from eicctl.aws.target_cache import RememberedTargets
from eicctl.aws.targets import resolve
from eicctl.core.errors import EicctlError, TargetUnreachableError
from eicctl.core.events import CloseInfo
from eicctl.core.request import ConnectRequest
from eicctl.ssh.command import Access
from eicctl.ssh.host_keys import Check, configured_check
from eicctl.ssh.login import Login, by_host
from eicctl.ssh.openssh_options import Standing, login_settings, proxy_words
from eicctl.ssh.os_user import choose
from eicctl.ssh.proxy_tunnel import Opening, Wanted
from eicctl.support.threads import in_thread
from eicctl.tunnel.dial import Link
from eicctl.tunnel.relay import PIPES, Linger

if TYPE_CHECKING:
    from eicctl.agent.words import Words
    from eicctl.ssh.host_keys import Check
    from eicctl.ssh.keys import KeyType


def session_for(words: Words, sessions: Sessions) -> Session:
    """Return the access to AWS that the words ask for."""
    folder = words["session_folder"]
    if folder and os.path.exists(f"{folder}/{LEFT_KEYS}"):  # noqa: PTH110
        from eicctl.aws.credential_process import take

        take(folder)
    return sessions.of(words["profile"], words["region"], words["ca_bundle"], fips=words["fips"])


def wanted(words: Words, session: Session) -> Wanted:
    """Return what is to be opened."""
    request = ConnectRequest(
        remote_port=words["remote_port"],
        target=words["words"],
        instance_id=words["instance_id"],
        private_ip_address=words["private_ip_address"],
        endpoint_id=words["endpoint_id"],
        endpoint_dns_name=words["endpoint_dns_name"],
        allow_any_port=words["allow_any_port"],
    )
    return Wanted(
        session,
        request,
        words["max_tunnel_duration"],
        words["ssh_login"],
        cast("Check", words["host_key_check"]),
        words["session_folder"],
        not words["no_cache"],
        words["keepalive"],
        words["private_key_file"],
        cast("KeyType", words["key_type"]),
    )


class Attempt:
    """A tunnel that is being opened, in a thread.

    Args:
        words: What is to be opened.
        session: Access to AWS.
        note: Called with what the user should know.

    Attributes:
        work: Is done when the tunnel is open.
        opening: What opens it; None before that.
    """

    def __init__(
        self,
        words: Words,
        session: Session,
        note: Callable[[str], None] = lambda _text: None,
    ) -> None:
        self.opening: Opening | None = None
        self._stack = contextlib.ExitStack()

        def open_() -> Link:
            self.opening = Opening(wanted(words, session), note)
            return self._stack.enter_context(self.opening.opened())

        self.work = asyncio.ensure_future(in_thread(open_, lambda link: in_own_thread(partial(self._close, link))))

    async def end(self) -> None:
        """Give the tunnel up, or close it."""
        self.work.cancel()
        if self.work.done() and not self.work.cancelled() and not self.work.exception():
            await in_thread(partial(self._close, self.work.result()))

    def _close(self, link: Link) -> None:
        """Close what the connection has had; closing it again does nothing."""
        link.close()
        self._stack.close()


async def log_in(client: Connection, message: protocol.Message, session: Session, begun: dict[str, Attempt]) -> None:
    """Say what OpenSSH is told for a login, and open the tunnel for which its ProxyCommand will ask.

    Args:
        client: The command that runs OpenSSH. When it goes, an attempt that was not asked for is given up.
        message: Its request.
        session: Access to AWS.
        begun: Has the attempt by the session's folder until it is asked for.

    Raises:
        wire.WireError, OSError: The client is gone.
    """
    words, folder = message["Words"], str(message["Words"]["session_folder"])
    try:
        if not lending():
            raise EicctlError("not wanted")
        found = await in_thread(partial(_login_settings, words, message, session))
    except EicctlError:  # the command finds out by itself, and can ask its user
        await client.send({"Ok": False})
        return
    login = f"{found['User']['name']}@{found['Host']}"
    asked = {**words, "words": found["Host"], "instance_id": "", "ssh_login": login}
    attempt = Attempt(cast("Words", asked), session)
    begun[folder] = attempt
    try:
        await client.send({"Ok": True, "Login": found})
        in_own_thread(partial(login_cache.note, str(message["Key"]), found))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GO_TIMEOUT):
                await client.receive()
    finally:
        if begun.get(folder) is attempt:
            del begun[folder]
            await attempt.end()


def _login_settings(words: Words, message: protocol.Message, session: Session) -> dict[str, Any]:
    """Return what OpenSSH is told; see `ssh.standing.login_settings`.

    Raises:
        EicctlError: The target is not found, or not one to log in to.
    """
    request = wanted(words, session).request
    cache = RememberedTargets(session)
    target = cache.get(request)
    if not target:
        target = resolve(session, request)
        cache.put(target, request, by_host(request, target))
    if target.platform == "windows" or not target.instance_id:
        raise EicctlError("not to log in to with a pushed key")
    user = choose(session, target, str(message.get("OsUser") or "") or None)
    check = cast("Check", message.get("Check") or configured_check())
    login = Login(session, target, user, pushes=True, check=check)
    access = Access(session.region, session.profile, words["ca_bundle"], words["max_tunnel_duration"], words["fips"])
    return login_settings(login, Standing(access, words=proxy_words(by_host(request, target))))


async def carry(client: Connection, words: Words, session: Session, begun: dict[str, Attempt]) -> None:
    """Open a tunnel, carry the client's stdin and stdout until one side ends, and tell it how that was.

    Args:
        client: The client.
        words: What is to be opened.
        session: Access to AWS.
        begun: Attempts that were begun for sessions; the one of this client's is used.

    Raises:
        wire.WireError: The client sends what is no message.
        OSError: The client is gone.
    """
    errand = Errand(client)
    if len(client.descriptors) != 2 or not lending():
        await errand.tell(DECLINED)
        return
    attempt = begun.pop(words["session_folder"], None) or Attempt(words, session, errand.note)

    async def ended(ending: CloseInfo) -> None:
        if attempt.opening and isinstance(ending.error, TargetUnreachableError):
            await in_thread(attempt.opening.forget)
        await tell_end(ending.error, ending.request_id, ending.duration)

    async def tell_end(error: EicctlError | None, request_id: str = "", lived: float = 0.0) -> None:
        opening = attempt.opening
        session_used, target = (opening.session, opening.target) if opening else (session, None)
        await errand.tell(ENDED, Lived=lived, **failure_fields(error, request_id, session_used, target))

    try:
        link = await errand.attended(attempt.work)
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
        await attempt.end()
