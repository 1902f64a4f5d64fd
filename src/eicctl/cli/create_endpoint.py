"""`eicctl create-endpoint`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from eicctl.cli import options, render, report
from eicctl.cli.endpoint_rows import row_of
from eicctl.cli.tags import parse_tags
from eicctl.errors import ConflictError, EicctlError, UsageError

if TYPE_CHECKING:
    from eicctl.aws.endpoints import NewEndpoint
    from eicctl.aws.network import ChosenSubnet, GroupMaker
    from eicctl.aws.session import Session
    from eicctl.model import Endpoint


@click.command
@click.option("--subnet-id", metavar="ID", help="Subnet of the endpoint; default: chosen, and the reason is said.")
@click.option("--vpc-id", metavar="ID", help="VPC in which to choose a subnet; default: the only one.")
@click.option(
    "--security-group-id", "group_ids", metavar="ID", multiple=True, help="Group of the endpoint; repeatable."
)
@click.option(
    "--create-security-group",
    is_flag=True,
    help="Make a group for the endpoint, with egress to ports 22 and 3389 of the VPC and nothing else.",
)
@click.option(
    "--allow-to",
    metavar="ID",
    multiple=True,
    help="With --create-security-group: admit the endpoint in this group of the targets; repeatable.",
)
@click.option(
    "--preserve-client-ip/--no-preserve-client-ip",
    default=False,
    help="Targets see the client's address; default: no. Makes the endpoint ipv4.",
)
@click.option(
    "--ip-address-type",
    type=click.Choice(["ipv4", "dualstack", "ipv6"]),
    help="Default: the subnet's; ipv4 with --preserve-client-ip.",
)
@click.option("--name", metavar="NAME", help="The Name tag.")
@click.option("--tag", "tags", metavar="KEY=VALUE", multiple=True, help="Another tag; repeatable.")
@click.option("--wait/--no-wait", default=False, help="Wait until it serves connections, which takes minutes.")
@options.timeout_option
@click.option("--if-not-exists", is_flag=True, help="An endpoint that the VPC has already is good enough.")
@options.dry_run_option
@options.output_options
@options.with_session
def command(
    *,
    session: Session,
    subnet_id: str | None,
    vpc_id: str | None,
    group_ids: tuple[str, ...],
    create_security_group: bool,
    allow_to: tuple[str, ...],
    preserve_client_ip: bool,
    ip_address_type: str | None,
    name: str | None,
    tags: tuple[str, ...],
    wait: bool,
    timeout: float,
    if_not_exists: bool,
    dry_run: bool,
    output: str,
    query: str | None,
) -> None:
    """Create an endpoint, with the security group that it needs.

    A VPC has one endpoint at most; it reaches what its subnet routes to.

    \b
    Examples:
      eicctl create-endpoint --subnet-id subnet-0123456789abcdef0 --wait
      eicctl create-endpoint --create-security-group --allow-to sg-0123456789abcdef0 --name office --wait
      eicctl create-endpoint --vpc-id vpc-0123456789abcdef0 --dry-run
    """
    if allow_to and not create_security_group:
        raise UsageError("--allow-to goes with --create-security-group")
    if preserve_client_ip and ip_address_type not in (None, "ipv4"):
        raise UsageError("--preserve-client-ip requires --ip-address-type ipv4", hint="omit one of the two options")
    all_tags = parse_tags(tags) | ({"Name": name} if name else {})

    from eicctl.aws.endpoints import NewEndpoint, wait_usable
    from eicctl.aws.network import GroupMaker, GroupPlan, choose_subnet, describe_subnet

    subnet = describe_subnet(session, subnet_id) if subnet_id else choose_subnet(session, vpc_id)
    if not subnet_id:
        report.line(f"Using subnet {subnet.subnet_id} ({subnet.reason})")
    existing = _existing(session, subnet)
    if existing and not if_not_exists:
        raise ConflictError(
            f"{subnet.vpc_id} has an endpoint already: {existing.id} ({existing.state})",
            hint=f"use it, or: eicctl delete-endpoint {existing.id}; --if-not-exists takes it for good",
        )
    new = NewEndpoint(
        subnet_id=subnet.subnet_id,
        security_group_ids=group_ids,
        preserve_client_ip=preserve_client_ip,
        ip_address_type=ip_address_type or ("ipv4" if preserve_client_ip else ""),
        tags=all_tags,
    )
    maker = None
    if create_security_group and not existing:
        plan = GroupPlan(subnet.vpc_id, f"{name or 'eice'}-{subnet.subnet_id}", allow_to)
        maker = GroupMaker(session, plan)
    if not ip_address_type and not existing and subnet.ip_address_type != "ipv4":
        report.line(
            f"IP address type: ipv4 (required by --preserve-client-ip; the subnet is {subnet.ip_address_type})"
            if preserve_client_ip
            else f"IP address type: {subnet.ip_address_type} (the subnet's; override with --ip-address-type)"
        )
    if dry_run:
        _try(session, new, maker, existing)
        return
    endpoint = existing or _create(session, new, maker)
    if existing:
        report.line(f"{existing.id} is there already")
    if wait and endpoint.state != "create-complete":
        progress = _Shown(endpoint)
        with progress.waiting:
            endpoint = wait_usable(session, endpoint.id, timeout=timeout, progress=progress)
    render.show(row_of(endpoint), output=output, query=query, columns={})


def _existing(session: Session, subnet: ChosenSubnet) -> Endpoint | None:
    """The endpoint that stands in the way of another one, if there is one."""
    from eicctl.aws.endpoints import list_endpoints

    for endpoint in list_endpoints(session, filters={"vpc-id": [subnet.vpc_id]}):
        if endpoint.state not in ("create-failed", "delete-in-progress", "delete-complete"):
            return endpoint
    return None


def _create(session: Session, new: NewEndpoint, maker: GroupMaker | None) -> Endpoint:
    """Create the group, then the endpoint; a failure takes back what was made and says so."""
    from dataclasses import replace

    from eicctl.aws.endpoints import create_endpoint

    if maker is None:
        return create_endpoint(session, new)
    try:
        group_id = maker.make()
        endpoint = create_endpoint(session, replace(new, security_group_ids=(*new.security_group_ids, group_id)))
    except EicctlError as error:
        if undone := maker.undo():
            error.message = f"{error.message}\n{undone}"
        raise
    except KeyboardInterrupt:
        if undone := maker.undo():
            report.line(undone)
        raise
    report.line(f"created the security group {group_id}")
    return endpoint


def _try(session: Session, new: NewEndpoint, maker: GroupMaker | None, existing: Endpoint | None) -> None:
    """Say what would be called; EC2's dry runs say whether it would be done."""
    from eicctl.aws.endpoints import check_create, request_of

    if existing:
        report.out(f"Nothing would be called: {existing.id} is there already.")
        return
    if maker:
        maker.check()
        for line in maker.plan.lines():
            report.out(f"Would call {line}")
    check_create(session, new)
    words = " ".join(f"{key}={value}" for key, value in request_of(new).items())
    report.out(f"Would call CreateInstanceConnectEndpoint {words}")


class _Shown:
    """Shows the states that an endpoint goes through, and what to do when the wait is interrupted."""

    def __init__(self, endpoint: Endpoint) -> None:
        from eicctl.cli.progress import Waiting

        self.waiting = Waiting(
            endpoint.id, interrupted=f"{endpoint.id} is still being made: eicctl show-endpoint {endpoint.id}"
        )

    def __call__(self, endpoint: Endpoint | None) -> None:
        self.waiting.show(endpoint.state if endpoint else "gone")
