"""The path of a connection as a drawing: you, the endpoint, the target, and the gates between them. Pure; no I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eicctl.doctor import check as checks
from eicctl.doctor.cause import Cause
from eicctl.doctor.check import Check, Status, Step


@dataclass(frozen=True, slots=True)
class Node:
    """A place on the path; `note` says more of it."""

    name: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Gate:
    """What a connection has to pass between two places.

    `left_out` is whether it was not looked at at all. `note` says where it is: security groups, subnets.
    """

    key: str
    title: str
    status: Status
    left_out: bool = False
    stops: bool = False
    note: str = ""


Path = Sequence[Node | Gate]


@dataclass(frozen=True, slots=True)
class Symbols:
    """What a drawing is made of."""

    reached: str
    not_reached: str
    line: str
    broken: str
    marks: Mapping[Status, str]
    left_out: str
    stop: str


UNICODE = Symbols(
    "●", "○", "│", "┆", {Status.OK: "✓", Status.FAILED: "✗", Status.UNKNOWN: "?"}, "·", "◀── it stops here"
)
ASCII = Symbols("*", "o", "|", ":", {Status.OK: "+", Status.FAILED: "x", Status.UNKNOWN: "?"}, "-", "<-- it stops here")

_BEFORE = (
    (checks.CREDENTIALS, "credentials"),
    (checks.CLOCK, "clock"),
    (checks.REGION, "region"),
    (checks.TARGET, "the target is there, and runs"),
)
_TO_ENDPOINT = ((checks.WAY, "DNS, TCP, TLS"), (checks.PERMISSION, "permission to open a tunnel"))
_TO_TARGET = (
    (checks.CLIENT_IP, "client address"),
    (checks.EGRESS, "egress of the endpoint"),
    (checks.ROUTES, "routes"),
    (checks.ACLS, "network ACLs"),
    (checks.INGRESS, "ingress of the target"),
)


def trace(made: Sequence[Check], cause: Cause | None, *, port: int) -> list[Node | Gate]:
    """Return the path that checks of a target describe.

    Args:
        made: The checks.
        cause: The cause that was found; its gate is the one that stops the connection.
        port: The target's port.
    """
    known = {check.key: check for check in made}

    def gates(steps: Sequence[tuple[Step, str]]) -> list[Gate]:
        return [
            _gate(known[step.key], title, cause, notes.get(step.key, "")) for step, title in steps if step.key in known
        ]

    way = _details(known, checks.WAY)
    proxy = [Node("proxy", str(way["Proxy"]))] if way.get("Proxy") else []
    endpoint, target = _details(known, checks.ENDPOINT), _details(known, checks.TARGET)
    notes = {
        checks.EGRESS.key: ", ".join(endpoint.get("SecurityGroupIds", [])),
        checks.INGRESS.key: ", ".join(target.get("SecurityGroupIds", [])),
        checks.ROUTES.key: " and ".join(
            dict.fromkeys(filter(None, (endpoint.get("SubnetId"), target.get("SubnetId"))))
        ),
    }
    answer = (checks.TUNNEL, f"an answer at port {port}")
    return [
        Node("you", str(_details(known, checks.CREDENTIALS).get("Arn", ""))),
        *gates(_BEFORE),
        *proxy,
        *gates(((checks.ENDPOINT, "the endpoint serves connections"), *_TO_ENDPOINT)),
        Node("endpoint", _joined(endpoint, "Name", "InstanceConnectEndpointId")),
        *gates(_TO_TARGET),
        *gates((answer, (checks.KEY_PERMISSION, "permission to push a key"))),
        Node("target", _joined(target, "Name", "InstanceId", "PrivateIpAddress")),
    ]


def _gate(check: Check, title: str, cause: Cause | None, note: str) -> Gate:
    stops = cause is not None and cause.key == check.key
    return Gate(check.key, title, check.status, bool(check.left_out), stops, note)


def _details(known: Mapping[str, Check], step: Step) -> Mapping[str, Any]:
    return known[step.key].outcome.details if step.key in known else {}


def _joined(details: Mapping[str, Any], *keys: str) -> str:
    return ", ".join(str(details[key]) for key in keys if details.get(key))


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of a line. `style` is `ok`, `failed`, `unknown`, `faint`, `strong`, or empty."""

    text: str
    style: str = ""


def draw(path: Path, symbols: Symbols) -> list[list[Span]]:
    """Return the drawing, a line a place or gate; the line is broken from the gate on that stops the connection."""
    lines: list[list[Span]] = []
    stopped = far = False
    for part in path:
        if isinstance(part, Node):
            lost = stopped or far
            mark = symbols.not_reached if lost else symbols.reached
            lines.append([Span(f"{mark} ", "faint" if lost else ""), Span(part.name, "strong")])
            if part.note:
                lines[-1].append(Span(" " * (10 - len(part.name)) + part.note, "faint"))
            continue
        line = symbols.broken if stopped else symbols.line
        lines.append([Span(f"{line}  ", "faint"), *_drawn(part, symbols)])
        stopped, far = stopped or part.stops, far or part.left_out
    return lines


def _drawn(gate: Gate, symbols: Symbols) -> list[Span]:
    if gate.left_out:
        return [Span(f"{symbols.left_out} {gate.title}", "faint")]
    spans = [Span(f"{symbols.marks[gate.status]} ", str(gate.status)), Span(gate.title)]
    if gate.note:
        spans.append(Span(f"  {gate.note}", "faint"))
    return [*spans, Span(f"  {symbols.stop}", "failed")] if gate.stops else spans
