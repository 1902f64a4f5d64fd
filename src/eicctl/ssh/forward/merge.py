"""SSH connections to a target, kept up."""

from __future__ import annotations

from eicctl.aws.session import Session
from eicctl.aws.targets import resolve
from eicctl.core.errors import EicctlError
from eicctl.core.model import Target, TargetRequest
from eicctl.ssh.forward.connection import SshConnection, connect
from eicctl.ssh.forward.login import LoginRequest, prepare
from eicctl.ssh.forward.renewal import PATIENCE, Rotation, Watcher
from eicctl.tunnel.dial import Dialer
from eicctl.tunnel.slots import QUEUE_TIMEOUT


def rotation_to(
    session: Session,
    target: Target,
    request: LoginRequest,
    watcher: Watcher,
    *,
    endpoint_id: str = "",
    endpoint_dns_name: str = "",
    max_tunnel_duration: int | None = None,
    queue_timeout: float = QUEUE_TIMEOUT,
    patience: float = PATIENCE,
) -> Rotation:
    """Return the SSH connections to a target; nothing is connected yet.

    Args:
        session: Access to AWS.
        target: The machine.
        request: How to log in.
        watcher: Is told what happens.
        endpoint_id: The endpoint that it must be, or empty for the one that serves the machine at the time.
        endpoint_dns_name: What to call it by, or empty for the name that AWS tells.
        max_tunnel_duration: Longest life of each connection, in seconds (1 to 3600).
        queue_timeout: Seconds for which a connection waits for a place at the endpoint.
        patience: See `PATIENCE`.

    Raises:
        EicctlError: The target is not one to log in to, or the key cannot be used.
    """
    login = prepare(session, target, request, lambda text: watcher.noted(target.label, text))
    same = TargetRequest(
        remote_port=target.remote_port,
        instance_id=target.instance_id,
        private_ip_address="" if target.instance_id else target.address,
        endpoint_id=endpoint_id,
        endpoint_dns_name=endpoint_dns_name,
    )
    dialer = Dialer(
        target,
        session.credentials,
        session.ca_bundle,
        max_tunnel_duration,
        queue_timeout,
        look_up=lambda: resolve(session, same),
    )

    async def open_one(retry_budget: float) -> SshConnection:
        def waiting(error: EicctlError) -> None:
            watcher.noted(target.label, f"trying again: {error.message}")

        return await connect(dialer, login, retry_budget=retry_budget, waiting=waiting)

    return Rotation(target.label, open_one, watcher, patience=patience)
