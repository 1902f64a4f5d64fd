"""Audit: who used the endpoints in the last day or week, from CloudTrail; a row an event, a principal or a target."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Static

from eicctl.audit.correlation import AFTER, BEFORE
from eicctl.audit.correlation import Row as AuditRow
from eicctl.audit.fetch import KEPT, Scope, checkpoint, known_addresses, look_up, rows_of
from eicctl.audit.filters import Choice
from eicctl.audit.summary import Bucket, Entry, OfficeHours, Summary
from eicctl.core.errors import EicctlError
from eicctl.core.names import counted
from eicctl.ui.dialogs import Text
from eicctl.ui.pane import Pane
from eicctl.ui.table import Column, Row

PERIODS = {"day": timedelta(days=1), "week": timedelta(days=7)}

MOST = 5000
"""Rows that are shown: the latest."""

_VIEWS = ("events", "principals", "targets")
_BARS = "▁▂▃▄▅▆▇█"
_COLUMNS = {
    "events": (
        Column("Time", 9),
        Column("Event", 8),
        Column("Outcome", 6),
        Column("Principal", 7, 12),
        Column("Target", 5, 8),
        Column("Port", 1),
        Column("From", 3),
        Column("OS user", 2),
        Column("Region", 0),
    ),
    **dict.fromkeys(
        ("principals", "targets"),
        (
            Column("Name", 9, 12),
            Column("Tunnels", 8),
            Column("Keys", 4),
            Column("Changes", 3),
            Column("Refused", 7),
            Column("First", 1),
            Column("Last", 6),
            Column("With", 2),
            Column("From", 0),
        ),
    ),
}


class Audit(Pane):
    """The pane."""

    NOUN = "CloudTrail"
    DEFAULT_CSS = """
    Audit > .timeline { height: auto; padding: 0 1; color: $text-muted; }
    """
    COLUMNS = _COLUMNS["events"]
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "details", "Details"),
        Binding("p", "period", "Period"),
        Binding("v", "view", "Group by"),
        Binding("d", "denied", "Denied"),
    ]

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id)
        self._period = "day"
        self._view = "events"
        self._denied = False
        self._rows: list[AuditRow] = []
        self._summary: Summary | None = None
        self._stop = threading.Event()

    def compose(self) -> ComposeResult:
        yield Static(classes="timeline")
        yield from super().compose()

    def on_unmount(self) -> None:
        self._stop.set()

    def reload(self) -> None:
        self._read()

    @work(group="audit", exclusive=True)
    async def _read(self) -> None:
        self._stop.set()
        self._stop = stop = threading.Event()
        app, now = self.app, datetime.now(UTC)
        session, since = app.session(), now - PERIODS[self._period]

        def read() -> tuple[list[AuditRow], Summary, list[str]]:
            regions = tuple(app.scope.regions) or (session.region,)
            warnings: list[str] = []
            scope = Scope(session, regions, lambda _text: None, warnings.append, stop)
            with checkpoint(session) as store:
                span = (max(since - BEFORE, now - KEPT), min(now + AFTER, now))
                failures = look_up(scope, store, span, now)
                directory = known_addresses(scope, store, now)
                summary = Summary(since, now, OfficeHours(7, 19), lambda time: time.astimezone())
                rows = list(rows_of(store, directory, Choice(since, None, "", "", "", False)))
                for row in rows:
                    summary.add(row)
                store.discard()
            warnings += [f"{region} did not respond: {error.message}" for region, error in failures.items()]
            return rows[-MOST:], summary, warnings

        try:
            self._rows, self._summary, warnings = await app.wait_for("Reading CloudTrail", read)
        except EicctlError as error:
            app.show_error(error)
        else:
            for warning in warnings:
                app.note(warning)
        self._show()

    def _show(self) -> None:
        summary = self._summary
        self.table.set_empty(f"No events in the last {self._period}: press p for the other period")
        self.table.set_columns(_COLUMNS[self._view])
        if summary is None:
            self.table.set_rows(())
            return
        total = summary.total
        who = counted(len(summary.principals), "principal")
        counts = f"{counted(total.tunnels, 'tunnel')}, {total.refused:,} refused, {who}"
        self.query_one(".timeline", Static).update(
            Content.assemble(
                f"Last {self._period}: {counts}{' · denied only' if self._denied else ''}\n",
                *(_bar(bucket, max(each.total for each in summary.buckets)) for bucket in summary.buckets),
            )
        )
        if self._view == "events":
            shown = [row for row in reversed(self._rows) if not self._denied or row.event.refused]
            self.table.set_rows(map(_event_row, shown))
        else:
            entries = summary.principals if self._view == "principals" else summary.targets
            kept = {key: entry for key, entry in entries.items() if not self._denied or entry.refused}
            self.table.set_rows(partial(_entry_row, key)(entry) for key, entry in kept.items())

    def on_table_selected(self) -> None:
        self.action_details()

    def action_details(self) -> None:
        """Show all that is known of an event; of a principal or a target, its events."""
        if not (row := self.table.current):
            return
        if self._view == "events":
            event = next(each for each in self._rows if each.event.id == row.key)
            known = {name: value for name, value in event.shown().items() if value not in (None, "")}
            width = max(map(len, known))
            text = "\n".join(f"{name:{width}}  {value}" for name, value in known.items())
            self.app.push_screen(Text(f"{event.event.name} of {event.event.principal.label}", text))
        else:
            self._view = "events"
            self._show()
            self.set_filter(row.cells[0])

    def action_period(self) -> None:
        self._period = "week" if self._period == "day" else "day"
        self.reload()

    def action_view(self) -> None:
        self._view = _VIEWS[(_VIEWS.index(self._view) + 1) % len(_VIEWS)]
        self._show()

    def action_denied(self) -> None:
        self._denied = not self._denied
        self._show()


PANE = Audit


def _event_row(row: AuditRow) -> Row:
    event = row.event
    cells = (
        f"{event.time.astimezone():%m-%d %H:%M:%S}",
        event.name,
        event.outcome,
        event.principal.label,
        row.target,
        str(event.port or ""),
        event.source_ip,
        row.os_user,
        event.region,
    )
    return Row(event.id, cells, styles={2: "bold red"} if event.refused else {}, order={0: event.time})


def _entry_row(key: str, entry: Entry) -> Row:
    first, last = (f"{time.astimezone():%m-%d %H:%M}" if time else "" for time in (entry.first, entry.last))
    counts = (entry.tunnels, entry.keys, entry.changes, entry.refused)
    cells = (entry.label, *(str(count or "") for count in counts), first, last, str(entry.peers), str(entry.sources))
    return Row(key, cells, styles={4: "bold red"} if entry.refused else {}, order=dict(enumerate(counts, 1)))


def _bar(bucket: Bucket, most: int) -> tuple[str, str]:
    if not bucket.total:
        return (" ", "")
    return (_BARS[min(bucket.total * len(_BARS) // most, len(_BARS) - 1)], "$text-error" if bucket.refused else "")
