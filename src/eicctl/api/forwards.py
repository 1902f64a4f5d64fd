"""SSH connections for forwarded ports: opened through an endpoint, and renewed."""

from __future__ import annotations

from collections.abc import Callable

from eicctl.api.targets import dialer_to
from eicctl.aws.session import Session
from eicctl.aws.targets import resolve
from eicctl.core.errors import EicctlError
from eicctl.core.events import Emit, TunnelEvent
from eicctl.core.model import Target
from eicctl.core.request import ConnectRequest
from eicctl.ssh.forward.connection import SshConnection, connect
from eicctl.ssh.forward.login import prepare
from eicctl.ssh.forward.renewal import PATIENCE, RenewedConnection


def renewed_connection(
    session: Session,
    target: Target,
    request: ConnectRequest,
    emit: Emit,
    *,
    passphrase: Callable[[str], str] | None = None,
    patience: float = PATIENCE,
) -> RenewedConnection:
    """Return the SSH connections to a target; nothing is connected yet.

    Args:
        session: Access to AWS.
        target: The machine.
        request: How to log in, by which endpoint, and for how long.
        emit: See `RenewedConnection`.
        passphrase: Asked for a key file that is encrypted; takes its name.
        patience: See `PATIENCE`.

    Raises:
        EicctlError: The target is not one to log in to, or the key cannot be used.
    """

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

    return RenewedConnection(target.label, open_one, emit, patience=patience)
