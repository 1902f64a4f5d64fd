"""Whether the target exists and runs."""

from __future__ import annotations

import contextlib

from eicctl.aws.explicit_target import explicit_target, with_address
from eicctl.aws.instances import instance_status
from eicctl.aws.regions import find_elsewhere
from eicctl.aws.session import Session
from eicctl.aws.targets import Found, SeveralInstancesError, find
from eicctl.core.errors import DeniedError, EicctlError, NotFoundError, UnavailableError
from eicctl.core.model import SSH_PORT, Instance
from eicctl.core.request import ConnectRequest
from eicctl.doctor.check import Check, Outcome, Segment, Status, failed_outcome
from eicctl.doctor.context import Context
from eicctl.support import pins


def run(context: Context) -> Outcome:
    """Find the target, and keep it in the context."""
    context.request = with_address(context.request)
    session, request = context.session, context.request
    specified = explicit_target(session, request)
    try:
        context.found = find(session, request)
    except DeniedError as error:
        if not specified:
            raise
        return Outcome(
            Status.UNKNOWN, f"{specified.address} (as specified; no permission to look it up)", error.hint or ""
        )
    except SeveralInstancesError as error:
        ids = ", ".join(f"{one.id} ({one.state})" for one in error.candidates)
        first = pins.command("eicctl", "doctor", error.candidates[0].id)
        return Outcome(Status.FAILED, f"Multiple instances match: {ids}", first, exit_code=error.exit_code)
    except NotFoundError as error:
        return _elsewhere(session, request, error)
    instance = context.found.instance
    return _instance(session, request, context.found, instance) if instance else _address(request, context.found)


def _address(request: ConnectRequest, found: Found) -> Outcome:
    location = f"{found.location.vpc_id}, {found.location.subnet_id}".removesuffix(", ")
    message = f"{request.private_ip_address or found.address}, not a known EC2 instance, in {location}"
    return Outcome(Status.OK, message, details={"PrivateIpAddress": found.address, "VpcId": found.location.vpc_id})


def _instance(session: Session, request: ConnectRequest, found: Found, instance: Instance) -> Outcome:
    details: dict[str, object] = {
        "InstanceId": instance.id,
        "Name": instance.name,
        "State": instance.state,
        "PrivateIpAddress": instance.private_ip,
        "VpcId": instance.vpc_id,
        "SubnetId": instance.subnet_id,
        "SecurityGroupIds": list(instance.security_group_ids),
    }
    name = f"{instance.name} ({instance.id})" if instance.name else instance.id
    windows = instance.platform == "windows" and request.remote_port == SSH_PORT
    name += ", a Windows instance (RDP: --port 3389)," if windows else ""
    message = f"{name} is {instance.state} at {request.private_ip_address or found.address}"
    checks = None
    with contextlib.suppress(EicctlError):
        checks = instance_status(session, instance.id)
    return status_outcome(message, instance.id, checks, details)


def status_outcome(
    message: str, instance_id: str, checks: tuple[str, str] | None, details: dict[str, object]
) -> Outcome:
    """Return the outcome for an instance that was found.

    Args:
        message: What is known of it so far.
        instance_id: Its ID.
        checks: EC2's status checks of system and instance; None if they could not be read.
        details: For programs.
    """
    if checks is None:
        return Outcome(Status.OK, f"{message}; its status checks could not be read", details=details)
    details = {**details, "SystemStatus": checks[0], "InstanceStatus": checks[1]}
    for kind, state in zip(("system", "instance"), checks, strict=True):
        if state == "impaired":
            return Outcome(
                Status.FAILED,
                f"{message}, but EC2's {kind} status check fails",
                pins.command("aws", "ec2", "get-console-output", "--latest", "--instance-id", instance_id),
                exit_code=UnavailableError.default_exit_code,
                details=details,
            )
    if "initializing" in checks:
        return Outcome(Status.OK, f"{message}; status checks are initializing", details=details)
    passed = ", status checks passed" if checks == ("ok", "ok") else ""
    return Outcome(Status.OK, f"{message}{passed}", details=details)


def _elsewhere(session: Session, request: ConnectRequest, error: NotFoundError) -> Outcome:
    """The outcome for a target that is not in this region: perhaps it is in another one."""
    name = request.instance_id or request.target
    found = find_elsewhere(session, name) if name else []
    if not found:
        return failed_outcome(error)
    regions = list(dict.fromkeys(instance.region for instance in found))
    message = f"{name} is not in {session.region}, but in {' and '.join(regions)}"
    command = pins.command("eicctl", "doctor", name, "--region", regions[0])
    return Outcome(Status.FAILED, message, command, exit_code=error.exit_code, details={"Regions": regions})


CHECK = Check(
    key="target",
    title="Target",
    order=40,
    run=run,
    needs=("credentials", "region"),
    segment=Segment.LOCAL,
    step="instance is running",
    inspects="whether it exists and runs, its status checks; if it is not here, in which other region",
    permissions=("ec2:DescribeInstances", "ec2:DescribeInstanceStatus"),
)
