"""A list on the terminal in which one types to filter, and chooses with the arrows and Enter.

It is drawn on stderr, below the cursor, and removed when done. prompt_toolkit is imported when a list opens.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from eicctl.core import sanitize
from eicctl.core.columns import cut, fit, width_of
from eicctl.support.threads import begin

if TYPE_CHECKING:
    from concurrent.futures import Future

    from prompt_toolkit.application import Application
    from prompt_toolkit.buffer import Buffer
    from prompt_toolkit.formatted_text import StyleAndTextTuples as Fragments
    from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

MOST_LINES = 16
"""Rows that are shown at once, where the terminal has them."""

_WIDEST = 39
"""Columns of the widest cell, an IPv6 address, where others need room; a name has a quarter of the terminal."""

_GAP = "  "
_BRIEF, _LONG = "esc cancels", "type to filter, ↑ ↓ to move, enter to choose, esc to cancel"
_BRIEF_MULTIPLE, _LONG_MULTIPLE = (
    "tab marks, esc cancels",
    "type to filter, tab or space to mark, enter to choose, esc to cancel",
)


@dataclass(frozen=True, slots=True)
class Row:
    """A thing to choose.

    Attributes:
        key: Its identity, also after a refresh.
        cells: What is shown of it, in the columns' order.
        group: The heading that it is below; rows of a group follow one another.
        dim: Whether it is there for completeness, and cannot be used as it is.
    """

    key: str
    cells: tuple[str, ...]
    group: str = ""
    dim: bool = False


@dataclass(frozen=True, slots=True)
class Listing:
    """What there is to choose from.

    Attributes:
        title: The question.
        columns: The headings, each with how soon the column is left out on a narrow terminal; 0 for never. The
            first one is the name, in which letters may be left out when one filters.
        rows: The rows that are known.
        refresh: Returns the rows as they are now; called once, in a thread. None if `rows` are.
        empty: What to say where there are none.
    """

    title: str
    columns: tuple[tuple[str, int], ...]
    rows: Sequence[Row]
    refresh: Callable[[], Sequence[Row]] | None = None
    empty: str = "None found"


class Canceled(Exception):
    """The user has chosen nothing."""


def pick(listing: Listing, *, multiple: bool = False) -> list[str]:
    """Let the user choose; return the keys, which are one without `multiple`.

    Raises:
        Canceled: The user has chosen nothing, or there is nothing to choose from.
        Exception: What `refresh` has raised, where there is nothing to choose from.
    """
    return _Picker(listing, multiple).run()


def matching(rows: Iterable[Row], query: str) -> list[Row]:
    """Return the rows that match all words of a query, the best first.

    A word matches a cell that contains it, or the first cell where its letters are there in their order.
    """
    words = query.casefold().split()
    if not words:
        return list(rows)
    found = []
    for row in rows:
        cells = [cell.casefold() for cell in row.cells]
        ranks = [_rank(word, cells) for word in words]
        if None not in ranks:
            found.append((sum(rank for rank in ranks if rank is not None) + row.dim, row))
    return [row for _, row in sorted(found, key=lambda pair: pair[0])]


def _rank(word: str, cells: Sequence[str]) -> int | None:
    """How well a word matches: less is better, None for not at all."""
    name = cells[0]
    if word in name:
        return 0 if name.startswith(word) else 2
    if any(word in cell for cell in cells[1:]):
        return 20
    place, first = -1, -1
    for letter in word:
        place = name.find(letter, place + 1)
        if place < 0:
            return None
        first = place if first < 0 else first
    return 30 + place - first


class _Picker:
    def __init__(self, listing: Listing, multiple: bool) -> None:
        self._listing = listing
        self._multiple = multiple
        self._rows = list(listing.rows)
        self._shown = list(self._rows)
        self._at = 0
        self._top = 0
        self._marked: dict[str, None] = {}
        self._answer: Future[Sequence[Row]] | None = None
        self._refreshing = listing.refresh is not None
        self._error: Exception | None = None
        self._query: Buffer
        self._application: Application[list[str] | None]

    def run(self) -> list[str]:
        from prompt_toolkit.application import Application
        from prompt_toolkit.buffer import Buffer
        from prompt_toolkit.layout import HSplit, Layout, VSplit, Window
        from prompt_toolkit.layout.controls import BufferControl, FormattedTextControl
        from prompt_toolkit.output import create_output
        from prompt_toolkit.output.vt100 import Vt100_Output
        from prompt_toolkit.styles import Style

        self._query = Buffer(multiline=False, on_text_changed=lambda _: self._filter())
        title = f"{sanitize.line(self._listing.title)}: "
        output = create_output(stdout=sys.stderr)
        if isinstance(output, Vt100_Output):
            output.enable_cpr = False  # a terminal that does not answer would be waited for
        self._application = Application(
            layout=Layout(
                HSplit(
                    [
                        VSplit(
                            [
                                Window(
                                    FormattedTextControl(title), width=width_of(title), height=1, style="class:title"
                                ),
                                Window(BufferControl(self._query), height=1),
                            ]
                        ),
                        Window(FormattedTextControl(self._body), dont_extend_height=True),
                    ]
                )
            ),
            key_bindings=self._keys(),
            style=Style.from_dict({"title": "bold", "head": "bold", "at": "reverse", "dim": "ansibrightblack"}),
            output=output,
            erase_when_done=True,
            before_render=lambda _: self._apply(),
            after_render=lambda _: self._refresh(),
        )
        self._application.ttimeoutlen = self._application.timeoutlen = 0.05  # Esc alone is Esc
        chosen = self._application.run()
        if self._error and not self._rows:
            raise self._error
        if chosen is None:
            raise Canceled
        return chosen

    def _refresh(self) -> None:
        """Begin to ask for the rows, once the first ones are drawn: what that imports would hold up the list."""
        if self._listing.refresh and not self._answer:
            self._answer = begin(self._listing.refresh)
            self._answer.add_done_callback(lambda _: self._application.invalidate())

    def _apply(self) -> None:
        """Take the rows that have come meanwhile. The chosen row stays where it is on the screen."""
        if not (self._refreshing and self._answer and self._answer.done()):
            return
        self._refreshing = False
        try:
            self._rows = list(self._answer.result())
        except Exception as error:  # it is shown, or raised by `run`
            self._error = error
            if not self._rows:
                self._application.exit()
            return
        before, key = self._at, self._shown[self._at].key if self._shown else None
        self._shown = matching(self._rows, self._query.text)
        self._at = next((at for at, row in enumerate(self._shown) if row.key == key), min(before, self._last))
        self._top += self._at - before
        known = {row.key for row in self._rows}
        self._marked = {each: None for each in self._marked if each in known}

    @property
    def _last(self) -> int:
        return max(0, len(self._shown) - 1)

    def _filter(self) -> None:
        self._shown = matching(self._rows, self._query.text)
        self._at = self._top = 0

    def _keys(self) -> KeyBindings:
        from prompt_toolkit.key_binding import KeyBindings

        keys = KeyBindings()

        def move(by: int, *names: str) -> None:
            @keys.add(names[0])
            def _move(_: KeyPressEvent) -> None:
                self._at = max(0, min(self._last, self._at + by))

            for name in names[1:]:
                keys.add(name)(_move)

        move(-1, "up", "c-p", "s-tab") if not self._multiple else move(-1, "up", "c-p")
        move(1, "down", "c-n")
        move(-MOST_LINES, "pageup")
        move(MOST_LINES, "pagedown")

        @keys.add("enter")
        def _choose(event: KeyPressEvent) -> None:
            if self._marked or self._shown:
                event.app.exit(result=list(self._marked) or [self._shown[self._at].key])

        @keys.add("escape", eager=True)
        @keys.add("c-c")
        @keys.add("c-d")
        @keys.add("c-\\")
        def _cancel(event: KeyPressEvent) -> None:
            event.app.exit()

        if self._multiple:

            @keys.add("tab")
            @keys.add(" ")
            def _mark(_: KeyPressEvent) -> None:
                if self._shown:
                    key = self._shown[self._at].key
                    if key in self._marked:
                        del self._marked[key]
                    else:
                        self._marked[key] = None
                    self._at = min(self._last, self._at + 1)

        return keys

    def _body(self) -> Fragments:
        """The list, as long as the terminal allows: headings, the rows around the chosen one, and a line about them."""
        size = self._application.output.get_size()
        width = size.columns - 1
        lines = max(1, min(MOST_LINES, size.rows - 5))
        columns = _layout(self._listing.columns, self._rows, width - 2)
        headings = [heading for heading, _ in self._listing.columns]
        text: Fragments = [("class:head", cut(f"  {_line(headings, columns)}", width) + "\n")]
        grouped = not self._query.text.strip()
        self._top = max(self._at - lines + 1, min(self._top, self._at, max(0, len(self._shown) - lines)))
        group = ""
        for place, row in enumerate(self._shown[self._top : self._top + lines], self._top):
            if grouped and row.group != group:
                group = row.group
                text.append(("class:dim", cut(group, width) + "\n"))
            mark = ("*" if row.key in self._marked else " ") if self._multiple else " "
            line = cut(f"{'>' if place == self._at else ' '}{mark}{_line(row.cells, columns)}", width)
            text.append(("class:at" if place == self._at else "class:dim" if row.dim else "", line + "\n"))
        return [*text, ("class:dim", cut(self._status(width), width))]

    def _status(self, width: int) -> str:
        if self._error:
            return f"Cannot refresh: {sanitize.line(str(self._error))}"
        parts = [f"{len(self._shown)} of {len(self._rows)}"] if self._rows else []
        if not self._rows and not self._refreshing:
            parts.append(self._listing.empty)
        if self._marked:
            parts.append(f"{len(self._marked)} marked")
        if self._refreshing:
            parts.append("refreshing …")
        keys = (_LONG_MULTIPLE, _BRIEF_MULTIPLE) if self._multiple else (_LONG, _BRIEF)
        return next((whole for key in keys if width_of(whole := "  ".join([*parts, key])) <= width), "  ".join(parts))


def _layout(columns: Sequence[tuple[str, int]], rows: Sequence[Row], width: int) -> list[int]:
    """Return the columns' widths, 0 for those that are left out: the least important ones, until the others fit."""
    places = range(len(columns))
    sizes = [
        max([width_of(columns[place][0]), *(width_of(sanitize.line(row.cells[place])) for row in rows)])
        for place in places
    ]
    droppable = sorted((place for place in places if columns[place][1]), key=lambda place: -columns[place][1])
    most = {place: _WIDEST if place else max(16, width // 4) for place in places}
    return fit(sizes, width, droppable, most=most, gap=len(_GAP))


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    texts = (cut(sanitize.line(cell), width, pad=True) for cell, width in zip(cells, widths, strict=True) if width)
    return _GAP.join(texts).rstrip()
