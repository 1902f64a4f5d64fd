"""OpenSSH's command line for a target behind an endpoint."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from eicctl import settings
from eicctl.model import Target

KEEP_ALIVE = 30
"""Seconds of silence after which ssh asks whether the server is there."""


@dataclass(frozen=True, slots=True)
class Access:
    """How the proxy gets at AWS: names only; the credentials themselves come from environment and configuration."""

    profile: str | None = None
    ca_bundle: str | None = None
    max_tunnel_duration: int | None = None


def known_hosts() -> Path:
    """eicctl's own file of host keys, by instance ID: private addresses are used again, IDs are not."""
    return settings.state_dir() / "known_hosts"


def proxy_command(target: Target, access: Access) -> str:
    """Return the ProxyCommand: resolved in full, so that it asks the control plane nothing."""
    words = [sys.executable, "-m", "eicctl", "proxy"]
    words += ["--private-ip-address", target.address, "--remote-port", str(target.remote_port)]
    words += ["--instance-connect-endpoint-id", target.endpoint_id]
    words += ["--instance-connect-endpoint-dns-name", target.endpoint_dns_name, "--region", target.region]
    if target.remote_port not in (22, 3389):
        words.append("--allow-any-port")
    for option, value in (
        ("--profile", access.profile),
        ("--ca-bundle", access.ca_bundle),
        ("--max-tunnel-duration", access.max_tunnel_duration),
    ):
        if value is not None:
            words += [option, str(value)]
    line = shlex.join(words) if os.name == "posix" else subprocess.list2cmdline(words)
    return line.replace("%", "%%")  # ssh replaces its % sequences


def ssh_command(
    target: Target,
    *,
    user: str,
    proxy: str,
    key: Path | None,
    options: Sequence[str],
    command: Sequence[str],
) -> list[str]:
    """Return the words of the command line.

    Args:
        target: Where to log in.
        user: The OS user.
        proxy: The ProxyCommand.
        key: The private key to use and no other; None leaves the choice to OpenSSH.
        options: The user's own, first: OpenSSH takes the first value that it is given.
        command: The remote command's words, or nothing for a shell.
    """
    settled = {
        "ProxyCommand": proxy,
        "HostKeyAlias": target.instance_id or target.address,
        "UserKnownHostsFile": _quoted(known_hosts()),
        "StrictHostKeyChecking": "accept-new",
        "HashKnownHosts": "no",
        "CheckHostIP": "no",
        "ServerAliveInterval": str(KEEP_ALIVE),
    }
    words = ["ssh", *options]
    if key:
        words += ["-i", str(key), "-o", "IdentitiesOnly=yes"]
    for name, value in settled.items():
        words += ["-o", f"{name}={value}"]
    return [*words, "-l", user, "-p", str(target.remote_port), "--", target.instance_id or target.address, *command]


def _quoted(path: Path) -> str:
    return f'"{path}"' if " " in str(path) else str(path)
