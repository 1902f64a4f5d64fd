"""`eicctl sftp`."""

from __future__ import annotations

import click

from eicctl.cli import options
from eicctl.cli.openssh_command import Invocation, OpensshCommand, login_options, run_or_print
from eicctl.ssh.arguments import SFTP
from eicctl.ssh.destination import parse_destination, parse_remote_path


@click.command(cls=OpensshCommand, grammar=SFTP, usage="[SFTP OPTIONS] [USER@]TARGET[:PATH]")
@options.instance_settings
@login_options
def command(*, invocation: Invocation) -> int:
    """Transfer files to and from an instance, interactively or in batch mode.

    Short options (-b, -r, -C, -l, …) are passed to sftp, whose exit code is returned.

    \b
    Examples:
      eicctl sftp web-1
      eicctl sftp ubuntu@app-1:/var/log
      eicctl sftp -b commands.txt web-1
    """
    word = invocation.words.operands[0] if invocation.words.operands else ""
    destination = parse_remote_path(word, "sftp") or parse_destination(word, "sftp")
    invocation, request = invocation.specified(destination.host, destination.port)

    from eicctl.ssh.keys import private_folder
    from eicctl.ssh.openssh_options import remote_path

    with private_folder() as folder:
        login = invocation.login(request, destination.user)

        def build(own: list[str]) -> list[str]:
            path = remote_path(login.target, login.user.name, destination.path)
            return ["sftp", *invocation.words.to_argv(), *own, "-P", str(login.target.remote_port), "--", path]

        return run_or_print(invocation, [login], build, folder)
