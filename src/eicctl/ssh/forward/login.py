"""A login without OpenSSH: keys that exist in memory only, and the host's keys as OpenSSH would be told of them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import asyncssh

from eicctl.aws.instance_connect import send_ssh_public_key
from eicctl.aws.session import Session
from eicctl.core.errors import AccessError, LocalError
from eicctl.core.model import Target
from eicctl.core.request import ConnectRequest
from eicctl.ssh.command import host_of
from eicctl.ssh.explain import changed_key, refused
from eicctl.ssh.host_keys import verdict
from eicctl.ssh.keys import KeyType, check_pushable, suited
from eicctl.ssh.known_hosts import by_instance
from eicctl.ssh.os_user import OsUser, choose


class HostKeyError(AccessError):
    """The host shows another key than the known ones."""


@dataclass(frozen=True, slots=True)
class HostKeys:
    """What is accepted of a host in one connection.

    Attributes:
        name: What its keys are known under: the instance's ID, else the address.
        strict: OpenSSH's StrictHostKeyChecking: `yes`, `accept-new` or `no`.
        trusted: The known keys.
    """

    name: str
    strict: str
    trusted: tuple[asyncssh.SSHKey, ...]

    def accept(self, key: asyncssh.SSHKey) -> bool:
        """Return whether a key that is not known is accepted, which the first of a host may be; it is known then."""
        if self.strict != "accept-new" or self.trusted:
            return False
        kind, blob, *_ = key.export_public_key().decode().split()
        by_instance().pin(self.name, [f"{kind} {blob}"])
        return True


@dataclass
class Login:
    """A login to one target, for any number of connections. Its methods block.

    Attributes:
        session: Access to AWS.
        target: Where to log in.
        user: As whom.
        request: How to log in.
        say: Takes what the user should know of the host's keys.
    """

    session: Session
    target: Target
    user: OsUser
    request: ConnectRequest
    say: Callable[[str], None]
    _own: asyncssh.SSHKey | None = None
    _said: set[str] = field(default_factory=set)

    @property
    def pushes(self) -> bool:
        """Whether a key is pushed for each connection."""
        return self.request.pushes_key

    def keys(self) -> Sequence[asyncssh.SSHKey] | None:
        """Return the private keys to use, with the public ones pushed; None for what agent and home folder have.

        Raises:
            EicctlError: By the service's error.
        """
        if not self.pushes:
            return [self._own] if self._own else None
        key = self._own or _new_key(suited(self.request.key_type, host_of(self.target)))
        send_ssh_public_key(
            self.session,
            instance_id=self.target.instance_id,
            os_user=self.user.name,
            public_key=key.export_public_key().decode().strip(),
            availability_zone=self.target.availability_zone,
        )
        return [key]

    def host_keys(self) -> HostKeys:
        """Return what is accepted of the host; its console is read where its keys are not known yet.

        Raises:
            UsageError: The check is strict, and no key is known.
        """
        name = host_of(self.target)
        found = verdict(self.session, self.request.host_key_check or "console", name)
        if found.note and found.note not in self._said:
            self._said.add(found.note)
            self.say(found.note)
        return HostKeys(name, found.strict, _imported(by_instance().keys(name)))

    def refusal(self) -> str:
        """Return a hint for a login that the server has refused."""
        return refused(self.session, self.target, self.user, pushed=self.pushes)

    def host_key_error(self, offered: asyncssh.SSHKey | None) -> HostKeyError:
        """Return the error for a host that shows another key than the known ones."""
        fingerprint = offered.get_fingerprint() if offered else None
        name = host_of(self.target)
        shown = f" ({fingerprint})" if fingerprint else ""
        return HostKeyError(
            f"the host key of {name}{shown} does not match the pinned one",
            hint=changed_key(self.session, self.target, fingerprint),
        )


def prepare(
    session: Session,
    target: Target,
    request: ConnectRequest,
    say: Callable[[str], None],
    passphrase: Callable[[str], str] | None = None,
) -> Login:
    """Return how to log in to a target.

    Args:
        session: Access to AWS.
        target: The target.
        request: How to log in.
        say: Takes what the user should know.
        passphrase: Asked for a key file that is encrypted; takes its name.

    Raises:
        UsageError: The target is not one to log in to, or no key can be pushed to it.
        LocalError: The key file cannot be used.
    """
    if request.pushes_key:
        check_pushable(target)
    own = read_key(Path(request.private_key_file), passphrase) if request.private_key_file else None
    user = choose(session, target, request.os_user)
    if user.note:
        say(user.note)
    return Login(session, target, user, request, say, own)


_ALGORITHMS = {"ed25519": "ssh-ed25519", "ecdsa": "ecdsa-sha2-nistp256", "rsa": "ssh-rsa"}
"""Types of keys as RFC 8709, 5656 and 4253 call them."""


def _new_key(key_type: KeyType) -> asyncssh.SSHKey:
    """Make a key; with `auto` of the first type that the cryptography library can do, which may be in FIPS mode."""
    from cryptography.exceptions import UnsupportedAlgorithm

    if key_type != "auto":
        return asyncssh.generate_private_key(_ALGORITHMS[key_type], "eicctl")
    for name in ("ed25519", "ecdsa"):
        with contextlib.suppress(asyncssh.KeyGenerationError, UnsupportedAlgorithm, ValueError):
            return asyncssh.generate_private_key(_ALGORITHMS[name], "eicctl")
    return asyncssh.generate_private_key(_ALGORITHMS["rsa"], "eicctl", key_size=3072)


def read_key(path: Path, passphrase: Callable[[str], str] | None) -> asyncssh.SSHKey:
    """Return the private key in a file.

    Raises:
        LocalError: It cannot be read.
    """
    try:
        return asyncssh.read_private_key(path)
    except asyncssh.KeyImportError as error:
        if passphrase is None or "assphrase" not in str(error):
            raise LocalError(f"cannot use the key in {path}: {error}") from error
    except OSError as error:
        raise LocalError(f"cannot read the key in {path}: {error.strerror}") from error
    try:
        return asyncssh.read_private_key(path, passphrase(str(path)))
    except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError) as error:
        raise LocalError(f"cannot use the key in {path}: {error}", hint="check the passphrase") from error


def _imported(lines: Sequence[str]) -> tuple[asyncssh.SSHKey, ...]:
    """Return keys of the form `TYPE BASE64`, without those of types that asyncssh does not know."""
    found = []
    for line in lines:
        try:
            found.append(asyncssh.import_public_key(line))
        except asyncssh.KeyImportError:
            continue
    return tuple(found)
