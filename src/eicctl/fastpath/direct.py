"""A ProxyCommand carried by this process.

websockets without `importlib.metadata`, which a release of it imports and does not use.

That import, with email and zipfile below it, takes longer than a TLS handshake (benchmarks/RESULTS.md).
"""

from __future__ import annotations

import contextlib
import signal
import sys
from types import ModuleType
from typing import TYPE_CHECKING

from eicctl.agent.serve_proxy import session_for, wanted
from eicctl.aws.session import Sessions
from eicctl.core.errors import INTERRUPTED, EicctlError, TargetUnreachableError
from eicctl.ssh.proxy_tunnel import Opening
from eicctl.tunnel import preconnect

if TYPE_CHECKING:
    from eicctl.agent.words import Words
    from eicctl.core.model import Target
    from eicctl.fastpath.proxy import Teller
    from eicctl.tunnel.dial import Link

_UNUSED = "importlib.metadata"


def load_websockets() -> None:
    """Import websockets' version, which is all of it that names the module; who needs the module imports it later."""
    if _UNUSED in sys.modules:
        return
    sys.modules[_UNUSED] = ModuleType(_UNUSED)
    try:
        # A development version does use it, fails here, and is imported in full by the next one who asks.
        with contextlib.suppress(AttributeError, ImportError):
            import websockets.version  # noqa: F401
    finally:
        del sys.modules[_UNUSED]


def carry(words: Words, tell: Teller) -> int:
    """Open a tunnel and carry stdin and stdout; return the exit code.

    A background process is started for the next one, unless the user does not want it.
    """
    session = session_for(words, Sessions())

    def found(target: Target) -> None:
        preconnect.begin(target.endpoint_dns_name, session.ca_bundle)
        # While the endpoint answers; what carries is needed as soon as it has.
        load_websockets()
        import eicctl.tunnel.stdio  # noqa: F401

    opening = Opening(wanted(words, session), tell.line, found)
    try:
        with opening.opened() as link:
            if not words["no_agent"]:
                from eicctl.agent.start import start_soon

                start_soon()
            tell.opened(link.max_duration)
            return _carry(link, words["linger"], opening, tell)
    except EicctlError as error:
        return tell.failure(error, opening.session, opening.target)


def _carry(link: Link, linger: float | None, opening: Opening, tell: Teller) -> int:
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
        return tell.failure(ending.error, opening.session, opening.target, ending.duration)
    return INTERRUPTED if interrupted else 0
