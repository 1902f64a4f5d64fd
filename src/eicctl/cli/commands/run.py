"""`eicctl run`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from eicctl.cli import options
from eicctl.cli.param_types import INSTANCE, Integer, Number
from eicctl.core.errors import INTERRUPTED, EicctlError, TargetUnreachableError, UsageError
from eicctl.core.names import parse_tags
from eicctl.support import pins
from eicctl.view import messages, render

if TYPE_CHECKING:
    from eicctl.aws.session import Session
    from eicctl.core.request import ConnectRequest
    from eicctl.ssh.command_output import Result
    from eicctl.ssh.fleet import Fleet, FleetHost, Sink
    from eicctl.ssh.login import Login

_DIAGNOSED = 3
"""How many hosts that cannot be reached are looked into; each takes a moment."""

_COLUMNS = {
    "Name": "Name",
    "ID": "InstanceId",
    "Address": "PrivateIpAddress",
    "OS user": "OsUser",
    "Endpoint": "InstanceConnectEndpointId",
}


@click.command
@click.argument("words", nargs=-1, required=False, metavar="-- COMMAND…")
@click.option("--target", "targets", type=INSTANCE, multiple=True, metavar="NAME|ID", help="Instance; repeatable.")
@click.option("--tag", "tags", metavar="KEY=VALUE", multiple=True, help="Running instances with this tag; repeatable.")
@click.option("--name-glob", metavar="GLOB", help="Running instances whose name matches, such as 'web-*'.")
@click.option("--all", "everything", is_flag=True, help="All running instances.")
@click.option("--parallel", type=Integer(1, 200), default=10, show_default=True, help="Number of hosts in parallel.")
@click.option("--timeout", type=Number(min=0, min_open=True), metavar="SECONDS", help="Timeout per host.")
@click.option(
    "--output",
    type=click.Choice(["grouped", "lines", "json"]),
    default="grouped",
    show_default=True,
    help="Output format: grouped by host, lines prefixed with the host's name, or JSON at the end.",
)
@options.login_settings
@options.level_options
@click.option("--dry-run", is_flag=True, help="List the hosts without running the command.")
@options.as_request
@options.with_session
def command(
    *,
    session: Session,
    words: tuple[str, ...],
    targets: tuple[str, ...],
    tags: tuple[str, ...],
    name_glob: str | None,
    everything: bool,
    parallel: int,
    timeout: float | None,
    output: str,
    request: ConnectRequest,
    dry_run: bool,
) -> int:
    """Run a command on many instances in parallel.

    A failing host does not stop the others. The exit code is 1 if any host failed; the summary and the JSON output have
    the number. At most 20 connections use an endpoint at once; where a VPC has several endpoints, all are used.

    \b
    Examples:
      eicctl run --tag Role=web -- uptime
      eicctl run --name-glob 'app-*' --output lines --timeout 60 -- df -h /
      eicctl run --all --dry-run
    """
    if not words and not dry_run:
        raise UsageError("No command specified", hint="eicctl run --tag Role=web -- COMMAND")
    from eicctl.cli import picker
    from eicctl.cli.target_prompt import explain_target, with_last

    session, targets = with_last(session, request, targets, "run")
    if not (targets or tags or name_glob or everything):
        targets = tuple(picker.instances(session)) if picker.on_terminal() else ()
    if not (targets or tags or name_glob or everything):
        raise UsageError(
            "No hosts selected", hint="use --target, --tag, --name-glob or --all; targets: eicctl instances"
        )

    from eicctl.doctor.likely_cause import remember
    from eicctl.ssh.fleet import Fleet, choose_hosts
    from eicctl.ssh.keys import private_folder, windows_error
    from eicctl.ssh.openssh_options import OpensshOptions, for_proxy
    from eicctl.view.fleet import json_parts

    hosts = choose_hosts(
        session,
        request.os_user or None,
        targets=targets,
        tags=parse_tags(tags),
        name_glob=name_glob,
        everything=everything,
    )
    pushes = request.pushes_key
    if pushes and (windows := [host for host in hosts if host.instance.platform == "windows"]):
        raise windows_error(windows[0].label)
    if dry_run:
        render.show(
            [_row(host) for host in hosts],
            output="table",
            columns=_COLUMNS,
            droppable=("Endpoint", "Address"),
        )
        return 0
    with private_folder() as folder:
        logins = [
            login
            for host in hosts
            if (login := host.login(session, request.host_key_check or "console", pushes=pushes))
        ]
        for login in logins:
            remember(session, login.target)
            explain_target(session, login.target)
            messages.explain(f"OS user: {login.user.explanation}")
        openssh = OpensshOptions(for_proxy(session, request))
        fleet = Fleet(logins, words, openssh.in_session(folder), timeout=timeout)
        results = _run(fleet, logins, parallel, output)
        results += [_unreached(host) for host in hosts if not host.endpoint]
        if output == "json":  # the outputs are files of the session
            for part in json_parts(results):
                click.echo(part, nl=False)
        _note_unverified(logins)
    return _summary(results, logins)


def _run(fleet: Fleet, logins: Sequence[Login], parallel: int, output: str) -> list[Result]:
    """Run the command, and show how it goes."""
    from eicctl.view.fleet import Collected, Grouped, Prefixed, Progress

    progress = Progress(len(logins))
    width = max((len(login.target.label) for login in logins), default=0)
    sinks: dict[str, Sink] = {
        "grouped": Grouped(progress),
        "lines": Prefixed(progress, width),
        "json": Collected(progress),
    }
    with progress:
        return fleet.run(sinks[output], parallel)


def _unreached(host: FleetHost) -> Result:
    from eicctl.ssh.command_output import Result

    return Result(host.label, host.instance.id, error=f"VPC {host.instance.vpc_id} has no usable endpoint")


def _note_unverified(logins: Sequence[Login]) -> None:
    """Name the hosts whose keys could not be read from AWS, so that the first ones seen were accepted."""
    from eicctl.core.names import folded

    unverified = [login.target.label for login in logins if login.accepts_unverified]
    if unverified:
        messages.line(f"Host keys not verified, accepted the first ones seen: {folded(unverified)}")


def _summary(results: Sequence[Result], logins: Sequence[Login]) -> int:
    """Say how it went, and return the exit code. The first results are those of the logins."""
    from eicctl.ssh.login import explain
    from eicctl.view.fleet import summary

    failed = [result for result in results if result.failed]
    for line in summary(results, width=messages.terminal_width(sys.stderr)):
        messages.line(line, problem=bool(failed))
    for login, result in zip(logins, results, strict=False):
        if hint := explain(result.code or 0, result.error, login):
            messages.line(f"hint: {hint}", problem=True)
            break
    _diagnose([(result.label, result.cause) for result in failed if isinstance(result.cause, TargetUnreachableError)])
    if any(result.error == "interrupted" for result in results):
        return INTERRUPTED
    return 1 if failed else 0


def _diagnose(unreachable: Sequence[tuple[str, EicctlError]]) -> None:
    """Say why endpoints cannot reach hosts, for the first of them."""
    from eicctl.doctor.likely_cause import likely_cause

    for label, error in unreachable[:_DIAGNOSED]:
        if likely := likely_cause(error):
            messages.line(f"likely cause at {label}: {likely.summary}")
            messages.line(f"hint: {likely.remediation or pins.command('eicctl', 'doctor', label)}")
    if len(unreachable) > _DIAGNOSED:
        messages.line("hint: eicctl coverage")


def _row(host: FleetHost) -> dict[str, str]:
    return {
        "Name": host.instance.name,
        "InstanceId": host.instance.id,
        "PrivateIpAddress": host.instance.private_ip or host.instance.ipv6,
        "OsUser": host.user.name,
        "InstanceConnectEndpointId": host.endpoint.id if host.endpoint else "none",
    }
