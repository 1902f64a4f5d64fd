"""A login that OpenSSH makes through `eicctl proxy`, which pushes the key and, where OpenSSH comes first, makes it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from eicctl.aws.session import Session
from eicctl.core.errors import UsageError
from eicctl.core.model import Target
from eicctl.ssh.command import host_of
from eicctl.ssh.host_keys import Check
from eicctl.ssh.keys import Key, KeyType, own_key, session_key, suited
from eicctl.ssh.known_hosts import by_instance
from eicctl.ssh.login import Login
from eicctl.ssh.os_user import OsUser
from eicctl.support.parallel import begin
from eicctl.tunnel.dial import Dialer, Link


@contextlib.contextmanager
def logged_in(
    session: Session,
    target: Target,
    who: str,
    dialer: Dialer,
    *,
    retry_budget: float,
    check: Check,
    folder: str,
    key_file: str,
    key_type: KeyType,
    say: Callable[[str], None],
) -> Iterator[Link]:
    """Open a tunnel over which OpenSSH can log in; its key stays while the tunnel does.

    Args:
        session: Access to AWS.
        target: Where.
        who: `USER@HOST`, with the host as OpenSSH calls it: the key's file, and the name under which OpenSSH looks for
            the host's keys.
        dialer: Opens the tunnel.
        retry_budget: See `Dialer.open`.
        check: How host keys are checked.
        folder: The folder of the eicctl command that runs OpenSSH, which has made the key and checked the host's keys;
            empty where OpenSSH was started by somebody else.
        key_file: A private key whose public half is pushed; empty for one that is made.
        key_type: The type of a key that is made.
        say: Called with what the user should know.

    Raises:
        UsageError: `who` is not of that form, or no key can be pushed to the target.
        EicctlError: By the failure of the push or of the dial.
    """
    user, at, host = who.rpartition("@")
    if not (user and at and host) or "/" in who or not who.isprintable():  # it is the name of a file
        raise UsageError(f"not USER@HOST: {who!r}", hint="in ssh_config: --ssh-login %r@%n")
    kind = suited(key_type, host_of(target))
    with contextlib.ExitStack() as kept:
        if folder:
            key = session_key(Path(folder), kind)
        elif key_file:
            key = own_key(Path(key_file))
        else:
            key = kept.enter_context(_shared_key(who, kind))
        login = Login(session, target, OsUser(user, "said"), key, check)
        checking = None if folder else begin(lambda: _follow(login, host, say))
        link = login.open(dialer, retry_budget=retry_budget, waits=say)
        if checking:
            try:
                checking.result()
            except BaseException:
                link.close()
                raise
        yield link


def _shared_key(who: str, key_type: KeyType) -> contextlib.AbstractContextManager[Key]:
    from eicctl.ssh.openssh_options import key_folder
    from eicctl.ssh.shared_key import shared_key

    return shared_key(key_folder(), who, key_type)


def _follow(login: Login, host: str, say: Callable[[str], None]) -> None:
    """Pin the host's keys, before OpenSSH looks, under the name that it has for the host."""
    from eicctl.ssh.openssh_options import named_hosts

    verdict = login.verdict()
    if verdict.note:
        say(verdict.note)
    if host != login.name and login.check != "off":
        named_hosts().follow(host, login.name, by_instance().keys(login.name))
