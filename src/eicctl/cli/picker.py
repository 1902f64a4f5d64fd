"""What one can choose on a terminal where a command names nothing: recent targets, instances, databases, endpoints,
profiles. The lists come from the cache of names, and are refreshed while they are shown.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from eicctl.core.errors import INTERRUPTED, EicctlError
from eicctl.core.model import USABLE_STATES
from eicctl.core.names import natural_key
from eicctl.support import pins, recents
from eicctl.support.activity import Hidden
from eicctl.support.signals import end_by_exception
from eicctl.view import messages

if TYPE_CHECKING:
    from eicctl.aws.caches import Row as Known
    from eicctl.aws.session import Session
    from eicctl.core.model import Instance
    from eicctl.view.picker import Listing, Row

MOST_RECENT = 5
"""Recent targets on top of the list."""

_INSTANCE = (
    *(("Name", 0), ("ID", 0), ("State", 3), ("Platform", 5)),
    *(("Address", 1), ("AZ", 2), ("VPC", 6), ("Endpoint", 4)),
)
_ENDPOINT = (("Name", 0), ("ID", 0), ("State", 1), ("VPC", 2), ("AZ", 3))
_DATABASE = (("ID", 0), ("Engine", 2), ("Status", 1), ("Address", 3))


@dataclass(frozen=True, slots=True)
class Chosen:
    """A target that the user has chosen.

    Attributes:
        word: It, as a command takes it: an instance ID, an address or a DNS name.
        profile: Another profile to reach it with, or None.
        region: Another region that it is in, or None.
        user: The OS user of its last login, or an empty string.
    """

    word: str
    profile: str | None = None
    region: str | None = None
    user: str = ""

    @classmethod
    def of(cls, recent: recents.Recent) -> Chosen:
        """Return the target of a recent connection."""
        user = recent.user if recent.command in ("ssh", "scp", "sftp") else ""
        return cls(recent.word, recent.profile, recent.region, user)


def on_terminal() -> bool:
    """Whether a list can be shown, and answered."""
    return sys.stdin.isatty() and sys.stderr.isatty() and os.environ.get("TERM") not in ("dumb", "")


def instance(session: Session, *, command: str, platform: str = "", none: str = "") -> Chosen:
    """Let the user choose an instance, or a target of a recent connection.

    Args:
        session: Access to AWS.
        command: The command that needs it; those of databases have targets of their own.
        platform: The only platform of instances to show, or an empty string.
        none: What to call the choice of no target, whose word is empty; an empty string where there is none.
    """
    found = _Instances(session, command, platform, none=none)
    return found.chosen(_pick(found.listing())[0])


def instances(session: Session) -> list[str]:
    """Let the user choose instances with an SSH server that run; return their IDs."""
    from eicctl.view.picker import pick

    found = _Instances(session, "run", "linux", running=True)
    return [found.chosen(key).word for key in _answer(lambda: pick(found.listing("Select instances"), multiple=True))]


def one_of(session: Session, candidates: Sequence[Instance]) -> str:
    """Let the user choose one of several instances; return its ID."""
    from eicctl.aws.instances import shown
    from eicctl.view.picker import Listing

    serving, vpcs = _serving(_known(session, "endpoints")), _known(session, "vpcs")
    rows = [_instance(one.id, shown(one), serving, vpcs, "") for one in candidates]
    return _pick(Listing("Select an instance", _INSTANCE, rows))[0]


def endpoint(session: Session) -> str:
    """Let the user choose an endpoint; return its ID."""
    from eicctl.view.picker import Listing

    def rows(found: Mapping[str, Known]) -> list[Row]:
        vpcs = _known(session, "vpcs")
        return [_endpoint(key, row, vpcs) for key, row in _by_name(found)]

    def refresh() -> list[Row]:
        from eicctl.aws.endpoints import list_endpoints, shown

        return rows({one.id: shown(one) for one in list_endpoints(session)})

    empty = f"No EC2 Instance Connect Endpoint in {session.location}"
    return _pick(Listing("Select an endpoint", _ENDPOINT, rows(_known(session, "endpoints")), refresh, empty))[0]


def vpc(found: Sequence[tuple[str, str, str]]) -> str:
    """Let the user choose a VPC among some, each with its ID, name and ranges; return its ID."""
    from eicctl.view.picker import Listing, Row

    rows = [Row(vpc_id, (name, vpc_id, ranges)) for vpc_id, name, ranges in found]
    return _pick(Listing("Select a VPC", (("Name", 0), ("ID", 0), ("CIDR", 1)), rows))[0]


def database(session: Session) -> str:
    """Let the user choose a database; return its identifier."""
    from eicctl.view.picker import Listing

    def rows(found: Mapping[str, Known]) -> list[Row]:
        used = [
            each.target for each in recents.recent() if each.command == recents.DATABASE and _is_here(session, each)
        ]
        order = sorted(found, key=lambda key: (used.index(key) if key in used else len(used), natural_key(key)))
        return [_database(key, found[key], "Recent" if key in used else "Databases") for key in order]

    def refresh() -> list[Row]:
        from eicctl.aws.databases import list_databases, shown

        return rows({one.id: shown(one) for one in list_databases(session)})

    empty = f"No RDS database in {session.location}"
    return _pick(Listing("Select a database", _DATABASE, rows(_known(session, "databases")), refresh, empty))[0]


def profile() -> str:
    """Let the user choose a profile of the AWS configuration."""
    from eicctl.aws.config_files import sections
    from eicctl.view.picker import Listing, Row

    found = {name: lines for name, lines in sections().items() if not name.startswith(("sso-session ", "services "))}
    names = sorted(found, key=natural_key)
    rows = [Row(name, (name, found[name].get("region", ""), _account(found[name]))) for name in names]
    listing = Listing(
        "Select a profile", (("Profile", 0), ("Region", 1), ("Account", 2)), rows, None, "No AWS profiles"
    )
    return _pick(listing)[0]


def _account(lines: Mapping[str, str]) -> str:
    """The account of a profile, if its lines name one."""
    parts = lines.get("role_arn", "").split(":")
    return lines.get("sso_account_id") or (parts[4] if len(parts) > 4 else "")


def _pick(listing: Listing) -> list[str]:
    from eicctl.view.picker import pick

    return _answer(lambda: pick(listing))


def _answer(ask: Callable[[], list[str]]) -> list[str]:
    """Return what the user has chosen; a user who has chosen nothing ends the command."""
    from eicctl.view.picker import Canceled

    try:
        with Hidden(), end_by_exception():
            return ask()
    except Canceled:
        messages.line("Canceled")
        raise click.exceptions.Exit(INTERRUPTED) from None


def _known(session: Session, kind: str) -> dict[str, Known]:
    from eicctl.aws import caches

    return caches.known_rows(kind, session.profile, session.region)


def _by_name(found: Mapping[str, Known]) -> list[tuple[str, Known]]:
    return sorted(found.items(), key=lambda item: (*natural_key(item[1][0]), item[0]))


def _cells(row: Known, count: int) -> tuple[str, ...]:
    """So many cells of a row; a cache of an earlier version has names only."""
    return (*row, *("" for _ in range(count)))[:count]


def _endpoint(key: str, row: Known, vpcs: Mapping[str, Known]) -> Row:
    from eicctl.view.picker import Row

    name, state, vpc_id, zone = _cells(row, 4)
    return Row(key, (name, key, state, _vpc(vpc_id, vpcs), zone), dim=state.startswith("delete-"))


def _database(key: str, row: Known, group: str) -> Row:
    from eicctl.view.picker import Row

    return Row(key, (key, *_cells(row, 4)[1:]), group)


def _vpc(vpc_id: str, vpcs: Mapping[str, Known]) -> str:
    return _cells(vpcs.get(vpc_id, ()), 1)[0] or vpc_id


def _serving(endpoints: Mapping[str, Known] | None) -> dict[str, str] | None:
    """Return the usable endpoint of each VPC, as its name or ID; None where the endpoints are not known."""
    if endpoints is None:
        return None
    found: dict[str, str] = {}
    for endpoint_id, row in endpoints.items():
        name, state, vpc_id = _cells(row, 3)
        if state in USABLE_STATES:
            found.setdefault(vpc_id, name or endpoint_id)
    return found


def _instance(
    key: str,
    row: Known,
    serving: Mapping[str, str] | None,
    vpcs: Mapping[str, Known],
    group: str,
    *,
    cells_id: str = "",
) -> Row:
    """The row of an instance, with the endpoint of its VPC (`_serving`)."""
    from eicctl.view.picker import Row

    name, state, platform, address, zone, vpc_id = _cells(row, 6)
    served = "" if serving is None or not vpc_id else serving.get(vpc_id, "none")
    cells = (name, cells_id or key, state, platform, address, zone, _vpc(vpc_id, vpcs), served)
    return Row(key, cells, group, dim=state not in ("running", "pending", ""))


def _is_here(session: Session, recent: recents.Recent) -> bool:
    """Whether a connection was by this profile, in this region."""
    return recent.region == session.region and recent.profile == pins.profile_in_force(session.profile)


class _Instances:
    """The instances of a region, with recent targets before them.

    Args:
        session: Access to AWS.
        command: See `instance`.
        platform: Likewise.
        running: Whether to show only instances that run here.
        none: See `instance`.
    """

    def __init__(self, session: Session, command: str, platform: str, *, running: bool = False, none: str = "") -> None:
        self._session = session
        self._platform = platform
        self._running = running
        self._none = none
        self._recent: dict[str, recents.Recent] = {}
        for each in recents.recent():
            same = (each.command == "rdp") == (command == "rdp") and each.command != recents.DATABASE
            if same and (_is_here(session, each) or not running):
                key = each.word if _is_here(session, each) else f"{each.profile}/{each.region}/{each.word}"
                self._recent.setdefault(key, each)

    def listing(self, title: str = "Select an instance") -> Listing:
        """Return the list as the cache has it."""
        from eicctl.view.picker import Listing

        session = self._session
        found, endpoints, vpcs = (_known(session, kind) for kind in ("instances", "endpoints", "vpcs"))
        rows = self._rows(found, endpoints or None, vpcs, whole=False)
        platform = "Windows " if self._platform == "windows" else ""
        return Listing(title, _INSTANCE, rows, self._fresh, f"No {platform}instances in {session.location}")

    def chosen(self, key: str) -> Chosen:
        """Return the target of a row."""
        return Chosen.of(self._recent[key]) if key in self._recent else Chosen(key)

    def _fresh(self) -> list[Row]:
        from eicctl.aws import endpoints, instances
        from eicctl.aws.network import vpc_names
        from eicctl.support.threads import both

        session = self._session

        def others() -> tuple[Mapping[str, Known] | None, Mapping[str, Known]]:
            try:
                found, vpcs = both(lambda: endpoints.list_endpoints(session), lambda: vpc_names(session))
            except EicctlError:  # one may know the instances only
                return _known(session, "endpoints") or None, _known(session, "vpcs")
            return {one.id: endpoints.shown(one) for one in found}, {key: (name,) for key, name in vpcs.items()}

        found, (known_endpoints, vpcs) = both(lambda: instances.list_instances(session), others)
        alive = {one.id: instances.shown(one) for one in found if one.state not in ("shutting-down", "terminated")}
        return self._rows(alive, known_endpoints, vpcs, whole=True)

    def _rows(
        self,
        found: Mapping[str, Known],
        endpoints: Mapping[str, Known] | None,
        vpcs: Mapping[str, Known],
        *,
        whole: bool,
    ) -> list[Row]:
        """The rows: recent targets, and the instances that are not among them.

        Args:
            found: The instances.
            endpoints: The endpoints; None if they are not known.
            vpcs: The VPCs' names.
            whole: Whether these are all instances of the region, so that others do not exist any more.
        """
        serving = _serving(endpoints)
        rows: list[Row] = []
        for key, recent in self._recent.items():
            gone = whole and _is_here(self._session, recent) and recent.instance_id and key not in found
            if gone or len(rows) == MOST_RECENT or not self._suits(found.get(key, ())):
                continue
            there = "" if _is_here(self._session, recent) else recent.region
            row = found.get(key) or (
                recent.target,
                "",
                "",
                "",
                there,
                recent.profile if there and recent.profile else "",
            )
            name = row[0] or recent.target
            rows.append(_instance(key, (name, *row[1:]), serving, vpcs, "Recent", cells_id=recent.instance_id or " "))
        taken = {row.key for row in rows}
        others = [item for item in _by_name(found) if item[0] not in taken and self._suits(item[1])]
        for group, states in (("Running", ("running", "pending", "")), ("Stopped", ("stopping", "stopped"))):
            if group == "Running" or not self._running:
                of_group = [item for item in others if _cells(item[1], 2)[1] in states]
                rows += [_instance(key, row, serving, vpcs, group) for key, row in of_group]
        # Not alone, because it would be the chosen row when the instances come.
        return [*rows, *([_instance("", (self._none,), {}, {}, "Other")] if self._none and (rows or whole) else [])]

    def _suits(self, row: Known) -> bool:
        platform = _cells(row, 3)[2]
        return not self._platform or platform in ("", self._platform)
