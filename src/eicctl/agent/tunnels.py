"""Detached tunnels: opened, listed and ended in the background processes of this user."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

from eicctl.agent.client import GoneError, ask
from eicctl.agent.place import Place, places
from eicctl.agent.start import here, start
from eicctl.errors import ConflictError, LocalError
from eicctl.named.definition import Definition
from eicctl.named.status import Status

OPEN_TIMEOUT = 60.0
"""Seconds to wait for tunnels' first attempts; the process itself waits a little less."""

TRIES = 5
"""How often a request is sent to a process that ends at that moment."""


@dataclass(frozen=True, slots=True)
class Held:
    """What one background process holds. `pid` is 0 where it was killed, and its tunnels are `lost` then."""

    place: Place
    pid: int
    statuses: tuple[Status, ...]


def held() -> list[Held]:
    """Return what the background processes hold, and what those held that were killed."""
    return [found for place in places() if (found := _held(place))]


def detach(definitions: Sequence[Definition]) -> list[Status]:
    """Open tunnels in the background process, which is started if need be; return how their first attempts went.

    Raises:
        ConflictError: A tunnel of the same name is open in another background process, or from another file.
        LocalError: The process cannot be started.
    """
    place = here()
    names = {definition.name for definition in definitions}
    for other in held():
        clash = names & {status.name for status in other.statuses}
        if clash and other.place != place and other.pid:
            name = min(clash)
            raise ConflictError(
                f"a tunnel named {name!r} is open with another AWS environment (PID {other.pid})",
                hint=f"eicctl down {name} ends it",
            )
    for _ in range(TRIES):
        start(place)
        with contextlib.suppress(GoneError):
            answer = ask(
                place, "open", timeout=OPEN_TIMEOUT, Definitions=[definition.to_json() for definition in definitions]
            )
            return [Status.from_json(row) for row in answer["Statuses"]]
    raise LocalError("the background process ends again and again", hint=f"its log: {place.log}")


def close(names: Sequence[str] | None) -> list[str]:
    """End tunnels, or all where None is given; return the names of those that there were.

    What processes held that were killed is forgotten.
    """
    closed: list[str] = []
    for found in held():
        known = [status.name for status in found.statuses]
        chosen = known if names is None else [name for name in known if name in names]
        if not chosen:
            continue
        if found.pid:
            with contextlib.suppress(GoneError):
                chosen = ask(found.place, "close", Names=chosen)["Names"]
        else:
            record = found.place.read_record() or {"Pid": 0, "Tunnels": []}
            rest = [row for row in record["Tunnels"] if row.get("name") not in chosen]
            found.place.write_record(rest, record.get("Pid", 0)) if rest else found.place.forget()
        closed += chosen
    return closed


def end() -> int:
    """End every background process, with what it holds; return how many there were."""
    count = 0
    for place in places():
        with contextlib.suppress(GoneError):
            ask(place, "end")
            count += 1
    return count


def _held(place: Place) -> Held | None:
    try:
        answer = ask(place, "status")
    except GoneError:
        return _lost(place)
    return Held(place, int(answer["Pid"]), tuple(Status.from_json(row) for row in answer["Statuses"]))


def _lost(place: Place) -> Held | None:
    """What a process held that was killed."""
    record = place.read_record()
    if not record or not record["Tunnels"]:
        return None
    definitions = [Definition.from_json(row) for row in record["Tunnels"]]
    error = f"the background process (PID {record.get('Pid')}) was killed"
    hint = "eicctl up --detach opens it again; eicctl down forgets it"
    return Held(
        place,
        0,
        tuple(
            Status(name=d.name, kind=d.kind, source=d.source, state="lost", error=error, hint=hint) for d in definitions
        ),
    )
