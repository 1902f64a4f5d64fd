"""`eicctl ssh`."""

from __future__ import annotations

import click

from eicctl.cli import options
from eicctl.cli.openssh_command import Invocation, OpensshCommand, login_options, run_or_print
from eicctl.cli.param_types import Integer
from eicctl.core.errors import UsageError
from eicctl.ssh.arguments import SSH
from eicctl.ssh.destination import parse_destination


@click.command(cls=OpensshCommand, grammar=SSH, usage="[USER@]TARGET [SSH OPTIONS] [-- COMMAND…]")
@options.instance_settings
@click.option(
    "--keep", is_flag=True, help="Run in tmux or screen on the instance; reconnect when the connection is lost."
)
@click.option(
    "--session",
    "kept_session",
    metavar="NAME",
    help="With --keep: session name.  [default: eicctl]",
)
@click.option(
    "--announce-end",
    type=Integer(1, 3599),
    metavar="SECONDS",
    help="Print a notice this long before the connection's hour ends.",
)
@login_options
def command(
    *,
    invocation: Invocation,
    keep: bool,
    kept_session: str | None,
) -> int:
    """Log in to an instance, or run a command on it.

    A key is generated, pushed to the instance for 60 seconds, and deleted at the end. Short options (-L, -D, -N, -v,
    -o, …) are passed to OpenSSH, whose exit code is returned.

    \b
    Examples:
      eicctl ssh web-1
      eicctl ssh ubuntu@i-0123456789abcdef0 -L 8080:localhost:80
      eicctl ssh web-1 -- df -h /
      eicctl ssh web-1 --keep
      eicctl ssh web-1 --wait
    """
    destination = parse_destination(invocation.words.operands[0] if invocation.words.operands else "")
    if kept_session and not (keep or invocation.settings.get("keep")):
        raise UsageError("--session requires --keep")
    invocation, request = invocation.specified(destination.host, destination.port)
    # A file's `keep` is for shells: a command's output is not to go through tmux.
    keep = keep or (bool(invocation.settings.get("keep")) and not invocation.words.operands[1:])
    forwards = [word for spec in invocation.settings.get("forward", ()) for word in ("-L", spec)]

    from eicctl.ssh.keys import private_folder
    from eicctl.ssh.openssh_options import ssh_command
    from eicctl.ssh.reconnect import SESSION, remote_command

    with private_folder() as folder:
        login = invocation.login(request, destination.user)

        def build(own: list[str]) -> list[str]:
            options = [*invocation.words.to_argv(), *forwards, *own]
            remote = invocation.words.operands[1:]
            if keep:
                options = ["-t", *options]
                remote = (remote_command(kept_session or SESSION, remote),)
            return ssh_command(login.target, login.user.name, options, remote)

        return run_or_print(invocation, [login], build, folder, keep=keep)
