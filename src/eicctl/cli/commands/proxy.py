"""`eicctl proxy`: stdin and stdout as one tunnel. What is plain is read without Click (`fastpath.proxy`)."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

from eicctl.cli import options
from eicctl.cli.param_types import HOST
from eicctl.core.errors import UsageError
from eicctl.core.request import ConnectRequest
from eicctl.fastpath.proxy import ENVIRONMENT
from eicctl.support import log, pins
from eicctl.support.streams import on_terminal
from eicctl.view import messages

if TYPE_CHECKING:
    from eicctl.aws.session import Session
    from eicctl.core.errors import EicctlError
    from eicctl.core.model import Target


def _environment(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    if value is not None and not ctx.resilient_parsing:
        os.environ[ENVIRONMENT[param.opts[0]]] = value


@click.command
@options.with_request
@options.request_option("--remote-port", default=22, show_default=True)
@options.request_option("--ssh-login")
@options.request_option("--host-key-check")
@options.request_option("--private-key-file")
@options.request_option("--key-type", default="auto", show_default=True)
@click.option("--force", is_flag=True, help="Relay bytes even if stdin and stdout are a terminal.")
@options.request_option("--session-folder")
@options.request_option("--announce-end")
@options.request_option("--quiet", "-q")
@options.request_option("--verbose", "-v")
@options.request_option("--no-cache")
@options.request_option("--aws-config-file", expose_value=False, callback=_environment)
@options.request_option("--aws-shared-credentials-file", expose_value=False, callback=_environment)
@options.request_option("--linger")
@options.keepalive_option
@options.request_option("--no-agent")
@options.aws_options
def command(*, request: ConnectRequest, force: bool, **_access: object) -> int:
    """Relay stdin and stdout to the target; for use as an OpenSSH ProxyCommand.

    Stdout has only the target's bytes. After EOF on stdin, the tunnel stays open while the target responds (--linger).
    This command is for programs: on a terminal, use eicctl ssh or eicctl tunnel.

    \b
    Examples:
      ssh -o ProxyCommand='eicctl proxy %h --remote-port %p' ec2-user@i-0123456789abcdef0
      scp -o ProxyCommand='eicctl proxy %h --remote-port %p' file.tar ec2-user@web-1:
      rsync -e "ssh -o ProxyCommand='eicctl proxy %h'" -a site/ ec2-user@web-1:site/
    """
    pins.use(request.profile, request.region)
    if on_terminal() and not force:
        raise UsageError(
            "eicctl proxy relays raw bytes for a program (OpenSSH's ProxyCommand), but stdin and stdout are a terminal;"
            " --force overrides this",
            hint=_for_people(request),
        )
    from eicctl.fastpath.proxy import run
    from eicctl.tunnel.keepalive import given_interval

    if request.target == "-":
        from eicctl.cli.target_prompt import specified

        session = options.session(request.profile, request.region, request.ca_bundle, request.fips)
        session, request = specified(session, request, "proxy")
        request = request.replace(profile=session.profile, region=session.given_region, os_user="")
    # What happens in another process is not in the log of this one.
    request = request.replace(keepalive=given_interval(), no_agent=request.no_agent or log.on())
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
