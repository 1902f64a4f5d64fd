"""Output of `eicctl doctor`: the list of checks, updated while they run; the cause; and the path."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Self

from rich.console import Console, Group
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from eicctl.core.columns import wrap
from eicctl.core.sanitize import line as one_line
from eicctl.doctor.check import Check, Result, Status, few
from eicctl.doctor.path import ASCII, UNICODE, Symbols, draw
from eicctl.support.activity import Hidden
from eicctl.view.messages import is_command, printable

if TYPE_CHECKING:
    from eicctl.doctor.diagnosis import Diagnosis

_STYLES = {"ok": "green", "failed": "bold red", "unknown": "yellow", "faint": "dim", "strong": "bold"}
_NARROWEST = 40
"""Columns of a message beside its title."""

_INDENT = 5
"""Columns before a message below its title."""


class Rows:
    """Shows results in the order of the checks: updated in place on a terminal, else printed at the end.

    Args:
        checks: Returns the checks that apply; they may become fewer as more is known about the target.
    """

    def __init__(self, checks: Callable[[], Sequence[Check]]) -> None:
        self._checks = checks
        self._console = Console(highlight=False)
        self._results: dict[str, Result] = {}
        self._hidden = Hidden()
        self._spinner = Spinner("dots" if _symbols(self._console) is UNICODE else "line", style="cyan")
        self._live = Live(self, console=self._console, refresh_per_second=12, vertical_overflow="ellipsis")

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._hidden.__enter__()
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._console.is_terminal:
            self._live.stop()
            self._hidden.__exit__(None, None, None)

    def add(self, result: Result) -> None:
        """Show a result."""
        self._results[result.key] = result
        if self._console.is_terminal:
            self._live.refresh()

    def finish(self, results: Sequence[Result]) -> None:
        """Show the final results: the diagnosis may overrule earlier ones."""
        self._results = {result.key: result for result in results}
        if self._console.is_terminal:
            self._live.refresh()
        else:
            _print(self._console, self._lines())

    def __rich__(self) -> Group:
        return Group(*self._lines())

    def _lines(self) -> list[Text]:
        checks = self._checks()
        width = max(len(check.title) for check in checks) + 2
        lines: list[Text] = []
        for check in checks:
            result = self._results.get(check.key)
            if not result:
                turning = self._spinner.render(self._console.get_time())
                mark = turning if isinstance(turning, Text) else Text(" ")
                lines.append(Text.assemble(" ", mark, f" {check.title}", style="dim"))
            elif not result.skipped_because:
                lines += _row(result, width, self._console)
        return [*lines, *_skipped(list(self._results.values()), checks, width, self._console)]


def show_summary(diagnosis: Diagnosis, label: str) -> None:
    """Print the cause, its remediation, and the path; `label` is the target's, or empty."""
    console = Console(highlight=False)
    symbols = _symbols(console)
    cause = diagnosis.cause
    console.print()
    if cause:
        mark = symbols.marks[Status.FAILED]
        _print(console, _wrapped(_sentence(cause.summary), console, first=f"{mark} ", style="bold red"))
        if cause.remediation:
            _print(console, _advice(one_line(cause.remediation), console))
    else:
        unknown = sum(result.status is Status.UNKNOWN for result in diagnosis.results)
        passed = f"No check failed ({unknown} unknown)" if unknown else "All checks passed"
        text = f"{passed}: {label} is reachable" if label else f"{passed} (no target given)"
        mark = symbols.marks[Status.OK]
        _print(console, _wrapped(text, console, first=f"{mark} ", style="bold green"))
    if diagnosis.path:
        console.print()
        for spans in draw(diagnosis.path, symbols):
            line = Text("  ")
            for span in spans:
                line.append(one_line(span.text), style=_STYLES.get(span.style, ""))
            _print(console, [line])


def _advice(text: str, console: Console) -> list[Text]:
    """Format a remediation: a command stays on one line, so that it can be copied; prose is wrapped."""
    label = "  Run: " if is_command(text) else "  To fix: "
    width = console.width - len(label)
    first, *rest = [text] if is_command(text) else wrap(text, width)
    return [Text.assemble(label, (first, "bold")), *(Text(" " * len(label) + line, style="bold") for line in rest)]


def _symbols(console: Console) -> Symbols:
    """The symbols that the terminal can encode."""
    try:
        "●○│┆✓✗·◀─→".encode(console.encoding)
    except UnicodeEncodeError:
        return ASCII
    return UNICODE


def _beside(width: int, console: Console) -> bool:
    """Whether there is room for the messages beside titles of this width; otherwise they are below."""
    return console.width - width - 3 >= _NARROWEST


def _row(result: Result, width: int, console: Console) -> list[Text]:
    symbols, outcome = _symbols(console), result.outcome
    mark = (symbols.marks[result.status], _STYLES[str(result.status)])
    title = Text.assemble(" ", mark, f" {one_line(result.check.title):<{width}}")
    left, below = (width + 3, []) if _beside(width, console) else (_INDENT, [title])
    message = wrap(printable(outcome.message), console.width - left)
    lines = below or [title + Text(message.pop(0))]
    lines += [Text(" " * left + line) for line in message]
    if outcome.remediation and result.status is not Status.OK:
        arrow = "→ " if symbols is UNICODE else "-> "
        lines += _wrapped(outcome.remediation, console, first=" " * left + arrow, style="cyan")
    return lines


def _skipped(results: Sequence[Result], checks: Sequence[Check], width: int, console: Console) -> list[Text]:
    """One line for all skipped checks, with the failed checks that caused it."""
    keys = {result.key for result in results if result.skipped_because}
    if not keys:
        return []
    reasons = {result.skipped_because for result in results}
    titles = few([check.title for check in checks if check.key in keys], "checks")
    failed = " and ".join(check.title for check in checks if check.key in reasons)
    title = f"{'Skipped':<{width}}" if _beside(width, console) else "Skipped: "
    first = f" {_symbols(console).skipped} {title}"
    return _wrapped(f"{titles} ({failed} failed)", console, first=first, style="dim")


def _sentence(text: str) -> str:
    """Capitalize the first word, unless it may be a name."""
    first = text.partition(" ")[0]
    opener = first.title() if first in ("the", "this", "a", "no", "nothing", "several", "cannot") else first
    return f"{opener}{text[len(first) :]}".removesuffix(".") + "."


def _wrapped(text: str, console: Console, *, first: str, style: str) -> list[Text]:
    lines = wrap(printable(text), console.width - len(first))
    return [Text((first if number == 0 else " " * len(first)) + line, style=style) for number, line in enumerate(lines)]


def _print(console: Console, lines: Sequence[Text]) -> None:
    for line in lines:
        console.print(line, soft_wrap=True)
