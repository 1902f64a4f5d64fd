"""Misbehaviour on demand: which faults there are, and what they may say. `mischief` shows them."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from eicctl.emulator.state import Fault

Types = Mapping[str, type | tuple[type, ...]]

_NUMBER = (int, float)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of fault: its parameters with their types, and the stages of a connection at which it can be shown."""

    parameters: Types
    stages: tuple[str, ...] = ("open",)

    @property
    def stage(self) -> str:
        """The stage of a fault that names none."""
        return self.stages[0]


_ENDING: Types = {"after_bytes": int, "after_seconds": _NUMBER}

KINDS: Mapping[str, Kind] = {
    "refuse": Kind({"status": int, "body": (str, dict), "headers": dict}, ("handshake",)),
    "delay": Kind({"seconds": _NUMBER}, ("handshake", "target")),
    "cut": Kind(_ENDING, ("open", "tcp", "tls", "handshake", "response", "frame")),
    "close": Kind({"code": int, "reason": str, **_ENDING}),
    "text": Kind({"text": str}),
    "garbage": Kind({}),
    "fragment": Kind({"size": int}),
    "drip": Kind({"size": int, "seconds": _NUMBER}),
    "stall": Kind({"direction": str}),
}
"""Each kind by its name; docs/reference/local-aws.md tells what they do."""

_RANGES: Mapping[str, tuple[float, float]] = {"status": (100, 599), "code": (1000, 4999), "times": (-1, float("inf"))}

BEFORE_TLS = ("tcp", "tls")
"""Stages at which nothing is known of a connection: a fault there matches whatever comes."""

AFTER_TLS = ("handshake", "response", "target", "open", "frame")

DIRECTIONS = ("in", "out", "both")


def parse(content: Mapping[str, Any]) -> Fault:
    """Return the fault that a JSON object asks for.

    Raises:
        ValueError: With the reason.
    """
    content = dict(content)
    name = content.pop("kind", None)
    if name not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}")
    kind = KINDS[name]
    common: dict[str, Any] = {"times": content.pop("times", 1)}
    common |= {key: content.pop(key, "") for key in ("endpoint_id", "address")}
    _check_types(common, {"times": int, "endpoint_id": str, "address": str}, name)
    stage = content.pop("stage", kind.stage)
    if stage not in kind.stages:
        raise ValueError(f"stage of {name} must be one of {', '.join(kind.stages)}")
    if stage in BEFORE_TLS and (common["endpoint_id"] or common["address"]):
        raise ValueError(f"at stage {stage} neither endpoint_id nor address is known yet")
    if common["times"] == 0:
        raise ValueError("times must be at least 1, or -1 for always")
    if content.get("direction", "both") not in DIRECTIONS:
        raise ValueError(f"direction must be one of {', '.join(DIRECTIONS)}")
    _check_types(content, kind.parameters, name)
    return Fault(id=secrets.token_hex(4), kind=name, parameters={**content, "stage": stage}, **common)


def _check_types(given: Mapping[str, Any], wanted: Types, kind: str) -> None:
    for name, value in given.items():
        if name not in wanted:
            raise ValueError(f"{name} is not a parameter of {kind}")
        if not isinstance(value, wanted[name]) or isinstance(value, bool):
            raise ValueError(f"{name} has the wrong type")
        first, last = _RANGES.get(name, (0, float("inf")))
        if isinstance(value, int | float) and not first <= value <= last:
            raise ValueError(f"{name} must be between {first} and {last}")


def shown(fault: Fault) -> dict[str, Any]:
    """Return a fault as a JSON object."""
    return {
        "id": fault.id,
        "kind": fault.kind,
        "times": fault.times,
        "endpoint_id": fault.endpoint_id,
        "address": fault.address,
        **fault.parameters,
    }


def body_of(fault: Fault) -> bytes:
    """Return the body of a refusal."""
    body = fault.parameters.get("body", "")
    return (json.dumps(body) if isinstance(body, dict) else body).encode()
