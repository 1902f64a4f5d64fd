"""`eicctl ssh` in its usual form, without Click: what OpenSSH is told comes from the background process, or from a
login of some minutes ago. Anything else is Click's.

Imports as little as can be: all of it is before OpenSSH's start.
"""

from __future__ import annotations

import os
import signal
import sys

from eicctl.agent.paths import usual_folder
from eicctl.fastpath.args import CHECK, CHECKS, NUMBERS, TEXTS, read
from eicctl.support import log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FrameType
    from typing import Any, NoReturn

    from eicctl.agent.words import Words

WITHOUT_ARGUMENT = frozenset("46AaCfgKkMNnsTtXxYyv")
WITH_ARGUMENT = frozenset("BbcDeILmRWw")
"""OpenSSH's options that say nothing of user, port, key or way."""

_NOT_SETTINGS = ("user", "port", "identityfile", "proxycommand", "proxyjump", "loglevel", "proxyusefdpass")
_OURS = frozenset({*TEXTS, *NUMBERS}) - {
    *("--ssh-login", "--private-key-file", "--session-folder", "--announce-end", "--remote-port")
}
_FLAGS = frozenset({"--allow-any-port", "--fips"})
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-")
"""Characters of a path that mean nothing to ssh_config and to a shell."""

not_remembered: list[tuple[str | None, str | None, str]] = []
"""What a login is to be remembered by once Click has made it; nothing for what is none of the usual form."""


class Said:
    """What the arguments say.

    Attributes:
        words: The target and how to reach it.
        os_user: The OS user, or an empty text.
        check: How to check host keys, or an empty text for what is configured.
        options: OpenSSH's own options.
        command: The remote command.
    """

    def __init__(self, words: Words, os_user: str, check: str, options: list[str], command: list[str]) -> None:
        self.words = words
        self.os_user = os_user
        self.check = check
        self.options = options
        self.command = command


def parse(arguments: Sequence[str]) -> Said | None:
    """Return what the arguments after `ssh` say, or None where Click is to read them."""
    ours: list[str] = []
    options: list[str] = []
    os_user = check = target = ""
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        if word == "--":
            if target:
                break
            if any(said.startswith(("--instance-id", "--private-ip-address")) for said in ours):
                return None  # the target is named, and the command follows
            continue
        if word.startswith("--"):
            name, equals, value = word.partition("=")
            if word in _FLAGS:
                ours.append(word)
                continue
            if (name not in _OURS and name not in ("--os-user", CHECK)) or not (equals or rest):
                return None
            value = value if equals else rest.pop(0)
            if name == "--os-user":
                os_user = value
            elif name == CHECK:
                check = value
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
    words = read([*ours, "--", host])
    if not words or check not in ("", *CHECKS):
        return None
    return Said(words, os_user or user, check, options, rest)


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
    if sys.platform == "win32" or not usual or os.environ.get(log.VARIABLE) or not (said := parse(arguments)):
        return None
    from eicctl.aws import login_cache

    about = said.words["profile"], said.words["region"], repr((said.words, said.os_user, said.check))
    key = login_cache.key(*about)
    folder = f"{base}/ssh-{os.getpid()}-{os.urandom(4).hex()}"
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)
    try:
        os.mkdir(folder, 0o700)  # noqa: PTH102
    except OSError:
        return None
    try:
        from eicctl.agent.delegate import login

        known = login({**said.words, "session_folder": folder}, said.os_user, said.check, key)
        if known is None:
            known = login_cache.recall(key)
        if known is None:
            not_remembered.append(about)
            return None
        ended = _connect(said, known, program, folder, explain)
        if ended is None:
            login_cache.forget(key)
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
    said: Said, known: dict[str, Any], program: str, folder: str, explain: Callable[..., int | None]
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
    command = ["ssh", *said.options, *options, "-l", user, "-p", port, "--", host, *said.command]
    code, stderr = run_openssh(command, lambda: os.path.exists(f"{folder}/failures"))  # noqa: PTH110
    if code != 255 and not os.path.exists(f"{folder}/failures"):  # noqa: PTH110
        return code
    return explain(known, said.words, code, stderr, folder)
