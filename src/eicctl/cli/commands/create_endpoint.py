"""`eicctl create-endpoint`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

import click

from eicctl.cli import options
from eicctl.core.errors import ConflictError, UsageError
from eicctl.core.names import parse_tags
from eicctl.view import messages, render
from eicctl.view.endpoint import row_of, would_call
from eicctl.view.progress import Waiting

if TYPE_CHECKING:
    from eicctl.api.endpoints import EndpointOptions, EndpointPlan
    from eicctl.aws.session import Session
    from eicctl.core.model import Endpoint


def _tags(_ctx: click.Context, _param: click.Parameter, words: tuple[str, ...]) -> dict[str, str]:
    return parse_tags(words)


@click.command
@click.option(
    "--subnet-id", metavar="ID", help="Subnet of the endpoint; default: the one with the most running instances."
)
@click.option(
    "--vpc-id", metavar="ID", help="VPC to choose a subnet in; default: the only one, or the one that you select."
)
@click.option(
    "--security-group-id",
    "security_group_ids",
    metavar="ID",
    multiple=True,
    help="Security group of the endpoint; repeatable.",
)
@click.option(
    "--create-security-group",
    is_flag=True,
    help="Create a security group for the endpoint that allows egress only to ports 22 and 3389 in the VPC, or reuse"
    " the one created earlier for this name and subnet.",
)
@click.option(
    "--allow-to",
    metavar="ID",
    multiple=True,
    help="With --create-security-group: allow the endpoint in this target security group; repeatable.",
)
@click.option(
    "--preserve-client-ip/--no-preserve-client-ip",
    default=False,
    help="Client IP preservation; default: no. Requires an ipv4 endpoint.",
)
@click.option(
    "--ip-address-type",
    type=click.Choice(["ipv4", "dualstack", "ipv6"]),
    help="IP address type; default: the subnet's, or ipv4 with --preserve-client-ip.",
)
@click.option("--name", metavar="NAME", help="Name tag.")
@click.option("--tag", "tags", metavar="KEY=VALUE", multiple=True, callback=_tags, help="Additional tag; repeatable.")
@click.option("--wait/--no-wait", default=False, help="Wait until the endpoint is available (takes a few minutes).")
@options.timeout_option
@click.option("--if-not-exists", is_flag=True, help="Reuse the VPC's existing endpoint, if any.")
@options.dry_run_option
@click.option(
    "--format",
    "language",
    type=click.Choice(["terraform", "cloudformation", "awscli"]),
    help="Print the configuration for this tool; create nothing.",
)
@options.output_options
@options.with_session
def command(
    *,
    session: Session,
    wait: bool,
    timeout: float,
    if_not_exists: bool,
    dry_run: bool,
    language: str | None,
    output: str,
    query: str | None,
    **given: Unpack[EndpointOptions],
) -> None:
    """Create an endpoint, optionally with its own security group.

    A VPC can have one endpoint, which reaches all addresses that its subnet has routes to.

    \b
    Examples:
      eicctl create-endpoint --subnet-id subnet-0123456789abcdef0 --wait
      eicctl create-endpoint --create-security-group --allow-to sg-0123456789abcdef0 --name office --wait
      eicctl create-endpoint --vpc-id vpc-0123456789abcdef0 --dry-run
      eicctl create-endpoint --create-security-group --name office --format terraform > endpoint.tf
    """
    if given["allow_to"] and not given["create_security_group"]:
        raise UsageError("--allow-to requires --create-security-group", hint=messages.again("--create-security-group"))
    from eicctl.api.endpoints import check_address_type, plan_endpoint

    check_address_type(given["preserve_client_ip"], given["ip_address_type"])
    if not (given["subnet_id"] or given["vpc_id"]):
        given["vpc_id"] = _chosen_vpc(session)
    plan = plan_endpoint(session, **given)
    subnet, existing, deleting = plan.subnet, plan.existing, plan.deleting
    if not given["subnet_id"]:
        messages.line(f"Using subnet {subnet.subnet_id} ({subnet.reason})")
    if existing and language:
        raise plan.conflict(session.command("eicctl", "show-endpoint", existing.id, "--format", "terraform"))
    if existing and not if_not_exists:
        conflict = plan.conflict(messages.again("--if-not-exists"))
        conflict.message += "; add --if-not-exists to reuse it"
        raise conflict
    if not given["ip_address_type"] and not existing and subnet.ip_address_type != "ipv4":
        messages.line(
            f"IP address type: ipv4 (required by --preserve-client-ip; the subnet is {subnet.ip_address_type})"
            if given["preserve_client_ip"]
            else f"IP address type: {subnet.ip_address_type} (the subnet's; override with --ip-address-type)"
        )
    if language:
        click.echo(_described(plan, language), nl=False)
        return
    if dry_run:
        _try(plan)
        return
    if existing:
        messages.line(f"Endpoint {existing.id} already exists")
    elif deleting and wait:
        _await_deletion(session, deleting, timeout)
    try:
        endpoint = existing or plan.create(messages.line)
    except ConflictError as error:
        if deleting and not wait:
            error.message += f"\nEndpoint {deleting.id} of the VPC is still being deleted"
            error.hint = messages.again("--wait")
        raise
    if plan.group:
        verb = "Reusing" if plan.group.reused else "Created"
        messages.line(f"{verb} security group {plan.group.group_id} ({plan.group.plan.name})")
    if wait and not endpoint.usable:
        endpoint = _await_creation(session, endpoint, timeout)
    render.show(row_of(endpoint), output=output, query=query)


def _described(plan: EndpointPlan, language: str) -> str:
    """Return what would be created, for another tool."""
    from eicctl.view import infrastructure

    group = plan.group.planned() if plan.group else None
    if note := infrastructure.notes(plan.new).get(infrastructure.LANGUAGES[language]):
        messages.line(note)
    return infrastructure.described(plan.new, group, language, plan.session.command)


def _chosen_vpc(session: Session) -> str:
    """Return the region's only VPC; on a terminal, the user selects one of several."""
    from eicctl.aws.network import SeveralVpcsError, only_vpc
    from eicctl.cli import picker

    try:
        return only_vpc(session)
    except SeveralVpcsError as several:
        if not picker.on_terminal():
            raise
        rows = several.candidates
        return picker.vpc(rows)


def _try(plan: EndpointPlan) -> None:
    """Say what would be called; EC2's dry runs say whether it would be done."""
    from eicctl.aws.endpoints import check_create, request_of

    if plan.existing:
        messages.out(f"Would reuse endpoint {plan.existing.id}")
        return
    if plan.group:
        for line in plan.group.check():
            messages.out(line)
    check_create(plan.session, plan.new)
    would_call("CreateInstanceConnectEndpoint", **request_of(plan.new))


def _await_deletion(session: Session, deleting: Endpoint, timeout: float) -> None:
    """Wait until the VPC's last endpoint is gone: a VPC has one at most."""
    from eicctl.aws.endpoints import wait_deleted

    with Waiting(f"Deleting {deleting.id}") as waiting:
        wait_deleted(session, deleting.id, timeout=timeout, progress=waiting.show)


def _await_creation(session: Session, endpoint: Endpoint, timeout: float) -> Endpoint:
    """Wait until the endpoint serves connections."""
    from eicctl.aws.endpoints import wait_usable

    look = session.command("eicctl", "show-endpoint", endpoint.id)
    with Waiting(f"Creating {endpoint.id}", interrupted=f"{endpoint.id} is still being created: {look}") as waiting:
        return wait_usable(session, endpoint.id, timeout=timeout, progress=waiting.show)
