"""Tunnels: those that the console has opened, those of the background processes, and named ones that are not open."""

from __future__ import annotations

import os
import shlex
from collections import defaultdict, deque
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

from textual import work
from textual.binding import Binding, BindingType

from eicctl.agent import tunnels as background
from eicctl.core.errors import EicctlError
from eicctl.core.events import TunnelEvent
from eicctl.core.names import counted
from eicctl.named_tunnels.config_file import Definition, find_definitions, with_defaults
from eicctl.named_tunnels.log import last_events
from eicctl.named_tunnels.status import Meter, Status
from eicctl.named_tunnels.supervisor import Supervisor
from eicctl.ui.dialogs import Question, Text
from eicctl.ui.pane import Pane
from eicctl.ui.table import Column, Row
from eicctl.view import named_tunnels as view
from eicctl.view.events import stamped

EVERY = 1.0
"""Seconds between two looks."""

HERE = "this console"
"""Where the console's own tunnels are kept: they end with it."""

_BARS = "▁▂▃▄▅▆▇█"
_LOOKS = 16
_EVENTS = 200


class Tunnels(Pane):
    """The pane."""

    NOUN = "tunnels"
    COLUMNS = (
        Column("Name", 9),
        Column("State", 7),
        Column("Local", 8),
        Column("Remote", 5),
        Column("Through", 2),
        Column("Conns", 4),
        Column("In", 2),
        Column("Out", 2),
        Column("Rate", 3),
        Column("", 1),
        Column("Left", 3),
        Column("Opened by", 6),
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "start", "Start"),
        Binding("x", "stop", "Stop"),
        Binding("l", "log", "Log"),
        Binding("c", "copy", "Copy the address"),
        Binding("e", "edit", "Edit the file", show=False),
    ]

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id)
        self._supervisor = Supervisor(self._note, self._changed)
        self._events: dict[str, deque[TunnelEvent]] = defaultdict(lambda: deque(maxlen=_EVENTS))
        self._meter = Meter()
        self._rates: dict[str, deque[float]] = defaultdict(lambda: deque([0.0] * _LOOKS, maxlen=_LOOKS))
        self._definitions: dict[str, Definition] = {}
        self._background: dict[str, Status] = {}
        self._statuses: dict[str, Status] = {}
        self._looking = False

    def on_mount(self) -> None:
        super().on_mount()
        self.set_interval(EVERY, self.reload)

    async def open(self, definition: Definition) -> None:
        """Open a tunnel in this console, and show it."""
        await self._supervisor.open([definition])
        self._show()
        self.table.move_to(definition.name)

    async def opened(self, definition: Definition) -> tuple[Status, list[str]]:
        """Open a tunnel in this console; return how its first attempt went, and what was noted. A failed one is closed.

        Raises:
            EicctlError: It cannot be opened.
        """
        self._events.pop(definition.name, None)
        await self.open(definition)
        await self._supervisor.settled([definition.name])
        status = next(one for one in self._supervisor.statuses() if one.name == definition.name)
        if status.state != "open":
            await self._supervisor.close([definition.name])
            self._show()
            raise EicctlError(status.error, hint=status.hint or None)
        self._show()
        return status, [event.text for event in self._events[definition.name] if event.kind == "note"]

    @property
    def open_here(self) -> int:
        return len(self._supervisor)

    def reload(self) -> None:
        if not self._looking and (self.is_on_screen or not self._statuses):
            self._look()

    @work
    async def _look(self) -> None:
        self._looking = True
        try:
            self._background, self._definitions = await self.app.quietly(_read)
        except EicctlError as error:
            self.table.set_empty(error.message)
        finally:
            self._looking = False
        self._show()

    def _show(self) -> None:
        own = {status.name: status for status in self._supervisor.statuses()}
        defined = {
            name: Status(name, one.kind, one.source, "closed", remote=one.remote, via=one.via)
            for name, one in self._definitions.items()
        }
        rated = self._meter.with_rates(list((defined | self._background | own).values()))
        self._statuses = {status.name: status for status in rated}
        for status in rated:
            self._rates[status.name].append(status.rate_in + status.rate_out)
        self.table.set_empty("No tunnels: press t on an instance, or define some in eicctl.toml")
        self.table.set_rows(self._row(status, own) for status in rated)

    def _row(self, status: Status, own: Iterable[str]) -> Row:
        cells = view.shown(status)
        kept = HERE if status.name in own else "background" if status.name in self._background else ""
        names = ("Name", "State", "Local", "Remote", "Through", "Connections", "In", "Out", "Rate")
        texts = (*(cells[name] for name in names), _sparkline(self._rates[status.name]), cells["Left"], kept)
        return Row(status.name, texts, "dim" if status.state == "closed" else "", {1: view.STYLES[status.state]})

    def _note(self, name: str, event: TunnelEvent) -> None:
        self._events[name].append(event)

    def _changed(self) -> None:
        if self.is_running:
            self.call_later(self._show)

    @property
    def status(self) -> Status | None:
        """The tunnel with the cursor."""
        row = self.table.current
        return self._statuses.get(row.key) if row else None

    def on_table_selected(self) -> None:
        self.action_start()

    def action_start(self) -> None:
        """Open a defined tunnel in the background."""
        if (status := self.status) and status.state in ("closed", "lost") and status.name in self._definitions:
            definition = with_defaults(self._definitions[status.name], None, None, None)
            self.app.work(f"Opening {status.name}", lambda: background.detach([definition]), lambda _: self.reload())

    @work
    async def action_stop(self) -> None:
        """Close the tunnel, after a yes where connections are open."""
        if not (status := self.status) or status.state == "closed":
            return
        if status.connections:
            text = f"{status.name} has {counted(status.connections, 'open connection')}. Close it?"
            if not await self.app.push_screen_wait(Question(text, "Close")):
                return
        if not await self._supervisor.close([status.name]):
            self.app.work(f"Closing {status.name}", lambda: background.close([status.name]), lambda _: self.reload())
        self._show()

    def action_log(self) -> None:
        if status := self.status:
            own = self._events.get(status.name)
            try:
                events = list(own) if own else last_events(status.name, _EVENTS)
            except FileNotFoundError:
                events = []
            lines = [line for event in events for line in stamped(event)]
            lines += [line for line in (status.error, status.hint and f"hint: {status.hint}") if line]
            self.app.push_screen(Text(f"Log of {status.name}", "\n".join(lines) or "Nothing yet"))

    def action_copy(self) -> None:
        if (status := self.status) and status.local:
            self.app.copy(status.local[0])

    def action_edit(self) -> None:
        if (status := self.status) and status.source and Path(status.source).is_file():
            self.app.run_program(
                [*shlex.split(os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"), status.source]
            )


PANE = Tunnels


def _read() -> tuple[dict[str, Status], dict[str, Definition]]:
    """Return what background processes have open, and what files define; it blocks."""
    found = {status.name: status for held in background.states() for status in held.statuses}
    return found, {definition.name: definition for definition in find_definitions()}


def _sparkline(rates: Iterable[float]) -> str:
    """Return rates as bars, the highest one full; blank where there were none."""
    known = list(rates)
    most = max(known)
    if most < 1:
        return ""
    return "".join(_BARS[min(int(rate / most * len(_BARS)), len(_BARS) - 1)] for rate in known)
