"""Reach machines in private AWS subnets through EC2 Instance Connect Endpoint (EICE).

For programs: `open_tunnel` gives a local port, `connect` a connected socket; docs/how-to/library.md shows both.
Everything is loaded when it is first used.
"""

from __future__ import annotations

__version__ = "0.1.0"

TYPE_CHECKING = False
if TYPE_CHECKING:  # importing typing costs a warm start some milliseconds
    from eicctl.api.endpoints import create_endpoint
    from eicctl.api.sockets import TunnelSocket, connect, connect_async
    from eicctl.api.targets import push_key
    from eicctl.api.tunnels import Tunnel, open_tunnel, open_tunnel_async
    from eicctl.aws.session import Session
    from eicctl.core.errors import (
        AccessError,
        AmbiguousError,
        ConflictError,
        CredentialsError,
        DeniedError,
        DurationReachedError,
        EicctlError,
        LocalError,
        NetworkError,
        NotFoundError,
        RefusedError,
        SilentTargetError,
        TargetUnreachableError,
        ThrottledError,
        UnavailableError,
        UnreachableError,
        UsageError,
    )
    from eicctl.core.model import Endpoint, Target
    from eicctl.core.request import ConnectRequest

__all__ = [
    "AccessError",
    "AmbiguousError",
    "ConflictError",
    "ConnectRequest",
    "CredentialsError",
    "DeniedError",
    "DurationReachedError",
    "EicctlError",
    "Endpoint",
    "LocalError",
    "NetworkError",
    "NotFoundError",
    "RefusedError",
    "Session",
    "SilentTargetError",
    "Target",
    "TargetUnreachableError",
    "ThrottledError",
    "Tunnel",
    "TunnelSocket",
    "UnavailableError",
    "UnreachableError",
    "UsageError",
    "connect",
    "connect_async",
    "create_endpoint",
    "open_tunnel",
    "open_tunnel_async",
    "push_key",
]

_HOMES = {
    "Endpoint": "eicctl.core.model",
    "Session": "eicctl.aws.session",
    "Target": "eicctl.core.model",
    "ConnectRequest": "eicctl.core.request",
    "Tunnel": "eicctl.api.tunnels",
    "TunnelSocket": "eicctl.api.sockets",
    "connect": "eicctl.api.sockets",
    "connect_async": "eicctl.api.sockets",
    "create_endpoint": "eicctl.api.endpoints",
    "open_tunnel": "eicctl.api.tunnels",
    "open_tunnel_async": "eicctl.api.tunnels",
    "push_key": "eicctl.api.targets",
}
"""Where each name is; the errors, which are the rest, are in `eicctl.core.errors`."""


if not TYPE_CHECKING:  # or a type checker would take any name for one that is there

    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        found: object = getattr(import_module(_HOMES.get(name, "eicctl.core.errors")), name)
        globals()[name] = found
        return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
