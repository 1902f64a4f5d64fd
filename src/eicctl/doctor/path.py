"""The path of a connection as a drawing: you, the endpoint, the target, and the steps between them. Pure; no I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from eicctl.doctor.check import Result, Segment, Status, few


@dataclass(frozen=True, slots=True)
class Node:
    """One end of the path, or what a connection goes through; `detail` says more of it."""

    name: str
    detail: str = ""

    def to_json(self) -> dict[str, object]:
        """For programs."""
        return {"Kind": "Node", "Name": self.name, "Detail": self.detail}


@dataclass(frozen=True, slots=True)
class Step:
    """What a connection has to pass between two nodes.

    Attributes:
        key: The check that shows whether it passes.
        title: What it is.
        status: How the check ended.
        skipped: Whether it was not checked.
        blocked: Whether the connection is stopped here.
        detail: What decides it: security groups, subnets.
    """

    key: str
    title: str
    status: Status
    skipped: bool = False
    blocked: bool = False
    detail: str = ""

    def to_json(self) -> dict[str, object]:
        """For programs."""
        status = str(self.status)
        return {"Kind": "Step", "Check": self.key, "Status": status, "Blocked": self.blocked, "Detail": self.detail}


@dataclass(frozen=True, slots=True)
class Symbols:
    """What a drawing is made of."""

    reached: str
    not_reached: str
    line: str
    broken: str
    marks: Mapping[Status, str]
    skipped: str
    blocked: str


UNICODE = Symbols(
    "●", "○", "│", "┆", {Status.OK: "✓", Status.FAILED: "✗", Status.UNKNOWN: "?"}, "·", "◀── blocked here"
)
ASCII = Symbols("*", "o", "|", ":", {Status.OK: "+", Status.FAILED: "x", Status.UNKNOWN: "?"}, "-", "<-- blocked here")


def trace(results: Sequence[Result], cause_key: str, *, port: int) -> list[Node | Step]:
    """Return the path that the results for a target describe.

    Args:
        results: The results, in the order of the list.
        cause_key: The check that shows the cause, if there is one; its step blocks the connection.
        port: The target's port.
    """
    details = {result.key: result.outcome.details for result in results}

    def node(name: str, check: str, *keys: str) -> Node:
        found: Mapping[str, object] = details.get(check, {})
        return Node(name, ", ".join(str(found[key]) for key in keys if found.get(key)))

    def steps(*segments: Segment) -> list[Step]:
        return [
            _step(result, cause_key, port)
            for segment in segments
            for result in results
            if result.check.segment is segment
        ]

    proxy = node("proxy", "connectivity", "Proxy")
    return [
        node("you", "credentials", "Arn"),
        *steps(Segment.LOCAL),
        *([proxy] if proxy.detail else []),
        *steps(Segment.TO_ENDPOINT),
        node("endpoint", "endpoint", "Name", "InstanceConnectEndpointId"),
        *steps(Segment.TO_TARGET, Segment.AT_TARGET, Segment.LOGIN),
        node("target", "target", "Name", "InstanceId", "PrivateIpAddress"),
    ]


def _step(result: Result, cause_key: str, port: int) -> Step:
    return Step(
        result.key,
        result.check.step.format(port=port),
        result.status,
        skipped=bool(result.skipped_because),
        blocked=cause_key == result.key,
        detail=", ".join(result.outcome.resources),
    )


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of a line. `style` is `ok`, `failed`, `unknown`, `faint`, `strong`, or empty."""

    text: str
    style: str = ""


def draw(path: Sequence[Node | Step], symbols: Symbols) -> list[list[Span]]:
    """Return the drawing: a line for each node and each step, with one line for skipped steps that follow each other.

    The line is broken from the step on that blocks the connection.
    """
    lines: list[list[Span]] = []
    blocked = unknown = False

    def edge() -> Span:
        return Span(f"{symbols.broken if blocked else symbols.line}  ", "faint")

    for skipped, parts in groupby(path, key=lambda part: isinstance(part, Step) and part.skipped):
        if skipped:
            titles = [part.title for part in parts if isinstance(part, Step)]
            lines.append([edge(), Span(f"{symbols.skipped} skipped: {few(titles, 'steps')}", "faint")])
            unknown = True
            continue
        for part in parts:
            if isinstance(part, Node):
                lines.append(_drawn_node(part, symbols, lost=blocked or unknown))
            else:
                lines.append([edge(), *_drawn_step(part, symbols)])
                blocked = blocked or part.blocked
    return lines


def _drawn_node(node: Node, symbols: Symbols, *, lost: bool) -> list[Span]:
    mark = symbols.not_reached if lost else symbols.reached
    spans = [Span(f"{mark} ", "faint" if lost else ""), Span(node.name, "strong")]
    return [*spans, Span(f"{'':{10 - len(node.name)}}{node.detail}", "faint")] if node.detail else spans


def _drawn_step(step: Step, symbols: Symbols) -> list[Span]:
    spans = [Span(f"{symbols.marks[step.status]} ", str(step.status)), Span(step.title)]
    if step.detail:
        spans.append(Span(f"  {step.detail}", "faint"))
    return [*spans, Span(f"  {symbols.blocked}", "failed")] if step.blocked else spans
