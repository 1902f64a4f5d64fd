"""What a login needs besides OpenSSH: a pushed key, the host's keys, and a tunnel; all at the same time."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from eicctl.aws.keys import KEY_LIFETIME, send_ssh_public_key
from eicctl.aws.parallel import begin
from eicctl.aws.session import Session
from eicctl.errors import EicctlError, UsageError
from eicctl.model import Target
from eicctl.ssh.command import host_of
from eicctl.ssh.host_keys import Check, Verdict, pin_from_console, pinned_already
from eicctl.ssh.keys import Key
from eicctl.ssh.os_user import OsUser

if TYPE_CHECKING:
    from eicctl.ssh.doors import Tunnel
    from eicctl.tunnel.dial import Link

PUSH_AGAIN = KEY_LIFETIME / 2
"""Seconds after a push from which a new connection has the key pushed again."""


@dataclass
class Login:
    """A login to one target. Safe to use from several threads.

    Attributes:
        session: Access to AWS.
        target: Where to log in.
        user: As whom.
        key: The key to push, or None where OpenSSH has one of its own.
        check: How to check the host's keys.
        max_tunnel_duration: Longest life of a tunnel in seconds, or None for the service's.
    """

    session: Session
    target: Target
    user: OsUser
    key: Key | None
    check: Check = "console"
    max_tunnel_duration: int | None = None
    _ready: Future[Link | None] | None = field(default=None, repr=False)
    _verdict: Future[Verdict] | None = field(default=None, repr=False)
    _pushed: float | None = field(default=None, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def name(self) -> str:
        """What OpenSSH calls the host: the instance's ID, else the address."""
        return host_of(self.target)

    def start(self, *, dial: bool) -> None:
        """Begin to push the key, to look the host's keys up, and to dial.

        Args:
            dial: Whether to dial, for `open`; without, another process carries the connection.

        Raises:
            UsageError: A key is to be pushed to what is no instance, or the check is strict and no key is known.
        """
        self.check_key()
        verdict = pinned_already(self.check, self.name)
        self._verdict = begin(lambda: verdict or pin_from_console(self.session, self.name))
        self._ready = begin(self._open if dial else self.push)

    def check_key(self) -> None:
        """Refuse to push a key to what is no instance.

        Raises:
            UsageError: It is none.
        """
        if self.key and not self.target.instance_id:
            raise UsageError(
                f"no key can be pushed to {self.target.address}: it belongs to no known instance",
                hint="specify the instance by its ID, or use a key of your own: --private-key-file, --no-send-key",
            )

    def verdict(self) -> Verdict:
        """What OpenSSH is told of the host's keys. Waits for AWS's answer where they are looked up."""
        assert self._verdict, "it was started"  # noqa: S101
        return self._verdict.result()

    def wait(self) -> None:
        """Wait until the host accepts the key, and the first tunnel is open.

        Raises:
            EicctlError: The push's failure, or the dial's.
        """
        if self._ready:
            self._ready.result()

    def tunnel(self) -> Tunnel:
        """Return what carries OpenSSH's connection to a host that accepts the key: an `Opener`.

        Raises:
            EicctlError: The push's failure, or the dial's.
        """
        return self.open()

    def open(self) -> Link:
        """Return an open tunnel of this process to a host that accepts the key.

        Raises:
            EicctlError: The push's failure, or the dial's.
        """
        with self._lock:
            first, self._ready = self._ready, None
        link = first.result() if first else None
        return link or self._open()

    def push(self) -> None:
        """Push the key, if there is one and its last push is not fresh any more.

        Raises:
            EicctlError: By the service's error.
        """
        if not self.key or (self._pushed is not None and time.monotonic() - self._pushed < PUSH_AGAIN):
            return
        send_ssh_public_key(
            self.session,
            instance_id=self.target.instance_id,
            os_user=self.user.name,
            public_key=self.key.public,
            availability_zone=self.target.availability_zone,
        )
        self._pushed = time.monotonic()

    def discard(self) -> None:
        """Close the tunnel that was begun, if nothing has used it."""
        with self._lock:
            first, self._ready = self._ready, None
        if first:
            first.add_done_callback(_close)

    def _open(self) -> Link:
        from eicctl.tunnel.dial import Dialer

        pushing = begin(self.push)
        dialler = Dialer(self.target, self.session.credentials, self.session.ca_bundle, self.max_tunnel_duration)
        dialling = begin(dialler.open)
        try:
            pushing.result()
        except EicctlError:
            dialling.add_done_callback(_close)
            raise
        return dialling.result()


def _close(dialled: Future[Link] | Future[None] | Future[Link | None]) -> None:
    """Close what a dial that nobody waits for has opened."""
    if not dialled.exception() and (link := dialled.result()):
        link.close()
