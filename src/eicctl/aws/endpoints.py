"""EC2 Instance Connect Endpoints: create, list, get, modify, delete, wait."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypedDict, Unpack

from eicctl.aws import caches
from eicctl.aws.ec2_requests import described, exact_filters, request_change
from eicctl.aws.errors import code_of, translated
from eicctl.aws.network import shared_vpcs
from eicctl.aws.session import Session
from eicctl.core.errors import AmbiguousError, NotFoundError, UnavailableError
from eicctl.core.model import Endpoint
from eicctl.core.names import correct, natural_key
from eicctl.support.clock import Backoff

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import (
        CreateInstanceConnectEndpointRequestTypeDef,
        Ec2InstanceConnectEndpointTypeDef,
        TagTypeDef,
    )


TIMEOUT = 600.0
"""Seconds to wait for a state by default; creation takes minutes (docs/explanation/protocol.md#control-plane)."""

VISIBLE = 30.0
"""Seconds for which EC2 may not see what was just created."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 10.0

Progress = Callable[[str], None]
"""Takes the state of an endpoint during a wait."""


@dataclass(frozen=True, slots=True)
class NewEndpoint:
    """What to create. Without groups EC2 takes the VPC's default one."""

    subnet_id: str
    security_group_ids: tuple[str, ...] = ()
    preserve_client_ip: bool = False
    ip_address_type: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)


class EndpointChanges(TypedDict, total=False):
    """What can be changed of an endpoint, in EC2's words. `SecurityGroupIds` replaces the set."""

    IpAddressType: str
    SecurityGroupIds: list[str]
    PreserveClientIp: bool


_LIST = ("describe_instance_connect_endpoints", "InstanceConnectEndpoints")


def list_endpoints(
    session: Session, *, filters: Mapping[str, Sequence[str]] | None = None, region: str | None = None
) -> list[Endpoint]:
    """Return the endpoints of a region that match EC2's filters (`state`, `vpc-id`, `tag:KEY`, …); values are exact."""
    where = region or session.region
    with translated("list the endpoints"):
        rows = described(session, *_LIST, where, Filters=exact_filters(filters or {}))
    found = [endpoint_of(row, where) for row in rows]
    caches.note_names(session, caches.ENDPOINTS, {one.id: shown(one) for one in found}, region=where, whole=not filters)
    return sorted(found, key=lambda one: (*natural_key(one.name), one.id))


def shown(endpoint: Endpoint) -> tuple[str, ...]:
    """Return what lists show of an endpoint, as `caches.ENDPOINTS` has it."""
    return (endpoint.name, endpoint.state, endpoint.vpc_id, endpoint.availability_zone)


def get_endpoint(session: Session, name: str) -> Endpoint:
    """Return the endpoint with this ID or Name tag.

    Raises:
        NotFoundError: There is none.
        AmbiguousError: Several have the name.
    """
    if not name.startswith("eice-"):
        named = list_endpoints(session, filters={"tag:Name": [name]})
        alive = [endpoint for endpoint in named if not endpoint.state.startswith("delete-")] or named
        if len(alive) > 1:
            raise AmbiguousError(
                f'Multiple endpoints match "{name}": ' + ", ".join(f"{each.id} ({each.state})" for each in alive),
                hint=session.command("eicctl", "show-endpoint", alive[0].id),
            )
        if not alive:
            error = NotFoundError(f'No endpoint named "{name}" in {session.location}', hint=_all_regions(session))
            correct(error, name, [each.name for each in list_endpoints(session)])
            raise _or_of_an_owner(session, error)
        return alive[0]
    try:
        with translated(f"look up {name}"):
            rows = described(session, *_LIST, InstanceConnectEndpointIds=[name])
        for row in rows:
            return endpoint_of(row, session.region)
        raise NotFoundError(f"No endpoint with ID {name} in {session.location}", hint=_all_regions(session))
    except NotFoundError as error:
        if code_of(error).endswith(".Malformed"):
            raise
        raise _or_of_an_owner(session, error) from error


def _or_of_an_owner(session: Session, error: NotFoundError) -> NotFoundError:
    """Add to an error that EC2 does not show the endpoints of a shared VPC's owner to participants
    (docs/explanation/protocol.md#shared-vpcs)."""
    if owners := sorted(set(shared_vpcs(session).values())):
        error.message += (
            f"; it may belong to account {' or '.join(owners)}, which shares a VPC with this one: only the owner can "
            "see and use its endpoints there"
        )
    return error


def _all_regions(session: Session) -> str:
    return session.command("eicctl", "list-endpoints", "--all-regions")


def create_endpoint(session: Session, new: NewEndpoint) -> Endpoint:
    """Create an endpoint and return it as EC2 responds, still being created.

    botocore adds a ClientToken, and repeats it with its retries: a lost response creates nothing twice.

    Raises:
        ConflictError: The VPC or the subnet has an endpoint already, or another limit is reached.
    """
    with translated("create the endpoint"):
        row = session.client("ec2").create_instance_connect_endpoint(**request_of(new))
    return endpoint_of(row["InstanceConnectEndpoint"], session.region)


def request_of(new: NewEndpoint) -> CreateInstanceConnectEndpointRequestTypeDef:
    """Return the parameters of CreateInstanceConnectEndpoint."""
    request: CreateInstanceConnectEndpointRequestTypeDef = {
        "SubnetId": new.subnet_id,
        # AWS's pages differ about the default, so it is always sent.
        # docs/explanation/protocol.md#client-ip-preservation
        "PreserveClientIp": new.preserve_client_ip,
    }
    if new.security_group_ids:
        request["SecurityGroupIds"] = list(new.security_group_ids)
    if new.ip_address_type:
        request["IpAddressType"] = new.ip_address_type  # type: ignore[typeddict-item]  # EC2 checks it
    if new.tags:
        tags: list[TagTypeDef] = [{"Key": key, "Value": value} for key, value in new.tags.items()]
        request["TagSpecifications"] = [{"ResourceType": "instance-connect-endpoint", "Tags": tags}]
    return request


def check_create(session: Session, new: NewEndpoint) -> None:
    """Ask EC2 whether it would create the endpoint (DryRun).

    Raises:
        EicctlError: Why it would not.
    """
    call = session.client("ec2").create_instance_connect_endpoint
    request_change("create the endpoint", call, dry_run=True, **request_of(new))


def modify_endpoint(
    session: Session, endpoint_id: str, *, dry_run: bool = False, **changes: Unpack[EndpointChanges]
) -> None:
    """Change an endpoint. The old configuration serves until the state is `update-complete`.

    Args:
        session: Access to AWS.
        endpoint_id: The endpoint.
        dry_run: Only ask EC2 whether it would.
        changes: What to change.
    """
    call = session.client("ec2").modify_instance_connect_endpoint
    request_change("modify the endpoint", call, dry_run=dry_run, InstanceConnectEndpointId=endpoint_id, **changes)


def delete_endpoint(session: Session, endpoint_id: str, *, dry_run: bool = False) -> None:
    """Begin to delete an endpoint; its open connections end with it."""
    call = session.client("ec2").delete_instance_connect_endpoint
    request_change("delete the endpoint", call, dry_run=dry_run, InstanceConnectEndpointId=endpoint_id)


def wait_usable(
    session: Session,
    endpoint_id: str,
    *,
    timeout: float = TIMEOUT,
    progress: Progress,
    changes: EndpointChanges | None = None,
) -> Endpoint:
    """Wait until an endpoint is created or changed, and return it.

    EC2's reads lag behind its writes: an endpoint that was just created need not be there yet, and one that was just
    modified may look as before.

    Args:
        session: Access to AWS.
        endpoint_id: The endpoint.
        timeout: Seconds to wait.
        progress: Takes each state.
        changes: What was modified, as for `modify_endpoint`.

    Raises:
        NotFoundError: It does not exist any more.
        UnavailableError: It failed (with EC2's StateMessage), or is not ready in time.
    """
    found: Endpoint | None = None
    missing_until = time.monotonic() + min(VISIBLE, timeout)

    def ready(endpoint: Endpoint | None) -> bool:
        nonlocal found
        if endpoint is None:
            if time.monotonic() < missing_until and not found:
                return False
            raise NotFoundError(f"Endpoint {endpoint_id} no longer exists", hint=_all_regions(session))
        found = endpoint
        if endpoint.state.endswith("-failed"):
            raise UnavailableError(
                f"Endpoint {endpoint_id} is in state {endpoint.state}: {endpoint.state_message or 'no reason given'}",
                hint=session.command("eicctl", "show-endpoint" if endpoint.usable else "delete-endpoint", endpoint_id),
            )
        return endpoint.state in ("create-complete", "update-complete") and _shows(endpoint, changes or {})

    _wait(session, endpoint_id, ready, timeout, progress)
    assert found  # noqa: S101 - it is ready
    return found


def _shows(endpoint: Endpoint, changes: EndpointChanges) -> bool:
    """Whether an endpoint is as it was to be modified."""
    has = {
        "IpAddressType": endpoint.ip_address_type,
        "PreserveClientIp": endpoint.preserve_client_ip,
        "SecurityGroupIds": set(endpoint.security_group_ids),
    }
    return all(has[name] == (set(value) if isinstance(value, list) else value) for name, value in changes.items())


def wait_deleted(session: Session, endpoint_id: str, *, timeout: float = TIMEOUT, progress: Progress) -> None:
    """Wait until an endpoint is gone."""

    def gone(endpoint: Endpoint | None) -> bool:
        if endpoint and endpoint.state == "delete-failed":
            raise UnavailableError(
                f"Endpoint {endpoint_id} could not be deleted: {endpoint.state_message}",
                hint=session.command("eicctl", "show-endpoint", endpoint_id),
            )
        return endpoint is None or endpoint.state == "delete-complete"

    _wait(session, endpoint_id, gone, timeout, progress)


def _wait(
    session: Session, endpoint_id: str, done: Callable[[Endpoint | None], bool], timeout: float, progress: Progress
) -> None:
    for last in Backoff(_FIRST_PAUSE, _LONGEST_PAUSE, growth=1.3, jitter=0.2).attempts(timeout):
        endpoint = _look(session, endpoint_id)
        state = endpoint.state if endpoint else "not found"
        progress(state)
        if done(endpoint):
            return
        if last:
            raise UnavailableError(
                f"Endpoint {endpoint_id} is still in state {state} after {timeout:.0f} s; EC2 continues",
                hint=session.command("eicctl", "show-endpoint", endpoint_id),
            )


def _look(session: Session, endpoint_id: str) -> Endpoint | None:
    try:
        return get_endpoint(session, endpoint_id)
    except NotFoundError:
        return None


def endpoint_of(row: Ec2InstanceConnectEndpointTypeDef, region: str) -> Endpoint:
    """Return the endpoint in a row of DescribeInstanceConnectEndpoints."""
    names = row.get("PublicDnsNames") or {}
    dualstack = names.get("Dualstack") or {}
    return Endpoint(
        id=row["InstanceConnectEndpointId"],
        state=row.get("State", ""),
        vpc_id=row.get("VpcId", ""),
        subnet_id=row.get("SubnetId", ""),
        availability_zone=row.get("AvailabilityZone", ""),
        dns_name=row.get("DnsName", "") or (names.get("Ipv4") or {}).get("DnsName", ""),
        region=region,
        arn=row.get("InstanceConnectEndpointArn", ""),
        state_message=row.get("StateMessage", ""),
        fips_dns_name=row.get("FipsDnsName", ""),
        dualstack_dns_name=dualstack.get("DnsName", ""),
        dualstack_fips_dns_name=dualstack.get("FipsDnsName", ""),
        ip_address_type=row.get("IpAddressType", "ipv4") or "ipv4",
        owner_id=row.get("OwnerId", ""),
        preserve_client_ip=bool(row.get("PreserveClientIp", False)),
        security_group_ids=tuple(row.get("SecurityGroupIds", [])),
        network_interface_ids=tuple(row.get("NetworkInterfaceIds", [])),
        created_at=row.get("CreatedAt"),
        tags={tag["Key"]: tag["Value"] for tag in row.get("Tags", [])},
    )
