"""`eicctl proxy`: stdin and stdout as one tunnel. What is plain is read without Click (`fastpath.args`)."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from eicctl.cli import options
from eicctl.cli.options import Command
from eicctl.cli.param_types import FILE, HOST
from eicctl.cli.view import messages
from eicctl.core.errors import UsageError
from eicctl.core.request import ConnectRequest
from eicctl.fastpath.args import ENVIRONMENT
from eicctl.support import log, pins
from eicctl.support.streams import on_terminal

if TYPE_CHECKING:
    from eicctl.aws.session import Session
    from eicctl.core.errors import EicctlError
    from eicctl.core.model import Target
    from eicctl.ssh.host_keys import Check


def _file_option(name: str) -> Callable[[Command], Command]:
    variable = ENVIRONMENT[name]

    def apply(ctx: click.Context, _param: click.Parameter, value: str | None) -> None:
        if value is not None and not ctx.resilient_parsing:
            os.environ[variable] = value

    return click.option(
        name,
        type=FILE,
        metavar="FILE",
        expose_value=False,
        callback=apply,
        help=f"Value of {variable}; for ssh_config.",
    )


@click.command
@options.with_request
@click.option(
    "--remote-port",
    type=click.IntRange(1, 65535),
    default=22,
    show_default=True,
    help="Port of the target: 22 or 3389.",
)
@click.option(
    "--ssh-login",
    metavar="USER@HOST",
    help="Push the key ~/.ssh/eicctl/keys/USER@HOST for OpenSSH's login, and pin HOST's keys.",
)
@click.option(
    "--host-key-check",
    type=click.Choice(["console", "accept-new", "strict", "off"]),
    help="With --ssh-login: source of the host keys to pin; default: console.",
)
@click.option(
    "--private-key-file",
    type=FILE,
    metavar="FILE",
    help="With --ssh-login: push this key's public key; absolute path.",
)
@click.option(
    "--key-type",
    type=click.Choice(["auto", "ed25519", "ecdsa", "rsa"]),
    default="auto",
    show_default=True,
    help="With --ssh-login: type of the generated key.",
)
@click.option("--force", is_flag=True, help="Relay bytes even if stdin and stdout are a terminal.")
@click.option(
    "--session-folder", metavar="FOLDER", help="Internal to eicctl ssh: holds the key, and receives the result."
)
@click.option(
    "--announce-end",
    type=click.IntRange(1, 3599),
    metavar="SECONDS",
    help="Print a notice this long before the connection ends.",
)
@click.option("-q", "--quiet", is_flag=True, help="Print errors only.")
@click.option("--no-cache", is_flag=True, help="Look up the target again instead of using the cache.")
@_file_option("--aws-config-file")
@_file_option("--aws-shared-credentials-file")
@options.linger_option
@options.keepalive_option
@options.agent_option
@options.with_session
def command(
    *,
    session: Session,
    request: ConnectRequest,
    max_tunnel_duration: int | None,
    linger: float | None,
    ssh_login: str | None,
    host_key_check: Check | None,
    private_key_file: str | None,
    key_type: str,
    force: bool,
    session_folder: str | None,
    announce_end: int | None,
    quiet: bool,
    no_cache: bool,
    no_agent: bool,
) -> int:
    """Relay stdin and stdout to the target; for use as an OpenSSH ProxyCommand.

    Stdout has only the target's bytes. After EOF on stdin, the tunnel stays open while the target responds (--linger).
    This command is for programs: on a terminal, use eicctl ssh or eicctl tunnel.

    \b
    Examples:
      ssh -o ProxyCommand='eicctl proxy %h --remote-port %p' ec2-user@i-0123456789abcdef0
      scp -o ProxyCommand='eicctl proxy %h --remote-port %p' file.tar ec2-user@web-1:
      rsync -e "ssh -o ProxyCommand='eicctl proxy %h'" -a site/ ec2-user@web-1:site/
    """
    if on_terminal() and not force:
        raise UsageError(
            "eicctl proxy relays raw bytes for a program, as OpenSSH's ProxyCommand; stdin and stdout are a terminal "
            "here (--force relays them all the same)",
            hint=_for_people(request),
        )
    from eicctl.fastpath.proxy import run
    from eicctl.tunnel.keepalive import given_interval

    request = request.replace(
        max_tunnel_duration=max_tunnel_duration,
        linger=linger,
        keepalive=given_interval(),
        ssh_login=ssh_login,
        host_key_check=host_key_check,
        private_key_file=private_key_file,
        key_type=key_type,
        session_folder=session_folder,
        announce_end=announce_end,
        quiet=quiet,
        no_cache=no_cache,
        # What happens in another process is not in the log of this one.
        no_agent=no_agent or log.on(),
        profile=session.profile,
        region=session.given_region,
        ca_bundle=session.given_ca_bundle,
        fips=session.given_fips,
    )
    return run(request, lambda: PRINTER)


next(each for each in command.params if each.name == "target").type = HOST


def _for_people(request: ConnectRequest) -> str:
    """Return the command that does the same for a person."""
    target = request.label or "TARGET"
    if request.remote_port == 22:
        return pins.command("eicctl", "ssh", target)
    return pins.command("eicctl", "tunnel", target, "--remote-port", request.remote_port)


class Printer:
    """Prints on stderr, with the likely cause of an error where it can be found."""

    def line(self, text: str) -> None:
        """Write a line."""
        messages.line(text)

    def announcement(self, text: str) -> None:
        """Write a line on a terminal that may be in raw mode, where a newline alone does not return to column one."""
        sys.stderr.write(f"\r\n{messages.printable(text)}\r\n")
        sys.stderr.flush()

    def failure(self, error: EicctlError, session: Session | None, target: Target | None) -> int:
        """Write an error, and return its exit code."""
        from eicctl.doctor.likely_cause import remember

        if session:
            pins.use(session.profile, session.given_region)
            if target:
                remember(session, target)
        return messages.failure(error)


PRINTER = Printer()
