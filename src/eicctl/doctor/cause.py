"""Which of the checks that failed is the cause. Pure; no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from eicctl.doctor.check import NETWORK, Check, Outcome, Status
from eicctl.reachability.remedies import Change

_BEFORE = ("clock", "credentials")
"""A clock that is wrong makes good credentials look bad, so it is named before them."""

_OVERRULED = {step.key for step in NETWORK} | {"permission"}
"""Checks that foretell whether the tunnel opens; where it has been opened, they were wrong."""


@dataclass(frozen=True, slots=True)
class Cause:
    """Why it does not work.

    Attributes:
        key: The check that shows it.
        sentence: It in one sentence, without a full stop.
        mend: The command, or in words what to do.
        exit_code: The exit code of this kind of error.
        change: The smallest change that mends it, where there is one.
    """

    key: str
    sentence: str
    mend: str
    exit_code: int
    change: Change | None = None


def reconciled(checks: Sequence[Check]) -> list[Check]:
    """Return the checks with what the real test overrules.

    A tunnel that carries bytes proves the rules good. One that is refused before it is open has not got to the target:
    the check that the refusal belongs to has failed, and the answer of the target is not known.
    """
    known = _by_key(checks)
    tunnel = known.get("tunnel")
    if not tunnel:
        return list(checks)
    if tunnel.status is Status.OK:
        return [_doubted(check) if _overruled(check) else check for check in checks]
    if step := tunnel.outcome.belongs_to:
        if step == "credentials" and "clock" in known and known["clock"].status is Status.FAILED:
            step = "clock"  # a signature that is not accepted because of its time
        return [_refused(check, tunnel, step) if check.key in (step, "tunnel") else check for check in checks]
    return list(checks)


def find_cause(checks: Sequence[Check]) -> Cause | None:
    """Return the cause, or None where nothing failed.

    It is the first check that failed, in the order of the list, but that a wrong clock comes before bad credentials. A
    target that the endpoint cannot reach although all rules let it through has its cause on the target.
    """
    failed = [check for check in checks if check.status is Status.FAILED]
    if not failed:
        return None
    first = min(failed, key=lambda check: _BEFORE.index(check.key) if check.key in _BEFORE else len(_BEFORE))
    if first.key == "tunnel" and first.outcome.details.get("Unreachable"):
        return _on_the_target(checks, first)
    outcome = first.outcome
    return Cause(first.key, outcome.cause or outcome.evidence, outcome.mend, outcome.exit_code, outcome.change)


def _on_the_target(checks: Sequence[Check], tunnel: Check) -> Cause:
    """The cause where the endpoint cannot reach the target and no rule that could be read explains it."""
    outcome = tunnel.outcome
    port, label = outcome.details.get("RemotePort"), outcome.details.get("Label")
    known = _by_key(checks)
    unread = [step.title.lower() for step in NETWORK if step.key in known and _unseen(known[step.key])]
    if unread:
        sentence = f"the endpoint cannot reach port {port} of {label}; not known are: {', '.join(unread)}"
        return Cause("tunnel", sentence, "look with rights to describe the network: see above", outcome.exit_code)
    sentence = (
        f"AWS's rules let the endpoint through to {label}, but nothing answers at port {port}: "
        "the service is not running there, or the machine's own firewall drops it"
    )
    return Cause("tunnel", sentence, str(outcome.details.get("LookThere", "")), outcome.exit_code)


def _unseen(check: Check) -> bool:
    return check.status is Status.UNKNOWN and not check.left_out


def _overruled(check: Check) -> bool:
    return check.key in _OVERRULED and check.status is Status.FAILED


def _doubted(check: Check) -> Check:
    evidence = f"{check.outcome.evidence}; but the tunnel works, so something else lets it through"
    return replace(check, outcome=Outcome(Status.UNKNOWN, evidence, details=check.outcome.details))


def _refused(check: Check, tunnel: Check, step: str) -> Check:
    if check is tunnel:
        return replace(check, outcome=Outcome(Status.UNKNOWN, "not reached"), left_out=step)
    if check.status is Status.FAILED:
        return check
    details = {**check.outcome.details, **tunnel.outcome.details}
    return replace(check, outcome=replace(tunnel.outcome, details=details, belongs_to=""))


def _by_key(checks: Sequence[Check]) -> dict[str, Check]:
    return {check.key: check for check in checks}
