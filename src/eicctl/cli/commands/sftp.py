"""`eicctl sftp`."""

from __future__ import annotations

import click

from eicctl.cli import options
from eicctl.cli.openssh_command import OpensshCommand, Wish, login_options, run_or_print
from eicctl.ssh.arguments import SFTP, parse_destination, parse_place


@click.command(cls=OpensshCommand, grammar=SFTP, usage="[SFTP OPTIONS] [USER@]TARGET[:PATH]", operands="TARGET")
@options.instance_settings
@login_options
def command(*, wish: Wish) -> int:
    """Transfer files to and from an instance, interactively or in batch mode.

    Short options (-b, -r, -C, -l, …) are passed to sftp, whose exit code is returned.

    \b
    Examples:
      eicctl sftp web-1
      eicctl sftp ubuntu@app-1:/var/log
      eicctl sftp -b commands.txt web-1
    """
    word = wish.words.operands[0] if wish.words.operands else ""
    place = parse_place(word, "sftp") or parse_destination(word, "sftp")
    request = wish.request_for(place.host, place.port)

    from eicctl.ssh.command import sftp_command
    from eicctl.ssh.keys import private_folder

    with private_folder() as folder:
        login = wish.login(request, place.user)

        def build(settled: list[str]) -> list[str]:
            return sftp_command(login.target, login.user.name, [*wish.words.passed_on(), *settled], place.path)

        return run_or_print(wish, [login], build, folder)
