"""OpenSSH's command lines and settings for hosts behind an endpoint: for one run, to print, and for ssh_config(5).

The ProxyCommand creates and pushes a key before it connects; unless a command of eicctl has checked the host's keys, it
does that, too.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from eicctl.aws.config_files import CONFIG, CREDENTIALS, config_file, credentials_file
from eicctl.aws.session import leave_keys
from eicctl.core.errors import UsageError
from eicctl.core.model import Target
from eicctl.core.request import ConnectRequest
from eicctl.ssh.host_keys import verdict
from eicctl.ssh.keys import check_pushable, own_key
from eicctl.ssh.known_hosts import KnownHosts, by_instance
from eicctl.ssh.process import proxy_words
from eicctl.support import defaults, files, log, pins
from eicctl.support.threads import both
from eicctl.tunnel.keepalive import given_interval

if TYPE_CHECKING:
    from eicctl.aws.caches import LoginSettings
    from eicctl.aws.session import Session
    from eicctl.ssh.login import Login

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
    """Return the request for a ProxyCommand in any environment: only keys in this environment are not in it."""
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
    return ["ssh", *options, "-l", user, "-p", str(target.remote_port), "--", target.host, *command]


def remote_path(target: Target, user: str, path: str) -> str:
    """Return `USER@HOST:PATH`, as scp(1) and sftp(1) read it."""
    host = target.host
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


_PUBLIC = "key.pub"
"""In the folder of a command: the public half of the user's own key, so that only the command asks for a passphrase."""

STRICT = {"console": "accept-new", "accept-new": "accept-new", "strict": "yes", "off": "no"}
"""StrictHostKeyChecking by check. The ProxyCommand has pinned what the console has before OpenSSH looks."""


@dataclass(frozen=True, slots=True)
class OpensshOptions:
    """OpenSSH's options for hosts, with `eicctl proxy` as the ProxyCommand.

    Attributes:
        request: What its ProxyCommand asks for, beside the host and the port; `private_key_file` is a key of the user's
            own, to use and no other. See `command.for_proxy` and `command.pinned`.
        folder: The folder of the eicctl command that runs OpenSSH; None for later runs by anybody.
    """

    request: ConnectRequest
    folder: Path | None = None

    @property
    def key_file(self) -> Path | None:
        """A private key of the user's own."""
        return Path(self.request.private_key_file).absolute() if self.request.private_key_file else None

    def in_session(self, folder: Path) -> OpensshOptions:
        """Return these options for runs of OpenSSH by one command, which leaves in a folder what its proxies need.

        Raises:
            LocalError: The public half of the user's key cannot be read, or the folder not be written.
        """
        leave_keys(folder)
        if self.request.pushes_key and self.key_file:
            files.write_whole(folder / _PUBLIC, f"{own_key(self.key_file).public}\n", durable=False)
        return replace(self, folder=folder)

    def settings(self, known: KnownHosts, target: str = "%n", *, strict: str = "") -> dict[str, str]:
        """Return the settings by their names in ssh_config(5).

        Args:
            known: Where the host's keys are: `by_instance` if it is called by an instance's ID, else `named_hosts`.
            target: The word by which `proxy` finds the host; `%n` for the name that OpenSSH has for it.
            strict: StrictHostKeyChecking by a check that has been made; empty if the proxy is to make it.
        """
        wanted = strict or STRICT[self.request.host_key_check or "console"]
        accepted = wanted
        if wanted == "accept-new" and (_version() or (8, 0)) < (7, 6):  # which do not know it
            accepted = "no" if self.folder else "ask"
        words = proxy_words() if self.folder else []
        proxy = self.proxy_options(target, checked=bool(strict))
        found = {
            "ProxyCommand": f"{proxy_line(words or [*eicctl_words(), 'proxy'])} {proxy}",
            "UserKnownHostsFile": os.devnull if wanted == "no" else config_path(known.path),
            "StrictHostKeyChecking": accepted,
            "HashKnownHosts": "no",
            "CheckHostIP": "no",
            "ServerAliveInterval": str(KEEP_ALIVE),
        }
        if self.key_file:
            found |= {"IdentityFile": config_path(self.key_file), "IdentitiesOnly": "yes"}
        elif self.request.pushes_key:
            # An IdentityFile that is not there as OpenSSH starts is read when it logs in.
            found |= {"IdentityFile": config_path(self.folder or key_folder(), "/%r@%n"), "IdentitiesOnly": "yes"}
        return found

    def proxy_options(self, target: str = "%n", *, checked: bool) -> str:
        """Return the ProxyCommand from its options on; arguments as in `settings`."""
        request = self.request
        pushes = request.pushes_key
        key_file = self.folder / _PUBLIC if self.folder else self.key_file
        named = pushes and request.private_key_file
        asked = request.replace(
            remote_port=None,
            session_folder=str(self.folder) if self.folder else None,
            host_key_check=None if checked or request.host_key_check == "console" else request.host_key_check,
            private_key_file=str(key_file) if named else None,
            key_type=request.key_type if pushes and not named else None,
        )
        words = [*asked.to_argv(), *(["--debug"] if self.folder and log.debugging() else [])]
        login = f"--ssh-login {token('%r@%n')} " if pushes else ""
        word = token(target) if target == "%n" else proxy_line([target])
        return f"{proxy_line(words)} {login}--remote-port %p {word}".lstrip()


def new_login_settings(session: Session, request: ConnectRequest) -> LoginSettings:
    """Resolve a request to log in, and return OpenSSH's settings for it; see `login_settings`.

    Raises:
        EicctlError: The target is not found, or is not one to log in to with a pushed key.
    """
    from eicctl.aws.caches import TargetCache
    from eicctl.aws.targets import resolve
    from eicctl.ssh.login import Login, by_host
    from eicctl.ssh.os_user import choose

    cache = TargetCache(session)
    target = cache.get(request)
    if not target:
        target = resolve(session, request)
        cache.put(target, request, by_host(request, target))
    check_pushable(target)
    check = request.host_key_check or defaults.host_key_check()
    user, accepted = both(
        lambda: choose(session, target, request.os_user or None), lambda: verdict(session, check, target.host)
    )
    login = Login(session, target, user, pushes=True, check=check, known=accepted)
    return login_settings(login, OpensshOptions(for_proxy(session, by_host(request, target))))


def login_settings(login: Login, openssh: OpensshOptions) -> LoginSettings:
    """Return OpenSSH's settings for a login, as JSON values. AWS may be asked for the host's keys.

    `Proxy` is the ProxyCommand from its options on, and `Settings` the other settings, without those that name the
    session's folder.
    """
    accepted = login.verdict()
    settings = openssh.settings(by_instance(), strict=accepted.strict) | {"HostKeyAlias": login.name}
    del settings["ProxyCommand"], settings["IdentityFile"]
    return {
        "Host": login.name,
        "User": asdict(login.user),
        "Target": asdict(login.target),
        "Proxy": openssh.proxy_options(checked=True),
        "Settings": settings,
        "Notes": [note for note in (login.user.note, accepted.note) if note],
    }


@functools.cache
def _version() -> tuple[int, int] | None:
    """Return the version of ssh, or None if unknown."""
    try:
        done = subprocess.run(["ssh", "-V"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    except OSError:
        return None
    found = re.search(r"OpenSSH\D*(\d+)\.(\d+)", done.stderr + done.stdout)
    return (int(found[1]), int(found[2])) if found else None


def folder() -> Path:
    """Where files for OpenSSH's own use are: `~/.ssh/eicctl`."""
    return files.expanded("~") / ".ssh" / "eicctl"


def key_folder() -> Path:
    """Where keys of `--ssh-login` are."""
    return folder() / "keys"


def named_hosts() -> KnownHosts:
    """Return the file of host keys by the names of ssh_config."""
    return KnownHosts(folder() / "known_hosts")
