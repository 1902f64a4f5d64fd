"""Instances of all accounts and regions that are shown: whether each can be reached, and what to do with it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, cast

from textual import work
from textual.binding import Binding, BindingType

from eicctl.aws import caches
from eicctl.core.errors import EicctlError, UsageError
from eicctl.core.names import natural_key
from eicctl.support import pins, recents
from eicctl.ui.pane import Pane
from eicctl.ui.table import Column, Row

if TYPE_CHECKING:
    from eicctl.core.model import Instance
    from eicctl.named_tunnels.config_file import Definition
    from eicctl.reachability.coverage import Coverage, Inventory
    from eicctl.ui.app import Scope

AT_MOST_EVERY = 0.25
"""Seconds between two looks at locations that were read while others are."""

_STATES = {"running": "green", "pending": "yellow", "stopping": "yellow", "shutting-down": "yellow"}
_VERDICTS = {"ok": "green", "failed": "red", "unknown": "yellow"}


@dataclass(frozen=True, slots=True)
class Line:
    """What a row shows. `reachable` is empty until it is known."""

    profile: str
    region: str
    id: str
    name: str
    state: str
    platform: str
    address: str
    zone: str
    endpoint: str = ""
    reachable: str = ""
    verdict: str = ""

    @property
    def location(self) -> tuple[str, str]:
        """The profile and the region."""
        return (self.profile, self.region)

    @property
    def key(self) -> str:
        """Its row's key."""
        return f"{self.profile}/{self.region}/{self.id}"

    @property
    def label(self) -> str:
        """What to call it."""
        return self.name or self.id

    @property
    def where(self) -> list[str]:
        """The options that lead to its account and region."""
        return [*(["--profile", self.profile] if self.profile else []), "--region", self.region]

    def command(self, name: str, *words: str) -> list[str]:
        """Return the words of a command for this instance."""
        return [name, *self.where, *words, self.id]

    def tunnel(self, name: str, **fields: Any) -> Definition:
        """Return the definition of a tunnel to or through it."""
        from eicctl.named_tunnels.config_file import Definition

        return Definition(name=f"{self.label}-{name}", profile=self.profile, region=self.region, **fields)

    def row(self, several: bool, recent: bool) -> Row:
        """Return its row; `several` if not all rows are of one account and region."""
        location = f"{self.profile} {self.region}".strip() if several else ""
        cells = (
            "•" if recent else "",
            self.name,
            self.id,
            self.state,
            self.platform,
            self.address,
            self.zone,
            self.endpoint,
        )
        styles = {3: _STATES.get(self.state, ""), 8: _VERDICTS.get(self.verdict, "")}
        dim = "" if self.state == "running" else "dim"
        return Row(
            self.key, (*cells, self.reachable, location), dim, {at: style for at, style in styles.items() if style}
        )


def known(scope: Scope) -> Iterator[Line]:
    """Return what earlier commands have seen, without a call of AWS's."""
    for session, region in scope.known_locations():
        for id_, row in caches.known_rows(caches.INSTANCES, session.profile, region).items():
            name, state, platform, address, zone = (*row, "", "", "", "")[:5]
            yield Line(session.profile or "", region, id_, name, state, platform, address, zone)


def recently(profiles: Iterable[str]) -> dict[str, int]:
    """Return the keys of instances that have had a connection lately, the last one as 0."""
    names = {pins.profile_in_force(profile): profile for profile in profiles}
    keys = dict.fromkeys(
        f"{names[each.profile]}/{each.region}/{each.instance_id}"
        for each in recents.recent()
        if each.instance_id and each.profile in names
    )
    return {key: at for at, key in enumerate(keys)}


def covered(coverage: Coverage) -> list[Line]:
    """Return the running instances that were read, with what is known of their reachability."""
    return [
        replace(
            _line(reach.instance, each.location.profile, each.location.region),
            endpoint=(reach.endpoint.name or reach.endpoint.id) if reach.endpoint else "",
            reachable="yes" if reach.verdict == "ok" else reach.cause or reach.reason,
            verdict=reach.verdict,
        )
        for each in coverage.covered
        for reach in each.reaches
    ]


def stopped(scope: Scope, coverage: Coverage) -> list[Line]:
    """Return the instances that do not run, of the locations that could be read."""
    from eicctl.aws.instances import STATE_ORDER, list_instances
    from eicctl.support.threads import for_each

    sessions = {session.profile or "": session for session in scope.sessions}
    filters = {"instance-state-name": [state for state in STATE_ORDER if state not in ("running", "terminated")]}

    def read(inventory: Inventory) -> list[Line]:
        profile, region = inventory.location.profile, inventory.location.region
        found = list_instances(sessions[profile], filters=filters, region=region)
        return [_line(one, profile, region) for one in found]

    return [line for lines in for_each(read, coverage.covered) for line in lines]


class Instances(Pane):
    """The pane."""

    NOUN = "instances"
    COLUMNS = (
        Column("", 6),
        Column("Name", 9),
        Column("ID", 8),
        Column("State", 5),
        Column("Platform", 3),
        Column("Address", 4),
        Column("AZ", 2),
        Column("Endpoint", 1),
        Column("Reachable", 7),
        Column("Profile, region", 0),
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("s", "shell", "Shell"),
        Binding("k", "shell('--keep')", "Persistent shell", show=False),
        Binding("t", "tunnel", "Tunnel"),
        Binding("r", "command('rdp')", "Remote Desktop", show=False),
        Binding("f", "forward", "Forward ports", show=False),
        Binding("c", "copy", "Copy the command", show=False),
        Binding("C", "copy_address", "Copy the address", show=False),
        Binding("d", "doctor", "Doctor"),
        Binding("x", "run", "Run a command on the marked instances", show=False),
    ]

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id)
        self.lines: dict[str, Line] = {}

    def on_mount(self) -> None:
        self._show(known(self.app.scope))
        self.call_after_refresh(self.reload)  # once what is known is on the screen

    def reload(self) -> None:
        self._read()

    @work(group="instances", exclusive=True)
    async def _read(self) -> None:
        scope, app = self.app.scope, self.app
        shown = 0.0

        def progress(so_far: Coverage) -> None:
            nonlocal shown
            if time.monotonic() - shown >= AT_MOST_EVERY:  # the last one is shown with the stopped ones
                app.call_from_thread(self._show_part, so_far)
                shown = time.monotonic()

        def read() -> tuple[Coverage, list[Line]]:
            from eicctl.aws.accounts import Account
            from eicctl.reachability.coverage import cover  # here, as it takes longer to load than the first frame has

            coverage = cover(
                [Account(session, profile=session.profile or "") for session in scope.sessions],
                regions=scope.regions,
                all_regions=scope.all_regions,
                progress=progress,
            )
            coverage.check()
            return coverage, stopped(scope, coverage)

        try:
            coverage, others = await app.wait_for("Reading instances", read)
        except EicctlError as error:
            app.show_error(error)
        else:
            self._show([*covered(coverage), *others])
            for notice in coverage.notices:
                app.note(notice)
        self.table.set_empty("No instances")

    def _show_part(self, coverage: Coverage) -> None:
        """Show the locations that were read, beside what is known of the others, and of instances that do not run."""
        fresh = covered(coverage)
        read = {(each.location.profile, each.location.region) for each in coverage.covered}
        running = {line.key for line in self.lines.values() if line.state == "running" and line.location in read}
        self._show([*(line for key, line in self.lines.items() if key not in running), *fresh])

    def _show(self, lines: Iterable[Line]) -> None:
        self.lines = {line.key: line for line in lines}
        several = len({line.location for line in self.lines.values()}) > 1
        used = recently({line.profile for line in self.lines.values()})
        ordered = sorted(self.lines.items(), key=lambda pair: (used.get(pair[0], len(used)), *_order(pair[1])))
        self.table.set_rows(line.row(several, key in used) for key, line in ordered)

    @property
    def line(self) -> Line | None:
        """The instance with the cursor."""
        row = self.table.current
        return self.lines.get(row.key) if row else None

    def on_table_selected(self) -> None:
        self.action_shell()

    def action_shell(self, *options: str) -> None:
        self.action_command("ssh", *options)

    def action_command(self, *words: str) -> None:
        if line := self.line:
            self.app.run_command(line.command(*words))

    def action_tunnel(self) -> None:
        """Open a tunnel to the platform's port, on a free local port."""
        if line := self.line:
            from eicctl.core.model import usual_port

            port = usual_port(line.platform)
            self._open(line.tunnel(str(port), target=line.id, remote_port=port, local_port=0))

    @work
    async def action_forward(self) -> None:
        """Ask for forwards, and open them through the instance."""
        from eicctl.ssh.destination import parse_forward
        from eicctl.ui.dialogs import Ask

        if not (line := self.line):
            return
        text = await self.app.push_screen_wait(Ask(f"Forward through {line.label}, [LOCAL:]HOST:PORT … or socks:"))
        forward = tuple(text.split())
        if forward == ("socks",):
            self._open(line.tunnel("socks", kind="socks", via=line.id))
        elif forward:
            try:
                for word in forward:
                    parse_forward(word)
            except EicctlError as error:
                self.app.show_error(error)
            else:
                self._open(line.tunnel("forward", kind="via", via=line.id, forward=forward))

    @work
    async def _open(self, definition: Definition) -> None:
        from eicctl.ui.tunnels import Tunnels

        pane = cast("Tunnels", await self.app.pane("tunnels"))
        await pane.open(definition)
        await self.app.action_pane("tunnels")

    @work
    async def action_doctor(self) -> None:
        """Check why it cannot be reached."""
        from eicctl.core.request import ConnectRequest
        from eicctl.ui.doctor import Doctor

        if line := self.line:
            pane = cast("Doctor", await self.app.pane("doctor"))
            await self.app.action_pane("doctor")
            pane.check(ConnectRequest(target=line.id, profile=line.profile, region=line.region))

    def action_copy(self) -> None:
        if line := self.line:
            self.app.copy(pins.command("eicctl", *line.command("ssh")))

    def action_copy_address(self) -> None:
        if line := self.line:
            self.app.copy(line.address)

    @work
    async def action_run(self) -> None:
        """Ask for a command line, and run it on the marked instances of one account and region."""
        from eicctl.ui.dialogs import Ask

        rows = [self.lines[row.key] for row in self.table.chosen]
        if not rows:
            return
        if len({line.location for line in rows}) > 1:
            self.app.show_error(UsageError("The marked instances are in several accounts or regions"))
        elif text := await self.app.push_screen_wait(Ask(f"Run on {', '.join(line.label for line in rows)}:")):
            targets = [word for line in rows for word in ("--target", line.id)]
            self.app.run_command(["run", *rows[0].where, *targets, "--", text], wait=True)


PANE = Instances


def _line(one: Instance, profile: str, region: str) -> Line:
    address = one.private_ip or one.ipv6
    return Line(profile, region, one.id, one.name, one.state, one.platform, address, one.availability_zone)


def _order(line: Line) -> tuple[object, ...]:
    return (line.state != "running", *natural_key(line.name), line.id)
