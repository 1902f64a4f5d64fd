"""`eicctl ssh` in its usual form, without Click: OpenSSH's settings come from the background process, from a login of
some minutes ago, or from AWS. Anything else is Click's, which can ask its user.

Imports as little as can be: all of it is before OpenSSH's start.
"""

from __future__ import annotations

import os
import sys

from eicctl.agent.paths import usual_folder
from eicctl.core.errors import EicctlError
from eicctl.fastpath.proxy import Reporter, read
from eicctl.ssh.arguments import SSH, split
from eicctl.ssh.process import FAILURES, SessionFolder, proxy_words, sweep
from eicctl.ssh.process import run as run_openssh
from eicctl.support import log
from eicctl.support.activity import export_target, export_width

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from eicctl.aws.caches import LoginSettings
    from eicctl.core.request import ConnectRequest
    from eicctl.fastpath.proxy import Printer
    from eicctl.ssh.arguments import Arguments

_NOT_USUAL = frozenset("EFGiJlOPpQqSVv")
"""OpenSSH's options that change user, port, key or proxy, or what is printed."""

_NOT_SETTINGS = ("user", "port", "identityfile", "proxycommand", "proxyjump", "loglevel", "proxyusefdpass")
_OURS = {
    **dict.fromkeys(("--instance-id", "--private-ip-address", "--instance-connect-endpoint-id", "--os-user"), True),
    **dict.fromkeys(("--instance-connect-endpoint-dns-name", "--max-tunnel-duration", "--keepalive"), True),
    **dict.fromkeys(("--host-key-check", "--profile", "--region", "--ca-bundle"), True),
    **dict.fromkeys(("--allow-any-port", "--fips"), False),
}
"""eicctl's options of the usual form, each with whether it takes a value."""

_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-")
"""Characters of a path that mean nothing to ssh_config and to a shell."""

new_logins: list[str] = []
"""The key in `aws.caches` of a login that Click is to make; empty where it has not the usual form."""


def parse(words: Sequence[str]) -> tuple[ConnectRequest, Arguments] | None:
    """Return the arguments after `ssh`: what eicctl is to do, and OpenSSH's. None where Click is to read them."""
    try:
        ours, arguments = split(words, _OURS, SSH)
    except EicctlError:
        return None
    if not all(flag not in _NOT_USUAL and _is_usual(value if flag == "o" else "") for flag, value in arguments.options):
        return None
    target = arguments.operands[0] if arguments.operands else ""
    user, _, host = target.rpartition("@")
    if not host or host.startswith("-") or user.startswith("-") or any(char in target for char in ":/[]"):
        return None
    if not {word.partition("=")[0] for word in ours} <= _OURS.keys():
        return None
    users = [word.partition("=")[2] for word in ours if word.startswith("--os-user=")]
    request = read([*(word for word in ours if not word.startswith("--os-user=")), "--", host])
    return (request.replace(os_user=(users or [user])[-1] or user), arguments) if request else None


def _is_usual(setting: str | None) -> bool:
    return not (setting or "").strip().lower().startswith(_NOT_SETTINGS)


def run(arguments: Sequence[str], explain: Callable[..., int | None], printer: Callable[[], Printer]) -> int | None:
    """Log in; return the exit code, or None where Click is to do it all: nothing has been done then.

    Args:
        arguments: The words after `ssh`.
        explain: `cli.openssh.explained`.
        printer: Loads what prints on stderr.
    """
    proxy, base = proxy_words(), usual_folder(os.environ)
    if sys.platform == "win32" or not proxy or not base or not all(map(_PLAIN.issuperset, (base, *proxy))):
        return None
    if not _is_ours(base) or os.environ.get(log.VARIABLE) or not (parsed := parse(arguments)):
        return None
    from eicctl.aws.caches import forget_login, known_login, login_key
    from eicctl.support import defaults

    request, openssh = parsed
    found = defaults.in_force(request.profile, request.region, request.label, defaults.alias(request.target))
    request = defaults.filled(request, found)
    if any(found.get(name) for name in ("keep", "forward", "private_key_file")) or ":" in request.target:
        return None
    request = request.replace(os_user=request.os_user or found.get("os_user"))
    key = login_key(request.profile, request.region, repr(request))
    with SessionFolder(base) as folder:
        from eicctl.agent.delegate import login

        export_width()
        reporter = Reporter(request, printer)
        known = login(request.replace(session_folder=folder), key, reporter.waiting)
        if known is None:
            known = known_login(key) or _asked(request, reporter)
        reporter.clear()
        if not known:
            new_logins.append(key)
            return None
        code, stderr = _connect(request, openssh, known, folder, key)
        if code != 255 and not os.path.exists(f"{folder}/{FAILURES}"):  # noqa: PTH110
            return code
        ended = explain(known, request, code, stderr, folder)
        if ended is None:
            forget_login(key)
        return ended


def _asked(request: ConnectRequest, reporter: Reporter) -> LoginSettings | None:
    """Ask AWS for the settings of a login; None where Click is to do it, which can ask its user, too."""
    from eicctl.aws.session import Sessions

    try:
        session = Sessions().for_request(request)
        if not session.plain:
            return None
        from eicctl.ssh.openssh_options import new_login_settings

        ended = reporter.watch()
        try:
            return new_login_settings(session, request)
        finally:
            ended()
    except EicctlError:
        return None


def _is_ours(base: str) -> bool:
    """Whether the runtime folder is there, and nobody else can write to it."""
    try:
        status = os.lstat(base)
    except OSError:
        return False
    return status.st_mode & 0o170022 == 0o40000 and status.st_uid == os.getuid()


def _connect(
    request: ConnectRequest, arguments: Arguments, known: LoginSettings, folder: str, key: str
) -> tuple[int, str]:
    """Run OpenSSH; return its exit code and the end of what it wrote to stderr."""

    settings = {
        "ProxyCommand": f"{' '.join(proxy_words())} --session-folder {folder} {known['Proxy']}",
        "IdentityFile": f"{folder}/%r@%n",
        **known["Settings"],
    }
    options = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
    for note in known["Notes"]:
        print(note if note.isprintable() else ascii(note)[1:-1], file=sys.stderr, flush=True)  # noqa: T201
    user, port, host = known["User"]["name"], str(known["Target"]["remote_port"]), known["Host"]
    command = ["ssh", *arguments.to_argv(), *options, "-l", user, "-p", port, "--", host, *arguments.operands[1:]]
    connections = []
    target = known["Target"]
    name = target["instance_name"] or target["instance_id"] or target["address"]
    export_target(name)

    def begun() -> None:
        from eicctl.support import pins, recents

        profile, region = pins.profile_in_force(request.profile), target["region"]
        found = recents.Connection(
            "ssh", name, instance_id=target["instance_id"], profile=profile, region=region, user=user
        )
        connections.append(found)
        sweep(os.path.dirname(folder))  # noqa: PTH120
        if "eicctl.ssh.openssh_options" in sys.modules:  # the settings are new
            from eicctl.aws.caches import note_login

            note_login(key, known)

    code, stderr = run_openssh(command, lambda: os.path.exists(f"{folder}/{FAILURES}"), begun)  # noqa: PTH110
    for each in connections:
        each.failed = code == 255
        each.end()
    return code, stderr
