"""Settings of OpenSSH for hosts behind an endpoint: for one run, for a shell's history, and for ssh_config(5).

The ProxyCommand pushes a key before it connects. Where no command of eicctl has made the key and checked the host's
keys, it does that, too.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eicctl.aws.session import leave_keys
from eicctl.core.model import Target
from eicctl.core.request import ConnectRequest
from eicctl.ssh.command import KEEP_ALIVE, Access, eicctl_words, proxy_line, quoted, token
from eicctl.ssh.host_keys import Check
from eicctl.ssh.keys import KeyType
from eicctl.ssh.known_hosts import KnownHosts, by_instance
from eicctl.ssh.process import version
from eicctl.support import files

if TYPE_CHECKING:
    from eicctl.ssh.login import Login

STRICT = {"console": "accept-new", "accept-new": "accept-new", "strict": "yes", "off": "no"}
"""StrictHostKeyChecking by check. The ProxyCommand has pinned what the console has before OpenSSH looks."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How OpenSSH gets to hosts by itself.

    Attributes:
        access: How the ProxyCommand gets at AWS.
        pushes: Whether it pushes a key.
        check: How host keys are checked.
        words: More words of the ProxyCommand: what chooses the endpoint, say.
        key_file: A private key of the user's own, to use and no other; its public half is pushed, if one is.
        key_type: The type of a key that is made.
    """

    access: Access
    pushes: bool = True
    check: Check = "console"
    words: tuple[str, ...] = ()
    key_file: Path | None = None
    key_type: KeyType = "auto"

    def settings(self, known: KnownHosts, target: str = "%n") -> dict[str, str]:
        """Return the settings by their names in ssh_config(5).

        Args:
            known: Where the host's keys are: `by_instance` if it is called by an instance's ID, else `named_hosts`.
            target: The word by which `proxy` finds the host; `%n` for the name that OpenSSH has for it.
        """
        found = {
            "ProxyCommand": self._proxy_command(target),
            "UserKnownHostsFile": os.devnull if self.check == "off" else quoted(known.path),
            "StrictHostKeyChecking": first_seen(STRICT[self.check], "ask"),
            "HashKnownHosts": "no",
            "CheckHostIP": "no",
            "ServerAliveInterval": str(KEEP_ALIVE),
        }
        if self.key_file:
            found |= {"IdentityFile": quoted(self.key_file.absolute()), "IdentitiesOnly": "yes"}
        elif self.pushes:
            # An IdentityFile that is not there as OpenSSH starts is read when it logs in.
            found |= {"IdentityFile": quoted(key_folder(), "/%r@%n"), "IdentitiesOnly": "yes"}
        return found

    def in_session(self, folder: Path, strict: str, key: Path | None) -> dict[str, str]:
        """Return the settings for one run of OpenSSH by eicctl.

        Args:
            folder: The session's folder.
            strict: The value of StrictHostKeyChecking.
            key: The private key to use and no other; None leaves the choice to OpenSSH.
        """
        leave_keys(folder)
        words = (*self.words, "--session-folder", str(folder))
        found = replace(self, words=words, check="console", key_file=None).settings(by_instance())
        found |= _of_verdict(strict, "no")  # where it is `accept-new`, no key of the host is known yet
        if key:
            found |= {"IdentityFile": quoted(key), "IdentitiesOnly": "yes"}
        return found

    def for_login(self, host: str, strict: str) -> tuple[str, dict[str, str]]:
        """Return the settings for later runs of OpenSSH by eicctl: the ProxyCommand, from its options on, and others.

        Args:
            host: What OpenSSH calls the host.
            strict: The value of StrictHostKeyChecking.
        """
        standing = replace(self, check="console")
        found = standing.settings(by_instance()) | _of_verdict(strict, "ask") | {"HostKeyAlias": host}
        del found["ProxyCommand"], found["IdentityFile"]
        return standing._proxy_options("%n"), found

    def _proxy_command(self, target: str) -> str:
        return f"{proxy_line([*eicctl_words(), 'proxy'])} {self._proxy_options(target)}"

    def _proxy_options(self, target: str) -> str:
        words = [*self.words, *self.access.words()]
        if self.check != "console":
            words += ["--host-key-check", self.check]
        if self.pushes and self.key_file:
            words += ["--private-key-file", str(self.key_file.absolute())]
        elif self.pushes and self.key_type != "auto":
            words += ["--key-type", self.key_type]
        login = f"--ssh-login {token('%r@%n')} " if self.pushes else ""
        word = token(target) if target == "%n" else proxy_line([target])
        return f"{proxy_line(words)} {login}--remote-port %p {word}".lstrip()


def _of_verdict(strict: str, before: str) -> dict[str, str]:
    found = {"StrictHostKeyChecking": first_seen(strict, before)}
    return {**found, "UserKnownHostsFile": os.devnull} if strict == "no" else found


def login_settings(login: Login, standing: Standing) -> dict[str, Any]:
    """Return what OpenSSH is told for a login, in a form that JSON can carry. AWS may be asked for the host's keys.

    `Proxy` is the ProxyCommand from its options on, and `Settings` the other settings; those that name the session's
    folder are not among them.
    """
    verdict = login.verdict()
    proxy, settings = standing.for_login(login.name, verdict.strict)
    return {
        "Host": login.name,
        "User": asdict(login.user),
        "Target": asdict(login.target),
        "Proxy": proxy,
        "Settings": settings,
        "Notes": [note for note in (login.user.note, verdict.note) if note],
    }


def proxy_words(request: ConnectRequest) -> tuple[str, ...]:
    """Return words of a ProxyCommand that say what a request does beside the host's name and the port."""
    said: list[str] = []
    for option, value in (
        ("--private-ip-address", request.private_ip_address),
        ("--instance-connect-endpoint-id", request.endpoint_id),
        ("--instance-connect-endpoint-dns-name", request.endpoint_dns_name),
    ):
        said += [option, value] if value else []
    return (*said, "--allow-any-port") if request.allow_any_port else tuple(said)


def first_seen(strict: str, before: str) -> str:
    """Return a value of StrictHostKeyChecking for the OpenSSH that is here.

    Args:
        strict: The value.
        before: What stands for `accept-new` before OpenSSH 7.6, which does not know it.
    """
    return before if strict == "accept-new" and (version() or (8, 0)) < (7, 6) else strict


def in_full(target: Target) -> tuple[str, ...]:
    """Return words of a ProxyCommand that leave nothing of a target to be asked of AWS."""
    return (
        *("--private-ip-address", target.address),
        *("--instance-connect-endpoint-id", target.endpoint_id),
        *("--instance-connect-endpoint-dns-name", target.endpoint_dns_name),
    )


def folder() -> Path:
    """Where files for OpenSSH's own use are: `~/.ssh/eicctl`."""
    return files.expanded("~") / ".ssh" / "eicctl"


def key_folder() -> Path:
    """Where keys of `--ssh-login` are."""
    return folder() / "keys"


def named_hosts() -> KnownHosts:
    """Return the file of host keys by the names of ssh_config."""
    return KnownHosts(folder() / "known_hosts")
