"""What commands that listen on a local port have in common: options, sockets, and serving until Ctrl-C or SIGTERM."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Callable, Coroutine, Sequence
from socket import socket
from typing import TYPE_CHECKING, Any, TypeVar

import click

from eicctl.cli import options
from eicctl.cli.options import Command
from eicctl.cli.param_types import INSTANCE
from eicctl.core.errors import INTERRUPTED
from eicctl.core.model import SSH_PORT
from eicctl.core.request import ConnectRequest
from eicctl.support import defaults
from eicctl.support.activity import Activity
from eicctl.view import messages

if TYPE_CHECKING:
    import asyncio

    from eicctl.aws.session import Session
    from eicctl.core.events import Emit
    from eicctl.ssh.forward.forwarder import Forward
    from eicctl.ssh.forward.renewal import RenewedConnection


_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    click.option(
        "--via",
        type=INSTANCE,
        metavar="INSTANCE",
        help="Jump host: instance ID, Name tag, address or DNS name.",
    ),
    options.login_settings,
    options.endpoint_settings,
    options.request_option("--max-tunnel-duration"),
    options.queue_option,
    options.keepalive_option,
    options.wait_option,
    options.bind_option,
    options.level_options,
)


def through_options(function: Command) -> Command:
    """Add how to log in to an instance, and where to listen.

    The command is an `options.WaitingCommand` and takes `via`, `request` and `bind`.
    """
    decorated = options.as_request(function)
    for option in reversed(_OPTIONS):
        decorated = option(decorated)
    return decorated


def connection_via(
    session: Session, via: str, request: ConnectRequest, emit: Emit, record: contextlib.ExitStack | None = None
) -> RenewedConnection:
    """Return the SSH connections to the instance that the user names, or chooses on a terminal.

    Args:
        session: Access to AWS.
        via: The instance, or an empty string.
        request: How to log in.
        emit: Takes what happens.
        record: If given, this is a connection for `eicctl recent` until it is closed.
    """
    from eicctl.api.targets import renewed_connection
    from eicctl.cli.target_prompt import passphrase, recording, resolve_target, specified

    session, wanted = specified(session, request.replace(remote_port=SSH_PORT, target=defaults.alias(via)), "forward")
    target = resolve_target(session, wanted)
    if record:
        record.enter_context(recording("forward", session, target, request.os_user))
    return renewed_connection(session, target, request, emit, passphrase=passphrase)


def bind_port(cleanup: contextlib.ExitStack, port: int | None, wanted: int, address: str | None) -> Sequence[socket]:
    """Return listening sockets, closed by `cleanup`.

    Args:
        cleanup: Closes them.
        port: The local port that the user has given, 0 for a free one, None for none given.
        wanted: The port to take if none is given and it is free; a free one otherwise, with a note on stderr.
        address: The address to listen on, or None for loopback.
    """
    from eicctl.support.bind import bind_wanted

    sockets = bind_wanted(port, wanted, address, messages.line)
    for sock in sockets:
        cleanup.callback(sock.close)
    return sockets


def warn_of(sockets: Sequence[socket], what: str) -> None:
    """Say so if others can connect."""
    hosts = {str(sock.getsockname()[0]) for sock in sockets if isinstance(sock.getsockname(), tuple)}
    for host in sorted(host for host in hosts if host != "::1" and not host.startswith("127.")):
        messages.line(f"warning: listening on {host}: anyone who can reach it can connect to {what}")


def serve(forwards: Sequence[Forward], emit: Emit, ready: Callable[[], None]) -> int:
    """Connect, call `ready`, and forward until Ctrl-C or SIGTERM."""
    import asyncio

    from eicctl.ssh.forward.forwarder import Forwarder

    async def main(stop: asyncio.Event) -> None:
        starting = asyncio.create_task(_start(forwards))
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait((starting, stopping), return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not starting.done():
            starting.cancel()
            return
        starting.result()
        ready()
        await Forwarder(forwards, emit).serve(stop)

    run_interruptibly(main)
    return INTERRUPTED


async def _start(forwards: Sequence[Forward]) -> None:
    """Open the first SSH connection to each machine, all at the same time."""
    import asyncio

    connections = {forward.ssh for forward in forwards}
    with Activity("connect", ", ".join(sorted(ssh.label for ssh in connections))):
        await asyncio.gather(*(ssh.start() for ssh in connections))


T = TypeVar("T")


def _interrupted() -> asyncio.Event:
    """Return an event that is set by SIGINT, SIGTERM or SIGHUP. Called on the running loop of the main thread."""
    import asyncio

    event = asyncio.Event()
    loop = asyncio.get_running_loop()
    if sys.platform != "win32":
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, event.set)
        return event

    def stop(_signal: int, _frame: object) -> None:
        loop.call_soon_threadsafe(event.set)

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGBREAK, stop)
    _tick(loop)
    return event


def run_interruptibly(main: Callable[[asyncio.Event], Coroutine[Any, Any, T]]) -> T:
    """Run `main` on a new loop with an event that SIGINT, SIGTERM or SIGHUP sets, and return what it returns.

    It serves clients, and may need more file descriptors than a shell's usual limit. Only `main` may report that
    clients can connect: an interrupt before the loop runs may come while a module is imported, and be lost there.
    """
    import asyncio

    from eicctl.tunnel.dial import allow_many
    from eicctl.tunnel.selector_loop import new_loop

    async def run() -> T:
        return await main(_interrupted())

    allow_many()
    with asyncio.Runner(loop_factory=new_loop) as runner:
        return runner.run(run())


def _tick(loop: asyncio.AbstractEventLoop) -> None:
    """Wake the loop twice a second: on Windows a signal does not end its select()."""
    loop.call_later(0.5, _tick, loop)
