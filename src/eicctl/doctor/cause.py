"""Which of the checks that failed is the likely cause. Pure; no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from eicctl.core.errors import UnreachableError
from eicctl.doctor.check import Outcome, Result, Status
from eicctl.reachability.remedies import Change

_FIRST = ("clock", "credentials")
"""A clock that is wrong makes good credentials look bad, so it is named before them."""


@dataclass(frozen=True, slots=True)
class Cause:
    """Why it does not work.

    Attributes:
        key: The check that shows it.
        summary: It in one sentence, without a full stop.
        remediation: The command, or in words what to do.
        exit_code: The exit code of this kind of error.
        change: The smallest change that fixes it, where there is one.
    """

    key: str
    summary: str
    remediation: str
    exit_code: int
    change: Change | None = None


def reconciled(results: Sequence[Result]) -> list[Result]:
    """Return the results with what the tunnel test overrules.

    A tunnel that carries bytes proves the rules good. One that is refused before it is open has not reached the target:
    the check that the refusal belongs to has failed, and whether the target responds is unknown.
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
    """Return the cause, or None where nothing failed.

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
