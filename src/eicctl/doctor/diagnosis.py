"""What checks say together: the cause, the path, and the whole as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from eicctl.doctor.cause import Cause, find_cause, reconciled
from eicctl.doctor.check import Check
from eicctl.doctor.context import Context
from eicctl.doctor.path import Gate, Node, trace
from eicctl.reachability.remedies import command_line


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The result of an examination."""

    checks: Sequence[Check]
    cause: Cause | None
    path: Sequence[Node | Gate]

    @property
    def exit_code(self) -> int:
        """0 where nothing has failed, else that of the cause."""
        return self.cause.exit_code if self.cause else 0


def diagnose(context: Context, made: Sequence[Check]) -> Diagnosis:
    """Return what the checks of a context say, in the order in which they are told."""
    order = [step.key for step in context.steps]
    checks = reconciled(sorted(made, key=lambda check: order.index(check.key)))
    cause = find_cause(checks)
    path = trace(checks, cause, port=context.port) if context.request else []
    return Diagnosis(checks, cause, path)


def as_json(found: Diagnosis, context: Context) -> dict[str, Any]:
    """Return a diagnosis with AWS's spelling; docs/how-to/doctor.md describes it."""
    cause = found.cause
    return {
        "Target": _target(context),
        "Healthy": cause is None,
        "Cause": {
            "Check": cause.key,
            "Sentence": cause.sentence,
            "Mend": cause.mend,
            "ExitCode": cause.exit_code,
            "Change": _change(context, cause),
        }
        if cause
        else None,
        "Checks": [
            {
                "Key": check.key,
                "Title": check.title,
                "Status": str(check.status),
                "Evidence": check.outcome.evidence,
                "Mend": check.outcome.mend,
                "LeftOutBecauseOf": check.left_out or None,
                "Seconds": round(check.seconds, 3),
                "Details": dict(check.outcome.details),
            }
            for check in found.checks
        ],
        "Path": [_part(part) for part in found.path],
    }


def _target(context: Context) -> dict[str, Any] | None:
    if context.request is None:
        return None
    target = context.target
    if target is None:
        return {"Name": context.request.said, "RemotePort": context.port}
    return {
        "Name": target.instance_name,
        "InstanceId": target.instance_id,
        "PrivateIpAddress": target.address,
        "RemotePort": target.remote_port,
        "InstanceConnectEndpointId": target.endpoint_id,
        "Region": target.region,
    }


def _change(context: Context, cause: Cause) -> dict[str, Any] | None:
    if not cause.change:
        return None
    call = cause.change.call
    line = command_line(cause.change, region=context.session.region, profile=context.session.profile)
    return {
        "Summary": cause.change.summary,
        "Line": line,
        "Operation": call.operation if call else None,
        "Parameters": dict(call.parameters) if call else None,
    }


def _part(part: Node | Gate) -> dict[str, Any]:
    if isinstance(part, Node):
        return {"Kind": "Node", "Name": part.name, "Note": part.note}
    return {"Kind": "Gate", "Check": part.key, "Status": str(part.status), "Stops": part.stops, "Note": part.note}
