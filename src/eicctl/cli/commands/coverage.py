"""`eicctl coverage`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from eicctl.cli import account_options, options
from eicctl.cli.param_types import FILE, REGION
from eicctl.core import sanitize
from eicctl.core.errors import UsageError
from eicctl.core.model import DIRECT_PORTS
from eicctl.view import messages, render

if TYPE_CHECKING:
    from eicctl.aws.accounts import Selection
    from eicctl.reachability.coverage import Coverage, Inventory, Reach

_COLUMNS = {
    "Name": "Name",
    "ID": "InstanceId",
    "Address": "PrivateIpAddress",
    "Port": "Port",
    "Endpoint": "InstanceConnectEndpointId",
    "Reachable": "Reachable",
    "Cause": "Cause",
}

_DROPPABLE = ("Endpoint", "Port", "Address", "Account ID", "ID")
"""Columns that a narrow terminal does without, the least important first."""

_NAMED = 8
"""Maximum number of instances that are named for one cause."""

_WORDS = {"ok": "yes", "failed": "no", "unknown": "unknown"}


def _port(_ctx: click.Context, _param: click.Parameter, value: int | None) -> int | None:
    if value is not None and value not in DIRECT_PORTS:
        raise UsageError(f"Endpoints support only ports 22 and 3389, not {value}", hint="eicctl coverage --port 22")
    return value


@click.command
@account_options.account_options
@click.option("--region", cls=options.Repeatable, type=REGION, metavar="REGION", help="AWS region; repeatable.")
@click.option("--all-regions", is_flag=True, help="Search all regions that are enabled for the account.")
@click.option(
    "--port", type=int, metavar="PORT", callback=_port, help="22 or 3389; default: 3389 for Windows, else 22."
)
@click.option(
    "--client-address",
    metavar="ADDRESS",
    help="Your public IPv4 address, for endpoints that preserve client IPs.",
)
@click.option("--unreachable", is_flag=True, help="List unreachable instances only; the exit code is the same.")
@click.option("--report", "page", type=FILE, metavar="FILE.html", help="Also write an HTML map.")
@options.output_options
@options.wire_options
def command(
    *,
    profile: tuple[str, ...],
    accounts: str | None,
    role: str | None,
    external_id: str | None,
    region: tuple[str, ...],
    all_regions: bool,
    port: int | None,
    client_address: str | None,
    unreachable: bool,
    page: str | None,
    output: str,
    query: str | None,
    ca_bundle: str | None,
    fips: bool,
) -> int:
    """Show which running instances are reachable, and why the others are not.

    Evaluates endpoints, security groups, network ACLs and routes; opens no connections. Regions and accounts that
    cannot be read are reported on stderr, and the exit code is 1.

    \b
    Examples:
      eicctl coverage
      eicctl coverage --all-regions --report coverage.html
      eicctl coverage --profile 'dev-*' --profile prod --port 22
      eicctl coverage --accounts all --role ReadOnly --all-regions
      eicctl coverage --unreachable --query "[].[Name,Reason,Command]" --output text
    """
    from eicctl.aws.accounts import open_accounts, selection
    from eicctl.reachability.coverage import cover, summary
    from eicctl.view.progress import Waiting

    if region and all_regions:
        raise UsageError("--region and --all-regions are mutually exclusive")
    selected = selection(profile, accounts, role, external_id)
    single = selected.profiles[0] if selected.profiles and (selected.accounts or not selected.several) else None
    session = options.session(single, region[0] if region else None, ca_bundle, fips)
    with Waiting("Reading the network") as waiting:
        opened = open_accounts(session, selected)
        coverage = cover(
            opened.accounts,
            opened.failures,
            regions=region,
            all_regions=all_regions,
            port=port,
            client_address=client_address,
            progress=lambda done: waiting.show(
                f"regions read: {done.read} of {done.total}, running instances: {len(done.reaches)}"
            ),
        )
    if not selected.several:
        coverage.check()
    found = [
        (covered, reach)
        for covered in coverage.covered
        for reach in covered.reaches
        if not unreachable or reach.verdict == "failed"
    ]
    rows = [_row(covered, reach) for covered, reach in found]
    try:
        if rows or output != "table" or query:
            columns = _columns(coverage, selected)
            render.show(rows, output=output, query=query, columns=columns, droppable=_DROPPABLE)
        if output == "table" and not query:
            _explain(found)
            account_options.explain(selected, rows, opened.accounts)
    finally:  # also if the reader of the rows ends early: `| head`
        if page:
            _write(page, coverage)
    for gap in coverage.gaps:
        messages.line(gap, pin=False)
    code = account_options.report(selected, coverage.unread)
    messages.line(summary(coverage.reaches))
    return code


def _row(covered: Inventory, reach: Reach) -> dict[str, object]:
    return {
        "Name": reach.instance.name,
        "InstanceId": reach.instance.id,
        "Platform": reach.instance.platform,
        "PrivateIpAddress": reach.instance.private_ip or reach.instance.ipv6,
        "Port": reach.port,
        "AccountId": covered.location.account_id,
        "AccountName": covered.location.account.name or None,
        "Profile": covered.location.profile or None,
        "Region": covered.location.region,
        "VpcId": reach.instance.vpc_id,
        "SubnetId": reach.instance.subnet_id,
        "InstanceConnectEndpointId": reach.endpoint.id if reach.endpoint else None,
        "Reachable": _WORDS[reach.verdict],
        "Check": reach.check or None,
        "Cause": reach.cause or None,
        "Reason": reach.reason or None,
        "Command": covered.command(reach) or None,
    }


def _columns(coverage: Coverage, selected: Selection) -> dict[str, str]:
    """The table's columns; account and region are shown where there are several."""
    locations = [covered.location for covered in coverage.covered]
    more = account_options.columns(selected) if len({each.account_id for each in locations}) > 1 else {}
    more |= {"Region": "Region"} if len({each.region for each in locations}) > 1 else {}
    return more | _COLUMNS


def _explain(found: Sequence[tuple[Inventory, Reach]]) -> None:
    """Print each cause, once for all instances that share it, with the command that fixes it."""
    together: dict[tuple[str, str], list[str]] = {}
    for covered, reach in found:
        if reach.reason:
            names = together.setdefault((reach.reason, covered.command(reach)), [])
            names.append(reach.instance.name or reach.instance.id)
    for (reason, line), names in together.items():
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        messages.out("\n" + sanitize.line(f"{', '.join(names[:_NAMED])}{more}: {reason}"))
        if line:
            messages.out(f"  {sanitize.line(line)}")


def _write(page: str, coverage: Coverage) -> None:
    from datetime import UTC, datetime
    from pathlib import Path

    from eicctl.support.files import write_whole
    from eicctl.view.coverage_page import page_of

    write_whole(Path(page), page_of(coverage, datetime.now(UTC)))
    messages.line(f"Wrote {page}")
