"""Settings of OpenSSH for hosts behind an endpoint: for one run, for a shell's history, and for ssh_config(5).

The ProxyCommand pushes a key before it connects. Where no command of eicctl has made the key and checked the host's
keys, it does that, too.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from eicctl.aws.session import leave_keys
from eicctl.model import Target
from eicctl.ssh.command import KEEP_ALIVE, Access, eicctl_words, proxy_line, quoted, token
from eicctl.ssh.host_keys import Check
from eicctl.ssh.known_hosts import KnownHosts, by_instance

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
    """

    access: Access
    pushes: bool = True
    check: Check = "console"
    words: tuple[str, ...] = ()

    def settings(self, known: KnownHosts, target: str = "%n") -> dict[str, str]:
        """Return the settings by their names in ssh_config(5).

        Args:
            known: Where the host's keys are: `by_instance` if it is called by an instance's ID, else `named_hosts`.
            target: The word by which `proxy` finds the host; `%n` for the name that OpenSSH has for it.
        """
        found = {
            "ProxyCommand": self._proxy_command(target),
            "UserKnownHostsFile": os.devnull if self.check == "off" else quoted(known.path),
            "StrictHostKeyChecking": STRICT[self.check],
            "HashKnownHosts": "no",
            "CheckHostIP": "no",
            "ServerAliveInterval": str(KEEP_ALIVE),
        }
        if self.pushes:
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
        found = replace(self, words=words, check="console").settings(by_instance())
        found["StrictHostKeyChecking"] = strict
        if strict == "no":
            found["UserKnownHostsFile"] = os.devnull
        if key:
            found |= {"IdentityFile": quoted(key), "IdentitiesOnly": "yes"}
        return found

    def _proxy_command(self, target: str) -> str:
        words = [*eicctl_words(), "proxy", *self.words, *self.access.words()]
        if self.check != "console":
            words += ["--host-key-check", self.check]
        login = f" --ssh-login {token('%r@%n')}" if self.pushes else ""
        word = token(target) if target == "%n" else proxy_line([target])
        return f"{proxy_line(words)}{login} --remote-port %p {word}"


def in_full(target: Target) -> tuple[str, ...]:
    """Return words of a ProxyCommand that leave nothing of a target to be asked of AWS."""
    return (
        *("--private-ip-address", target.address),
        *("--instance-connect-endpoint-id", target.endpoint_id),
        *("--instance-connect-endpoint-dns-name", target.endpoint_dns_name),
    )


def folder() -> Path:
    """Where files for OpenSSH's own use are: `~/.ssh/eicctl`."""
    return Path.home() / ".ssh" / "eicctl"


def key_folder() -> Path:
    """Where keys of `--ssh-login` are."""
    return folder() / "keys"


def named_hosts() -> KnownHosts:
    """Return the file of host keys by the names of ssh_config."""
    return KnownHosts(folder() / "known_hosts")
