"""`eicctl proxy`: stdin and stdout as one tunnel."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import tempfile
from pathlib import Path
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
@click.option("--report-file", type=click.Path(path_type=Path), hidden=True)
@options.with_session
def command(
    *, session: Session, request: TargetRequest, max_tunnel_duration: int | None, report_file: Path | None
) -> int:
    """Carry stdin and stdout to the target, as an OpenSSH ProxyCommand.

    Stdout carries the target's bytes and nothing else. The tunnel ends with stdin.

    \b
    Examples:
      ssh -o ProxyCommand='eicctl proxy %h --remote-port %p' ec2-user@i-0123456789abcdef0
      scp -o ProxyCommand='eicctl proxy %h --remote-port %p' file.tar ec2-user@web-1:
      rsync -e "ssh -o ProxyCommand='eicctl proxy %h'" -a site/ ec2-user@web-1:site/
    """
    outcome = _Outcome()
    try:
        return _carry(session, request, max_tunnel_duration, outcome)
    except errors.EicctlError as error:
        outcome.error = error
        raise
    finally:
        if report_file:
            outcome.write(report_file)


class _Outcome:
    """What `--report-file` tells to the process that started this one."""

    def __init__(self) -> None:
        self.stage = "resolve"
        self.bytes_in = 0
        self.bytes_out = 0
        self.error: errors.EicctlError | None = None

    def write(self, path: Path) -> None:
        error = self.error
        told = {
            "stage": self.stage,
            "error": error and {"message": error.message, "hint": error.hint, "exit_code": error.exit_code},
            "bytes_in": self.bytes_in,
            "bytes_out": self.bytes_out,
        }
        with contextlib.suppress(OSError):  # whoever asked for the report may be gone, with its folder
            descriptor, name = tempfile.mkstemp(dir=path.parent)
            with os.fdopen(descriptor, "w") as file:
                json.dump(told, file)
            Path(name).replace(path)


def _carry(session: Session, request: TargetRequest, duration: int | None, outcome: _Outcome) -> int:
    from eicctl.cli.target import resolve_target
    from eicctl.tunnel.dial import Dialer
    from eicctl.tunnel.stdio import StdioTunnel

    found = resolve_target(session, request, ask=False)
    outcome.stage = "dial"
    link = Dialer(found, session.credentials, session.ca_bundle, duration).open()
    outcome.stage = "tunnel"
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
    outcome.bytes_in, outcome.bytes_out = ending.bytes_in, ending.bytes_out
    if ending.error:
        outcome.error = ending.error
        ending.error.request_id = ending.request_id or None
        return report.failure(ending.error)
    return errors.INTERRUPTED if interrupted else 0
