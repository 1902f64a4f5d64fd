"""Looks at the target, and at the endpoint that serves it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from eicctl.aws.endpoint_selection import dual_stack, serves
from eicctl.aws.instances import instance_status
from eicctl.aws.regions import find_elsewhere
from eicctl.aws.session import Session
from eicctl.aws.targets import Found, SeveralInstancesError, find
from eicctl.core.errors import EicctlError, NotFoundError, UnavailableError
from eicctl.core.model import SSH_PORT, Endpoint, Target, TargetRequest
from eicctl.doctor.check import Outcome, Status
from eicctl.doctor.run import failed
from eicctl.support import pins


def look_at_target(session: Session, request: TargetRequest, keep: Callable[[Found], None]) -> Outcome:
    """Whether it exists and runs; what is found is given to `keep`.

    Args:
        session: Access to AWS.
        request: The user's words, with an address where they have a DNS name.
        keep: Takes the target.
    """
    try:
        found = find(session, request)
    except SeveralInstancesError as error:
        ids = ", ".join(f"{one.id} ({one.state})" for one in error.candidates)
        said = f"Multiple instances match: {ids}"
        first = pins.command("eicctl", "doctor", error.candidates[0].id)
        return Outcome(Status.FAILED, said, first, exit_code=error.exit_code)
    except UnavailableError as error:
        return failed(error)
    except NotFoundError as error:
        return _elsewhere(session, request, error)
    keep(found)
    instance = found.instance
    if not instance:
        where = f"{found.place.vpc_id}, {found.place.subnet_id}".removesuffix(", ")
        seen = f"{request.private_ip_address or found.address}, no known instance, in {where}"
        return Outcome(Status.OK, seen, details={"PrivateIpAddress": found.address, "VpcId": found.place.vpc_id})
    name = f"{instance.name} ({instance.id})" if instance.name else instance.id
    details: dict[str, object] = {
        "InstanceId": instance.id,
        "Name": instance.name,
        "State": instance.state,
        "PrivateIpAddress": instance.private_ip,
        "VpcId": instance.vpc_id,
        "SubnetId": instance.subnet_id,
        "SecurityGroupIds": list(instance.security_group_ids),
    }
    windows = instance.platform == "windows" and request.remote_port == SSH_PORT
    name += ", which runs Windows (RDP is at --port 3389)," if windows else ""
    seen = f"{name} is {instance.state} at {request.private_ip_address or found.address}"
    checks = _status_checks(session, instance.id)
    return status_outcome(seen, instance.id, checks, details)


def status_outcome(seen: str, instance_id: str, checks: tuple[str, str] | None, details: dict[str, object]) -> Outcome:
    """Return the outcome for an instance that was found.

    Args:
        seen: What is known of it so far.
        instance_id: Its ID.
        checks: What EC2's status checks say of system and instance; None where that could not be read.
        details: For machines.
    """
    if checks is None:
        return Outcome(Status.OK, f"{seen}; its status checks could not be read", details=details)
    details = {**details, "SystemStatus": checks[0], "InstanceStatus": checks[1]}
    for kind, state in zip(("system", "instance"), checks, strict=True):
        if state == "impaired":
            return Outcome(
                Status.FAILED,
                f"{seen}, but EC2's {kind} status check fails",
                pins.command("aws", "ec2", "get-console-output", "--latest", "--instance-id", instance_id),
                exit_code=UnavailableError.default_exit_code,
                details=details,
            )
    if "initializing" in checks:
        return Outcome(Status.OK, f"{seen}; it is starting, status checks are not done yet", details=details)
    told = ", status checks passed" if checks == ("ok", "ok") else ""
    return Outcome(Status.OK, f"{seen}{told}", details=details)


def _status_checks(session: Session, instance_id: str) -> tuple[str, str] | None:
    try:
        return instance_status(session, instance_id)
    except EicctlError:
        return None


def _elsewhere(session: Session, request: TargetRequest, error: NotFoundError) -> Outcome:
    """The outcome for a target that is not in this region: perhaps it is in another one."""
    name = request.instance_id or request.words
    found = find_elsewhere(session, name) if name else []
    if not found:
        return failed(error)
    regions = list(dict.fromkeys(instance.region for instance in found))
    said = f"{name} is not in {session.region}, but in {' and '.join(regions)}"
    mend = pins.command("eicctl", "doctor", name, "--region", regions[0])
    return Outcome(Status.FAILED, said, mend, exit_code=error.exit_code, details={"Regions": regions})


def look_at_endpoint(endpoint: Endpoint, target: Target, found: Found | None) -> Outcome:
    """What there is to say of the endpoint that serves a target."""
    name = f"{endpoint.name} ({endpoint.id})" if endpoint.name else endpoint.id
    if endpoint.state_message and endpoint.state != "create-complete":
        state = f"{endpoint.state} ({endpoint.state_message})"
    else:
        state = endpoint.state
    details = {
        "InstanceConnectEndpointId": endpoint.id,
        "Name": endpoint.name,
        "State": endpoint.state,
        "StateMessage": endpoint.state_message,
        "IpAddressType": endpoint.ip_address_type,
        "PreserveClientIp": endpoint.preserve_client_ip,
        "VpcId": endpoint.vpc_id,
        "SubnetId": endpoint.subnet_id,
        "SecurityGroupIds": list(endpoint.security_group_ids),
        "DnsName": target.endpoint_dns_name,
    }
    if not serves(endpoint, target.address):
        return Outcome(
            Status.FAILED,
            f"{name} is of type {endpoint.ip_address_type} and cannot reach {target.address}",
            pins.command(*dual_stack(endpoint)),
            exit_code=UnavailableError.default_exit_code,
            details=details,
        )
    near = _near(endpoint, found)
    return Outcome(Status.OK, f"{name} is {state}, {endpoint.ip_address_type}{near}", details=details)


def _near(endpoint: Endpoint, found: Found | None) -> str:
    if not found:
        return ""
    if endpoint.vpc_id != found.place.vpc_id:
        return f", in another VPC than the target ({endpoint.vpc_id})"
    if endpoint.subnet_id == found.place.subnet_id:
        return ", in the target's subnet"
    return f", in {endpoint.subnet_id} ({endpoint.availability_zone})"


def look_at_endpoints(endpoints: Sequence[Endpoint], region: str) -> Outcome:
    """What endpoints a region has, and whether they serve connections."""
    if not endpoints:
        return Outcome(
            Status.FAILED,
            f"No EC2 Instance Connect Endpoint in {region}",
            "eicctl create-endpoint --create-security-group --wait",
            exit_code=NotFoundError.default_exit_code,
        )
    told = [f"{one.name} ({one.id}) is {one.state}" if one.name else f"{one.id} is {one.state}" for one in endpoints]
    details = {"InstanceConnectEndpoints": [{"InstanceConnectEndpointId": e.id, "State": e.state} for e in endpoints]}
    bad = [one for one in endpoints if not one.usable]
    if len(bad) == len(endpoints):
        said = "; ".join(f"{one.id} is {one.state} {one.state_message}".rstrip() for one in bad)
        return Outcome(
            Status.FAILED,
            f"no endpoint in {region} serves connections now: {said}",
            pins.command("eicctl", "show-endpoint", bad[0].id),
            exit_code=UnavailableError.default_exit_code,
            details=details,
        )
    return Outcome(Status.OK, "; ".join(told), details=details)
