"""`eicctl local`: the emulator."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from eicctl.cli import Group
from eicctl.cli.param_types import LOCAL_PORT, Integer, Number
from eicctl.core.errors import INTERRUPTED, ConflictError, LocalError, UnavailableError, UsageError
from eicctl.core.names import counted
from eicctl.view import messages
from eicctl.view.progress import Waiting

if TYPE_CHECKING:
    from eicctl.emulator.daemon import Running
    from eicctl.emulator.server import Emulator, Options


@click.group(cls=Group)
def command() -> None:
    """Run a local AWS for trials and tests; no account needed.

    It emulates EC2 with EICE, STS, IAM, RDS and CloudTrail (with moto), the data plane, and machines to log in to. Any
    AWS client can use it. Its state is lost when it stops.

    \b
    Examples:
      eicctl local up --detach
      eval "$(eicctl local env)"
      eicctl local down
    """


@command.command()
@click.option("--port", type=LOCAL_PORT, default=0, help="Port of the AWS API; default: a free one.")
@click.option("--data-port", type=LOCAL_PORT, default=0, help="Port of the data plane; default: a free one.")
@click.option(
    "--data-host",
    default="localhost",
    show_default=True,
    metavar="NAME",
    help="Host in the endpoints' DNS names; must resolve to this machine.",
)
@click.option(
    "--world",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Initial resources (TOML), `broken` (various unreachable instances) or `accounts` (several accounts);"
    " default: a demo.",
)
@click.option(
    "--sshd",
    is_flag=True,
    help="Use OpenSSH's sshd on Linux machines. Without nss_wrapper, your account is the only OS user.",
)
@click.option(
    "--transition",
    type=Number(min=0),
    default=2.0,
    show_default=True,
    metavar="SECONDS",
    help="Duration of creating, modifying and deleting an endpoint.",
)
@click.option(
    "--max-connections", type=Integer(1), default=20, show_default=True, help="Connection limit of an endpoint."
)
@click.option(
    "--throttling",
    type=Number(min=0),
    default=0.0,
    show_default=True,
    metavar="SHARE",
    help="Throttle requests to EC2: 1 allows the rates that AWS documents, 0.1 a tenth of them, 0 any rate.",
)
@click.option("--detach", is_flag=True, help="Run in the background; return when it is ready.")
def up(
    *,
    port: int,
    data_port: int,
    data_host: str,
    world: Path | None,
    sshd: bool,
    transition: float,
    max_connections: int,
    throttling: float,
    detach: bool,
) -> int:
    """Start the local AWS.

    \b
    Examples:
      eicctl local up
      eicctl local up --detach --world ./world.toml
      eicctl local up --detach --sshd
      eicctl local up --detach --throttling 0.1
    """
    from eicctl.emulator import daemon

    if found := daemon.running():
        raise ConflictError(f"The local AWS is already running at {found.url}", hint="eicctl local down")
    if detach:
        arguments = [f"--port={port}", f"--data-port={data_port}", f"--data-host={data_host}"]
        arguments += [f"--transition={transition}", f"--max-connections={max_connections}"]
        arguments += [f"--throttling={throttling}"]
        arguments += [f"--world={world.resolve()}"] if world else []
        arguments += ["--sshd"] if sshd else []
        with Waiting("Starting the local AWS"):
            started = daemon.start(arguments)
        _report(started, sshd=sshd)
        return 0
    emulator, options = _import()
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    if sys.platform != "win32" and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda *_: None)  # the same here, but not ignored by what clients run: nohup
    _show_log()
    with daemon.only_one(), daemon.files_folder() as files:
        chosen = options(port=port, data_port=data_port, data_host=data_host, world=world, sshd=sshd, folder=files)
        behavior = {"transition": transition, "max_connections": max_connections, "throttling": throttling}
        with emulator(chosen, **behavior) as running:
            _serve(running, stop, sshd=sshd)
    return INTERRUPTED if stop.is_set() else 0


def _serve(running: Emulator, stop: threading.Event, *, sshd: bool) -> None:
    """Report where it listens, and wait until it is stopped."""
    from eicctl.emulator import daemon

    record = daemon.Running(
        os.getpid(), running.url, running.data_port, running.token, running.env, running.aws_cli_env
    )
    with daemon.recorded(record) as exists:
        _report(record, sshd=sshd)
        # Removing the record (with a test's temporary folder, say), or starting another, stops this one.
        while not stop.wait(1.0) and exists():
            pass


def _show_log() -> None:
    """Log every tunnel to stderr, with the reason why it is refused or unreachable."""
    import logging

    class Lines(logging.Handler):
        """Records as sanitized lines: they contain what clients sent."""

        def emit(self, record: logging.LogRecord) -> None:
            with contextlib.suppress(OSError):  # a terminal that is gone must not end a tunnel
                messages.line(self.format(record))

    handler = Lines()
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    log = logging.getLogger("eicctl.emulator")
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False


def _import() -> tuple[type[Emulator], type[Options]]:
    try:
        from eicctl.emulator.server import Emulator, Options
    except ImportError as error:
        if error.name in ("fcntl", "pty", "pwd", "termios"):
            raise UsageError("The local AWS runs on Linux and macOS only", hint="on Windows, use WSL") from error
        raise LocalError(
            f"The local AWS needs packages that are not installed ({error.name})", hint="pip install 'eicctl[local]'"
        ) from error
    return Emulator, Options


def _report(found: Running, *, sshd: bool) -> None:
    from eicctl.emulator.machines import sshd as openssh

    messages.line(f"Local AWS running at {found.url}, tunnels on port {found.data_port} (PID {found.pid})")
    if sshd and not openssh.find_wrapper():
        messages.line(
            f"The only OS user is {openssh.own_account()}: sshd accepts only real accounts (apt install libnss-wrapper)"
        )
    messages.line('Next: eval "$(eicctl local env)" && eicctl instances', pin=False)


def _required() -> Running:
    from eicctl.emulator import daemon

    found = daemon.running()
    if found is None:
        raise UnavailableError("The local AWS is not running", hint="eicctl local up --detach")
    return found


def _asked(found: Running, resource: str) -> Any:
    """Return the local AWS's answer to a GET of its control API."""
    from eicctl.emulator import daemon

    hint = "eicctl local down"
    if daemon.is_stopped(found):
        raise UnavailableError(f"The local AWS (PID {found.pid}) is suspended", hint=f"kill -CONT {found.pid}")
    try:
        return found.get(resource)
    except (OSError, ValueError) as error:
        raise UnavailableError(
            f"The local AWS (PID {found.pid}) does not answer at {found.url}: {error}", hint=hint
        ) from error


@command.command()
@click.option(
    "--shell",
    type=click.Choice(["bash", "zsh", "fish", "powershell"]),
    default="bash",
    show_default=True,
    help="Shell syntax to print.",
)
@click.option(
    "--aws-cli", is_flag=True, help="Include the proxy and CA file that the AWS CLI v2 needs for its tunnels."
)
def env(*, shell: str, aws_cli: bool) -> None:
    """Print the commands that point AWS clients to the local AWS.

    \b
    Examples:
      eval "$(eicctl local env)"
      eval "$(eicctl local env --aws-cli)"
      eicctl local env --shell fish | source
      eicctl local env --shell powershell | Out-String | Invoke-Expression
    """
    found = _required()
    for name, value in (found.env | (found.aws_cli_env if aws_cli else {})).items():
        click.echo(_export(shell, name, value))


def _export(shell: str, name: str, value: str) -> str:
    if shell == "fish":
        quoted = value.replace("\\", "\\\\").replace("'", "\\'")
        return f"set -gx {name} '{quoted}';" if value else f"set -e {name};"
    if shell == "powershell":
        quoted = value.replace("'", "''")
        return f"$env:{name} = '{quoted}'" if value else f"Remove-Item Env:{name} -ErrorAction SilentlyContinue"
    return f"export {name}={shlex.quote(value)}" if value else f"unset {name}"


@command.command()
@click.option(
    "--output", type=click.Choice(["table", "json"]), default="table", show_default=True, help="Output format."
)
def status(*, output: str) -> None:
    """Show whether the local AWS is running, and its resources.

    \b
    Examples:
      eicctl local status
      eicctl local status --output json
    """
    from eicctl.view import render

    found = _required()
    resources = _asked(found, "status")
    open_connections = _asked(found, "connections")
    if output == "json":
        row = {"Url": found.url, "DataPort": found.data_port, "Pid": found.pid, "Connections": open_connections}
        render.show(
            row | {"Endpoints": resources["endpoints"], "Machines": resources["machines"]},
            output="json",
        )
        return
    messages.out(f"Running at {found.url}, tunnels on port {found.data_port} (PID {found.pid})")
    for endpoint, state in resources["endpoints"].items():
        count = sum(connection["endpoint_id"] == endpoint for connection in open_connections)
        messages.out(f"{endpoint}  {state}, {counted(count, 'open connection')}")
    columns = {"Machine": "name", "Kind": "kind", "Address": "address", "Instance": "instance_id"}
    render.show(resources["machines"], output="table", columns=columns)


@command.command()
@click.argument("name", type=click.Choice(["default", "broken", "accounts"]), default="default")
def world(*, name: str) -> None:
    """Print a built-in world file as a starting point: the demo's, `broken` or `accounts`.

    Use it with `eicctl local up --world FILE`.

    \b
    Examples:
      eicctl local world > world.toml
      eicctl local world broken
    """
    from importlib.resources import files

    text = files("eicctl.emulator").joinpath("world", f"{name}.toml").read_text(encoding="utf-8")
    click.echo(text, nl=False)


@command.command("mfa-code")
def mfa_code() -> None:
    """Print an MFA code of the local user's device, as an authenticator app would.

    Each code can be used once, and two are valid at a time, so the next one may take up to 30 s.

    \b
    Examples:
      eicctl local mfa-code
      eicctl local mfa-code | eicctl mfa login --token-code -
    """
    code = _asked(_required(), "mfa")["Code"]
    if not code:
        raise UnavailableError("All currently valid codes have been used", hint="try again in 30 s")
    click.echo(code)


@command.command()
def down() -> None:
    """Stop the local AWS.

    \b
    Examples:
      eicctl local down
      eicctl local down && eicctl local up --detach
    """
    from eicctl.emulator import daemon

    found = _required()
    with Waiting("Stopping the local AWS"):
        daemon.stop(found)
    messages.line("Local AWS stopped")
    if os.environ.get("AWS_ENDPOINT_URL") == found.url:
        names = [name for name, value in found.env.items() if value and os.environ.get(name) == value]
        messages.line(f"Undo in this shell: unset {' '.join(names)}", pin=False)
