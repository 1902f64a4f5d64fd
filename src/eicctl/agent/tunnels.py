"""Detached tunnels: opened, listed and ended in the background processes of this user."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from eicctl.agent.client import GoneError, UnresponsiveError, ask, here, start
from eicctl.agent.paths import AgentPaths, all_paths
from eicctl.core.errors import ConflictError, EicctlError, LocalError
from eicctl.named_tunnels.config_file import Definition
from eicctl.named_tunnels.status import State, Status
from eicctl.support import pins
from eicctl.support.threads import for_each
from eicctl.tunnel import slots

OPEN_TIMEOUT = 60.0
"""Seconds to wait for the tunnels' first attempts; the process itself waits a little less."""

GRACE = 2.0
"""Seconds between SIGTERM and SIGKILL."""

MOST = 3
"""How many background processes a user has, not counting those that hold tunnels or relay connections."""

TRIES = 5
"""How often a request is sent if the process ends before it answers."""


@dataclass(frozen=True, slots=True)
class AgentState:
    """The state of one background process.

    Attributes:
        paths: Its files.
        pid: Its process ID; 0 if it was killed: its tunnels are `lost` then.
        statuses: Its tunnels; those of its record if it gives no answer.
        connections: How many connections it has to each endpoint; nothing where it gives no answer.
        trouble: Why it gives no answer: it does not respond, or is of another version. None if it does.
    """

    paths: AgentPaths
    pid: int
    statuses: tuple[Status, ...]
    trouble: EicctlError | None = None
    connections: Mapping[str, int] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """The names of its tunnels."""
        return [status.name for status in self.statuses]


def states() -> list[AgentState]:
    """Return the states of all background processes, also of those that were killed while they held tunnels."""
    return [found for found in for_each(_state, all_paths()) if found]


def connections() -> dict[str, int]:
    """Return how many connections to each endpoint this process has, with the background processes of this user."""
    total = Counter(slots.connections())
    for found in states():
        total.update(found.connections)
    return dict(total)


def detach(definitions: Sequence[Definition]) -> list[Status]:
    """Open tunnels in the background process, which is started if needed; return how their first attempts went.

    Raises:
        ConflictError: A tunnel of the same name is open in another background process, or from another file.
        LocalError: The process cannot be started.
    """
    paths = here()
    names = {definition.name for definition in definitions}
    for other in states():
        clash = names & set(other.names)
        if other.trouble and other.paths.name == paths.name:
            raise other.trouble
        if clash and other.paths.name != paths.name and other.pid:
            name = min(clash)
            raise ConflictError(
                f"A tunnel named {name!r} is open with another AWS environment (PID {other.pid})",
                hint=pins.command("eicctl", "down", name),
            )
    for _ in range(TRIES):
        start(paths)
        with contextlib.suppress(GoneError):
            answer = ask(
                paths, "open", timeout=OPEN_TIMEOUT, Definitions=[definition.to_json() for definition in definitions]
            )
            return [Status(**row) for row in answer["Statuses"]]
    raise LocalError("The background process ends again and again", hint=f"its log: {paths.log}")


def close(names: Sequence[str]) -> list[str]:
    """Close tunnels; return the names of those that existed. Lost ones of killed processes are removed from the record.

    Raises:
        EicctlError: A process that holds one of them does not respond; the others are closed.
    """
    closed: list[str] = []
    troubles: list[EicctlError] = []
    for found in states():
        chosen = [name for name in found.names if name in names]
        if chosen and found.trouble:
            troubles.append(found.trouble)
        elif chosen:
            closed += _close(found, chosen)
    if troubles:
        raise troubles[0]
    return closed


def _close(found: AgentState, names: list[str]) -> list[str]:
    if found.pid:
        with contextlib.suppress(GoneError):
            return list(ask(found.paths, "close", Names=names)["Names"])
        return names
    record = found.paths.read_record()
    rest = [row for row in record["Tunnels"] if row.get("name") not in names]
    found.paths.write_record(rest, record.get("Pid", 0)) if rest else found.paths.remove()
    return names


def end(*, force: bool) -> list[AgentState]:
    """End every background process with its tunnels; remove the records of killed ones.

    Args:
        force: Whether to kill those that do not respond.

    Returns:
        What there was, with `trouble` where it could not be ended.
    """
    return [ended for ended in for_each(lambda paths: _end(paths, force=force), all_paths()) if ended]


def _end(paths: AgentPaths, *, force: bool) -> AgentState | None:
    found = _state(paths)
    if not found:
        return None
    ended = replace(found, trouble=None)
    if isinstance(found.trouble, UnresponsiveError):
        if not force or not found.trouble.pid:
            return found
        _kill(found.trouble.pid)
        paths.remove(patience=GRACE)
        return ended
    try:
        if found.names and not found.trouble:
            _close(found, found.names)
        ask(paths, "end")  # the one request that every version understands
    except GoneError:
        pass
    except UnresponsiveError as error:
        return replace(found, trouble=error)
    return ended


def make_room(paths: AgentPaths) -> None:
    """End the least used background processes beyond `MOST`, but none that has tunnels or connections, and remove the
    files of ended ones.

    Args:
        paths: Those of this process, which stays.
    """

    others: list[tuple[float, AgentPaths]] = []
    for other in all_paths():
        if other.name == paths.name:
            continue
        with contextlib.suppress(EicctlError):
            try:
                answer = ask(other, "status")
                others.append((0.0 if answer["Statuses"] or answer["Clients"] else float(answer["Unused"]), other))
            except GoneError:
                if not other.read_record()["Tunnels"]:
                    other.remove()
    others.sort(key=lambda pair: -pair[0])
    for seconds, other in others[: max(0, len(others) + 1 - MOST)]:
        if seconds:
            with contextlib.suppress(GoneError, EicctlError):
                ask(other, "end")


def _kill(pid: int) -> None:
    """End a process of this user: by SIGTERM, and by SIGKILL if that does not help."""
    with contextlib.suppress(ProcessLookupError):
        for number in (signal.SIGTERM, signal.SIGCONT):
            os.kill(pid, number)
        deadline = time.monotonic() + GRACE
        while time.monotonic() < deadline:
            os.kill(pid, 0)
            time.sleep(0.05)
        os.kill(pid, signal.SIGKILL)


def _state(paths: AgentPaths) -> AgentState | None:
    """Return the state of a process: by its record if it gives no answer, or was killed; None if there is nothing."""
    trouble: EicctlError | None = None
    try:
        answer = ask(paths, "status")
        statuses = tuple(Status(**row) for row in answer["Statuses"])
        return AgentState(paths, int(answer["Pid"]), statuses, connections=answer["Connections"])
    except GoneError:
        pass
    except EicctlError as error:
        trouble = error
    record = paths.read_record()
    pid = int(record.get("Pid") or 0)
    try:
        definitions = [Definition.from_json(row) for row in record["Tunnels"]]
    except TypeError:
        definitions = []  # of another version
    state: State = "unknown" if trouble else "lost"
    error_text = trouble.message if trouble else f"The background process (PID {pid}) was killed"
    statuses = tuple(
        Status(d.name, d.kind, d.source, state, error=error_text, hint=trouble.hint or "" if trouble else _again(d))
        for d in definitions
    )
    if trouble:
        return AgentState(paths, getattr(trouble, "pid", 0) or pid, statuses, trouble)
    return AgentState(paths, 0, statuses) if statuses else None


def _again(lost: Definition) -> str:
    """Return the command that opens a lost tunnel again."""
    return lost.pinned(
        pins.command("eicctl", "up", "--detach", *(("--file", lost.source) if lost.source else ()), lost.name)
    )
