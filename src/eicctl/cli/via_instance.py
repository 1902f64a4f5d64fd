"""What commands that go through SSH on an instance have in common."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from socket import socket
from typing import TYPE_CHECKING, Any, cast

import click

from eicctl.cli import options
from eicctl.cli.options import Command
from eicctl.cli.param_types import INSTANCE
from eicctl.cli.view import messages
from eicctl.core.errors import INTERRUPTED
from eicctl.core.model import SSH_PORT
from eicctl.core.request import ConnectRequest

if TYPE_CHECKING:
    from eicctl.aws.session import Session
    from eicctl.core.events import Emit
    from eicctl.ssh.forward.forwarder import Forward
    from eicctl.ssh.forward.login import LoginRequest
    from eicctl.ssh.forward.renewal import Rotation
    from eicctl.ssh.host_keys import Check
    from eicctl.ssh.keys import KeyType


@dataclass(frozen=True, slots=True)
class TunnelWish:
    """What the options say of tunnels.

    Attributes:
        endpoint_id: The endpoint to use; empty for the nearest.
        endpoint_dns_name: Its DNS name, perhaps with a port; empty for that which AWS tells.
        max_duration: Longest life of a tunnel, in seconds, or None for the service's.
        queue_timeout: Seconds to wait for a place at the endpoint.
        wait: Seconds to wait for a target that is not there or does not answer yet; None not to wait.
    """

    endpoint_id: str
    endpoint_dns_name: str
    max_duration: int | None
    queue_timeout: float
    wait: float | None


_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    click.option(
        "--via",
        type=INSTANCE,
        metavar="INSTANCE",
        help="Jump host: instance ID, Name tag, address or DNS name.",
    ),
    options.login_settings,
    options.endpoint_settings,
    options.duration_option,
    options.queue_option,
    options.keepalive_option,
    options.wait_option,
    options.bind_option,
    click.option("--verbose", "-v", is_flag=True, help="Also print a line for each connection."),
)


def through_options(function: Command) -> Command:
    """Add how to log in to an instance, and where to listen.

    The command is an `options.WaitingCommand` and takes `via`, `login` (a function that returns the `LoginRequest`),
    `tunnels` (a `TunnelWish`), `bind` and `verbose`.
    """

    @functools.wraps(function)
    def wrapper(
        *args: Any,
        os_user: str | None,
        private_key_file: Path | None,
        send_key: bool | None,
        key_type: KeyType,
        host_key_check: Check,
        instance_connect_endpoint_id: str | None,
        instance_connect_endpoint_dns_name: str | None,
        max_tunnel_duration: int | None,
        queue_timeout: float,
        wait: float | None,
        **rest: Any,
    ) -> Any:
        def login() -> LoginRequest:
            from eicctl.ssh.forward.login import LoginRequest

            push = options.pushes(send_key, own_key=bool(private_key_file))
            return LoginRequest(os_user or "", private_key_file, push, _passphrase, host_key_check, key_type)

        tunnels = TunnelWish(
            instance_connect_endpoint_id or "",
            instance_connect_endpoint_dns_name or "",
            max_tunnel_duration,
            queue_timeout,
            wait,
        )
        return function(*args, login=login, tunnels=tunnels, **rest)

    decorated: Any = wrapper
    for option in reversed(_OPTIONS):
        decorated = option(decorated)
    return cast("Command", decorated)


def _passphrase(path: str) -> str:
    answer: str = click.prompt(f"Passphrase of {path}", hide_input=True, err=True)
    return answer


def rotation(
    session: Session,
    via: str,
    login: LoginRequest,
    emit: Emit,
    tunnels: TunnelWish,
) -> Rotation:
    """Return the SSH connections to the instance that the user names; on a terminal, the user chooses among several."""
    from eicctl.cli.target_prompt import resolve_target
    from eicctl.ssh.forward.renewal import rotation_to

    request = ConnectRequest(
        remote_port=SSH_PORT, target=via, endpoint_id=tunnels.endpoint_id, endpoint_dns_name=tunnels.endpoint_dns_name
    )
    target = resolve_target(session, request, wait=tunnels.wait, max_tunnel_duration=tunnels.max_duration)
    return rotation_to(
        session,
        target,
        login,
        emit,
        endpoint_id=tunnels.endpoint_id,
        endpoint_dns_name=tunnels.endpoint_dns_name,
        max_tunnel_duration=tunnels.max_duration,
        queue_timeout=tunnels.queue_timeout,
    )


def bind_port(cleanup: contextlib.ExitStack, port: int | None, wanted: int, address: str | None) -> Sequence[socket]:
    """Return listening sockets, closed by `cleanup`.

    Args:
        cleanup: Closes them.
        port: The local port that the user has given, 0 for a free one, None for none given.
        wanted: The port to take if none is given and it is free; a free one otherwise, with a note on stderr.
        address: The address to listen on, or None for loopback.
    """
    from eicctl.tunnel.bind import bind_wanted

    sockets = bind_wanted(port, wanted, address, messages.line)
    for sock in sockets:
        cleanup.callback(sock.close)
    return sockets


def warn_of(sockets: Sequence[socket], what: str) -> None:
    """Say so if others can connect."""
    hosts = {str(sock.getsockname()[0]) for sock in sockets if isinstance(sock.getsockname(), tuple)}
    for host in sorted(host for host in hosts if host != "::1" and not host.startswith("127.")):
        messages.line(f"warning: listening on {host}: whoever reaches it can connect to {what}")


def serve(forwards: Sequence[Forward], emit: Emit, ready: Callable[[], None]) -> int:
    """Connect, call `ready`, and forward until Ctrl-C or SIGTERM."""
    import asyncio

    from eicctl.cli.signals import run_interruptibly
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

    await asyncio.gather(*(rotation.start() for rotation in {forward.rotation for forward in forwards}))
