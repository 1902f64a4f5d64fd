"""`eicctl proxy` relayed by this process."""

from __future__ import annotations

import contextlib
import signal
import sys
from types import ModuleType
from typing import TYPE_CHECKING

from eicctl.aws.session import Sessions
from eicctl.core.errors import INTERRUPTED, EicctlError, TargetUnreachableError
from eicctl.ssh.proxy_tunnel import Opening
from eicctl.tunnel import preconnect

if TYPE_CHECKING:
    from eicctl.core.model import Target
    from eicctl.core.request import ConnectRequest
    from eicctl.fastpath.proxy import Reporter
    from eicctl.tunnel.dial import Link

_UNUSED = "importlib.metadata"


def load_websockets() -> None:
    """Import websockets without `importlib.metadata`, which a release of it imports and does not use.

    That import, with email and zipfile below it, takes longer than a TLS handshake (benchmarks/RESULTS.md). Only
    websockets' version names it; whatever needs the module imports it later.
    """
    if _UNUSED in sys.modules:
        return
    sys.modules[_UNUSED] = ModuleType(_UNUSED)
    try:
        # A development version does use it, fails here, and is imported in full by the next one who asks.
        with contextlib.suppress(AttributeError, ImportError):
            import websockets.version  # noqa: F401
    finally:
        del sys.modules[_UNUSED]


def relay(request: ConnectRequest, reporter: Reporter) -> int:
    """Open a tunnel and relay stdin and stdout; return the exit code.

    A background process is started for the next one, unless the user does not want it.
    """
    session = Sessions().for_request(request)

    def found(target: Target) -> None:
        preconnect.begin(target.endpoint_dns_name, session.ca_bundle)
        # While the endpoint answers: the relay is needed as soon as it has.
        load_websockets()
        import eicctl.tunnel.stdio  # noqa: F401

    opening = Opening(session, request, reporter.line, found)
    ended = reporter.watch()
    try:
        with opening.opened() as link:
            ended()
            if not request.no_agent:
                from eicctl.agent.client import start_soon

                start_soon()
            reporter.opened(link.max_duration)
            return _relay(link, request.linger, opening, reporter)
    except EicctlError as error:
        ended()
        return reporter.failure(error, opening.session, opening.target)


def _relay(link: Link, linger: float | None, opening: Opening, reporter: Reporter) -> int:
    from eicctl.tunnel.relay import PIPES, Linger
    from eicctl.tunnel.stdio import StdioTunnel

    tunnel = StdioTunnel(link, sys.stdin.fileno(), sys.stdout.fileno(), Linger.of(linger, PIPES))
    interrupted = False

    def end(_signal: int, _frame: object) -> None:
        nonlocal interrupted
        interrupted = True
        tunnel.close()

    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), end)
    ending = tunnel.run()
    if isinstance(ending.error, TargetUnreachableError):
        opening.forget()
    if ending.error:
        ending.error.request_id = ending.request_id or None
        return reporter.failure(ending.error, opening.session, opening.target, ending.duration)
    return INTERRUPTED if interrupted else 0
