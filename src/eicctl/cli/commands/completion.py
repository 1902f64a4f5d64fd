"""`eicctl completion`."""

from __future__ import annotations

import click

from eicctl.cli.view import messages


@click.command
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish", "powershell"]))
@click.option("--install", is_flag=True, help="Write it where the shell finds it, and say where and how to undo it.")
def command(*, shell: str, install: bool) -> None:
    """Print the script that completes command lines in a shell, or install it.

    Commands, options and choices are in the script. Names and IDs are those that AWS has told in the last 30 days;
    it is not asked. Install the script anew after an update of eicctl.

    \b
    Examples:
      eicctl completion bash --install
      eicctl completion zsh > ~/.zfunc/_eicctl
      eicctl completion powershell | Out-String | Invoke-Expression
    """
    from eicctl.cli import eicctl
    from eicctl.cli.tree import known_regions, tree_of
    from eicctl.completion.scripts import install_script, script_for

    text = script_for(shell, tree_of(eicctl, known_regions()))
    if not install:
        click.echo(text, nl=False)
        return
    for line in install_script(shell, text):
        messages.line(line)
