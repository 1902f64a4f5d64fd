"""OpenSSH's command lines for targets behind an endpoint."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from eicctl.aws.config_files import CONFIG, CREDENTIALS, config_file, credentials_file
from eicctl.core.errors import UsageError
from eicctl.core.model import Target
from eicctl.core.request import ConnectRequest
from eicctl.support import pins
from eicctl.tunnel.keepalive import given_interval

if TYPE_CHECKING:
    from eicctl.aws.session import Session

KEEP_ALIVE = 30
"""Seconds of silence after which ssh asks whether the server is there."""


def for_proxy(session: Session, request: ConnectRequest) -> ConnectRequest:
    """Return the request with the session's names, for a ProxyCommand in this environment."""
    return request.replace(
        region=session.region,
        profile=session.profile,
        ca_bundle=session.given_ca_bundle,
        fips=session.fips,
        keepalive=given_interval() if request.keepalive is None else request.keepalive,
    )


def pinned(session: Session, request: ConnectRequest) -> ConnectRequest:
    """Return the request for a ProxyCommand in any environment: only keys that are in this one are left to it."""
    return for_proxy(session, request).replace(
        profile=session.pinned_profile,
        ca_bundle=_absolute(session.given_ca_bundle or os.environ.get("AWS_CA_BUNDLE", "")),
        aws_config_file=_absolute(config_file()) if CONFIG in os.environ else None,
        aws_shared_credentials_file=_absolute(credentials_file()) if CREDENTIALS in os.environ else None,
    )


def _absolute(path: str) -> str | None:
    """Return a path for a process in another folder; None for an empty one."""
    return str(Path(os.path.expanduser(path)).absolute()) if path else None  # noqa: PTH111 - what it cannot expand stays


def eicctl_words() -> list[str]:
    """This program, as other programs can start it, in any folder.

    A script's path stays as it was called: a link such as `~/.local/bin/eicctl` outlives the version that it leads to.
    """
    name = "eicctl.exe" if os.name == "nt" else "eicctl"
    script = Path(sys.argv[0])
    if script.name in ("eicctl", name) and script.is_file():
        return [str(script.absolute())]
    if script.name != "__main__.py":  # not started as a module either: from a program that uses the library
        for candidate in (Path(sys.executable).with_name(name), shutil.which("eicctl")):
            if candidate and Path(candidate).is_file():
                return [str(Path(candidate).absolute())]
    return [sys.executable, "-P", "-m", "eicctl"]  # -P: a folder `eicctl` where ssh is called is not this program


def proxy_line(words: Sequence[str]) -> str:
    """Return words as a ProxyCommand, or a part of one: for the shell that runs it, after ssh has replaced % tokens."""
    return pins.command(*words).replace("%", "%%")


def token(text: str) -> str:
    """Return a word of a ProxyCommand that has % tokens. OpenSSH before 9.6 lets through what is special to a shell."""
    return f"'{text}'" if os.name == "posix" else text


def host_of(target: Target) -> str:
    """What OpenSSH calls a target: its instance ID, else its address."""
    return target.instance_id or target.address


def as_options(settings: Mapping[str, str]) -> list[str]:
    """Return settings of ssh_config(5) as options of a command line."""
    return [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]


def ssh_command(target: Target, user: str, options: Sequence[str], command: Sequence[str]) -> list[str]:
    """Return the words of ssh's command line.

    Args:
        target: Where to log in.
        user: The OS user.
        options: The user's own, then eicctl's: OpenSSH takes the first value that it is given.
        command: The remote command's words, or nothing for a shell.
    """
    return ["ssh", *options, "-l", user, "-p", str(target.remote_port), "--", host_of(target), *command]


def remote_path(target: Target, user: str, path: str) -> str:
    """Return `USER@HOST:PATH`, as scp(1) and sftp(1) read it."""
    host = host_of(target)
    return f"{user}@[{host}]:{path}" if ":" in host else f"{user}@{host}:{path}"


def config_path(path: Path, rest: str = "") -> str:
    """Return a path as a word of ssh_config(5), where % begins a token and a space ends the word.

    Args:
        path: The path.
        rest: More of the word, which may have tokens.

    Raises:
        UsageError: OpenSSH would read another path.
    """
    text = str(path)
    if "${" in text:
        raise UsageError(f"OpenSSH cannot use the path {text}: it reads ${{ as a variable")
    text = text.replace("%", "%%")
    return config_word(text, rest) if _SPECIAL.search(text) else text + rest


def config_word(text: str, rest: str = "") -> str:
    """Return a text in the double quotes of ssh_config(5), in which a backslash stands before a quote or another one.

    OpenSSH before 8.7 knows no backslash: it takes all but a double quote as it is.
    """
    return '"' + _ESCAPED.sub(r"\\\g<0>", text) + rest + '"'


_SPECIAL = re.compile(r"""[\s"'#=]|\\[\\]""")
_ESCAPED = re.compile(r"""["]|\\(?=[\\"']|$)""")
