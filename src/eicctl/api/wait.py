"""Wait until a machine is there and answers through its endpoint."""

from __future__ import annotations

import time
from collections.abc import Callable

from eicctl.api.dialers import dialer_to
from eicctl.aws.instances import list_instances
from eicctl.aws.session import Session
from eicctl.aws.targets import InstanceStateError
from eicctl.core.errors import AmbiguousError, EicctlError, NotFoundError, TargetUnreachableError, UnreachableError
from eicctl.core.model import Target
from eicctl.core.request import ConnectRequest
from eicctl.support import pins
from eicctl.support.backoff import Backoff
from eicctl.tunnel.probe import RDP_REQUEST, probe

FIRST_PAUSE, LONGEST_PAUSE = 2.0, 10.0
"""Seconds between two looks: AWS throttles an account's Describe calls, all of them together."""

_GROWTH = 1.5
_TICK = 1.0
_RDP = 3389
_UNREACHABLE = (TargetUnreachableError, UnreachableError)
"""What a machine that boots looks like from outside: it is not reached, or hangs up."""


def wait_until_ready(
    session: Session,
    resolve: Callable[[], Target],
    *,
    seconds: float,
    label: str,
    max_tunnel_duration: int | None = None,
    greeting: bytes = RDP_REQUEST,
    show: Callable[[str], None] = lambda _state: None,
    first_pause: float = FIRST_PAUSE,
) -> Target:
    """Return a target once its port answers through its endpoint.

    AWS is asked for the instance and the endpoint until both can be used; after that a tunnel is tried, and no more. An
    SSH server proves that it is there by its banner, an RDP server by its answer to a connection request. Whatever
    else is at port 3389 counts as there when its connection stays open.

    Args:
        session: Access to AWS.
        resolve: Finds the target; is called again while that fails for a reason that may pass.
        seconds: The longest wait.
        label: What to call the target until it is found.
        max_tunnel_duration: Longest life of a tunnel that is tried, as a policy may demand it.
        greeting: What makes a server at port 3389 answer, if it does not speak first.
        show: Is told the state at every change, and once a second.
        first_pause: Seconds to the second look; each further pause is longer, up to 10 s.

    Raises:
        UnreachableError: It was not there in time; says what was still missing.
        InstanceStateError: The instance is stopped or ends, so that waiting is in vain.
        EicctlError: Anything else that no time will mend.
    """
    deadline = time.monotonic() + seconds
    backoff = Backoff(first_pause, LONGEST_PAUSE, growth=_GROWTH, jitter=0.2)
    target: Target | None = None
    running = False
    while True:
        try:
            target = target or resolve()
            label = target.label
            state = "" if running else _state_of(session, target)
            if not state:
                running = True
                show(f"trying port {target.remote_port}")
                state = _answers(session, target, max_tunnel_duration, deadline, greeting)
                if not state:
                    return target
            hint = None
        except EicctlError as error:
            if not _may_pass(error):
                raise
            if isinstance(error, NotFoundError):  # also an endpoint that is gone
                target, running = None, False
            state, hint = error.message, error.hint
        left = deadline - time.monotonic()
        if left <= 0:
            raise UnreachableError(f"{label} is not ready after {seconds:g} s: {state}", hint=hint)
        _sleep(min(left, backoff.pause()), lambda state=state: show(state))  # type: ignore[misc]


def _state_of(session: Session, target: Target) -> str:
    """Return what the instance's state leaves to wait for, or an empty string."""
    if not target.instance_id:
        return ""
    found = list_instances(session, ids=[target.instance_id])
    state = found[0].state if found else "terminated"
    if state == "running":
        return ""
    if state == "pending":
        return "the instance is pending"
    hint = (
        pins.command("aws", "ec2", "start-instances", "--instance-ids", target.instance_id)
        if state.startswith("stop")
        else None
    )
    raise InstanceStateError(f"the instance {target.label} is {state}", hint=hint)


def _answers(
    session: Session, target: Target, max_tunnel_duration: int | None, deadline: float, greeting: bytes
) -> str:
    """Try a tunnel; return why the port does not count as answering, or an empty string."""
    left = max(0.0, deadline - time.monotonic())
    request = ConnectRequest(max_tunnel_duration=max_tunnel_duration, queue_timeout=left)
    dialer = dialer_to(session, target, request)
    rdp = target.remote_port == _RDP
    found = probe(dialer, retry_budget=0, greeting=greeting if rdp else b"")
    if found.banner or (rdp and target.platform != "windows"):
        return ""
    return f"port {target.remote_port} accepts a connection, but nothing answers yet"


def _may_pass(error: EicctlError) -> bool:
    if isinstance(error, (AmbiguousError, InstanceStateError)):
        return False
    return error.transient or isinstance(error, NotFoundError) or type(error) in _UNREACHABLE


def _sleep(seconds: float, tick: Callable[[], None]) -> None:
    """Sleep, and call `tick` now and once a second."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        tick()
        time.sleep(min(left, _TICK))
