"""The results of all checks together: the cause, the path, and the whole as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from eicctl.doctor.cause import Cause, find_cause, reconciled
from eicctl.doctor.check import Result
from eicctl.doctor.context import Context
from eicctl.doctor.path import Node, Step, trace
from eicctl.reachability.remedies import command_line


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The results of the checks, in order, with the cause and the path that follow from them."""

    results: Sequence[Result]
    cause: Cause | None
    path: Sequence[Node | Step]

    @property
    def exit_code(self) -> int:
        """0 where nothing has failed, else that of the cause."""
        return self.cause.exit_code if self.cause else 0


def diagnose(context: Context, results: Sequence[Result]) -> Diagnosis:
    """Return what the results of a context's checks mean."""
    found = reconciled(sorted(results, key=lambda result: result.check.order))
    cause = find_cause(found)
    return Diagnosis(found, cause, trace(found, cause, port=context.port) if context.has_target else [])


def as_json(diagnosis: Diagnosis, context: Context) -> dict[str, Any]:
    """Return a diagnosis with AWS's spelling; docs/reference/output.md describes it."""
    cause = diagnosis.cause
    return {
        "Target": _target(context),
        "Passed": cause is None,
        "Cause": {
            "Check": cause.key,
            "Summary": cause.summary,
            "Remediation": cause.remediation,
            "ExitCode": cause.exit_code,
            "Change": _change(context, cause),
        }
        if cause
        else None,
        "Checks": [
            {
                "Key": result.key,
                "Title": result.check.title,
                "Status": str(result.status),
                "Message": result.outcome.message,
                "Remediation": result.outcome.remediation,
                "SkippedBecause": result.skipped_because or None,
                "Seconds": round(result.seconds, 3),
                "Details": dict(result.outcome.details),
            }
            for result in diagnosis.results
        ],
        "Path": [_part(part) for part in diagnosis.path],
    }


def _target(context: Context) -> dict[str, Any] | None:
    if not context.has_target:
        return None
    target = context.target
    if target is None:
        return {"Name": context.request.label, "RemotePort": context.port}
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
    return {
        "Summary": cause.change.summary,
        "Command": command_line(cause.change, region=context.session.region, profile=context.session.profile),
        "Operation": call.operation if call else None,
        "Parameters": dict(call.parameters) if call else None,
    }


def _part(part: Node | Step) -> dict[str, Any]:
    if isinstance(part, Node):
        return {"Kind": "Node", "Name": part.name, "Detail": part.detail}
    return {
        "Kind": "Step",
        "Check": part.key,
        "Status": str(part.status),
        "Blocked": part.blocked,
        "Detail": part.detail,
    }
