"""`eicctl forward`: many local ports through one SSH connection."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import click

from eicctl.cli import options, picker
from eicctl.cli.listening import bind_port, connection_via, serve, through_options, warn_of
from eicctl.cli.param_types import FORWARD, LOCAL_PORT, PORT
from eicctl.core.errors import UsageError
from eicctl.view import messages

if TYPE_CHECKING:
    from collections.abc import Sequence
    from socket import socket

    from eicctl.aws.session import Session
    from eicctl.core.request import ConnectRequest
    from eicctl.ssh.destination import ForwardSpec
    from eicctl.ssh.forward.connection import Remote
    from eicctl.ssh.forward.renewal import RenewedConnection


@click.command(cls=options.WaitingCommand)
@click.argument("forwards", nargs=-1, type=FORWARD, metavar="[LOCAL:]TARGET:PORT…")
@click.option(
    "--socks",
    type=LOCAL_PORT,
    metavar="PORT",
    help="Run a SOCKS5 proxy on this local port; 0: any free port.",
)
@through_options
@options.messages_option
@options.with_session
def command(
    *,
    session: Session,
    forwards: tuple[str, ...],
    socks: int | None,
    via: str | None,
    request: ConnectRequest,
    bind: str | None,
    output: str,
) -> int:
    """Forward local ports to any host and port, through SSH on an instance.

    TARGET is an instance; with --via, any host that the --via instance can reach. All ports share one SSH connection,
    which uses one of the endpoint's 20 slots. It is renewed before its hour ends, and the ports stay open. LOCAL is a
    port or the path of a Unix socket; default: the remote port, if free.

    \b
    Examples:
      eicctl forward web-1:8080
      eicctl forward --via web-1 5432:db.internal:5432 redis.internal:6379
      eicctl forward --via web-1 --socks 1080
    """
    from eicctl.core.events import TunnelEvent
    from eicctl.ssh.destination import parse_forward
    from eicctl.ssh.forward.forwarder import Forward
    from eicctl.support.bind import local_addresses
    from eicctl.view.events import renderer

    if not forwards and socks is None and not via and picker.on_terminal():
        session, forwards = _ask(session, request)
    specs = [parse_forward(text) for text in forwards]
    _check(specs, socks, via)
    emit = renderer(output, verbose=request.verbose)
    machines: dict[str, RenewedConnection] = {}
    with contextlib.ExitStack() as cleanup:

        def machine(words: str) -> RenewedConnection:
            if words not in machines:
                machines[words] = connection_via(session, words, request, emit, cleanup)
            return machines[words]

        # Bound first: a busy port is reported at once, and not after AWS was called.
        bound = [(_bind(cleanup, spec, bind), spec) for spec in specs]
        proxy = bind_port(cleanup, socks, 0, bind) if socks is not None else ()
        made = [Forward(tuple(sockets), machine(via or spec.host), _remote(spec, via)) for sockets, spec in bound]
        if proxy:
            made.append(Forward(tuple(proxy), machine(via or (specs[0].host if specs else "")), None))

        def ready() -> None:
            for forward in made:
                remote = str(forward.remote) if forward.remote else "SOCKS5 clients (socks5h://)"
                warn_of(forward.sockets, remote)
                local = tuple(local_addresses(forward.sockets))
                emit(TunnelEvent("listening", local=local, remote=remote, via=forward.ssh.label))

        return serve(made, emit, ready)


def _ask(session: Session, request: ConnectRequest) -> tuple[Session, tuple[str]]:
    """Let the user choose an instance, and ask for the port on it."""
    from eicctl.cli.target_prompt import specified

    session, chosen = specified(session, request, "forward")
    text = f"Port on {messages.printable(chosen.label, keep='')}"
    return session, (f"[{chosen.label}]:{click.prompt(text, type=PORT, err=True)}",)


def _check(specs: Sequence[ForwardSpec], socks: int | None, via: str | None) -> None:
    if not specs and socks is None:
        raise UsageError(
            "Nothing to forward", hint="eicctl forward TARGET:PORT, or --socks PORT; targets: eicctl instances"
        )
    if via:
        return
    if any(not spec.host for spec in specs):
        raise UsageError("PORT requires an instance", hint="TARGET:PORT, or --via INSTANCE")
    if socks is not None and len({spec.host for spec in specs}) > 1:
        raise UsageError("Multiple instances: specify the one for the SOCKS5 proxy", hint="--via INSTANCE")


def _remote(spec: ForwardSpec, via: str | None) -> Remote:
    from eicctl.ssh.forward.connection import Remote

    if spec.remote_path:
        return Remote(path=spec.remote_path)
    return Remote(spec.host if via and spec.host else "localhost", spec.port)


def _bind(cleanup: contextlib.ExitStack, spec: ForwardSpec, address: str | None) -> Sequence[socket]:
    from eicctl.support.bind import bind_unix

    if spec.local_path is None:
        return bind_port(cleanup, spec.local_port, spec.port, address)
    sock = bind_unix(spec.local_path)
    cleanup.callback(spec.local_path.unlink, missing_ok=True)
    cleanup.callback(sock.close)
    return [sock]
