"""The command line that `:` opens: any command of eicctl, with completion, and a history that ends with the console."""

from __future__ import annotations

import shlex
from typing import ClassVar

import click
from click.shell_completion import ShellComplete
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.suggester import Suggester
from textual.widgets import Input

from eicctl.core.errors import UsageError
from eicctl.support.threads import in_thread

PROGRAM = "!"
"""What a line begins with that is another program: `!aws sso login`."""


class CommandLine(Input):
    """A line for a command, which is hidden unless one is typed.

    Args:
        commands: The commands.
    """

    DEFAULT_CSS = """
    CommandLine { height: 1; border: none; padding: 0 1; display: none; }
    CommandLine.shown { display: block; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "cursor_right", "Complete", show=False),
        Binding("up", "recall(-1)", "Previous command", show=False),
        Binding("down", "recall(1)", "Next command", show=False),
        Binding("escape", "leave", "Leave", show=False),
    ]

    class Entered(Message):
        """A line was entered, or left: it is empty then.

        Attributes:
            text: The line.
            of_eicctl: Whether it is a command of eicctl.
        """

        def __init__(self, text: str) -> None:
            super().__init__()
            self.of_eicctl = not text.startswith(PROGRAM)
            self.text = text.removeprefix(PROGRAM)

    def __init__(self, commands: click.Group, *, id: str | None = None, compact: bool = False) -> None:
        placeholder = "eicctl … (Enter runs it, Tab completes, Esc leaves; !… runs another program)"
        super().__init__(id=id, compact=compact, placeholder=placeholder, suggester=_Completer(commands))
        self._commands = commands
        self._history: list[str] = []
        self._at = 0
        self._typed = ""

    def begin(self, text: str) -> None:
        """Show it, with a text to go on with."""
        self._at = len(self._history)
        self.value = text
        self.cursor_position = len(text)
        self.add_class("shown")
        self.focus()

    def action_recall(self, by: int) -> None:
        """Show an earlier or a later line of the history; after the last one what was typed."""
        if self._at == len(self._history):
            self._typed = self.value
        self._at = min(max(self._at + by, 0), len(self._history))
        self.value = self._history[self._at] if self._at < len(self._history) else self._typed
        self.cursor_position = len(self.value)

    def words(self, entered: Entered) -> list[str]:
        """Return the words of a line, without the program's own name.

        Raises:
            UsageError: A quotation is not closed, or eicctl has no such command.
        """
        try:
            words = shlex.split(entered.text)
        except ValueError as error:
            raise UsageError(f"Cannot read the command: {error}") from None
        if not entered.of_eicctl:
            return words
        words = words[words[:1] == ["eicctl"] :]
        try:
            self._commands.resolve_command(click.Context(self._commands, info_name="eicctl"), words or ["help"])
        except click.UsageError as error:
            raise UsageError(error.format_message(), hint="eicctl --help") from None
        return words

    def action_leave(self) -> None:
        self._leave("")

    async def action_submit(self) -> None:
        text = self.value.strip()
        if text and text not in self._history[-1:]:
            self._history.append(text)
        self._leave(text)

    def _leave(self, text: str) -> None:
        self.remove_class("shown")
        self.post_message(self.Entered(text))


class _Completer(Suggester):
    """Suggests what the shell's completion would."""

    def __init__(self, commands: click.Group) -> None:
        super().__init__(use_cache=False, case_sensitive=True)
        self._commands = commands

    async def get_suggestion(self, value: str) -> str | None:
        if value.startswith(PROGRAM):
            return None
        return await in_thread(lambda: self._completed(value))  # commands are imported, and caches read

    def _completed(self, value: str) -> str | None:
        try:
            *before, last = shlex.split(value) if value[-1:] not in ("", " ") else [*shlex.split(value), ""]
        except ValueError:  # a quotation that is not closed
            return None
        if not last:
            return None
        found = ShellComplete(self._commands, {}, "eicctl", "_EICCTL_COMPLETE").get_completions(before, last)
        options = [item.value for item in found if item.value.startswith(last)]
        return value + options[0][len(last) :] if options else None
