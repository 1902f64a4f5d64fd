"""`eicctl proxy`: stdin and stdout as one tunnel."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING

import click

from eicctl import errors
from eicctl.cli import options, report
from eicctl.model import TargetRequest

if TYPE_CHECKING:
    from eicctl.aws.session import Session


@click.command
@options.with_request
@click.option(
    "--remote-port",
    type=click.IntRange(1, 65535),
    default=22,
    show_default=True,
    help="Port of the target: 22 or 3389.",
)
@options.with_session
def command(*, session: Session, request: TargetRequest, max_tunnel_duration: int | None) -> int:
    """Carry stdin and stdout to the target, as an OpenSSH ProxyCommand.

    Stdout carries the target's bytes and nothing else. The tunnel ends with stdin.

    \b
    Examples:
      ssh -o ProxyCommand='eicctl proxy %h --remote-port %p' ec2-user@i-0123456789abcdef0
      scp -o ProxyCommand='eicctl proxy %h --remote-port %p' file.tar ec2-user@web-1:
      rsync -e "ssh -o ProxyCommand='eicctl proxy %h'" -a site/ ec2-user@web-1:site/
    """
    from eicctl.cli.target import resolve_target
    from eicctl.tunnel.dial import Dialer
    from eicctl.tunnel.stdio import StdioTunnel

    target = resolve_target(session, request, ask=False)
    link = Dialer(target, session.credentials, session.ca_bundle, max_tunnel_duration).open()
    tunnel = StdioTunnel(link, sys.stdin.fileno(), sys.stdout.fileno())
    interrupted = False

    def end(_signal: int, _frame: object) -> None:
        nonlocal interrupted
        interrupted = True
        tunnel.close()

    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), end)
    ending = tunnel.run()
    if ending.error:
        ending.error.request_id = ending.request_id or None
        return report.failure(ending.error)
    return errors.INTERRUPTED if interrupted else 0
