"""`eicctl db`: a local port for a database."""

from __future__ import annotations

import contextlib
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from eicctl.cli import options
from eicctl.cli.listening import bind_port, connection_via, serve, through_options, warn_of
from eicctl.cli.param_types import DATABASE, LOCAL_PORT
from eicctl.core.errors import INTERRUPTED, UsageError
from eicctl.core.model import DIRECT_DATABASE_PORT
from eicctl.support import defaults, pins
from eicctl.view import messages

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence
    from socket import socket

    from eicctl.aws.databases import Database
    from eicctl.aws.session import Session
    from eicctl.core.events import Emit
    from eicctl.core.model import Target
    from eicctl.core.request import ConnectRequest
    from eicctl.view.database import LocalDatabase


_SSL_REQUEST = bytes([0, 0, 0, 8, 4, 0xD2, 0x16, 0x2F])
"""What makes PostgreSQL respond: the question whether it does TLS (its protocol 3.0). MySQL speaks first."""


@click.command(cls=options.WaitingCommand)
@click.argument("database", required=False, type=DATABASE, metavar="DB-ID|HOST[:PORT]")
@click.option("--reader", is_flag=True, help="Use the cluster's reader endpoint instead of the writer.")
@click.option(
    "--local-port",
    type=LOCAL_PORT,
    help="Local port to listen on; default: the database's port if free, else any free port.",
)
@click.option("--user", metavar="NAME", help="Database user; default: the master user.")
@click.option("--dbname", metavar="NAME", help="Database name; default: the initial database.")
@click.option(
    "--iam-auth",
    is_flag=True,
    help="Use IAM authentication: keep a fresh token in a file that the printed command reads.",
)
@click.option("--print-url", is_flag=True, help="Print only the connection URL on stdout.")
@click.option("--print-password", is_flag=True, help="With --iam-auth: print a token and exit, without a tunnel.")
@through_options
@options.messages_option
@options.with_session
def command(
    *,
    session: Session,
    database: str | None,
    reader: bool,
    local_port: int | None,
    user: str | None,
    dbname: str | None,
    iam_auth: bool,
    print_url: bool,
    print_password: bool,
    via: str | None,
    request: ConnectRequest,
    bind: str | None,
    output: str,
) -> int:
    """Forward a local port to a database, directly or through an instance.

    A database that listens on port 3389 is reached directly. Any other is reached through SSH on an instance: the one
    specified by --via, or a running Linux instance that the database's security groups allow.

    \b
    Examples:
      eicctl db demo-db
      eicctl db shop-cluster --reader --local-port 15432 --via web-1
      eicctl db demo-db --iam-auth --user app
    """
    if print_password and not iam_auth:
        raise UsageError("--print-password requires --iam-auth", hint=messages.again("--iam-auth"))
    if print_url and output == "json":
        raise UsageError("--print-url and --output json are mutually exclusive; the JSON output has the URL")
    from eicctl.aws.databases import reader_of
    from eicctl.cli.target_prompt import recording, specified_database
    from eicctl.core.events import TunnelEvent
    from eicctl.reachability.jump_host import locate
    from eicctl.support.bind import local_addresses
    from eicctl.view.events import renderer

    session, database = specified_database(session, defaults.alias(database or ""))
    found, host, port = locate(session, database)
    if reader:
        host = reader_of(found) if found else host
    db_user = user or (found.master_user if found else "")
    if iam_auth:
        _check_iam(found, db_user)
    if print_password:
        from eicctl.aws.databases import auth_token

        click.echo(auth_token(session, host, port, db_user))
        return 0
    emit = renderer(output, verbose=request.verbose, out=messages.line if print_url else messages.out)
    with contextlib.ExitStack() as cleanup:
        sockets = bind_port(cleanup, local_port, port, bind)
        warn_of(sockets, host)
        local = _local(sockets, (host, port), found, db_user, dbname)
        if iam_auth:
            local = _with_token(session, cleanup, local)

        def ready(label: str) -> None:
            addresses = tuple(local_addresses(sockets))
            emit(TunnelEvent("listening", local=addresses, remote=f"{host}:{port}", via=label))
            _show(found, local, output, url_only=print_url)

        cleanup.enter_context(recording("db", session, found or database, db_user))
        if found and port == DIRECT_DATABASE_PORT and not via:
            return _serve_directly(session, found, host, sockets=sockets, emit=emit, request=request, ready=ready)
        from eicctl.ssh.forward.connection import Remote
        from eicctl.ssh.forward.forwarder import Forward

        connections = connection_via(session, via or _jump_host(session, found, port), request, emit)
        return serve([Forward(tuple(sockets), connections, Remote(host, port))], emit, lambda: ready(connections.label))


def _serve_directly(
    session: Session,
    database: Database,
    host: str,
    *,
    sockets: Sequence[socket],
    emit: Emit,
    request: ConnectRequest,
    ready: Callable[[str], None],
) -> int:
    """Serve until Ctrl-C; each connection is a tunnel of its own. `ready` gets the endpoint's ID."""
    from eicctl.api.targets import dialer_to
    from eicctl.aws.databases import direct_target
    from eicctl.cli.listening import run_interruptibly
    from eicctl.cli.target_prompt import explain_target, waited
    from eicctl.tunnel.listener import Listener

    def find(note: Callable[[str], None] = messages.line) -> Target:
        target = direct_target(session, database, host, endpoint_id=request.endpoint_id, note=note)
        return replace(target, endpoint_dns_name=request.endpoint_dns_name or target.endpoint_dns_name)

    started = time.monotonic()
    target = waited(session, request, find, host, greeting=_SSL_REQUEST if "postgres" in database.engine else b"")
    explain_target(session, target, started)
    dialer = dialer_to(session, target, request, look_up=lambda: find(lambda _: None))

    async def main(stop: asyncio.Event) -> None:
        ready(target.endpoint_id)
        await Listener(dialer, sockets, emit, remote=f"{host}:{DIRECT_DATABASE_PORT}").serve(stop)

    run_interruptibly(main)
    return INTERRUPTED


def _jump_host(session: Session, database: Database | None, port: int) -> str:
    """Return the ID of an instance that may connect to the database; report it, with the reason."""
    from eicctl.reachability.jump_host import instance_for

    found = instance_for(session, database, port)
    name = f"{found.instance.name} ({found.instance.id})" if found.instance.name else found.instance.id
    messages.line(f"Using {name} as the jump host: {found.reason}")
    return found.instance.id


def _check_iam(found: Database | None, user: str) -> None:
    if found is None:
        raise UsageError("--iam-auth requires an RDS database")
    if not found.iam_auth:
        kind = "db-cluster" if found.cluster else "db-instance"
        raise UsageError(
            f"IAM authentication is off for {found.id}",
            hint=pins.command(
                *("aws", "rds", f"modify-{kind}", f"--{kind}-identifier", found.id),
                "--enable-iam-database-authentication",
            ),
        )
    if not user:
        raise UsageError("--iam-auth requires a database user", hint="--user NAME")


def _local(
    sockets: Sequence[socket], remote: tuple[str, int], found: Database | None, user: str, name: str | None
) -> LocalDatabase:
    from eicctl.view.database import local_database

    return local_database(found, remote, sockets[0].getsockname()[:2], user=user, name=name or "")


def _with_token(session: Session, cleanup: contextlib.ExitStack, local: LocalDatabase) -> LocalDatabase:
    """Keep a fresh token in a file as long as the command runs."""
    from eicctl.aws.databases import auth_token
    from eicctl.ssh.keys import private_folder
    from eicctl.support.files import kept_fresh
    from eicctl.view.database import MYSQL, POSTGRES, my_cnf, pgpass

    if local.kind not in (POSTGRES, MYSQL):
        raise UsageError(f"Engine {local.engine} does not support IAM authentication")
    path = cleanup.enter_context(private_folder()) / ("pgpass" if local.kind == POSTGRES else "my.cnf")

    def content() -> str:
        token = auth_token(session, local.host, local.remote_port, local.user)
        if local.kind == MYSQL:
            return my_cnf(token)
        return pgpass(local.host, ["127.0.0.1", "::1", "localhost"], local.port, local.user, token)

    cleanup.enter_context(
        kept_fresh(path, content, lambda error: messages.line(f"Cannot renew the token in {path}: {error.message}"))
    )
    return replace(local, password_file=path)


def _show(found: Database | None, local: LocalDatabase, output: str, *, url_only: bool) -> None:
    """Print how to use the local port."""
    if output == "json":
        messages.event(
            "ready",
            Database=found.id if found else None,
            Engine=local.engine or None,
            Host=local.address,
            Port=local.port,
            User=local.user or None,
            Name=local.name or None,
            Url=local.url,
            Command=local.command or None,
            PasswordFile=str(local.password_file) if local.password_file else None,
        )
        return
    if url_only:
        click.echo(local.url)
        return
    lines = local.lines()
    if local.password_file:
        lines["password"] = f"in {local.password_file}, a token renewed every 10 minutes; SSL is required"
    for label, text in lines.items():
        if text:
            messages.out(f"  {label + ':':11} {text}")
