"""What commands that go through SSH on an instance have in common."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from socket import socket
from typing import TYPE_CHECKING, Any, cast

import click

from eicctl.cli import report
from eicctl.cli.options import Command
from eicctl.errors import INTERRUPTED
from eicctl.model import MAX_TUNNEL_DURATION, TargetRequest

if TYPE_CHECKING:
    from eicctl.aws.session import Session
    from eicctl.ssh.forwarding import Forward, Observer
    from eicctl.ssh.host_keys import Check
    from eicctl.ssh.in_process import LoginRequest
    from eicctl.ssh.rotation import Rotation, Watcher

_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    click.option(
        "--via", metavar="INSTANCE", help="The instance to go through: its ID, Name tag, address or DNS name."
    ),
    click.option("--os-user", metavar="NAME", help="OS user to log in as; default: that of the instance's image."),
    click.option(
        "--private-key-file",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        metavar="FILE",
        help="Log in with this key; none is pushed.",
    ),
    click.option("--no-send-key", is_flag=True, help="Push no key; use those of the agent and of ~/.ssh."),
    click.option(
        "--host-key-check",
        type=click.Choice(["console", "accept-new", "strict", "off"]),
        help="Trust the host keys on the instance's console (default), the first seen, known ones, or any.",
    ),
    click.option("--instance-connect-endpoint-id", metavar="ID", help="Endpoint to use; default: the nearest."),
    click.option(
        "--max-tunnel-duration",
        type=click.IntRange(1, MAX_TUNNEL_DURATION),
        metavar="SECONDS",
        help="Longest life of a tunnel, 1 to 3600; default: the service's, 3600.",
    ),
    click.option(
        "--bind", metavar="ADDRESS", help="Listen on this address instead of loopback; others may then connect."
    ),
    click.option("--verbose", "-v", is_flag=True, help="Print a line for each connection too."),
)


def through_options(function: Command) -> Command:
    """Add how to log in to an instance, and where to listen.

    The command takes `via`, `login` (a function that returns the `LoginRequest`), `instance_connect_endpoint_id`,
    `max_tunnel_duration`, `bind` and `verbose`.
    """

    @functools.wraps(function)
    def wrapper(
        *args: Any,
        os_user: str | None,
        private_key_file: Path | None,
        no_send_key: bool,
        host_key_check: Check | None,
        **rest: Any,
    ) -> Any:
        def login() -> LoginRequest:
            from eicctl.ssh.host_keys import configured_check
            from eicctl.ssh.in_process import LoginRequest

            check = host_key_check or configured_check()
            return LoginRequest(os_user or "", private_key_file, not no_send_key, _passphrase, check)

        return function(*args, login=login, **rest)

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
    watcher: Watcher,
    *,
    endpoint_id: str | None,
    max_tunnel_duration: int | None,
    wait: float | None = None,
) -> Rotation:
    """Return the SSH connections to the instance that the user names; on a terminal, the user chooses among several.

    With `wait`, the instance is waited for, for so many seconds.
    """
    from eicctl.cli.target import resolve_target
    from eicctl.ssh.machine import rotation_to

    target = resolve_target(session, TargetRequest(words=via, endpoint_id=endpoint_id or ""), wait=wait)
    return rotation_to(
        session,
        target,
        login,
        watcher,
        endpoint_id=endpoint_id or "",
        max_tunnel_duration=max_tunnel_duration,
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

    sockets = bind_wanted(port, wanted, address, report.line)
    for sock in sockets:
        cleanup.callback(sock.close)
    return sockets


def warn_of(sockets: Sequence[socket], what: str) -> None:
    """Say so if others can connect."""
    hosts = {str(sock.getsockname()[0]) for sock in sockets if isinstance(sock.getsockname(), tuple)}
    for host in sorted(host for host in hosts if host != "::1" and not host.startswith("127.")):
        report.line(f"warning: listening on {host}: whoever reaches it can connect to {what}")


def serve(forwards: Sequence[Forward], observer: Observer, ready: Callable[[], None]) -> int:
    """Connect, call `ready`, and forward until Ctrl-C or SIGTERM."""
    import asyncio

    from eicctl.cli.until import interrupted
    from eicctl.ssh.forwarding import Forwarder

    async def main() -> None:
        stop = interrupted()
        starting = asyncio.create_task(_start(forwards))
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait((starting, stopping), return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not starting.done():
            starting.cancel()
            return
        starting.result()
        ready()
        await Forwarder(forwards, observer).serve(stop)

    from eicctl.tunnel.loops import new_loop

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(main())
    return INTERRUPTED


async def _start(forwards: Sequence[Forward]) -> None:
    """Open the first SSH connection to each machine, all at the same time."""
    import asyncio

    await asyncio.gather(*(rotation.start() for rotation in {forward.rotation for forward in forwards}))
