"""Every command's help: its summary is the one that the list shows, and it has examples."""

from __future__ import annotations

import click
import pytest

from eicctl.cli import COMMANDS, eicctl


def load(name: str) -> click.Command:
    command = eicctl.get_command(click.Context(eicctl), name)
    assert command
    return command


@pytest.mark.parametrize("name", COMMANDS)
def test_summary_is_the_first_line_of_the_help(name: str) -> None:
    assert (load(name).help or "").splitlines()[0] == COMMANDS[name]


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_examples(name: str) -> None:
    assert f"  eicctl {name}" in (load(name).help or "") or "eicctl proxy" in (load(name).help or "")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_explained(name: str) -> None:
    for parameter in load(name).params:
        if isinstance(parameter, click.Option) and not parameter.hidden:
            assert parameter.help, parameter.opts
