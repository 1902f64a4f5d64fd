"""What `--verbose` prints of a connection: who asks, where it goes, from the cache or not, and as whom."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from eicctl.view import messages

if TYPE_CHECKING:
    from eicctl.aws.session import Session
    from eicctl.core.model import Target
    from eicctl.ssh.login import Login


def target(session: Session, found: Target, started: float | None = None) -> None:
    """Explain where a connection goes.

    Args:
        session: Access to AWS.
        found: The target.
        started: When it began to be looked up, by `time.monotonic()`; None where it is from the cache.
    """
    if not messages.verbose():
        return
    origin = f"looked up in {time.monotonic() - started:.2f} s" if started is not None else "from the cache"
    name = f"{found.label} ({found.instance_id})" if found.instance_name else found.label
    messages.explain(f"Credentials: {session.source or 'none'}, in {session.location}")
    messages.explain(f"Target: {name}, {found.address} port {found.remote_port}, {origin}")
    messages.explain(f"Endpoint: {found.endpoint_id} ({found.endpoint_dns_name})")


def login(found: Login) -> None:
    """Explain as whom a login is made, and how; AWS may be asked for the host's keys."""
    if not messages.verbose():
        return
    from eicctl.agent.delegate import connect

    messages.explain(f"OS user: {found.user.explanation}")
    messages.explain(f"Key: {'a new one, pushed for 60 s' if found.pushes else 'your own, not pushed'}")
    messages.explain(f"Host keys: {found.verdict().detail or 'not verified'}")
    if warm := connect(os.environ):
        warm.close()
    messages.explain(f"Background process: {'running (warm)' if warm else 'none (cold)'}")
