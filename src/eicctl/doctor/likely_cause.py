"""The likely cause of a connection that has just failed, from AWS's rules, within seconds.

All commands that connect report it after the error. What needs AWS is imported when a connection has failed.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from eicctl.core.errors import EicctlError, TargetUnreachableError
from eicctl.support.threads import begin

if TYPE_CHECKING:
    from eicctl.aws.session import Session
    from eicctl.core.model import Target
    from eicctl.doctor.diagnosis import Cause

LIMIT = 5.0
"""Maximum seconds that the user waits for the likely cause."""

_log = logging.getLogger(__name__)


_known: dict[str, tuple[Session, Target]] = {}
_found: dict[str, Cause | None] = {}
_lock = threading.Lock()


def remember(session: Session, target: Target) -> None:
    """Remember the session and the target of a connection, to explain its failure."""
    _known[target.address] = (session, target)


def forget() -> None:
    """Forget all targets."""
    _known.clear()
    _found.clear()


def likely_cause(error: EicctlError) -> Cause | None:
    """Return the likely cause of an error, or None if it is not known within `LIMIT` seconds. Never raises.

    A target is looked at once in the life of the process.
    """
    if not isinstance(error, TargetUnreachableError) or error.address not in _known or not _is_enabled():
        return None
    with _lock:
        if error.address not in _found:
            session, target = _known[error.address]
            with contextlib.suppress(TimeoutError, KeyboardInterrupt):
                _found[error.address] = begin(lambda: _quietly(session, target)).result(LIMIT)
    return _found.get(error.address)


def in_background(error: EicctlError, report: Callable[[Cause], None]) -> None:
    """Find the likely cause of an error in a thread of its own, and give it to `report` there, if it is found."""
    if not isinstance(error, TargetUnreachableError):
        return

    def work() -> None:
        if likely := likely_cause(error):
            report(likely)

    begin(work)


def explain(session: Session, target: Target) -> Cause | None:
    """Return why an endpoint cannot reach a target, or None if the rules do not show it.

    Args:
        session: Access to AWS.
        target: The target, by an endpoint that has just reported that it cannot reach it.

    Raises:
        EicctlError: By AWS's error.
    """
    from dataclasses import replace

    from eicctl.aws.endpoints import get_endpoint
    from eicctl.aws.instances import list_instances
    from eicctl.aws.targets import Found, location_of
    from eicctl.core.model import Instance
    from eicctl.core.request import ConnectRequest
    from eicctl.doctor.check import Result, Status
    from eicctl.doctor.context import Context
    from eicctl.doctor.diagnosis import Cause, find_cause, silent_target
    from eicctl.support import pins
    from eicctl.support.threads import both

    def instances() -> list[Instance]:
        if target.instance_id:
            return list_instances(session, ids=[target.instance_id])
        name = "network-interface.ipv6-addresses.ipv6-address" if ":" in target.address else "private-ip-address"
        return list_instances(session, filters={name: [target.address]})

    endpoint, found = both(lambda: get_endpoint(session, target.endpoint_id), instances)
    instance = next((one for one in found if target.instance_id or one.vpc_id == endpoint.vpc_id), None)
    if instance and instance.state != "running":
        start = pins.command("aws", "ec2", "start-instances", "--instance-ids", instance.id)
        return Cause("target", f"{target.label} is {instance.state}", start)
    request = ConnectRequest(remote_port=target.remote_port, private_ip_address=target.address)
    context = Context(session, request, client_address="")
    context.endpoint, context.target = endpoint, target
    context.found = Found(location_of(instance), target.address, instance) if instance else None
    results = [Result(check, check.run(context)) for check in context.checks if check.is_network_rule]
    if cause := find_cause(results):
        fix = pins.command("eicctl", "doctor", target.label, *target.port_option, "--fix")
        return replace(cause, remediation=fix) if cause.change and cause.change.is_group_rule else cause
    if any(result.status is Status.UNKNOWN for result in results):
        return None
    check = pins.command("eicctl", "doctor", target.label, *target.port_option)
    return Cause("tunnel", silent_target(target.label, target.remote_port), check)


def _quietly(session: Session, target: Target) -> Cause | None:
    try:
        return explain(session, target)
    except Exception as why:  # whatever it is, the user has the error itself
        _log.debug("no likely cause: %s", why)
        return None


def _is_enabled() -> bool:
    """Whether the user has left it on, and stderr is not discarded."""
    from eicctl.support import defaults

    with contextlib.suppress(EicctlError):
        if not defaults.of_user().get("diagnose", True):
            return False
        with contextlib.suppress(OSError, ValueError):
            return not os.path.samestat(os.fstat(sys.stderr.fileno()), os.stat(os.devnull))  # noqa: PTH116
        return True
    return False
