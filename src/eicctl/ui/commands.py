"""Completion of the command line that `:` opens: names of commands, and of what they take."""

from __future__ import annotations

import shlex

from textual.suggester import Suggester


class _Completer(Suggester):
    """Suggests what the shell's completion would."""

    def __init__(self) -> None:
        super().__init__(use_cache=False, case_sensitive=True)

    async def get_suggestion(self, value: str) -> str | None:
        from click.shell_completion import ShellComplete

        from eicctl.cli import eicctl

        try:
            *before, last = shlex.split(value) if value[-1:] not in ("", " ") else [*shlex.split(value), ""]
        except ValueError:  # a quotation that is not closed
            return None
        if not last:
            return None
        found = ShellComplete(eicctl, {}, "eicctl", "_EICCTL_COMPLETE").get_completions(before, last)
        options = [item.value for item in found if item.value.startswith(last)]
        return value + options[0][len(last) :] if options else None


def completer() -> Suggester:
    """Return the suggester for a line without `eicctl`."""
    return _Completer()
