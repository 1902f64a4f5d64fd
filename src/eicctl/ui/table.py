"""A table that draws only the lines on screen, so that thousands of rows cost no more than forty.

Textual's own table measures and keeps a cell object for each value: 5,000 rows of eight took it 1.8 s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from eicctl.core import sanitize
from eicctl.core.columns import fit
from eicctl.core.names import natural_key

GAP = 2
"""Blanks between two columns."""

WIDEST = 48
"""Columns of a terminal that a value has at most where others need room; a longer one ends in an ellipsis."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column.

    Attributes:
        title: Its heading.
        keep: In which order columns are dropped where the terminal is narrow, the lowest first.
        least: To how many columns of the terminal it is cut before it is dropped; 0 if it is not cut.
    """

    title: str
    keep: int = 0
    least: int = 0


@dataclass(frozen=True, slots=True)
class Row:
    """A row.

    Attributes:
        key: What it is about, unique in its table: `i-0123456789abcdef0`.
        cells: A text for each column; control characters are shown as escapes.
        style: How all of it is drawn, in Rich's words: `dim`.
        styles: The same for single columns, by their index.
        order: By what it is sorted, for columns whose texts are in another order.
    """

    key: str
    cells: tuple[str, ...]
    style: str = ""
    styles: Mapping[int, str] = field(default_factory=dict)
    order: Mapping[int, object] = field(default_factory=dict)


class Table(ScrollView, can_focus=True):
    """Rows with a cursor, marks, a filter and an order.

    Args:
        columns: The columns.
        empty: What is shown where there are no rows.
    """

    DEFAULT_CSS = """
    Table { height: 1fr; overflow-x: hidden; scrollbar-size-vertical: 1; background: $background; color: $foreground; }
    Table > .table--header { text-style: bold; color: $accent; }
    Table > .table--cursor { background: $primary-muted; }
    Table:focus > .table--cursor { background: $block-cursor-background; color: $block-cursor-foreground; }
    Table > .table--marked { color: $warning; text-style: bold; }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {"table--header", "table--cursor", "table--marked"}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "move(-1)", "Up", show=False),
        Binding("down", "move(1)", "Down", show=False),
        Binding("pageup", "page(-1)", "Page up", show=False),
        Binding("pagedown", "page(1)", "Page down", show=False),
        Binding("home", "move(-1000000)", "First", show=False),
        Binding("end", "move(1000000)", "Last", show=False),
        Binding("enter", "select", "Select", show=False),
        Binding("space", "mark", "Mark", show=False),
        Binding("o", "sort", "Sort", show=False),
    ]

    class Selected(Message):
        """Enter was pressed on a row, or it was clicked twice."""

        def __init__(self, table: Table, row: Row) -> None:
            self.table = table
            self.row = row
            super().__init__()

        @property
        def control(self) -> Table:
            return self.table

    class Moved(Message):
        """The cursor is on another row, or on none."""

        def __init__(self, table: Table, row: Row | None) -> None:
            self.table = table
            self.row = row
            super().__init__()

        @property
        def control(self) -> Table:
            return self.table

    def __init__(self, columns: Sequence[Column], *, empty: str = "", id: str | None = None) -> None:
        super().__init__(id=id)
        self.columns = columns
        self.empty = empty
        self.rows: tuple[Row, ...] = ()
        self.marked: set[str] = set()
        self._shown: list[Row] = []
        self._needle: tuple[str, ...] = ()
        self._sorted_by: int | None = None
        self._reverse = False
        self._cursor = 0
        self._widths = [0] * len(columns)

    # What is shown

    def set_rows(self, rows: Iterable[Row]) -> None:
        """Show other rows. The cursor stays on the row that it is on, and marks stay."""
        self.rows = tuple(_harmless(row) for row in rows)
        self.marked &= {row.key for row in self.rows}
        self._arrange()

    def set_columns(self, columns: Sequence[Column]) -> None:
        """Have other columns, and no rows until they are set."""
        if columns is not self.columns:
            self.columns, self.rows, self.marked, self._sorted_by = columns, (), set(), None
            self._widths = [0] * len(columns)
            self._arrange()

    def filter(self, text: str) -> None:
        """Show the rows that have all words of a text in any column."""
        self._needle = tuple(text.lower().split())
        self._arrange()

    def set_empty(self, text: str) -> None:
        """Say something else where there are no rows."""
        self.empty = text
        self.refresh()

    def sort(self, column: int | None, *, reverse: bool = False) -> None:
        """Sort by a column; None for the order in which the rows were set."""
        self._sorted_by, self._reverse = column, reverse
        self._arrange()

    @property
    def current(self) -> Row | None:
        """The row with the cursor."""
        return self._shown[self._cursor] if self._shown else None

    @property
    def chosen(self) -> list[Row]:
        """The marked rows; without marks that of the cursor."""
        marked = [row for row in self._shown if row.key in self.marked]
        return marked or [row for row in (self.current,) if row]

    @property
    def count(self) -> str:
        """How many rows there are: `12`, or `3 of 12` with a filter."""
        return f"{len(self._shown)} of {len(self.rows)}" if self._needle else str(len(self.rows))

    def move_to(self, key: str) -> None:
        """Put the cursor on a row."""
        at = next((at for at, row in enumerate(self._shown) if row.key == key), None)
        if at is not None:
            self._put(at, self.current)

    def _arrange(self) -> None:
        current = self.current
        before = current.key if current else ""
        shown = [row for row in self.rows if _matches(row, self._needle)] if self._needle else list(self.rows)
        if (column := self._sorted_by) is not None:
            shown.sort(key=_order_by(column), reverse=self._reverse)
        self._shown = shown
        at = next((at for at, row in enumerate(shown) if row.key == before), min(self._cursor, len(shown) - 1))
        self._measure()
        self._put(max(at, 0), current)

    def _measure(self) -> None:
        """Each column's width; 0 for one that has no room, or no value."""
        sizes = [
            max(_width(column.title), most) if (most := max(map(_width, values), default=1)) else 0
            for column, *values in zip(self.columns, *(row.cells for row in self.rows), strict=True)
        ]
        *droppable, last = sorted(range(len(sizes)), key=lambda at: self.columns[at].keep)
        widest = dict.fromkeys((last, *reversed(droppable)), WIDEST)
        least = {at: column.least for at, column in enumerate(self.columns)}
        room = self.size.width - 2 * GAP
        widths = fit(sizes, room, droppable, most=widest, least=least, gap=GAP)
        widths[last] -= max(sum(width + GAP for width in widths if width) - GAP - room, 0)
        self._widths = widths
        self.virtual_size = Size(self.size.width, len(self._shown) + 1)
        self.refresh()

    def _put(self, at: int, before: Row | None) -> None:
        """Put the cursor on a row; `before` is the one that it was on."""
        self._cursor = min(max(at, 0), max(len(self._shown) - 1, 0))
        self.scroll_to_region(Region(0, self._cursor, 1, 2), animate=False, force=True, immediate=True, x_axis=False)
        self.refresh()
        if before is not self.current or before is None:
            self.post_message(self.Moved(self, self.current))

    # Drawing

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        if y == 0:
            titles = [
                column.title + (("▼" if self._reverse else "▲") if at == self._sorted_by else "")
                for at, column in enumerate(self.columns)
            ]
            return self._line(titles, self.get_component_rich_style("table--header"), {}, " ")
        at = self.scroll_offset.y + y - 1
        if not self._shown:
            return Strip([Segment(f"  {self.empty}" if y == 1 else "", self.rich_style)]).adjust_cell_length(
                width, self.rich_style
            )
        if at >= len(self._shown):
            return Strip.blank(width, self.rich_style)
        row = self._shown[at]
        style = self.rich_style + Style.parse(row.style)
        marked = row.key in self.marked
        if marked:
            style += self.get_component_rich_style("table--marked", partial=True)
        if at == self._cursor:
            return self._line(row.cells, style + self.get_component_rich_style("table--cursor"), {}, ">*"[marked])
        return self._line(row.cells, style, row.styles, " *"[marked])

    def _line(self, cells: Sequence[str], style: Style, styles: Mapping[int, str], mark: str) -> Strip:
        pieces = [Segment(f"{mark} ", style)]
        for at, (text, width) in enumerate(zip(cells, self._widths, strict=True)):
            if width:
                own = style + Style.parse(styles[at]) if at in styles else style
                pieces += (Segment(_cut(text, width), own), Segment(" " * GAP, style))
        return Strip(pieces).adjust_cell_length(self.size.width, style)

    def on_resize(self, _event: events.Resize) -> None:
        self._measure()
        self._put(self._cursor, self.current)

    # Keys and the mouse

    def action_move(self, by: int) -> None:
        self._put(self._cursor + by, self.current)

    def action_page(self, by: int) -> None:
        self._put(self._cursor + by * max(self.size.height - 2, 1), self.current)

    def action_select(self) -> None:
        if self.current:
            self.post_message(self.Selected(self, self.current))

    def action_mark(self) -> None:
        if self.current:
            self.marked ^= {self.current.key}
            self.action_move(1)

    def action_sort(self) -> None:
        """Sort by the next column: upward, downward, then the next; after the last one as the rows were set."""
        shown = [at for at, width in enumerate(self._widths) if width]
        if self._sorted_by is None:
            self.sort(shown[0] if shown else None)
        elif not self._reverse:
            self.sort(self._sorted_by, reverse=True)
        else:
            self.sort(next((at for at in shown if at > (self._sorted_by or 0)), None))

    def on_click(self, event: events.Click) -> None:
        at = self.scroll_offset.y + event.y - 1
        if event.y and at < len(self._shown):
            self._put(at, self.current)
            if event.chain == 2:
                self.action_select()


def _harmless(row: Row) -> Row:
    cells = tuple(cell if cell.isascii() and cell.isprintable() else sanitize.line(cell) for cell in row.cells)
    return row if cells == row.cells else Row(row.key, cells, row.style, row.styles, row.order)


def _matches(row: Row, needle: tuple[str, ...]) -> bool:
    text = "\n".join(row.cells).lower()
    return all(word in text for word in needle)


def _order_by(column: int) -> Callable[[Row], tuple[object, ...]]:
    def key(row: Row) -> tuple[object, ...]:
        return (row.order[column],) if column in row.order else natural_key(row.cells[column])

    return key


def _width(text: str) -> int:
    return len(text) if text.isascii() else cell_len(text)


def _cut(text: str, width: int) -> str:
    if _width(text) <= width:
        return text + " " * (width - _width(text))
    return set_cell_size(text, width - 1) + "…"
