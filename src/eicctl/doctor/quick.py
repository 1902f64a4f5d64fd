"""The cheap part of a diagnosis, for a connection that has just failed: what AWS's rules say, in a moment."""

from __future__ import annotations

from dataclasses import dataclass

from eicctl.aws.endpoints import get_endpoint
from eicctl.aws.instances import list_instances
from eicctl.aws.session import Session
from eicctl.aws.targets import Found, place_of
from eicctl.core.errors import UnavailableError
from eicctl.core.model import Instance, Target
from eicctl.doctor import check as checks
from eicctl.doctor.cause import find_cause
from eicctl.doctor.check import Check, Outcome, Status
from eicctl.doctor.network import look_at_network, outcome_of
from eicctl.reachability.remedies import GroupRule
from eicctl.support import pins
from eicctl.support.parallel import both


@dataclass(frozen=True, slots=True)
class Likely:
    """The likely cause, in one sentence without a full stop, and what to do; empty where nothing is known to."""

    sentence: str
    mend: str


def likely_cause(session: Session, target: Target) -> Likely | None:
    """Return why an endpoint cannot reach a target, or None where the rules do not tell.

    Args:
        session: Access to AWS.
        target: The target, by an endpoint that has just said that it cannot reach it.

    Raises:
        EicctlError: AWS does not tell.
    """

    def instances() -> list[Instance]:
        if target.instance_id:
            return list_instances(session, ids=[target.instance_id])
        name = "network-interface.ipv6-addresses.ipv6-address" if ":" in target.address else "private-ip-address"
        return list_instances(session, filters={name: [target.address]})

    endpoint, found = both(lambda: get_endpoint(session, target.endpoint_id), instances)
    instance = next((one for one in found if target.instance_id or one.vpc_id == endpoint.vpc_id), None)
    if instance and instance.state != "running":
        return Likely(
            f"{target.label} is {instance.state}",
            pins.command("aws", "ec2", "start-instances", "--instance-ids", instance.id),
        )
    place = Found(place_of(instance), target.address, instance) if instance else None
    findings = look_at_network(session, endpoint, target, place, None)
    made = [Check(step.key, step.title, outcome_of(step.key, findings, target, session)) for step in checks.NETWORK]
    unreachable = Outcome(
        Status.FAILED,
        "",
        exit_code=UnavailableError.default_exit_code,
        details={"Unreachable": True, "RemotePort": target.remote_port, "Label": target.label},
    )
    cause = find_cause([*made, Check(checks.TUNNEL.key, checks.TUNNEL.title, unreachable)])
    if not cause or (cause.key == checks.TUNNEL.key and any(one.status is Status.UNKNOWN for one in made)):
        return None
    return Likely(cause.sentence, _offer(target) if isinstance(cause.change, GroupRule) else cause.mend)


def _offer(target: Target) -> str:
    return pins.command("eicctl", "doctor", target.label, *target.port_option, "--fix")
