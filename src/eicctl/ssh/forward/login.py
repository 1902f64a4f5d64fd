"""A login by asyncssh: keys that exist in memory only, and host keys by the same rules as with OpenSSH."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import asyncssh

from eicctl.aws.session import Session
from eicctl.core.errors import AccessError, LocalError
from eicctl.core.model import Target
from eicctl.core.request import ConnectRequest
from eicctl.ssh.host_keys import verdict
from eicctl.ssh.keys import KeyType, check_pushable, suited
from eicctl.ssh.known_hosts import by_instance
from eicctl.ssh.login import Login, changed_key
from eicctl.ssh.os_user import choose


class HostKeyError(AccessError):
    """The host shows another key than the known ones."""


@dataclass(frozen=True, slots=True)
class HostKeys:
    """Which keys of a host one connection accepts.

    Attributes:
        name: The name in known_hosts: the instance's ID, else the address.
        strict: OpenSSH's StrictHostKeyChecking: `yes`, `accept-new` or `no`.
        trusted: The known keys.
    """

    name: str
    strict: str
    trusted: tuple[asyncssh.SSHKey, ...]

    def accept(self, key: asyncssh.SSHKey) -> bool:
        """Return whether an unknown key is accepted, as the first key of a host may be; it is pinned then."""
        if self.strict != "accept-new" or self.trusted:
            return False
        kind, blob, *_ = key.export_public_key().decode().split()
        by_instance().pin(self.name, [f"{kind} {blob}"])
        return True


@dataclass(kw_only=True)
class AsyncsshLogin(Login):
    """A login for any number of connections. Its methods block.

    Attributes:
        key_type: The type of a new key.
        own_key: The user's own private key.
        say: Called with what the user should know of the host's keys.
    """

    key_type: KeyType
    own_key: asyncssh.SSHKey | None
    say: Callable[[str], None]
    _noted: set[str] = field(default_factory=set)

    def keys(self) -> Sequence[asyncssh.SSHKey] | None:
        """Return the private keys to use, after pushing the public one; None for those of agent and home folder.

        Raises:
            EicctlError: By the service's error.
        """
        if not self.pushes:
            return [self.own_key] if self.own_key else None
        key = self.own_key or _new_key(suited(self.key_type, self.name))
        self.push(key.export_public_key().decode().strip())
        return [key]

    def host_keys(self) -> HostKeys:
        """Return which keys of the host are accepted now; the console of an unknown instance is read.

        Raises:
            UsageError: The check is strict, and no key is known.
        """
        found = verdict(self.session, self.check, self.name)
        if found.note and found.note not in self._noted:
            self._noted.add(found.note)
            self.say(found.note)
        return HostKeys(self.name, found.strict, _imported(by_instance().keys(self.name)))

    def host_key_error(self, offered: asyncssh.SSHKey | None) -> HostKeyError:
        """Return the error for a host that shows another key than the known ones."""
        fingerprint = offered.get_fingerprint() if offered else None
        shown = f" ({fingerprint})" if fingerprint else ""
        return HostKeyError(
            f"The host key of {self.name}{shown} does not match the pinned one",
            hint=changed_key(self, fingerprint),
        )


def prepare(
    session: Session,
    target: Target,
    request: ConnectRequest,
    say: Callable[[str], None],
    passphrase: Callable[[str], str] | None = None,
) -> AsyncsshLogin:
    """Return the login to a target.

    Args:
        session: Access to AWS.
        target: The target.
        request: How to log in.
        say: Called with what the user should know.
        passphrase: Returns the passphrase of an encrypted key file; takes its name.

    Raises:
        UsageError: No key can be pushed to the target.
        LocalError: The key file cannot be used.
    """
    if request.pushes_key:
        check_pushable(target)
    own_key = read_key(Path(request.private_key_file), passphrase) if request.private_key_file else None
    user = choose(session, target, request.os_user)
    if user.note:
        say(user.note)
    check = request.host_key_check or "console"
    return AsyncsshLogin(
        session, target, user, request.pushes_key, check, key_type=request.key_type, own_key=own_key, say=say
    )


_ALGORITHMS = {"ed25519": "ssh-ed25519", "ecdsa": "ecdsa-sha2-nistp256", "rsa": "ssh-rsa"}
"""Types of keys as RFC 8709, 5656 and 4253 call them."""


def _new_key(key_type: KeyType) -> asyncssh.SSHKey:
    """Create a key; with `auto` of the first type that the cryptography library supports, which may be in FIPS mode."""
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
            raise LocalError(f"Cannot use the key in {path}: {error}") from error
    except OSError as error:
        raise LocalError(f"Cannot read the key in {path}: {error.strerror}") from error
    try:
        return asyncssh.read_private_key(path, passphrase(str(path)))
    except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError) as error:
        raise LocalError(f"Cannot use the key in {path}: {error}", hint="check the passphrase") from error


def _imported(lines: Sequence[str]) -> tuple[asyncssh.SSHKey, ...]:
    """Return keys of the form `TYPE BASE64`, without those of types that asyncssh does not know."""
    found = []
    for line in lines:
        try:
            found.append(asyncssh.import_public_key(line))
        except asyncssh.KeyImportError:
            continue
    return tuple(found)
