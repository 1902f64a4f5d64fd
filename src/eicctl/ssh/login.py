"""A login to one target: as whom, whether a key is pushed, and which host keys are accepted;
and hints for one that failed."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from eicctl.aws.instance_connect import send_ssh_public_key
from eicctl.aws.session import Session
from eicctl.core.errors import EicctlError
from eicctl.core.model import Target
from eicctl.core.request import ConnectRequest
from eicctl.ssh.host_keys import Check, Verdict, fingerprint, read_console, verdict
from eicctl.ssh.keys import check_pushable
from eicctl.ssh.known_hosts import by_instance
from eicctl.ssh.os_user import OsUser, image_user
from eicctl.support import pins

TYPE_CHECKING = False
if TYPE_CHECKING:
    from eicctl.tunnel.dial import Link


PUSHED_FOR = 50.0
"""Seconds after which a pushed key is pushed again before it is used: an instance accepts it for 60
(docs/explanation/protocol.md#keys)."""

HELD_FOR = 30.0
"""Seconds for which an open tunnel may wait for its key, whose push AWS may throttle. An SSH server ends a connection
without a login: OpenSSH's after 120 (LoginGraceTime in sshd_config(5)), hardened ones after 60."""


def is_stale(link: Link) -> bool:
    """Whether a tunnel was open for so long, unused, that the SSH server may have ended its connection."""
    return time.monotonic() - link.opened > HELD_FOR


def by_host(request: ConnectRequest, target: Target) -> ConnectRequest:
    """Return the request by which a ProxyCommand asks for a target: by the name that OpenSSH has for the host."""
    address = target.address if request.private_ip_address else ""
    return request.replace(target=target.host, instance_id="", private_ip_address=address)


@dataclass
class Login:
    """A login to one target.

    Attributes:
        session: Access to AWS.
        target: Where to log in.
        user: As whom.
        pushes: Whether a key is pushed for it; else the client has one that the host accepts.
        check: How to check the host's keys.
        known: Which of them are accepted, once that is known.
    """

    session: Session
    target: Target
    user: OsUser
    pushes: bool
    check: Check = "console"
    known: Verdict | None = None

    @property
    def name(self) -> str:
        """What OpenSSH calls the host: the instance's ID, else the address."""
        return self.target.host

    def verdict(self) -> Verdict:
        """Return which of the host's keys are accepted. AWS is asked once, if none is known yet.

        Raises:
            UsageError: The check is strict and no key is known.
        """
        if not self.known:
            self.known = verdict(self.session, self.check, self.name)
        return self.known

    @property
    def accepts_unverified(self) -> bool:
        """Whether the host's keys should have been in its console output, and could not be read there."""
        return bool(self.known and self.known.note and self.known.strict == "accept-new")

    def push(self, public_key: str) -> None:
        """Push a public key (a line of OpenSSH's form).

        Raises:
            UsageError: The target accepts no pushed key.
            EicctlError: By the service's error.
        """
        check_pushable(self.target)
        send_ssh_public_key(
            self.session,
            instance_id=self.target.instance_id,
            os_user=self.user.name,
            public_key=public_key,
            availability_zone=self.target.availability_zone,
        )


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


FAILED = 255
"""OpenSSH's exit code for an error of its own (ssh(1), EXIT STATUS)."""

_OFFERED = re.compile(r"sent by the remote host is\s+(SHA256:[A-Za-z0-9+/]+)")
_CHANGED = ("REMOTE HOST IDENTIFICATION HAS CHANGED", "Host key verification failed", "host key is known for")


def explain(code: int, stderr: str, login: Login) -> str | None:
    """Return a hint for a failed login, or None if OpenSSH's own message is enough.

    Args:
        code: OpenSSH's exit code.
        stderr: The end of what it wrote.
        login: The login.
    """
    if code != FAILED:
        return None
    if any(words in stderr for words in _CHANGED):
        offered = _OFFERED.search(stderr)
        return changed_key(login, offered[1] if offered else None)
    if "Permission denied (" in stderr:
        return refused(login)
    return None


def changed_key(login: Login, offered: str | None) -> str:
    """Return a hint for a changed host key; the console output, from AWS, tells a rebuilt instance from another host.

    Args:
        login: The login.
        offered: The fingerprint (`SHA256:…`) of the key that the host shows, or None if unknown.
    """
    on_console: tuple[str, ...] = ()
    if login.target.instance_id:
        with contextlib.suppress(EicctlError):
            on_console = read_console(login.session, login.target.instance_id)
    known, name = by_instance(), login.name
    accept = pins.command("ssh-keygen", "-R", name, "-f", known.path)
    if not on_console:
        return (
            f"the host key of {name} is not the pinned one, and its console output has none. If the instance was "
            f"reinstalled, remove the old key: {accept}; if not, another host may be answering in its place"
        )
    if offered and offered in map(fingerprint, on_console):
        return (
            f"{name} was rebuilt: its new host key is in its EC2 console output. "
            f"Remove the old key and connect again: {accept}"
        )
    if set(known.keys(name)) <= set(on_console):
        return (
            f"do not connect: the console output of {name} has the pinned key, and the host that answers another one. "
            "Either the host keys were changed on the instance, or another host answers in its place"
        )
    return (
        f"do not connect: the host key of {name} is neither the pinned one nor in its console output. "
        f"If that is expected, remove the pinned key: {accept}"
    )


def refused(login: Login) -> str:
    """Return a hint for a login that the server has refused."""
    user = login.user
    if not login.pushes:
        return f"the instance does not accept this key for the OS user {user.name}; --os-user specifies another user"
    of_image = image_user(login.session, login.target)
    if of_image and user.name != of_image:
        return f"the instance's image has the OS user {of_image}, not {user.name}: --os-user {of_image}"
    doubt = f"{user.name} is a guess from the AMI (override with --os-user), or " if user.source == "image" else ""
    if not of_image:
        doubt = f"{user.name} is not its OS user (override with --os-user), or "
    return (
        f"the instance did not accept the pushed key. Likely causes: {doubt}EC2 Instance Connect is not installed or "
        "is disabled there; to use your own key: --private-key-file FILE"
    )
