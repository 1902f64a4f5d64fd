"""A login to one target: as whom, with which key, and which host keys are accepted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from eicctl.aws.session import Session
from eicctl.core.model import Target
from eicctl.core.request import ConnectRequest
from eicctl.ssh.command import host_of
from eicctl.ssh.host_keys import Check, Verdict, pin_from_console, pinned_already
from eicctl.ssh.keys import Key, check_pushable
from eicctl.ssh.os_user import OsUser
from eicctl.support.parallel import begin

if TYPE_CHECKING:
    from concurrent.futures import Future

    from eicctl.tunnel.dial import Dialer, Link


def by_host(request: ConnectRequest, target: Target) -> ConnectRequest:
    """Return the request by which a ProxyCommand asks for a target: by the name that OpenSSH has for the host."""
    address = target.address if request.private_ip_address else ""
    return request.replace(target=host_of(target), instance_id="", private_ip_address=address)


@dataclass
class Login:
    """A login to one target.

    Attributes:
        session: Access to AWS.
        target: Where to log in.
        user: As whom.
        key: The key to push, or None where OpenSSH has one of its own.
        check: How to check the host's keys.
    """

    session: Session
    target: Target
    user: OsUser
    key: Key | None
    check: Check = "console"
    _verdict: Verdict | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """What OpenSSH calls the host: the instance's ID, else the address."""
        return host_of(self.target)

    def check_key(self) -> None:
        """Refuse to push a key to what takes none.

        Raises:
            UsageError: See `check_pushable`.
        """
        if self.key:
            check_pushable(self.target)

    def verdict(self) -> Verdict:
        """What OpenSSH is told of the host's keys. AWS is asked once, where they are not known yet.

        Raises:
            UsageError: The check is strict and no key is known.
        """
        if not self._verdict:
            self._verdict = pinned_already(self.check, self.name) or pin_from_console(self.session, self.name)
        return self._verdict

    def push(self) -> None:
        """Push the key, if there is one.

        Raises:
            EicctlError: By the service's error.
        """
        self.check_key()
        if self.key:
            from eicctl.ssh.push_key import push_key

            target = self.target
            push_key(self.session, target.instance_id, self.user.name, self.key.public, target.availability_zone)

    def open(self, dialer: Dialer, *, retry_budget: float, waits: Callable[[str], object] | None = None) -> Link:
        """Return an open tunnel to a host that accepts the key; both are begun at the same time.

        Raises:
            EicctlError: The push's failure, or the dial's.
        """
        self.check_key()
        dialling = begin(lambda: dialer.open(retry_budget=retry_budget, waits=waits))
        try:
            self.push()
        except BaseException:
            dialling.add_done_callback(_close)
            raise
        return dialling.result()


def _close(dialled: Future[Link]) -> None:
    """Close what a dial that nobody waits for has opened."""
    if not dialled.exception():
        dialled.result().close()
