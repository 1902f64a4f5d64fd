"""What happens to tunnels, as values: the data plane emits them, and the command line shows or keeps them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal, TypeAlias

from eicctl.core.errors import EicctlError, from_json, to_json
from eicctl.core.model import Target

Kind = Literal[
    "checked",
    "listening",
    "waiting",
    "disconnected",
    "opened",
    "retrying",
    "failed",
    "closed",
    "likely-cause",
    "renewed",
    "expired",
    "lost",
    "recovered",
    "note",
]
"""`checked`: the endpoint accepted a tunnel (`text` is what the target sent first). `listening`: clients can connect.

Of a connection: `waiting` (for one of `limit` slots, behind `count` others), `disconnected` (the client, before its
tunnel was open), `opened`, `retrying` (after `error`), `failed` (to open, by `error`), `closed` (see `close_info`) and
`likely-cause` (`text`, and what to do in `hint`).

Of the SSH connection that all share: `renewed` (`count` connections stay on the old one, which ends in `seconds`),
`expired` (an old one has ended with its duration, and `count` connections with it), `lost` (because of `text`, and
`count` connections with it), `retrying` (again in `seconds`) and `recovered` (after `seconds`).

`note`: `text` is for people."""


@dataclass(frozen=True, slots=True)
class CloseInfo:
    """How a connection ended.

    Attributes:
        reason: A few words: `closed by the client`, `closed by the target`, or the error's message.
        error: The error, or None for an ordinary end.
        bytes_in: Bytes that came from the target.
        bytes_out: Bytes that went to it.
        duration: Seconds since the handshake.
        request_id: The service's request ID, or an empty string.
    """

    reason: str
    error: EicctlError | None
    bytes_in: int
    bytes_out: int
    duration: float
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class TunnelEvent:
    """Something that happened to a tunnel, or to one of its connections. What a kind does not use is empty.

    Attributes:
        kind: See `Kind`.
        connection: The connection's number, from 1; 0 for an event of none.
        client: Its client's address.
        remote: Where it goes, as text; empty if all connections go to one target.
        via: What it goes through: the endpoint, or the instance.
        text: See `Kind`.
        hint: What to do about it.
        count: See `Kind`.
        limit: The endpoint's number of slots.
        seconds: See `Kind`.
        error: What went wrong.
        close_info: How the connection ended.
        local: Where it listens: `127.0.0.1:PORT`, `[::1]:PORT`, or a path.
        target: The one target.
        request_id: The service's request ID.
        time: When it happened, in seconds since the epoch.
    """

    kind: Kind
    connection: int = 0
    client: str = ""
    remote: str = ""
    via: str = ""
    text: str = ""
    hint: str = ""
    count: int = 0
    limit: int = 0
    seconds: float = 0.0
    error: EicctlError | None = None
    close_info: CloseInfo | None = None
    local: tuple[str, ...] = ()
    target: Target | None = None
    request_id: str = ""
    time: float = field(default_factory=time.time, compare=False)

    def to_json(self) -> dict[str, object]:
        """Return the event as a JSON object for `from_json`, without empty values."""
        found = {item.name: value for item in fields(self) if (value := getattr(self, item.name))}
        if self.error:
            found["error"] = to_json(self.error)
        if info := self.close_info:
            found["close_info"] = asdict(replace(info, error=None)) | {"error": info.error and to_json(info.error)}
        if self.target:
            found["target"] = asdict(self.target)
        return found

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> TunnelEvent:
        """Return the event that `to_json` has described.

        Raises:
            TypeError, AttributeError: It is not one.
        """
        values = {**found, "local": tuple(found.get("local", ()))}
        if "error" in values:
            values["error"] = from_json(values["error"])
        if info := values.get("close_info"):
            values["close_info"] = CloseInfo(**{**info, "error": info["error"] and from_json(info["error"])})
        if "target" in values:
            values["target"] = Target(**values["target"])
        return cls(**values)


Emit: TypeAlias = Callable[[TunnelEvent], None]
"""Takes events. It may be called in any thread, and must not block."""
