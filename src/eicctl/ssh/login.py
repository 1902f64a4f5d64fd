"""A login to one target: as whom, whether a key is pushed, and which host keys are accepted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from eicctl.aws.session import Session
from eicctl.core.model import Target
from eicctl.core.request import ConnectRequest
from eicctl.ssh.command import host_of
from eicctl.ssh.host_keys import Check, Verdict, verdict
from eicctl.ssh.keys import check_pushable
from eicctl.ssh.os_user import OsUser


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
        pushes: Whether a key is pushed for it; else the client has one that the host accepts.
        check: How to check the host's keys.
    """

    session: Session
    target: Target
    user: OsUser
    pushes: bool
    check: Check = "console"
    _verdict: Verdict | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """What OpenSSH calls the host: the instance's ID, else the address."""
        return host_of(self.target)

    def verdict(self) -> Verdict:
        """Return which of the host's keys are accepted. AWS is asked once, if none is known yet.

        Raises:
            UsageError: The check is strict and no key is known.
        """
        if not self._verdict:
            self._verdict = verdict(self.session, self.check, self.name)
        return self._verdict

    def push(self, public_key: str) -> None:
        """Push a public key (a line of OpenSSH's form).

        Raises:
            UsageError: The target accepts no pushed key.
            EicctlError: By the service's error.
        """
        from eicctl.ssh.push_key import push_key

        check_pushable(self.target)
        push_key(self.session, self.target.instance_id, self.user.name, public_key, self.target.availability_zone)


def strictness(logins: Sequence[Login], say: Callable[[str], None]) -> str:
    """Return OpenSSH's StrictHostKeyChecking for several hosts: the least strict, which is that of the first unknown.

    Args:
        logins: The logins; AWS is asked for the keys of hosts that are not known yet.
        say: Called with what the user should know.
    """
    verdicts = list(dict.fromkeys(login.verdict() for login in logins))
    for each in verdicts:
        if each.note:
            say(each.note)
    strict = [each.strict for each in verdicts]
    return next((word for word in ("no", "accept-new") if word in strict), "yes")
