"""How `eicctl doctor` shows a diagnosis: a list that fills while it is made, the cause, and the path."""

from __future__ import annotations

import textwrap
from abc import abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console, Group
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from eicctl.cli.view.messages import is_command, printable
from eicctl.core.sanitize import line as one_line
from eicctl.doctor.check import Check, Status, Step
from eicctl.doctor.path import ASCII, UNICODE, Symbols, draw

if TYPE_CHECKING:
    from eicctl.doctor.diagnosis import Diagnosis

_STYLES = {"ok": "green", "failed": "bold red", "unknown": "yellow", "faint": "dim", "strong": "bold"}
_TITLE = 19
_LEFT = _TITLE + 4
_NARROWEST = 30


class Rows(AbstractContextManager["Rows"]):
    """Takes checks as they are made, and shows them in the order in which they are told."""

    @abstractmethod
    def add(self, check: Check) -> None:
        """Show a check."""

    @abstractmethod
    def finish(self, checks: Sequence[Check]) -> None:
        """Show all checks as the diagnosis has them: a later one may overrule an earlier one."""


def rows(steps: Callable[[], Sequence[Step]], console: Console) -> Rows:
    """Return rows that change in place on a terminal, and elsewhere rows that are written at the end.

    Args:
        steps: Tells the checks that are to be made, which may become fewer as more is known of the target.
        console: Where to write.
    """
    return _LiveRows(steps, console) if console.is_terminal else _PlainRows(console)


class _PlainRows(Rows):
    def __init__(self, console: Console) -> None:
        self._console = console

    def __exit__(self, *_: object) -> None:
        return

    def add(self, check: Check) -> None:
        return

    def finish(self, checks: Sequence[Check]) -> None:
        for check in checks:
            _print(self._console, _row(check, self._console))


class _LiveRows(Rows):
    def __init__(self, steps: Callable[[], Sequence[Step]], console: Console) -> None:
        self._steps = steps
        self._made: dict[str, Check] = {}
        self._console = console
        symbols = symbols_for(console)
        self._spinner = Spinner("dots" if symbols is UNICODE else "line", style="cyan")
        self._live = Live(self, console=console, refresh_per_second=12, vertical_overflow="ellipsis")

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def add(self, check: Check) -> None:
        self._made[check.key] = check
        self._live.refresh()

    def finish(self, checks: Sequence[Check]) -> None:
        self._made = {check.key: check for check in checks}
        self._live.refresh()

    def __rich__(self) -> Group:
        lines: list[Text] = []
        for step in self._steps():
            made = self._made.get(step.key)
            if made:
                lines += _row(made, self._console)
                continue
            turning = self._spinner.render(self._console.get_time())
            mark = turning if isinstance(turning, Text) else Text(" ")
            lines.append(Text.assemble(" ", mark, f" {step.title}", style="dim"))
        return Group(*lines)


def summary(found: Diagnosis, console: Console, *, well: str) -> None:
    """Write the cause, what to do, and the path; `well` is what to say where nothing is wrong."""
    symbols = symbols_for(console)
    console.print()
    if found.cause:
        mark = symbols.marks[Status.FAILED]
        _print(console, _wrapped(_sentence(found.cause.sentence), console, first=f"{mark} ", style="bold red"))
        if found.cause.mend:
            _print(console, _advice("  what to do: ", one_line(found.cause.mend), console))
    else:
        _print(console, _wrapped(well, console, first=f"{symbols.marks[Status.OK]} ", style="bold green"))
    if found.path:
        console.print()
        for spans in draw(found.path, symbols):
            line = Text("  ")
            for span in spans:
                line.append(one_line(span.text), style=_STYLES.get(span.style, ""))
            _print(console, [line])


def _advice(label: str, text: str, console: Console) -> list[Text]:
    """A command in one piece, so that it can be copied; prose is broken between words."""
    width = max(_NARROWEST, console.width - len(label))
    first, *rest = [text] if is_command(text) else _wrap(text, width)
    return [Text.assemble(label, (first, "bold")), *(Text(" " * len(label) + line, style="bold") for line in rest)]


def symbols_for(console: Console) -> Symbols:
    """Return the symbols that the terminal's encoding has."""
    try:
        "●○│┆✓✗·◀─→".encode(console.encoding)
    except UnicodeEncodeError:
        return ASCII
    return UNICODE


def _row(check: Check, console: Console) -> list[Text]:
    symbols = symbols_for(console)
    head = f"{one_line(check.title):<{_TITLE}} "
    if check.left_out:
        return [Text(f" {symbols.left_out} {head}not reached", style="dim")]
    outcome = check.outcome
    told = _wrap(printable(outcome.evidence), max(_NARROWEST, console.width - _LEFT)) or [""]
    lines = [Text.assemble(" ", (symbols.marks[check.status], _STYLES[str(check.status)]), f" {head}{told[0]}")]
    lines += [Text(" " * _LEFT + line) for line in told[1:]]
    if outcome.mend and check.status is not Status.OK:
        arrow = "→" if symbols is UNICODE else "->"
        width = max(_NARROWEST, console.width - _LEFT - len(arrow) - 1)
        for number, line in enumerate(_wrap(printable(outcome.mend), width)):
            lead = f"{arrow} " if number == 0 else " " * (len(arrow) + 1)
            lines.append(Text(f"{' ' * _LEFT}{lead}{line}", style="cyan"))
    return lines


def _wrap(text: str, width: int) -> list[str]:
    """Break a text at spaces only: no ID and no option is broken in two."""
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)


def _sentence(text: str) -> str:
    """Begin with a capital letter, but not where that would change a name."""
    first = text.partition(" ")[0]
    opener = first.title() if first in ("the", "this", "a", "no", "nothing", "several", "cannot") else first
    return f"{opener}{text[len(first) :]}".removesuffix(".") + "."


def _wrapped(text: str, console: Console, *, first: str, style: str) -> list[Text]:
    lines = _wrap(printable(text), max(_NARROWEST, console.width - len(first)))
    return [Text((first if number == 0 else " " * len(first)) + line, style=style) for number, line in enumerate(lines)]


def _print(console: Console, lines: Sequence[Text]) -> None:
    for line in lines:
        console.print(line, soft_wrap=True)
