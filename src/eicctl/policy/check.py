"""Simulate whether the caller's policies allow a connection, with IAM's policy simulator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from eicctl.aws.endpoints import get_endpoint
from eicctl.aws.iam import OPEN_TUNNEL, SEND_KEY, Context, Decision, principal_of, simulate
from eicctl.aws.identity import caller_identity
from eicctl.aws.instances import list_instances
from eicctl.aws.session import Session
from eicctl.aws.targets import resolve
from eicctl.core.errors import DeniedError, NotFoundError
from eicctl.core.model import DIRECT_PORTS, Endpoint, Instance, Target
from eicctl.core.request import ConnectRequest
from eicctl.tunnel.durations import LADDER, SHORTEST

READS = ("ec2:DescribeInstances", "ec2:DescribeInstanceConnectEndpoints")
DURATION = "ec2-instance-connect:maxTunnelDuration"
_PORT = "ec2-instance-connect:remotePort"


@dataclass(frozen=True, slots=True)
class Permission:
    """One action: `status` is `allowed`, `denied` or `unknown`; `reason` may be empty."""

    action: str
    resource: str
    status: Literal["allowed", "denied", "unknown"]
    reason: str = ""


def check_target(session: Session, request: ConnectRequest, *, duration: int | None, os_user: str) -> list[Permission]:
    """Find the target and return what `check_connection` does.

    Raises:
        EicctlError: The target cannot be found, or the caller may not look for it.
    """
    target = resolve(session, request)
    instances = list_instances(session, ids=[target.instance_id]) if target.instance_id else []
    return check_connection(
        session,
        caller_identity(session).arn,
        target,
        get_endpoint(session, target.endpoint_id),
        instances[0] if instances else None,
        duration=duration,
        os_user=os_user,
    )


def check_connection(
    session: Session,
    caller: str,
    target: Target,
    endpoint: Endpoint,
    instance: Instance | None,
    *,
    duration: int | None,
    os_user: str,
) -> list[Permission]:
    """Return what the caller's policies say of each action that a connection needs.

    Args:
        session: Access to AWS.
        caller: The caller's ARN (GetCallerIdentity).
        target: Where the tunnel goes.
        endpoint: The endpoint that serves it.
        instance: The instance, or None if the target is an address only.
        duration: The maximum duration of the tunnel in seconds, or None if none is sent.
        os_user: The OS user that a key is pushed for; empty if none is.
    """
    account, partition = caller.split(":")[4], caller.split(":")[1]
    push = f"arn:{partition}:ec2:{target.region}:{account}:instance/{target.instance_id or '*'}"
    wanted = [(OPEN_TUNNEL, endpoint.arn), *([(SEND_KEY, push)] if os_user else []), *((read, "*") for read in READS)]
    try:
        principal = principal_of(session, caller)
        checks = [_tunnel(session, principal, endpoint, target, duration)]
        if os_user:
            tags: Context = {
                f"aws:ResourceTag/{k}": ("string", v) for k, v in (instance.tags if instance else {}).items()
            }
            context = {"ec2:osuser": ("string", os_user), **tags}
            checks.append(_judged(simulate(session, principal, SEND_KEY, push, context)))
        return [*checks, *(_judged(simulate(session, principal, read, "*", {})) for read in READS)]
    except (DeniedError, NotFoundError) as error:
        return [Permission(action, resource, "unknown", error.message) for action, resource in wanted]


def _tunnel(session: Session, principal: str, endpoint: Endpoint, target: Target, duration: int | None) -> Permission:
    arn = endpoint.arn

    def ask(seconds: int | None, port: int = target.remote_port) -> Decision:
        context: Context = {**_tunnel_context(endpoint, target, seconds), _PORT: ("numeric", str(port))}
        return simulate(session, principal, OPEN_TUNNEL, arn, context)

    asked = ask(duration)
    if asked.allowed:
        return _judged(asked)
    for seconds in (*LADDER, SHORTEST):
        if (duration is None or seconds < duration) and ask(seconds).allowed:
            how = "eicctl sends it automatically" if duration is None else f"--max-tunnel-duration {seconds}"
            return Permission(
                OPEN_TUNNEL,
                arn,
                "allowed" if duration is None else "denied",
                f"by {DURATION}: only up to a maximum duration; {seconds} s is allowed ({how})",
            )
    other = next(port for port in DIRECT_PORTS if port != target.remote_port)
    if any(ask(seconds, other).allowed for seconds in (duration, SHORTEST)):
        return Permission(
            OPEN_TUNNEL, arn, "denied", f"by {_PORT}: port {other} is allowed, {target.remote_port} is not"
        )
    return _judged(asked)


def _judged(decision: Decision) -> Permission:
    by = ", ".join(dict.fromkeys(filter(None, decision.statements)))
    if decision.allowed:
        return Permission(decision.action, decision.resource, "allowed", f"by {by}" if by else "")
    if decision.decision == "explicitDeny":
        return Permission(decision.action, decision.resource, "denied", f"explicitly denied by {by or 'a policy'}")
    # Keys without a value in the simulation: only a real request has them.
    unknown = [key for key in decision.missing if key != DURATION and not key.lower().startswith("aws:resourcetag/")]
    if unknown:
        reason = f"depends on {' and '.join(unknown)}, which only a real request has"
        return Permission(decision.action, decision.resource, "unknown", reason)
    return Permission(
        decision.action, decision.resource, "denied", _STOPPED.get(decision.action, "not allowed by any statement")
    )


_STOPPED = {
    OPEN_TUNNEL: "not allowed by any statement for this endpoint, port and address (privateIpAddress)",
    SEND_KEY: "not allowed by any statement for this instance, its tags and this OS user (ec2:osuser)",
}


def _tunnel_context(endpoint: Endpoint, target: Target, duration: int | None) -> Context:
    """Return the condition keys of OpenTunnel (docs/explanation/protocol.md#iam); the duration's may be absent."""
    context: dict[str, tuple[Literal["string", "numeric", "ip"], str]] = {
        "ec2-instance-connect:remotePort": ("numeric", str(target.remote_port)),
        "ec2-instance-connect:privateIpAddress": ("ip", target.address),
        **{f"aws:ResourceTag/{key}": ("string", value) for key, value in endpoint.tags.items()},
    }
    if duration is not None:
        context["ec2-instance-connect:maxTunnelDuration"] = ("numeric", str(duration))
    return context
