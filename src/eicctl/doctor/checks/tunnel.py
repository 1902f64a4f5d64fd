"""Whether a tunnel to the target opens, and the target answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from eicctl.api.targets import dialer_to
from eicctl.core.errors import (
    CredentialsError,
    DeniedError,
    EicctlError,
    NetworkError,
    NotFoundError,
    RefusedError,
    TargetUnreachableError,
    UnavailableError,
)
from eicctl.core.model import RDP_PORT, SSH_PORT, Target
from eicctl.core.request import ConnectRequest
from eicctl.doctor.check import Check, Outcome, Segment, Status, duration, failed_outcome
from eicctl.doctor.context import Context, required
from eicctl.tunnel.probe import RDP_REQUEST, Probe, probe

RETRY_BUDGET = 3.0
"""Seconds for which a tunnel that fails for a transient reason is retried."""

QUEUE_TIMEOUT = 3.0
"""Seconds to wait for a slot at the endpoint: a full endpoint is a result."""

_REFUSALS: Sequence[tuple[type[EicctlError], str]] = (
    (DeniedError, "permission"),
    (CredentialsError, "credentials"),
    (NotFoundError, "endpoint"),
    (UnavailableError, "endpoint"),
    (RefusedError, "endpoint"),
)
"""Errors of a tunnel that AWS refuses before it is open, and the checks that they belong to."""


def run(context: Context) -> Outcome:
    """Open a tunnel and wait for the target's first bytes."""
    session, target = context.session, required(context.target)
    request = ConnectRequest(max_tunnel_duration=context.max_tunnel_duration, queue_timeout=QUEUE_TIMEOUT)
    dialer = dialer_to(session, target, request)
    greeting = RDP_REQUEST if target.remote_port == RDP_PORT and target.platform == "windows" else b""
    try:
        found = probe(dialer, greeting=greeting, retry_budget=RETRY_BUDGET)
    except TargetUnreachableError as error:
        return _unreachable(target, error)
    except EicctlError as error:
        belongs_to = next((key for kind, key in _REFUSALS if isinstance(error, kind)), "")
        return replace(failed_outcome(error), belongs_to=belongs_to)
    return _opened(target, found, speaks_first=bool(greeting) or target.remote_port == SSH_PORT)


def _opened(target: Target, found: Probe, *, speaks_first: bool) -> Outcome:
    port, label, times = target.remote_port, target.label, found.times
    seconds = {"TCP": times.tcp, "TLS": times.tls, "handshake": times.handshake}
    if found.banner:
        seconds["first byte"] = found.banner_time
    stages = ", ".join(f"{name} {duration(each)}" for name, each in seconds.items())
    details = {
        "RequestId": found.request_id,
        "Banner": found.banner[:100].decode(errors="replace").strip(),
        "Seconds": {
            "Tcp": round(times.tcp, 4),
            "Tls": round(times.tls, 4),
            "Handshake": round(times.handshake, 4),
            "FirstByte": round(found.banner_time, 4) if found.banner else None,
        },
    }
    if found.banner:
        is_rdp = port == RDP_PORT and found.banner[:1] == b"\x03"
        banner = "RDP server" if is_rdp else found.banner.splitlines()[0][:60].decode(errors="replace")
        return Outcome(Status.OK, f"{label} responded ({banner}): {stages}", details=details)
    if speaks_first:
        server = "an SSH server" if port == SSH_PORT else "an RDP server"
        return Outcome(
            Status.FAILED,
            f"the tunnel opened, but {label} sent nothing; {server} would ({stages})",
            f"check on {label} that {server} listens on port {port}, and that it does not hang",
            cause=f"port {port} of {label} does not respond like {server}",
            exit_code=NetworkError.default_exit_code,
            details=details,
        )
    message = f"the endpoint accepted the tunnel ({stages}); whether {label} responds shows when a client connects"
    return Outcome(Status.UNKNOWN, message, details=details)


def _unreachable(target: Target, error: TargetUnreachableError) -> Outcome:
    port = target.remote_port
    commands = f"sudo ss -tlnp 'sport = :{port}'; sudo nft list ruleset"
    if target.platform == "windows":
        commands = f"Get-NetTCPConnection -LocalPort {port}; Get-NetFirewallProfile"
    details = {
        "RequestId": error.request_id,
        "Unreachable": True,
        "RemotePort": port,
        "Label": target.label,
        "NextStep": f"check on {target.label}: {commands}",
    }
    return Outcome(Status.FAILED, error.message, exit_code=error.exit_code, details=details)


CHECK = Check(
    key="tunnel",
    title="Tunnel test",
    order=170,
    run=run,
    needs=("endpoint", "connectivity"),
    segment=Segment.AT_TARGET,
    step="port {port} response",
    inspects="opens a tunnel and waits for the target's first bytes; the time of each stage",
    permissions=("ec2-instance-connect:OpenTunnel",),
)
