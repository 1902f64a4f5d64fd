"""Runs the checks, and says what their results mean together: the cause, the path, and the whole as JSON."""

from __future__ import annotations

import queue
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace

from eicctl.aws.session import Session
from eicctl.core.errors import EicctlError, UnreachableError
from eicctl.doctor.check import Check, Outcome, Result, Status, failed_outcome
from eicctl.doctor.context import Context
from eicctl.doctor.path import Node, Step, trace
from eicctl.reachability.remedies import Change, change_command
from eicctl.support import pins
from eicctl.support.threads import begin


def run(checks: Sequence[Check], context: Context) -> Iterator[Result]:
    """Run checks and yield the result of each as soon as it is known, if the check still applies to the context then.

    Args:
        checks: The checks; each after those that it needs. It waits for these, and for no other.
        context: What they are about.
    """
    done: queue.SimpleQueue[Future[Result]] = queue.SimpleQueue()
    begun: dict[str, Future[Result]] = {}
    for check in checks:
        needed = [begun[key] for key in check.needs if key in begun]
        begun[check.key] = begin(lambda check=check, needed=needed: _result(check, context, needed))  # type: ignore[misc]
        begun[check.key].add_done_callback(done.put)
    for _ in checks:
        result = done.get().result()
        if result.check.applies(context):
            yield result


def _result(check: Check, context: Context, needed: Sequence[Future[Result]]) -> Result:
    for earlier in (future.result() for future in needed):
        if earlier.skipped_because or earlier.status is Status.FAILED:
            return Result(check, Outcome(Status.UNKNOWN, "skipped"), earlier.skipped_because or earlier.key)
    started = time.monotonic()
    try:
        outcome = check.run(context)
    except EicctlError as error:
        outcome = failed_outcome(error)
    outcome = replace(outcome, remediation=pins.pinned(outcome.remediation))
    return Result(check, outcome, seconds=time.monotonic() - started)


_FIRST = ("clock", "credentials")
"""A clock that is wrong makes good credentials look bad, so it is named before them."""


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a connection fails.

    Attributes:
        key: The check that shows it.
        summary: It in one sentence, without a full stop.
        remediation: The command, or advice; may be empty.
        exit_code: The exit code of this kind of error.
        change: The smallest change that fixes it, if there is one.
    """

    key: str
    summary: str
    remediation: str = ""
    exit_code: int = UnreachableError.default_exit_code
    change: Change | None = None


def reconciled(results: Sequence[Result]) -> list[Result]:
    """Return the results with what the tunnel test overrules.

    A tunnel that opens proves that the rules allow it. One that is refused before has not reached the target: the check
    that the refusal belongs to has failed, and whether the target responds is unknown.
    """
    by_key = {result.key: result for result in results}
    tunnel = by_key.get("tunnel")
    if not tunnel:
        return list(results)
    if tunnel.status is Status.OK:
        return [_overruled(result) for result in results]
    if key := tunnel.outcome.belongs_to:
        if key == "credentials" and "clock" in by_key and by_key["clock"].status is Status.FAILED:
            key = "clock"  # a signature that is rejected because of its time
        return [_refused(result, tunnel, key) if result.key in (key, "tunnel") else result for result in results]
    return list(results)


def find_cause(results: Sequence[Result]) -> Cause | None:
    """Return the cause, or None if nothing failed.

    It is the first check that failed, in the order of the list, but that a wrong clock comes before bad credentials. A
    target that the endpoint cannot reach although all rules allow it has its cause on the target.
    """
    failed = [result for result in results if result.status is Status.FAILED]
    if not failed:
        return None
    first = min(failed, key=lambda result: _FIRST.index(result.key) if result.key in _FIRST else len(_FIRST))
    if first.key == "tunnel" and first.outcome.details.get("Unreachable"):
        return _on_the_target(results, first)
    outcome = first.outcome
    code = outcome.exit_code or UnreachableError.default_exit_code
    return Cause(first.key, outcome.cause or outcome.message, outcome.remediation, code, outcome.change)


def _on_the_target(results: Sequence[Result], tunnel: Result) -> Cause:
    """The cause where the endpoint cannot reach the target and no rule that could be read explains it."""
    outcome = tunnel.outcome
    port, label = outcome.details.get("RemotePort"), outcome.details.get("Label")
    unread = [result.check.title for result in results if result.check.is_network_rule and _unread(result)]
    if unread:
        summary = f"the endpoint cannot reach port {port} of {label}; could not be checked: {', '.join(unread)}"
        remediation = "run doctor with permission to describe the network: see above"
        return Cause("tunnel", summary, remediation, outcome.exit_code)
    return Cause("tunnel", silent_target(label, port), str(outcome.details.get("NextStep", "")), outcome.exit_code)


def silent_target(label: object, port: object) -> str:
    """Return the cause where the endpoint cannot reach a target although all of AWS's rules allow it."""
    return (
        f"AWS's rules allow the endpoint to connect to {label}, but nothing responds on port {port}: "
        "the service is not running, or the machine's own firewall drops the traffic"
    )


def _unread(result: Result) -> bool:
    return result.status is Status.UNKNOWN and not result.skipped_because


def _overruled(result: Result) -> Result:
    if not result.check.predicts_tunnel or result.status is not Status.FAILED:
        return result
    message = f"{result.outcome.message}; but the tunnel works, so something else allows it"
    outcome = Outcome(Status.UNKNOWN, message, details=result.outcome.details, resources=result.outcome.resources)
    return replace(result, outcome=outcome)


def _refused(result: Result, tunnel: Result, key: str) -> Result:
    if result is tunnel:
        return replace(result, outcome=Outcome(Status.UNKNOWN, "skipped"), skipped_because=key)
    if result.status is Status.FAILED:
        return result
    details = {**result.outcome.details, **tunnel.outcome.details}
    return replace(result, outcome=replace(tunnel.outcome, details=details, belongs_to=""))


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The results of the checks, in order, with the cause and the path that follow from them."""

    results: Sequence[Result]
    cause: Cause | None
    path: Sequence[Node | Step]

    @property
    def exit_code(self) -> int:
        """0 if nothing has failed, else that of the cause."""
        return self.cause.exit_code if self.cause else 0


def diagnose(context: Context, results: Sequence[Result]) -> Diagnosis:
    """Return what the results of a context's checks mean."""
    found = reconciled(sorted(results, key=lambda result: result.check.order))
    cause = find_cause(found)
    return Diagnosis(
        found, cause, trace(found, cause.key if cause else "", port=context.port) if context.has_target else []
    )


def as_json(diagnosis: Diagnosis, context: Context) -> dict[str, object]:
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
            "Change": _change(context.session, cause.change) if cause.change else None,
        }
        if cause
        else None,
        "Checks": checks_as_json(diagnosis),
        "Path": [part.to_json() for part in diagnosis.path],
    }


def checks_as_json(diagnosis: Diagnosis) -> list[dict[str, object]]:
    """Return the results of the checks, as `as_json` has them."""
    return [
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
    ]


def _target(context: Context) -> dict[str, object] | None:
    target = context.target
    if target is None:
        return {"Name": context.request.label, "RemotePort": context.port} if context.has_target else None
    return {
        "Name": target.instance_name,
        "InstanceId": target.instance_id,
        "PrivateIpAddress": target.address,
        "RemotePort": target.remote_port,
        "InstanceConnectEndpointId": target.endpoint_id,
        "Region": target.region,
    }


def _change(session: Session, change: Change) -> dict[str, object]:
    return {
        "Summary": change.summary,
        "Command": change_command(change, region=session.region, profile=session.profile),
        "Operation": change.operation or None,
        "Parameters": dict(change.parameters) or None,
    }
