"""Resolve the target of a command, and let the user select one of several matches."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import click

from eicctl.cli.view import explain, messages
from eicctl.core import sanitize
from eicctl.core.errors import EicctlError
from eicctl.core.model import Target
from eicctl.core.request import ConnectRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from eicctl.aws.session import Session
    from eicctl.core.model import Instance


def resolve_target(session: Session, request: ConnectRequest, *, ask: bool = True) -> Target:
    """Return the target of a request, after waiting for it if the request says so.

    Args:
        session: Access to AWS.
        request: The request.
        ask: On a terminal, let the user select an instance if several match or none is specified.
    """

    def resolve() -> Target:
        from eicctl.doctor.likely_cause import remember

        started = time.monotonic()
        target = _resolved(session, request, ask=ask)
        remember(session, target)
        explain.target(session, target, started)
        return target

    label = request.label or "a target"
    while True:
        try:
            return waited(session, request, resolve, label)
        except EicctlError as error:
            from eicctl.cli import fixes

            if not ask or (fixed := fixes.fixed_target(error, session, request)) is None:
                raise
            request = fixed


def named(session: Session, request: ConnectRequest) -> ConnectRequest:
    """Return a request with a target. On a terminal, the user selects one if none is specified.

    Raises:
        UsageError: None is specified, and stdin is not a terminal or no instance is running.
    """
    from eicctl.aws.explicit_target import check_named, check_port

    check_port(request)
    if not request.label and on_terminal():
        from eicctl.aws.instances import list_instances

        if running := list_instances(session, filters={"instance-state-name": ["running"]}):
            return request.replace(instance_id=_choose(running))
    check_named(request)
    return request


def waited(
    session: Session,
    request: ConnectRequest,
    resolve: Callable[[], Target],
    label: str,
    *,
    greeting: bytes | None = None,
) -> Target:
    """Return a target; with the request's `wait`, once it responds. Shows progress on stderr.

    Args:
        session: Access to AWS.
        request: How long to wait, and the maximum duration of test tunnels meanwhile.
        resolve: Returns the target.
        label: Name of the target for the progress line.
        greeting: First bytes to send to a server at port 3389; None for those of an RDP client.
    """
    if request.wait is None:
        return resolve()
    from eicctl.api.targets import wait_until_ready
    from eicctl.cli.view.progress import Waiting
    from eicctl.tunnel.probe import RDP_REQUEST

    with Waiting(f"Waiting for {label}") as waiting:
        return wait_until_ready(
            session,
            resolve,
            seconds=request.wait,
            label=label,
            max_tunnel_duration=request.max_tunnel_duration,
            greeting=RDP_REQUEST if greeting is None else greeting,
            show=waiting.show,
        )


def _resolved(session: Session, request: ConnectRequest, *, ask: bool) -> Target:
    from eicctl.aws.explicit_target import check_port, explicit_target

    check_port(request)
    if target := explicit_target(session, request):
        return target

    from eicctl.aws.targets import SeveralInstancesError, resolve

    try:
        return resolve(session, named(session, request) if ask else request)
    except SeveralInstancesError as several:
        if not (ask and on_terminal()):
            raise
        return resolve(session, request.replace(target="", instance_id=_choose(several.candidates)))


def on_terminal() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


def _choose(candidates: Sequence[Instance]) -> str:
    """Return the ID of the instance that the user selects."""
    rows = [(one.name, one.id, one.state, one.private_ip, one.availability_zone) for one in candidates]
    return candidates[select("Select an instance", rows)].id


def select(question: str, rows: Sequence[Sequence[str]]) -> int:
    """Return the index of the row that the user selects on the terminal."""
    table = [(f"{number:3}", *row) for number, row in enumerate(rows, 1)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        cells = (sanitize.line(cell).ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo(messages.fitted("  ".join(cells).rstrip(), sys.stderr), err=True)
    picked: int = click.prompt(question, type=click.IntRange(1, len(rows)), default=1, err=True)
    return picked - 1
