"""`eicctl demo`: the main job, shown and verified."""

from __future__ import annotations

import click

from eicctl.cli.view import messages


@click.command
@click.option("--keep", is_flag=True, help="Keep the local AWS running at the end, and print how to use it.")
def command(*, keep: bool) -> int:
    """Run an end-to-end demonstration on the local AWS.

    Starts a separate local AWS, runs the commands that you would type, verifies each result, and cleans up. The exit
    code is 0 only if every step was verified.

    \b
    Examples:
      eicctl demo
      eicctl demo --keep
    """
    from eicctl.cli.demo.stage import Stage, Unverified
    from eicctl.cli.demo.steps import STEPS

    with Stage(keep=keep) as stage:
        for step in STEPS:
            try:
                step(stage)
            except Unverified as problem:
                messages.line(f"error: not verified: {problem}")
                return 1
        stage.close()
    click.echo(f"\nAll {len(STEPS)} steps were verified, in {stage.elapsed:.1f} s.")
    return 0
