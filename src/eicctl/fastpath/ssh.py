"""`eicctl ssh` in its usual form, without Click: OpenSSH's settings come from the background process, or from a login
of some minutes ago. Anything else is Click's.

Imports as little as can be: all of it is before OpenSSH's start.
"""

from __future__ import annotations

import os
import signal
import sys

from eicctl.agent.paths import usual_folder
from eicctl.fastpath.proxy import read
from eicctl.support import log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FrameType
    from typing import Any, NoReturn

    from eicctl.core.request import ConnectRequest

WITHOUT_ARGUMENT = frozenset("46AaCfgKkMNnsTtXxYyv")
WITH_ARGUMENT = frozenset("BbcDeILmRWw")
"""OpenSSH's options that change neither user, port, key nor proxy."""

_NOT_SETTINGS = ("user", "port", "identityfile", "proxycommand", "proxyjump", "loglevel", "proxyusefdpass")
_WITH_VALUE = frozenset(
    {
        *("--instance-id", "--private-ip-address", "--instance-connect-endpoint-id", "--host-key-check"),
        *("--instance-connect-endpoint-dns-name", "--max-tunnel-duration", "--keepalive"),
        *("--profile", "--region", "--ca-bundle"),
    }
)
_FLAGS = frozenset({"--allow-any-port", "--fips"})
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-")
"""Characters of a path that mean nothing to ssh_config and to a shell."""

new_logins: list[str] = []
"""The key in `aws.caches` of a login that Click is to make; empty where it has not the usual form."""


class Arguments:
    """The arguments of `eicctl ssh`.

    Attributes:
        request: The target, how to reach it and how to log in.
        options: OpenSSH's own options.
        command: The remote command.
    """

    def __init__(self, request: ConnectRequest, options: list[str], command: list[str]) -> None:
        self.request = request
        self.options = options
        self.command = command


def parse(arguments: Sequence[str]) -> Arguments | None:
    """Return the arguments after `ssh`, or None where Click is to read them."""
    ours: list[str] = []
    options: list[str] = []
    os_user = target = ""
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        if word == "--":
            if target:
                break
            if any(option.startswith(("--instance-id", "--private-ip-address")) for option in ours):
                return None  # the target is named, and the command follows
            continue
        if word.startswith("--"):
            name, equals, value = word.partition("=")
            if word in _FLAGS:
                ours.append(word)
                continue
            if (name not in _WITH_VALUE and name != "--os-user") or not (equals or rest):
                return None
            value = value if equals else rest.pop(0)
            if name == "--os-user":
                os_user = value
            else:
                ours.append(f"{name}={value}")
        elif word.startswith("-"):
            if not (taken := _short(word, rest)):
                return None
            options += taken
        elif target:
            rest.insert(0, word)
            break
        else:
            target = word
    user, _, host = target.rpartition("@")
    if not host or host.startswith("-") or user.startswith("-") or any(char in target for char in ":/[]"):
        return None
    request = read([*ours, "--", host])
    return Arguments(request.replace(os_user=os_user or user), options, rest) if request else None


def _short(word: str, rest: list[str]) -> list[str]:
    """Return one word of OpenSSH's short options with its argument, which is taken from `rest`; or nothing."""
    for position, flag in enumerate(word[1:], 1):
        if flag in WITHOUT_ARGUMENT:
            continue
        argument = word[position + 1 :]
        taken = [word] if argument or not rest else [word, rest.pop(0)]
        argument = argument or taken[-1]
        if len(taken) == 1 and word[position + 1 :] == "":
            return []
        if flag in WITH_ARGUMENT:
            return taken
        if flag == "o" and not argument.strip().lower().startswith(_NOT_SETTINGS):
            return taken
        return []
    return [word] if len(word) > 1 else []


def run(arguments: Sequence[str], explain: Callable[..., int | None]) -> int | None:
    """Log in; return the exit code, or None where Click is to do it all: nothing has been done then.

    Args:
        arguments: The words after `ssh`.
        explain: `cli.openssh.explained`.
    """
    program, base = sys.argv[0], usual_folder(os.environ)
    usual = base and _PLAIN.issuperset(base + program) and program.endswith("/eicctl") and _is_ours(base)
    if sys.platform == "win32" or not usual or os.environ.get(log.VARIABLE) or not (parsed := parse(arguments)):
        return None
    from eicctl.aws.caches import forget_login, known_login, login_key

    request = parsed.request
    key = login_key(request.profile, request.region, repr(request))
    folder = f"{base}/ssh-{os.getpid()}-{os.urandom(4).hex()}"
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)
    try:
        os.mkdir(folder, 0o700)  # noqa: PTH102
    except OSError:
        return None
    try:
        from eicctl.agent.delegate import login

        known = login(request.replace(session_folder=folder), key)
        if known is None:
            known = known_login(key)
        if known is None:
            new_logins.append(key)
            return None
        ended = _connect(parsed, known, program, folder, explain)
        if ended is None:
            forget_login(key)
        return ended
    finally:
        for name in os.listdir(folder):  # noqa: PTH208
            os.unlink(f"{folder}/{name}")  # noqa: PTH108
        os.rmdir(folder)  # noqa: PTH106


def _is_ours(base: str) -> bool:
    """Whether the runtime folder is there, and nobody else can write to it."""
    try:
        status = os.lstat(base)
    except OSError:
        return False
    return status.st_mode & 0o170022 == 0o40000 and status.st_uid == os.getuid()


def _leave(number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


def _connect(
    arguments: Arguments, known: dict[str, Any], program: str, folder: str, explain: Callable[..., int | None]
) -> int | None:
    from eicctl.ssh.process import run as run_openssh

    settings = {
        "ProxyCommand": f"{program} proxy --session-folder {folder} {known['Proxy']}",
        "IdentityFile": f"{folder}/%r@%n",
        **known["Settings"],
    }
    options = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
    for note in known["Notes"]:
        print(note if note.isprintable() else ascii(note)[1:-1], file=sys.stderr, flush=True)  # noqa: T201
    user, port, host = known["User"]["name"], str(known["Target"]["remote_port"]), known["Host"]
    command = ["ssh", *arguments.options, *options, "-l", user, "-p", port, "--", host, *arguments.command]
    code, stderr = run_openssh(command, lambda: os.path.exists(f"{folder}/failures"))  # noqa: PTH110
    if code != 255 and not os.path.exists(f"{folder}/failures"):  # noqa: PTH110
        return code
    return explain(known, arguments.request, code, stderr, folder)
