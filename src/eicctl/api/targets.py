"""A target: what opens tunnels and SSH connections to it, waiting until it responds, and pushing a key to it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypedDict

from eicctl.aws.instance_connect import send_ssh_public_key
from eicctl.aws.instances import list_instances
from eicctl.aws.session import Session, Sessions
from eicctl.aws.targets import InstanceStateError, resolve
from eicctl.core.errors import (
    AmbiguousError,
    EicctlError,
    NotFoundError,
    TargetUnreachableError,
    UnreachableError,
    UsageError,
)
from eicctl.core.events import Emit, TunnelEvent
from eicctl.core.model import Target
from eicctl.core.request import ConnectRequest
from eicctl.support import defaults, pins
from eicctl.support.clock import Backoff
from eicctl.tunnel.dial import Dialer
from eicctl.tunnel.probe import RDP_REQUEST, probe

if TYPE_CHECKING:
    from eicctl.ssh.forward.connection import SshConnection
    from eicctl.ssh.forward.renewal import RenewedConnection


def dialer_to(
    session: Session, target: Target, request: ConnectRequest, *, look_up: Callable[[], Target] | None = None
) -> Dialer:
    """Return what opens tunnels to a target; nothing is connected yet.

    Args:
        session: Access to AWS.
        target: Where they go.
        request: How long they last, wait for one of the endpoint's slots, and stay silent before they are pinged.
        look_up: Resolves the target again when its endpoint is gone; None if that is not possible.
    """
    return Dialer(
        target,
        session.credentials,
        session.ca_bundle,
        request.max_tunnel_duration,
        request.queue_timeout,
        look_up=look_up,
        keepalive=request.keepalive,
    )


def renewed_connection(
    session: Session,
    target: Target,
    request: ConnectRequest,
    emit: Emit,
    *,
    passphrase: Callable[[str], str] | None = None,
    patience: float | None = None,
) -> RenewedConnection:
    """Return the SSH connections to a target; nothing is connected yet.

    Args:
        session: Access to AWS.
        target: The machine.
        request: How to log in, by which endpoint, and for how long.
        emit: See `RenewedConnection`.
        passphrase: Asked for a key file that is encrypted; takes its name.
        patience: See `RenewedConnection`; None for the default.

    Raises:
        EicctlError: The target is not one to log in to, or the key cannot be used.
    """
    from eicctl.ssh.forward.connection import connect
    from eicctl.ssh.forward.login import prepare
    from eicctl.ssh.forward.renewal import PATIENCE, RenewedConnection

    def note(text: str) -> None:
        emit(TunnelEvent("note", via=target.label, text=text))

    login = prepare(session, target, request, note, passphrase)
    same = request.replace(
        target="",
        remote_port=target.remote_port,
        instance_id=target.instance_id,
        private_ip_address="" if target.instance_id else target.address,
    )
    dialer = dialer_to(session, target, request, look_up=lambda: resolve(session, same))

    async def open_one(retry_budget: float) -> SshConnection:
        def waiting(error: EicctlError) -> None:
            emit(TunnelEvent("retrying", via=target.label, error=error))

        return await connect(dialer, login, retry_budget=retry_budget, waiting=waiting)

    return RenewedConnection(target.label, open_one, emit, patience=PATIENCE if patience is None else patience)


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

    AWS is asked for the instance and the endpoint until both can be used; from then on only tunnels are tried. An
    SSH server proves that it is there by its banner, an RDP server by its answer to a connection request. Whatever
    else is at port 3389 counts as there when its connection stays open.

    Args:
        session: Access to AWS.
        resolve: Finds the target; is called again while that fails for a reason that may pass.
        seconds: The longest wait.
        label: What to call the target until it is found.
        max_tunnel_duration: Longest life of a tunnel that is tried, as a policy may demand it.
        greeting: What makes a server at port 3389 answer, if it does not speak first.
        show: Called with the state at every change, and once a second.
        first_pause: Seconds to the second look; each further pause is longer, up to 10 s.

    Raises:
        UnreachableError: It was not ready in time; the message says what was missing.
        InstanceStateError: The instance is stopped or ends, so that waiting is in vain.
        EicctlError: Any error that waiting does not fix.
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
    raise InstanceStateError(f"The instance {target.label} is {state}", hint=hint)


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
    return f"port {target.remote_port} accepts connections, but nothing responds yet"


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


class Options(TypedDict, total=False):
    """The fields of `ConnectRequest` that every function which connects takes by keyword, and a session.

    Attributes:
        remote_port: The target's port, 22 or 3389, the two that the service has; default: 3389 on Windows, else 22.
        session: Access to AWS that several tunnels share. It excludes the next four.
        profile: Profile in the AWS configuration; default: the environment's.
        region: AWS region; default: the profile's.
        ca_bundle: CA certificates (PEM file) to trust; default: the environment's, or the system's.
        fips: Use FIPS endpoints, of AWS and of EICE.
        endpoint_id: The endpoint to use (`eice-…`); default: the nearest.
        max_tunnel_duration: Longest life of a connection in seconds, 1 to 3600; default: the service's, 3600.
        queue_timeout: Seconds to wait for one of the endpoint's 20 slots; default: 30.
        linger: Seconds to wait for a silent target after a client's EOF; default: 60 where the client is still there,
            and 5 where that cannot be known. A client that has closed its connection is not waited for.
        keepalive: Seconds without traffic after which an open connection is pinged, 0 for never; default: 30.
        wait: Seconds to wait for a machine that is not up yet; default: no wait.
    """

    remote_port: int
    session: Session | None
    profile: str | None
    region: str | None
    ca_bundle: str | None
    fips: bool
    endpoint_id: str | None
    max_tunnel_duration: int | None
    queue_timeout: float
    linger: float | None
    keepalive: float | None
    wait: float | None


def requested(target: str | ConnectRequest | Target, options: Options) -> tuple[Session, ConnectRequest]:
    """Return access to AWS and the request that a target and keyword arguments make.

    Raises:
        TypeError: A keyword argument is unknown.
        UsageError: An argument repeats what the session has.
    """
    if unknown := options.keys() - Options.__annotations__.keys():
        raise TypeError(f"unknown keyword arguments: {', '.join(sorted(unknown))}")
    if isinstance(target, str | Target):
        target = ConnectRequest(target=target if isinstance(target, str) else "")
    values = {name: value for name, value in options.items() if name != "session" and value is not None}
    request = target.replace(**values)
    session = options.get("session")
    if session and (given := {"profile", "region", "ca_bundle", "fips"} & {name for name in values if values[name]}):
        raise UsageError(f"session cannot be combined with {', '.join(sorted(given))}")
    if session:
        return session, request
    request = defaults.filled(request, project="")
    return Sessions().for_request(request), request


def dialer_for(target: str | ConnectRequest | Target, options: Options) -> tuple[Dialer, ConnectRequest]:
    """Return what opens links to a target, and the request.

    Args:
        target: An instance ID, a Name tag, a private address, or a DNS name that leads to one; a request that says
            more; or a target that was found before, which asks AWS for nothing.
        options: See `Options`.

    Raises:
        EicctlError: The target cannot be found, or is not up in time.
    """
    session, request = requested(target, options)

    def find() -> Target:
        return target if isinstance(target, Target) else resolve(session, request)

    if request.wait is None:
        ready = find()
    else:
        label = target.label if isinstance(target, Target) else request.label
        duration = request.max_tunnel_duration
        ready = wait_until_ready(session, find, seconds=request.wait, label=label, max_tunnel_duration=duration)
    return dialer_to(session, ready, request, look_up=find), request


def push_key(
    target: str | ConnectRequest | Target,
    public_key: str,
    *,
    os_user: str,
    session: Session | None = None,
    profile: str | None = None,
    region: str | None = None,
    ca_bundle: str | None = None,
) -> None:
    """Let an SSH key log in to an instance for the next 60 seconds (SendSSHPublicKey).

    Args:
        target: The instance.
        public_key: One line in OpenSSH's form: `ssh-ed25519 AAAA…`.
        os_user: The OS user that it may log in as: `ec2-user`, `ubuntu`, …
        session: See `Options`.
        profile: See `Options`.
        region: See `Options`.
        ca_bundle: See `Options`.

    Raises:
        UsageError: The target is not an instance.
        EicctlError: By the service's error.
    """
    options: Options = {"session": session, "profile": profile, "region": region, "ca_bundle": ca_bundle}
    access, request = requested(target, options)
    found = target if isinstance(target, Target) else resolve(access, request)
    if not found.instance_id:
        raise UsageError(f"{found.address} matches no EC2 instance, so no key can be pushed")
    send_ssh_public_key(
        access,
        instance_id=found.instance_id,
        os_user=os_user,
        public_key=public_key,
        availability_zone=found.availability_zone,
    )
