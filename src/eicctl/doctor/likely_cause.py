"""The likely cause of a target that has just been unreachable: what AWS's rules say, within a moment.

All commands that connect use it after the error. What needs AWS is imported when a connection has failed.
"""

from __future__ import annotations

import contextlib
import logging
import os
import stat
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from eicctl.core.errors import EicctlError, TargetUnreachableError

if TYPE_CHECKING:
    from eicctl.aws.session import Session
    from eicctl.core.model import Target

LIMIT = 3.0
"""Seconds that the user is kept for the likely cause."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LikelyCause:
    """The likely cause, in one sentence without a full stop, and what to do; empty where nothing is known to."""

    summary: str
    remediation: str


_known: dict[str, tuple[Session, Target]] = {}
_found: dict[str, LikelyCause | None] = {}
_lock = threading.Lock()


def remember(session: Session, target: Target) -> None:
    """Remember by whom and through what a target is reached, for the case that it cannot be."""
    _known[target.address] = (session, target)


def forget() -> None:
    """Forget all targets."""
    _known.clear()
    _found.clear()


def likely_cause(error: EicctlError) -> LikelyCause | None:
    """Return the likely cause of an error, or None where it is not known within `LIMIT` seconds. Never raises.

    A target is looked at once in the life of the process.
    """
    if not isinstance(error, TargetUnreachableError) or error.address not in _known or not _wanted():
        return None
    from eicctl.support.threads import begin

    with _lock:
        if error.address not in _found:
            session, target = _known[error.address]
            with contextlib.suppress(TimeoutError, KeyboardInterrupt):
                _found[error.address] = begin(lambda: _quietly(session, target)).result(LIMIT)
    return _found.get(error.address)


def in_background(error: EicctlError, report: Callable[[LikelyCause], None]) -> None:
    """Find the likely cause of an error in a thread of its own, and give it to `report` there, if it is found."""
    if not isinstance(error, TargetUnreachableError):
        return

    def work() -> None:
        if likely := likely_cause(error):
            report(likely)

    threading.Thread(target=work, daemon=True).start()


def explain(session: Session, target: Target) -> LikelyCause | None:
    """Return why an endpoint cannot reach a target, or None where the rules do not tell.

    Args:
        session: Access to AWS.
        target: The target, by an endpoint that has just reported that it cannot reach it.

    Raises:
        EicctlError: By AWS's error.
    """
    from eicctl.aws.endpoints import get_endpoint
    from eicctl.aws.instances import list_instances
    from eicctl.aws.targets import Found, location_of
    from eicctl.core.model import Instance
    from eicctl.core.request import ConnectRequest
    from eicctl.doctor.check import Result, Status
    from eicctl.doctor.context import Context
    from eicctl.doctor.diagnosis import find_cause, silent_target
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
        return LikelyCause(f"{target.label} is {instance.state}", start)
    request = ConnectRequest(remote_port=target.remote_port, private_ip_address=target.address)
    context = Context(session, request, client_address="")
    context.endpoint, context.target = endpoint, target
    context.found = Found(location_of(instance), target.address, instance) if instance else None
    results = [Result(check, check.run(context)) for check in context.checks if check.is_network_rule]
    cause = find_cause(results)
    if cause:
        fix = pins.command("eicctl", "doctor", target.label, *target.port_option, "--fix")
        return LikelyCause(cause.summary, fix if cause.change and cause.change.is_group_rule else cause.remediation)
    if any(result.status is Status.UNKNOWN for result in results):
        return None
    return LikelyCause(silent_target(target.label, target.remote_port), "")


def _quietly(session: Session, target: Target) -> LikelyCause | None:
    try:
        return explain(session, target)
    except Exception as why:  # whatever it is, the user has the error itself
        _log.debug("no likely cause: %s", why)
        return None


def _wanted() -> bool:
    """Whether somebody may read it, and the user has not switched it off."""
    from eicctl.support import settings

    try:
        return settings.config().diagnose and not _hidden()
    except EicctlError:
        return False


def _hidden() -> bool:
    """Whether stderr leads nowhere."""
    try:
        status = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError):
        return False
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == Path(os.devnull).stat().st_rdev
