"""Endpoints of all accounts and regions that are shown: their states; created, modified and deleted by keys."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from textual import work
from textual.binding import Binding, BindingType

from eicctl.agent import tunnels as background
from eicctl.aws import caches
from eicctl.aws.endpoints import (
    TIMEOUT,
    delete_endpoint,
    get_endpoint,
    list_endpoints,
    wait_deleted,
    wait_usable,
)
from eicctl.aws.network import vpc_names
from eicctl.aws.security_groups import delete_group, managed_groups
from eicctl.core.errors import DeniedError, EicctlError
from eicctl.core.model import Endpoint
from eicctl.core.names import natural_key
from eicctl.support.threads import both
from eicctl.ui.create_form import CreateForm, ModifyForm
from eicctl.ui.dialogs import Details, Preview, Question
from eicctl.ui.pane import Pane
from eicctl.ui.table import Column, Row
from eicctl.view import infrastructure
from eicctl.view.endpoint import delete_group_question, delete_question, row_of
from eicctl.view.render import texts_of

if TYPE_CHECKING:
    from eicctl.aws.security_groups import ManagedGroup
    from eicctl.aws.session import Session
    from eicctl.ui.app import Scope

CONNECTIONS_EVERY = 2.0
"""Seconds between two looks at the connections of the background processes."""


@dataclass(frozen=True, slots=True)
class Line:
    """What a row shows."""

    profile: str
    endpoint: Endpoint
    vpc_name: str = ""

    @property
    def key(self) -> str:
        """Its row's key."""
        return f"{self.profile}/{self.endpoint.id}"

    def row(self, connections: int, several: bool) -> Row:
        """Return its row; `several` if not all rows are of one account and region."""
        one = self.endpoint
        cells = (
            *(one.name, one.id, one.state, self.vpc_name, one.vpc_id, one.subnet_id, one.availability_zone),
            " ".join(one.security_group_ids),
            one.ip_address_type if one.arn else "",
            ("preserved" if one.preserve_client_ip else "no") if one.arn else "",
            str(connections or ""),
            f"{self.profile} {one.region}".strip() if several else "",
        )
        return Row(self.key, cells, "dim" if one.state.startswith("delete-") else "", {2: _style(one.state)})


def _style(state: str) -> str:
    return "green" if state.endswith("-complete") else "red" if state.endswith("-failed") else "yellow"


def known(scope: Scope) -> Iterator[Line]:
    """Return what earlier commands have seen, without a call of AWS's."""
    for session, region in scope.known_locations():
        for id_, row in caches.known_rows(caches.ENDPOINTS, session.profile, region).items():
            name, state, vpc_id, zone = (*row, "", "", "", "")[:4]
            yield Line(session.profile or "", Endpoint(id_, state, vpc_id, "", zone, "", region, tags={"Name": name}))


def _read(session: Session) -> list[Line]:
    found, names = both(lambda: list_endpoints(session), lambda: vpc_names(session))
    return [Line(session.profile or "", endpoint, names.get(endpoint.vpc_id, "")) for endpoint in found]


class Endpoints(Pane):
    """The pane."""

    NOUN = "endpoints"
    COLUMNS = (
        Column("Name", 11, 8),
        Column("ID", 9),
        Column("State", 10),
        Column("VPC name", 7, 8),
        Column("VPC", 5),
        Column("Subnet", 3),
        Column("AZ", 4),
        Column("Security groups", 2),
        Column("Type", 1),
        Column("Client IP", 6),
        Column("Own conns", 8),
        Column("Profile, region", 0),
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n", "create", "New"),
        Binding("m", "modify", "Modify"),
        Binding("D", "delete", "Delete"),
        Binding("w", "watch", "Watch"),
        Binding("i", "infrastructure", "As code"),
        Binding("c", "copy", "Copy the ID", show=False),
    ]

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id)
        self.lines: dict[str, Line] = {}
        self._connections: dict[str, int] = {}

    def on_mount(self) -> None:
        self._show(known(self.app.scope))
        super().on_mount()
        self.set_interval(CONNECTIONS_EVERY, self._count)

    def reload(self) -> None:
        self._reread()
        self._count()

    @work(group="endpoints", exclusive=True)
    async def _reread(self) -> None:
        lines = await self.app.read_everywhere("Reading endpoints", _read)
        self.table.set_empty("No EC2 Instance Connect Endpoint: press n to create one")
        self._show(lines)

    @work(group="connections", exclusive=True)
    async def _count(self) -> None:
        if self.is_on_screen and (found := await self.app.quietly(background.connections)) != self._connections:
            self._connections = found
            self._show(self.lines.values())

    def _show(self, lines: Iterable[Line]) -> None:
        self.lines = {line.key: line for line in lines}
        several = len({(line.profile, line.endpoint.region) for line in self.lines.values()}) > 1
        ordered = sorted(self.lines.values(), key=lambda one: (*natural_key(one.endpoint.name), one.endpoint.id))
        self.table.set_rows(line.row(self._connections.get(line.endpoint.id, 0), several) for line in ordered)

    @property
    def line(self) -> Line | None:
        """The endpoint with the cursor."""
        row = self.table.current
        return self.lines.get(row.key) if row else None

    def _session(self, line: Line) -> Session:
        return self.app.session(line.profile, line.endpoint.region)

    # What keys do

    def on_table_selected(self) -> None:
        self._details()

    @work
    async def _details(self) -> None:
        """Show all that is known of an endpoint, as it is now."""
        if not (line := self.line):
            return
        session, app = self._session(line), self.app
        try:
            endpoint = await app.wait_for(
                f"Reading {line.endpoint.id}", lambda: get_endpoint(session, line.endpoint.id)
            )
        except EicctlError as error:
            app.show_error(error)
            return
        used = self._connections.get(endpoint.id, 0)
        own = {
            "VpcName": line.vpc_name,
            "OwnConnections": f"{used} (of this user's eicctl; those of others are not known)",
        }
        app.push_screen(Details(endpoint.name or endpoint.id, own | texts_of(row_of(endpoint)), copy=endpoint.id))

    @work
    async def action_create(self) -> None:
        """Fill in the form, and watch what it has created."""
        app = self.app
        try:
            sessions = await app.wait_for("Reading the regions", app.locations)
        except EicctlError as error:
            app.show_error(error)
            return
        if line := self.line:
            here = self._session(line)
            sessions.sort(key=lambda one: one is not here)
        if not (created := await app.push_screen_wait(CreateForm(sessions))):
            return
        endpoint, session = created.endpoint, created.plan.session
        if group := created.plan.group:
            app.note(f"{'Reusing' if group.reused else 'Created'} security group {group.group_id} ({group.plan.name})")
        line = Line(session.profile or "", endpoint)
        self._show([*self.lines.values(), line])
        self.table.move_to(line.key)
        self._watch(line, "Creating", lambda progress: wait_usable(session, endpoint.id, progress=progress))

    @work
    async def action_modify(self) -> None:
        """Fill in the form, and watch until the change takes effect."""
        if not (line := self.line):
            return
        session, app, id_ = self._session(line), self.app, line.endpoint.id
        try:
            endpoint = await app.wait_for(f"Reading {id_}", lambda: get_endpoint(session, id_))
        except EicctlError as error:
            app.show_error(error)
            return
        if not (modified := await app.push_screen_wait(ModifyForm(session, endpoint))):
            return
        for group in modified.replaced:
            app.note(f"{id_} no longer uses security group {group.id} ({group.name}), created by eicctl")
        changes = modified.changes
        self._watch(line, "Modifying", lambda progress: wait_usable(session, id_, progress=progress, changes=changes))

    def action_watch(self) -> None:
        """Follow an endpoint until it is created, modified or deleted."""
        if line := self.line:
            session, id_ = self._session(line), line.endpoint.id
            if line.endpoint.state.startswith("delete-"):
                self._watch(line, "Deleting", lambda progress: wait_deleted(session, id_, progress=progress))
            else:
                self._watch(line, "Watching", lambda progress: wait_usable(session, id_, progress=progress))

    def _watch(self, line: Line, label: str, wait: Callable[[Callable[[str], None]], object]) -> None:
        """Show each state that a wait reports, and read everything anew at its end."""
        app = self.app

        def ended(_result: object) -> None:
            app.note(f"{label} {line.endpoint.id}: done")
            self.reload()

        def progress(state: str) -> None:
            app.call_from_thread(self._enter, line.key, state)

        app.work(f"{label} {line.endpoint.id}", lambda: wait(progress), ended, group=line.key)

    def _enter(self, key: str, state: str) -> None:
        if (line := self.lines.get(key)) and line.endpoint.state != state:
            self._show((self.lines | {key: replace(line, endpoint=replace(line.endpoint, state=state))}).values())

    @work
    async def action_delete(self) -> None:
        """Delete an endpoint after a yes, and the security group that eicctl has created for it after another."""
        if not (line := self.line):
            return
        session, app, id_ = self._session(line), self.app, line.endpoint.id

        def look() -> tuple[Endpoint, list[ManagedGroup]]:
            endpoint = get_endpoint(session, id_)
            try:
                return endpoint, managed_groups(session, endpoint)
            except DeniedError as error:
                app.call_from_thread(app.note, f"Security groups are kept: {error.message}")
                return endpoint, []

        try:
            endpoint, groups = await app.wait_for(f"Reading {id_}", look)
        except EicctlError as error:
            app.show_error(error)
            return
        question = f"{delete_question(endpoint)} Open connections are closed."
        if not await app.push_screen_wait(Question(question, "Delete")):
            return
        doomed = []
        for group in groups:
            question = delete_group_question(group)
            answer = "" if group.used_by else await app.push_screen_wait(Question(question, "Delete", "Keep"))
            if answer:
                doomed.append(group)

        def delete(progress: Callable[[str], None]) -> None:
            delete_endpoint(session, id_)
            wait_deleted(session, id_, progress=progress)
            for group in doomed:
                delete_group(session, group, timeout=TIMEOUT)

        self._watch(line, "Deleting", delete)

    def action_infrastructure(self) -> None:
        """Show an endpoint as code."""
        if (line := self.line) and line.endpoint.arn:
            new, session = infrastructure.like(line.endpoint), self._session(line)
            texts = {
                title: infrastructure.described(new, None, language, session.command)
                for language, title in infrastructure.LANGUAGES.items()
            }
            texts[infrastructure.LANGUAGES["terraform"]] = infrastructure.existing(line.endpoint)
            title = f"{line.endpoint.name or line.endpoint.id} as code"
            self.app.push_screen(Preview(title, texts, infrastructure.notes(new)))

    def action_copy(self) -> None:
        if line := self.line:
            self.app.copy(line.endpoint.id)


PANE = Endpoints
