"""What opens tunnels to a target, with the credentials of a session."""

from __future__ import annotations

from collections.abc import Callable

from eicctl.aws.session import Session
from eicctl.core.model import Target
from eicctl.core.request import ConnectRequest
from eicctl.tunnel.dial import Dialer


def dialer_to(
    session: Session, target: Target, request: ConnectRequest, *, look_up: Callable[[], Target] | None = None
) -> Dialer:
    """Return what opens tunnels to a target; nothing is connected yet.

    Args:
        session: Access to AWS.
        target: Where they go.
        request: How long they last, wait for one of the endpoint's slots, and stay silent before they are pinged.
        look_up: Resolves the target again when its endpoint is gone; None where that is not possible.
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
