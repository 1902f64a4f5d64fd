"""What all panes have: a table, a filter, how they get their rows; and the bar that shows an error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, cast

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Button, Input, Static

from eicctl.core import sanitize
from eicctl.core.errors import EicctlError
from eicctl.support import pins
from eicctl.ui.table import Column, Table

if TYPE_CHECKING:
    from eicctl.ui.app import Console


class Pane(Vertical):
    """A table of one kind of thing.

    Attributes:
        COLUMNS: The table's columns.
        NOUN: What the rows are: `instances`.
    """

    DEFAULT_CSS = """
    Pane { height: 1fr; }
    Pane > .filter { height: 1; border: none; padding: 0 1; display: none; }
    Pane > .filter.shown { display: block; }
    """
    COLUMNS: ClassVar[Sequence[Column]] = ()
    NOUN: ClassVar[str] = ""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "filter", "Filter"),
        Binding("escape", "clear", "Clear", show=False),
    ]

    app: Console

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id)
        self.table = Table(self.COLUMNS, empty=f"Reading {self.NOUN}…")

    def compose(self) -> ComposeResult:
        yield self.table
        yield Input(placeholder="Filter", classes="filter", compact=True)

    def on_mount(self) -> None:
        self.reload()

    def focus_first(self) -> None:
        """Give the pane the keys."""
        self.table.focus()

    @property
    def open_here(self) -> int:
        """How many tunnels of this pane end with the console."""
        return 0

    def reload(self) -> None:
        """Read the rows again."""

    def action_reload(self) -> None:
        self.reload()

    def action_filter(self) -> None:
        line = self.query_one(".filter", Input)
        line.add_class("shown")
        line.focus()

    def set_filter(self, text: str) -> None:
        """Filter by a text, as if it were typed."""
        line = self.query_one(".filter", Input)
        line.add_class("shown")
        line.value = text

    def action_clear(self) -> None:
        """Leave the filter, and an error."""
        self.app.hide_error()
        line = self.query_one(".filter", Input)
        line.value = ""
        line.remove_class("shown")
        self.table.focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        if event.input.has_class("filter"):
            self.table.filter(event.value)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        if event.input.has_class("filter"):
            event.stop()
            self.table.focus()


class ErrorBar(Vertical):
    """An error, and its hint as a button that puts the command where it can be run."""

    DEFAULT_CSS = """
    ErrorBar { height: auto; display: none; background: $error-muted; color: $text; padding: 0 1; }
    ErrorBar.shown { display: block; }
    ErrorBar VerticalScroll { height: auto; max-height: 6; scrollbar-size-vertical: 1; }
    ErrorBar Static { width: 1fr; height: auto; }
    ErrorBar #error-more { max-height: 4; }
    ErrorBar Horizontal { height: 1; }
    ErrorBar Button { height: 1; min-width: 0; border: none; margin-right: 1; }
    """

    def __init__(self) -> None:
        super().__init__()
        self.hint = ""

    def compose(self) -> ComposeResult:
        with VerticalScroll(can_focus=False):
            yield Static(id="error-text")
        yield Static(id="error-more")
        with Horizontal():
            yield Button("Run the hint", id="error-hint", compact=True)
            yield Button("Close", id="error-close", compact=True)

    def show(self, error: BaseException) -> None:
        """Show an error as the command line prints it."""
        from eicctl.view import messages

        if isinstance(error, EicctlError):
            hint = pins.pinned(error.hint) if error.hint else None
            first, *more = messages.error_lines(error.message, hint, request_id=error.request_id)
        else:
            _, message, hint = messages.unexpected(error)
            first, *more = messages.error_lines(message, hint)
        self.hint = messages.without_label(hint) if hint and messages.is_command(hint) else ""
        self.query_one("#error-text", Static).update(Content(sanitize.message(first)))
        self.query_one("#error-more", Static).update(Content("\n".join(map(sanitize.message, more))))
        self.query_one("#error-more", Static).display = bool(more)
        self.query_one("#error-hint", Button).display = bool(self.hint)
        self.add_class("shown")

    def on_button_pressed(self, event: Button.Pressed) -> None:
        event.stop()
        self.remove_class("shown")
        app = cast("Console", self.app)
        if event.button.id == "error-hint":
            if self.screen.is_modal:
                self.screen.dismiss()
            app.action_command(
                self.hint.removeprefix("eicctl ") if self.hint.startswith("eicctl ") else f"!{self.hint}"
            )
        elif not self.screen.is_modal:
            app.current.focus_first()
