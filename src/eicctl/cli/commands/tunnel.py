"""`eicctl tunnel`: a local port for a remote one."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path
from socket import socket
from typing import TYPE_CHECKING

import click

from eicctl.cli import options
from eicctl.cli.param_types import LOCAL_PORT, Integer
from eicctl.core.errors import INTERRUPTED, UsageError
from eicctl.view import messages

if TYPE_CHECKING:
    import asyncio

    from eicctl.aws.session import Session
    from eicctl.core.events import Emit
    from eicctl.core.request import ConnectRequest
    from eicctl.tunnel.dial import Dialer


@click.command(cls=options.WaitingCommand)
@options.with_request
@options.port_option
@click.option(
    "--local-port",
    type=LOCAL_PORT,
    default=0,
    help="Local port to listen on, at 127.0.0.1 and ::1; default: 0, any free port.",
)
@options.bind_option
@click.option(
    "--local-socket",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Listen on a Unix socket that only you can access.",
)
@click.option(
    "--max-connections",
    type=Integer(1),
    default=20,
    show_default=True,
    metavar="N",
    help="Maximum concurrent connections; further clients queue. An endpoint's limit is 20.",
)
@options.queue_option
@options.request_option("--linger")
@options.keepalive_option
@options.wait_option
@click.option(
    "--check/--no-check",
    default=None,
    help="First test a tunnel through the endpoint; default: on a terminal, without --output json.",
)
@options.level_options
@options.messages_option
@options.with_session
def command(
    *,
    session: Session,
    request: ConnectRequest,
    local_port: int,
    bind: str | None,
    local_socket: Path | None,
    max_connections: int,
    check: bool | None,
    output: str,
) -> int:
    """Listen on a local port and forward connections to the target.

    Each connection uses its own tunnel and lasts for an hour at most. Ctrl-C closes them all.

    \b
    Examples:
      eicctl tunnel win-1 --remote-port 3389 --local-port 13389
      eicctl tunnel i-0123456789abcdef0 --remote-port 22 --local-port 2222
      eicctl tunnel web-1 --wait=600
      eicctl tunnel --private-ip-address 10.0.2.20 --remote-port 3389 --local-socket ./db.sock
    """
    if local_socket and (local_port or bind):
        raise UsageError("--local-socket cannot be combined with --local-port or --bind")
    from eicctl.api.targets import dialer_to
    from eicctl.cli.target_prompt import recording, resolve_target, specified
    from eicctl.core.events import TunnelEvent
    from eicctl.support.bind import loopback_only
    from eicctl.tunnel.probe import probe
    from eicctl.tunnel.slots import slots_of
    from eicctl.view.events import renderer

    session, request = specified(session, request, "tunnel")
    with contextlib.ExitStack() as cleanup:
        # Bound first: a busy port is reported at once, and not after AWS was called.
        sockets = _bind(cleanup, local_port, bind, local_socket)
        target = resolve_target(session, request)
        same = request.replace(wait=None)
        dialer = dialer_to(session, target, request, look_up=lambda: resolve_target(session, same, ask=False))
        slots_of(target.endpoint_id).limit = max_connections
        emit = renderer(output)
        if check is None:
            # A program reads JSON: its events are the same whether somebody watches stderr or not.
            check = output != "json" and sys.stderr.isatty()
        if check:
            found = probe(dialer)
            banner = found.banner.splitlines()[0][:60].decode(errors="replace") if found.banner else ""
            emit(TunnelEvent("checked", text=banner, target=target, request_id=found.request_id))
        if bind and not loopback_only(sockets):
            messages.line(f"warning: listening on {bind}: anyone who can reach it can connect to {target.label}")
        with recording("tunnel", session, target):
            return _serve(dialer, sockets, emit, request.linger)


def _bind(cleanup: contextlib.ExitStack, port: int, address: str | None, path: Path | None) -> Sequence[socket]:
    from eicctl.support.bind import bind_tcp, bind_unix

    if path:
        sockets = [bind_unix(path)]
        cleanup.callback(path.unlink, missing_ok=True)
    else:
        sockets = bind_tcp(port, address)
    for sock in sockets:
        cleanup.callback(sock.close)
    return sockets


def _serve(dialer: Dialer, sockets: Sequence[socket], emit: Emit, linger: float | None) -> int:
    """Serve until Ctrl-C or SIGTERM."""
    from eicctl.cli.listening import run_interruptibly
    from eicctl.core.events import TunnelEvent
    from eicctl.support.bind import local_addresses
    from eicctl.tunnel.listener import Listener
    from eicctl.tunnel.relay import Linger

    async def main(stop: asyncio.Event) -> None:
        emit(TunnelEvent("listening", local=tuple(local_addresses(sockets)), target=dialer.target))
        await Listener(dialer, sockets, emit, linger=Linger.of(linger)).serve(stop)

    run_interruptibly(main)
    return INTERRUPTED
