"""`eicctl rdp`: Remote Desktop through a tunnel."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from eicctl.cli import options
from eicctl.cli.param_types import LOCAL_PORT, PORT
from eicctl.core.errors import INTERRUPTED, LocalError, UsageError
from eicctl.support import pins
from eicctl.view import messages

if TYPE_CHECKING:
    import asyncio

    from eicctl.aws.session import Session
    from eicctl.cli.rdp_client import Client, RdpConnection
    from eicctl.core.model import Target
    from eicctl.core.request import ConnectRequest


@click.command(cls=options.WaitingCommand)
@options.with_request
@click.option("--launch/--no-launch", default=True, help="Start a client (default), or only open the tunnel.")
@click.option(
    "--client",
    metavar="NAME",
    help="RDP client: xfreerdp, wlfreerdp, remmina, mstsc, open, …; default: the platform's.",
)
@click.option("--user", default="Administrator", show_default=True, metavar="NAME", help="User to log in as.")
@click.option(
    "--key-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="PEM",
    help="Private key of the instance's key pair, to decrypt the administrator's password.",
)
@click.option(
    "--print-password", is_flag=True, help="Print the administrator's password and exit. Requires --key-file."
)
@click.option(
    "--save", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE.rdp", help="Save the connection file."
)
@click.option("--local-port", type=LOCAL_PORT, default=0, help="Local port to listen on; default: 0, any free port.")
@click.option("--remote-port", type=PORT, default=3389, show_default=True, help="Target port.")
@options.others_option
@options.queue_option
@options.keepalive_option
@options.wait_option
@options.level_options
@options.with_session
def command(
    *,
    session: Session,
    request: ConnectRequest,
    launch: bool,
    client: str | None,
    user: str,
    key_file: Path | None,
    print_password: bool,
    save: Path | None,
    local_port: int,
) -> int:
    """Open a Remote Desktop session through the endpoint.

    The tunnel closes when the client exits. With --key-file, the administrator's password is fetched, decrypted, and
    passed to FreeRDP on stdin. Other clients prompt for it: --print-password shows it.

    \b
    Examples:
      eicctl rdp win-1 --key-file ~/.ssh/windows.pem
      eicctl rdp win-1 --key-file ~/.ssh/windows.pem --print-password
      eicctl rdp win-1 --wait=900 --key-file ~/.ssh/windows.pem
      eicctl rdp win-1 --no-launch --local-port 13389 --save win-1.rdp
    """
    from eicctl.api.targets import dialer_to
    from eicctl.cli.listening import run_interruptibly
    from eicctl.cli.rdp_client import RdpConnection, check_user, find_client, serve_client
    from eicctl.cli.target_prompt import recording, resolve_target, specified
    from eicctl.core.events import TunnelEvent
    from eicctl.support.bind import bind_tcp, local_addresses
    from eicctl.tunnel.listener import Listener
    from eicctl.view.events import renderer

    check_user(user)
    session, request = specified(session, request, "rdp", platform="windows")
    if print_password:
        target = resolve_target(session, request)
        click.echo(_password(session, target, key_file, needed=True))
        return 0
    if not launch and (key_file or client):
        raise UsageError(
            f"--no-launch starts no client and does not take {'--key-file' if key_file else '--client'}",
            hint="--print-password shows the password" if key_file else "omit one of them",
        )
    chosen = find_client(sys.platform, client or "") if launch else None
    with contextlib.ExitStack() as cleanup:
        sockets = bind_tcp(local_port, None)
        for sock in sockets:
            cleanup.callback(sock.close)
        target = resolve_target(session, request)
        password = _password_for(chosen, session, target, key_file) if chosen else None
        connection = RdpConnection(sockets[0].getsockname()[1], user, target.label, sockets[0].getsockname()[0])
        file = _write(cleanup, connection, save, needed=chosen is not None and chosen.reads_file)
        emit = renderer("text")
        dialer = dialer_to(session, target, request)
        listener = Listener(dialer, sockets, emit)

        async def main(stop: asyncio.Event) -> int | None:
            emit(TunnelEvent("listening", local=tuple(local_addresses(sockets)), target=target))
            if chosen is None:
                await listener.serve(stop)
                return None
            words = chosen.command(connection, file, with_password=password is not None)
            return await serve_client(listener, stop, words, password)

        with recording("rdp", session, target, user):
            code = run_interruptibly(main)
    if code is None:
        return INTERRUPTED
    if chosen and not chosen.ended_well(code):
        raise LocalError(f"{chosen.name} ended with exit code {code}", hint="see its output above")
    return 0


def _password_for(client: Client, session: Session, target: Target, key_file: Path | None) -> str | None:
    """Return the password for a client, or None if it is to ask for one. It is fetched only if the client takes it."""
    if key_file and not client.takes_password:
        shown = pins.command("eicctl", "rdp", "--print-password", "--key-file", key_file, target.label)
        messages.line(f"{client.name} asks for the password. To see it: {shown}")
        return None
    return _password(session, target, key_file)


def _password(session: Session, target: Target, key_file: Path | None, *, needed: bool = False) -> str | None:
    """Return the administrator's password, or None if the client is to ask for one."""
    from eicctl.aws.instances import key_name, password_data
    from eicctl.cli.rdp_client import decrypt
    from eicctl.cli.target_prompt import passphrase

    if key_file and target.instance_id:
        return decrypt(password_data(session, target.instance_id), key_file, passphrase)
    if key_file:
        raise UsageError(
            f"{target.label} matches no EC2 instance, so its password is not available", hint="omit --key-file"
        )
    name = key_name(session, target.instance_id) if target.instance_id and target.platform == "windows" else ""
    pair = f"key pair {name}" if name else "the instance's key pair"
    if needed:
        raise UsageError(
            "Decrypting the password requires a key", hint=f"--key-file FILE with the private key of {pair}"
        )
    if name:
        messages.line(f"The client asks for the password; --key-file with the private key of {pair} fetches it")
    return None


def _write(cleanup: contextlib.ExitStack, connection: RdpConnection, save: Path | None, *, needed: bool) -> Path | None:
    """Write the connection file: where the user wants to keep it, or, if needed, in a folder that goes at the end."""
    from eicctl.cli.rdp_client import file_text
    from eicctl.ssh.keys import private_folder
    from eicctl.support.files import write_whole

    if not save and not needed:
        return None
    path = save or cleanup.enter_context(private_folder()) / "connection.rdp"
    write_whole(path, file_text(connection))
    return path
