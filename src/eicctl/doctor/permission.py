"""Looks at what IAM lets the caller do: open the tunnel, and push a key."""

from __future__ import annotations

from eicctl.access.checks import Outcome, Status
from eicctl.aws.identity import Identity
from eicctl.aws.permissions import (
    OPEN_TUNNEL,
    SEND_KEY,
    Context,
    Decision,
    principal_of,
    simulate,
    tunnel_context,
)
from eicctl.aws.session import Session
from eicctl.errors import DeniedError
from eicctl.model import Endpoint, Instance, Target

DURATIONS = (3600, 1800, 900, 300, 60)
"""Seconds that are tried where the policy does not let a tunnel of any length be opened."""


def look_at_permission(
    session: Session,
    identity: Identity,
    endpoint: Endpoint,
    target: Target,
    *,
    duration: int | None,
    client_address: str | None,
) -> Outcome:
    """Whether the caller's policies allow this tunnel.

    Args:
        session: Access to AWS.
        identity: The caller.
        endpoint: The endpoint.
        target: The target.
        duration: The duration that is asked for, in seconds, or None.
        client_address: This machine's public address, where it is known.

    Raises:
        DeniedError: The caller may not ask.
        NotFoundError: The simulator does not know the caller.
    """
    principal = principal_of(session, identity.arn)

    def ask(seconds: int | None) -> Decision:
        context = dict(tunnel_context(endpoint, target, seconds))
        if client_address:
            context["aws:SourceIp"] = ("ip", client_address)
        return simulate(session, principal, OPEN_TUNNEL, endpoint.arn, context)

    decision = ask(duration)
    if decision.allowed:
        return _allowed(decision, principal)
    if decision.decision == "implicitDeny":
        for seconds in DURATIONS:
            if (duration is None or seconds < duration) and ask(seconds).allowed:
                return _wants_a_duration(decision, principal, seconds)
    if decision.decision == "implicitDeny" and (unknown := _unknown(decision)):
        seen = f"the policies of {principal} have conditions that are not known here: {', '.join(unknown)}"
        return Outcome(Status.UNKNOWN, seen, details=_details(decision, principal))
    where = f"{endpoint.id}, port {target.remote_port}, address {target.address}"
    return _denied(decision, principal, where)


def look_at_key_permission(session: Session, identity: Identity, instance: Instance | None, os_user: str) -> Outcome:
    """Whether the caller's policies allow a key to be pushed for an OS user.

    Raises:
        DeniedError: The caller may not ask.
        NotFoundError: The simulator does not know the caller.
    """
    if not instance:
        return Outcome(Status.UNKNOWN, "the target is no known instance: no key can be pushed to it")
    principal = principal_of(session, identity.arn)
    partition = identity.arn.split(":")[1]
    arn = f"arn:{partition}:ec2:{instance.region}:{identity.account}:instance/{instance.id}"
    tags: Context = {f"aws:ResourceTag/{key}": ("string", value) for key, value in instance.tags.items()}
    decision = simulate(session, principal, SEND_KEY, arn, {"ec2:osuser": ("string", os_user), **tags})
    if decision.allowed:
        return _allowed(decision, principal)
    return _denied(decision, principal, f"{instance.id} with ec2:osuser = {os_user}")


def _unknown(decision: Decision) -> list[str]:
    """The condition keys that the policies ask for and that only AWS knows in the call itself."""
    return [key for key in decision.missing if not key.lower().startswith("ec2-instance-connect:")]


def _details(decision: Decision, principal: str) -> dict[str, object]:
    return {
        "Principal": principal,
        "Action": decision.action,
        "Resource": decision.resource,
        "Decision": decision.decision,
        "MatchedPolicies": list(decision.statements),
        "MissingContextValues": list(decision.missing),
    }


def _allowed(decision: Decision, principal: str) -> Outcome:
    by = f" by {', '.join(dict.fromkeys(filter(None, decision.statements)))}" if any(decision.statements) else ""
    return Outcome(Status.OK, f"{decision.action} is allowed{by}", details=_details(decision, principal))


def _wants_a_duration(decision: Decision, principal: str, seconds: int) -> Outcome:
    return Outcome(
        Status.FAILED,
        f"{decision.action} is allowed only for tunnels that live no longer than some time: {seconds} s is good",
        f"--max-tunnel-duration {seconds}",
        cause=f"the policy of {principal} wants tunnels to be short, and {seconds} s is good",
        exit_code=DeniedError.default_exit_code,
        details={**_details(decision, principal), "GoodMaxTunnelDuration": seconds},
    )


def _denied(decision: Decision, principal: str, where: str) -> Outcome:
    if decision.decision == "explicitDeny":
        why = f"a statement of {', '.join(dict.fromkeys(decision.statements)) or 'a policy'} denies it"
    else:
        why = "no statement of its policies allows it"
    missing = f"; conditions ask for {', '.join(decision.missing)}" if decision.missing else ""
    return Outcome(
        Status.FAILED,
        f"{principal} may not do {decision.action} on {where}: {why}{missing}",
        f"allow {decision.action} on {decision.resource} in a policy of {principal}",
        cause=f"{principal} may not do {decision.action} on {where}: {why}",
        exit_code=DeniedError.default_exit_code,
        details=_details(decision, principal),
    )
