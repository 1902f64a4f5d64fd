"""What all panes have: a table, a filter, and how they get their rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Input

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
