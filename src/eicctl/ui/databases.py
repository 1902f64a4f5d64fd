"""Databases of RDS and Aurora: a local port for each, and the line that a client is started with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, cast

from textual import work
from textual.binding import Binding, BindingType

from eicctl.aws import caches
from eicctl.aws.databases import list_databases, reader_of
from eicctl.core.errors import EicctlError
from eicctl.core.names import natural_key
from eicctl.named_tunnels.config_file import Definition
from eicctl.support import pins
from eicctl.ui.dialogs import Details
from eicctl.ui.pane import Pane
from eicctl.ui.table import Column, Row
from eicctl.view.database import local_database

if TYPE_CHECKING:
    from eicctl.aws.databases import Database
    from eicctl.aws.session import Session
    from eicctl.ui.app import Scope
    from eicctl.ui.tunnels import Tunnels


@dataclass(frozen=True, slots=True)
class Line:
    """What a row shows. `database` is None where only the name is known yet."""

    profile: str
    region: str
    id: str
    database: Database | None = None

    @property
    def key(self) -> str:
        """Its row's key."""
        kind = "cluster" if self.database and self.database.cluster else ""
        return f"{self.profile}/{self.region}/{kind}/{self.id}"

    def row(self, several: bool) -> Row:
        """Return its row; `several` if not all rows are of one account and region."""
        location = f"{self.profile} {self.region}".strip() if several else ""
        if (one := self.database) is None:
            return Row(self.key, (self.id, *[""] * 8, location), "dim")
        readers = "yes" if one.reader_host else ""
        cells = (one.id, "cluster" if one.cluster else "instance", one.engine, one.status, one.host)
        texts = (*cells, str(one.port or ""), one.availability_zone, readers, "yes" if one.iam_auth else "", location)
        return Row(self.key, texts, "", {3: "green" if one.status == "available" else "yellow"})


def known(scope: Scope) -> Iterator[Line]:
    """Return what earlier commands have seen, without a call of AWS's."""
    for session, region in scope.known_locations():
        for id_ in caches.known_rows(caches.DATABASES, session.profile, region):
            yield Line(session.profile or "", region, id_)


def _read(session: Session) -> list[Line]:
    return [Line(session.profile or "", session.region, one.id, one) for one in list_databases(session)]


class Databases(Pane):
    """The pane."""

    NOUN = "databases"
    COLUMNS = (
        Column("ID", 10),
        Column("Kind", 5),
        Column("Engine", 8),
        Column("Status", 7),
        Column("Host", 6, 20),
        Column("Port", 9),
        Column("AZ", 3),
        Column("Reader", 4),
        Column("IAM", 2),
        Column("Profile, region", 1),
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "Open"),
        Binding("r", "open(True)", "Open the reader"),
        Binding("c", "copy", "Copy the command", show=False),
    ]

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id)
        self.lines: dict[str, Line] = {}

    def on_mount(self) -> None:
        self._show(known(self.app.scope))
        super().on_mount()

    def reload(self) -> None:
        self._reread()

    @work(group="databases", exclusive=True)
    async def _reread(self) -> None:
        lines = await self.app.read_everywhere("Reading databases", _read)
        self.table.set_empty("No RDS databases")
        self._show(lines)

    def _show(self, lines: Iterable[Line]) -> None:
        self.lines = {line.key: line for line in lines}
        several = self._several
        ordered = sorted(self.lines.values(), key=lambda one: (*natural_key(one.id), one.key))
        self.table.set_rows(line.row(several) for line in ordered)

    @property
    def _several(self) -> bool:
        """Whether not all rows are of one account and region."""
        return len({(line.profile, line.region) for line in self.lines.values()}) > 1

    @property
    def line(self) -> Line | None:
        """The database with the cursor."""
        row = self.table.current
        return self.lines.get(row.key) if row else None

    def on_table_selected(self) -> None:
        self.action_open()

    @work
    async def action_open(self, reader: bool = False) -> None:
        """Open a local port to a database, and show how to use it."""
        line, app = self.line, self.app
        if not line or not (database := line.database):
            return
        location = f"-{line.profile}-{line.region}".replace("--", "-") if self._several else ""
        definition = Definition(
            name=f"{database.id}{location}{'-reader' if reader else ''}",
            kind="db",
            database=database.host or database.id,  # a cluster and an instance may have the same identifier
            reader=reader,
            profile=line.profile,
            region=line.region,
        )
        pane = cast("Tunnels", await app.pane("tunnels"))
        try:
            host = reader_of(database) if reader else database.host
            with app.waiting(f"Opening {definition.name}"):
                status, notes = await pane.opened(definition)
        except EicctlError as error:
            app.show_error(error)
            return
        address, _, port = status.local[0].rpartition(":")
        local = local_database(
            database, (host, database.port), (address.strip("[]"), int(port)), user=database.master_user
        )
        path = {"listening on": status.local[0], "to": status.remote, "through": status.via, "path": "\n".join(notes)}
        app.push_screen(Details(f"{definition.name} is open", path | local.lines(), copy=local.command or local.url))

    def action_copy(self) -> None:
        if line := self.line:
            where = [*(["--profile", line.profile] if line.profile else []), "--region", line.region]
            self.app.copy(pins.command("eicctl", "db", *where, line.id))


PANE = Databases
