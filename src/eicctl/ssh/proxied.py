"""A login that OpenSSH makes by itself, through `eicctl proxy`: the key is pushed and host keys are pinned here."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from eicctl.aws.session import Session
from eicctl.errors import UsageError
from eicctl.model import Target
from eicctl.ssh.host_keys import Check
from eicctl.ssh.known_hosts import by_instance
from eicctl.ssh.login import Login
from eicctl.ssh.os_user import OsUser
from eicctl.ssh.shared_key import shared_key
from eicctl.ssh.standing import key_folder, named_hosts
from eicctl.tunnel.dial import Link


@contextlib.contextmanager
def logged_in(
    session: Session,
    target: Target,
    who: str,
    *,
    check: Check,
    max_tunnel_duration: int | None,
    say: Callable[[str], None],
) -> Iterator[Link]:
    """Open a tunnel over which OpenSSH can log in; its key stays while the tunnel does.

    Args:
        session: Access to AWS.
        target: Where.
        who: `USER@HOST`, with the host as OpenSSH calls it: the key's file, and the name under which OpenSSH looks for
            the host's keys.
        check: How host keys are checked.
        max_tunnel_duration: Longest life of the tunnel in seconds, or None for the service's.
        say: Called with what the user should know.

    Raises:
        UsageError: `who` is not of that form, or no key can be pushed to the target.
        EicctlError: By the failure of the push or of the dial.
    """
    user, at, host = who.rpartition("@")
    if not (user and at and host):
        raise UsageError(f"not USER@HOST: {who!r}", hint="in ssh_config: --ssh-login %r@%n")
    if "/" in who or not who.isprintable():  # it is the name of a file
        raise UsageError(f"not USER@HOST: {who!r}", hint="in ssh_config: --ssh-login %r@%n")
    with shared_key(key_folder(), who) as key:
        login = Login(session, target, OsUser(user, "said"), key, check, max_tunnel_duration)
        login.start(dial=True)
        try:
            verdict = login.verdict()
            if verdict.note:
                say(verdict.note)
            if host != login.name and check != "off":
                named_hosts().follow(host, login.name, by_instance().keys(login.name))
            link = login.open()
        finally:
            login.discard()
        yield link
