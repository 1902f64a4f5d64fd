"""`eicctl scp`."""

from __future__ import annotations

import click

from eicctl.cli import picker
from eicctl.cli.openssh_command import Invocation, OpensshCommand, login_options, run_or_print
from eicctl.core.errors import UsageError
from eicctl.core.model import SSH_PORT
from eicctl.ssh.arguments import SCP
from eicctl.ssh.destination import Destination, parse_remote_path
from eicctl.view import messages


@click.command(cls=OpensshCommand, grammar=SCP, usage="[SCP OPTIONS] SOURCE… DESTINATION")
@login_options
def command(*, invocation: Invocation) -> int:
    """Copy files to, from, or between instances.

    SOURCE and DESTINATION are local files or [USER@]TARGET:PATH. Short options (-r, -p, -C, -l, …) are passed to scp,
    whose exit code is returned. Copies between instances pass through this machine.

    \b
    Examples:
      eicctl scp site.tar.gz web-1:/tmp/
      eicctl scp -r web-1:/var/log/nginx ubuntu@app-1:logs .
      eicctl scp web-1:dump.sql app-1:
    """
    words = invocation.words.operands
    if not words and picker.on_terminal():
        invocation, words = _ask(invocation)
    if len(words) < 2:
        raise UsageError("Missing source or destination", hint="eicctl scp FILE TARGET:PATH; targets: eicctl instances")
    paths = [parse_remote_path(word) for word in words]
    if not any(paths):
        raise UsageError("No remote path given", hint="eicctl scp FILE TARGET:PATH")

    from eicctl.ssh.keys import private_folder
    from eicctl.ssh.login import Login
    from eicctl.ssh.openssh_options import remote_path

    with private_folder() as folder:
        logins: dict[tuple[str, str], Login] = {}
        written = []
        for word, path in zip(words, paths, strict=True):
            if not path:
                written.append(word)
                continue
            who = (path.host, path.user)
            if who not in logins:
                invocation, request = invocation.specified(path.host, _port(paths))
                logins[who] = invocation.login(request, path.user)
            written.append(remote_path(logins[who].target, logins[who].user.name, path.path))

        def build(own: list[str]) -> list[str]:
            # Without -3, versions before 8.7 let one host copy to the other, which it cannot reach.
            both = ["-3"] if paths[-1] and any(paths[:-1]) and invocation.words.last("R") is None else []
            port = str(invocation.words.port or _port(paths) or SSH_PORT)
            return ["scp", *invocation.words.to_argv(), *both, *own, "-P", port, "--", *written]

        return run_or_print(invocation, list(logins.values()), build, folder)


def _ask(invocation: Invocation) -> tuple[Invocation, tuple[str, str]]:
    """Let the user choose an instance, and ask what to copy, and where to."""
    invocation, request = invocation.specified("")
    host = messages.printable(request.label, keep="")
    source: str = click.prompt(f"Copy (a local file, or {host}:PATH)", err=True)
    remote = parse_remote_path(source) is not None
    target: str = click.prompt("To", default="." if remote else f"{host}:", err=True)
    return invocation, (source, target)


def _port(paths: list[Destination | None]) -> int:
    """The port that the paths' URLs give, or 0; scp takes one for all here."""
    ports = {path.port for path in paths if path and path.port}
    if len(ports) > 1:
        raise UsageError("The URLs have different ports", hint="copy in two steps")
    return ports.pop() if ports else 0
