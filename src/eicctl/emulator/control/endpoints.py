"""Create, describe, modify and delete EC2 Instance Connect Endpoints, as EC2 does.

Codes that docs/explanation/protocol.md#control-plane does not list are inferred from EC2's usual ones and marked so.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from eicctl.emulator.control import network
from eicctl.emulator.control.backends import ACCOUNT, ApiError, ec2, matches
from eicctl.emulator.state import EndpointRecord, State

MAX_GROUPS = 16
"""The service model's limit."""

ADDRESS_TYPES = ("ipv4", "dualstack", "ipv6")


@dataclass(frozen=True, slots=True)
class CreateRequest:
    """The parameters of CreateInstanceConnectEndpoint. Without an `ip_address_type` it is that of the subnet."""

    subnet_id: str
    security_group_ids: tuple[str, ...] = ()
    preserve_client_ip: bool = False
    ip_address_type: str = ""
    client_token: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)


class EndpointService:
    """The EICE part of EC2 in one region.

    Args:
        state: Where endpoints are kept.
        region: The region.
        dns_name: Every endpoint's DNS name: `HOST` or `HOST:PORT` of the data plane.
        account: The caller's account.
        dry_run: Whether calls that would succeed raise `DryRunOperation` instead.
    """

    def __init__(
        self, state: State, region: str, dns_name: str, *, account: str = ACCOUNT, dry_run: bool = False
    ) -> None:
        self._state = state
        self._region = region
        self._dns_name = dns_name
        self._dry_run = dry_run
        self._account = account
        self._ec2 = ec2(region, account)

    def create(self, request: CreateRequest) -> EndpointRecord:
        """Create an endpoint, or return the one that the same request created before (ClientToken)."""
        subnet = self._ec2.get_subnet(request.subnet_id)
        vpc_id = str(subnet.vpc_id)
        groups = self._groups(request.security_group_ids, vpc_id)
        ip_address_type = request.ip_address_type or type_of(subnet)
        _check_modes(ip_address_type, request.preserve_client_ip)
        if not self._dry_run and (replayed := self._replayed(request)):
            return replayed
        self._check_limit(vpc_id, request.subnet_id)
        check_dry_run(self._dry_run)
        return self._create(request, subnet, groups, ip_address_type)

    def describe(
        self, ids: Sequence[str], filters: Mapping[str, Sequence[str]]
    ) -> list[tuple[EndpointRecord, dict[str, str]]]:
        """Return the endpoints that match, each with its tags."""
        for endpoint_id in ids:
            self.get(endpoint_id)
        found = [(endpoint, self.tags(endpoint.id)) for endpoint in self._mine() if self._state.seen(endpoint.id)]
        check_dry_run(self._dry_run)
        return [
            (endpoint, tags)
            for endpoint, tags in found
            if (not ids or endpoint.id in ids)
            and all(matches(values, _values(endpoint, tags, name)) for name, values in filters.items())
        ]

    def modify(self, endpoint_id: str, changes: Mapping[str, Any]) -> None:
        """Change an endpoint; the old configuration serves until `update-complete`."""
        endpoint = self.get(endpoint_id)
        if endpoint.state not in ("create-complete", "update-complete", "update-failed"):
            raise ApiError(  # the code is inferred
                "IncorrectState", f"The endpoint {endpoint_id} is in state {endpoint.state} and cannot be modified."
            )
        if "security_group_ids" in changes:
            changes = dict(changes, security_group_ids=self._groups(changes["security_group_ids"], endpoint.vpc_id))
        changed = replace(endpoint, **changes, state="update-complete")
        _check_modes(changed.ip_address_type, changed.preserve_client_ip)
        check_dry_run(self._dry_run)
        self._state.change_endpoint(replace(endpoint, state="update-in-progress", state_message=""), changed)
        for interface_id in endpoint.network_interface_ids:  # the new groups are in use already, the old ones still
            both = dict.fromkeys((*endpoint.security_group_ids, *changed.security_group_ids))
            network.regroup_interface(self._ec2, interface_id, tuple(both))

    def delete(self, endpoint_id: str) -> EndpointRecord:
        """Begin to delete an endpoint."""
        endpoint = self.get(endpoint_id)
        check_dry_run(self._dry_run)
        if endpoint.state == "delete-in-progress":
            return endpoint
        deleting = replace(endpoint, state="delete-in-progress", state_message="")
        self._state.change_endpoint(deleting, None)
        return deleting

    def get(self, endpoint_id: str) -> EndpointRecord:
        """Return an endpoint of this region by its ID."""
        for endpoint in self._mine():
            if endpoint.id == endpoint_id and self._state.seen(endpoint_id):
                return endpoint
        raise ApiError(
            "InvalidInstanceConnectEndpointId.NotFound",
            f"The instance connect endpoint ID '{endpoint_id}' does not exist",
        )

    def tags(self, endpoint_id: str) -> dict[str, str]:
        """Return an endpoint's tags, also those from CreateTags."""
        return dict(self._ec2.tags.get(endpoint_id, {}))

    def _mine(self) -> Iterable[EndpointRecord]:
        here = (self._region, self._account)
        return [endpoint for endpoint in self._state.endpoints() if (endpoint.region, endpoint.owner_id) == here]

    def _groups(self, ids: Sequence[str], vpc_id: str) -> tuple[str, ...]:
        of_vpc = self._ec2.groups[vpc_id]
        if len(ids) > MAX_GROUPS:
            raise ApiError(  # the code is EC2's usual one
                "SecurityGroupsPerInterfaceLimitExceeded", f"At most {MAX_GROUPS} security groups are allowed."
            )
        if not ids:
            default = tuple(group.id for group in of_vpc.values() if group.name == "default")
            if not default:  # of a shared VPC, where it is the owner's; the code is inferred
                raise ApiError("InvalidParameter", f"The default security group of VPC '{vpc_id}' belongs to its owner")
            return default
        for group_id in ids:
            if group_id in of_vpc and self._state.seen(group_id):
                continue
            if group_id not in of_vpc and any(group_id in groups for groups in self._ec2.groups.values()):
                raise ApiError(  # the code is inferred
                    "InvalidParameter", f"The security group '{group_id}' does not belong to VPC '{vpc_id}'"
                )
            raise ApiError("InvalidGroup.NotFound", f"The security group '{group_id}' does not exist")
        return tuple(ids)

    def _replayed(self, request: CreateRequest) -> EndpointRecord | None:
        """The answer to a ClientToken that was used before: the old one, even if its endpoint was deleted."""
        earlier = request.client_token and self._state.endpoint_of_token(self._region, request.client_token)
        if not earlier:
            return None
        original, endpoint = earlier
        if original == request:
            return endpoint
        raise ApiError(  # the code is EC2's usual one
            "IdempotentParameterMismatch", "The client token was used before with other parameters."
        )

    def _check_limit(self, vpc_id: str, subnet_id: str) -> None:
        """One endpoint per VPC and one per subnet (docs/explanation/protocol.md#limits); the code is inferred."""
        for endpoint in self._mine():
            if endpoint.state == "create-failed":
                continue
            if vpc_id == endpoint.vpc_id or subnet_id == endpoint.subnet_id:
                raise ApiError(
                    "InstanceConnectEndpointLimitExceeded",
                    f"The limit of one endpoint per VPC is reached: {endpoint.id} is in {vpc_id}.",
                )

    def _create(
        self, request: CreateRequest, subnet: Any, groups: tuple[str, ...], ip_address_type: str
    ) -> EndpointRecord:
        endpoint_id = f"eice-{secrets.token_hex(9)[:17]}"
        interface = network.create_interface(
            self._ec2,
            subnet,
            groups,
            f"EC2 Instance Connect Endpoint {endpoint_id}",
            kind="ec2_instance_connect_endpoint",
            ipv6=ip_address_type != "ipv4",
        )
        creating = EndpointRecord(
            id=endpoint_id,
            arn=f"arn:aws:ec2:{self._region}:{self._account}:instance-connect-endpoint/{endpoint_id}",
            owner_id=self._account,
            region=self._region,
            vpc_id=subnet.vpc_id,
            subnet_id=request.subnet_id,
            availability_zone=subnet.availability_zone,
            availability_zone_id=str(subnet._availability_zone.zone_id),
            dns_name=self._dns_name,
            fips_dns_name=_with_port(self._dns_name, self._state.fips_port),
            state="create-in-progress",
            security_group_ids=groups,
            network_interface_ids=(interface.id,),
            created_at=self._state.now(),
            ip_address_type=ip_address_type,
            preserve_client_ip=request.preserve_client_ip,
            client_token=request.client_token,
        )
        created = replace(creating, state="create-complete")
        if failure := self._state.behavior.fail_create:
            self._state.behave(fail_create="")
            created = replace(creating, state="create-failed", state_message=failure, network_interface_ids=())
        if request.tags:
            self._ec2.create_tags([endpoint_id], dict(request.tags))
        self._state.note_created(endpoint_id)
        self._state.change_endpoint(creating, created)
        if request.client_token:
            self._state.remember_request(request.client_token, request, creating)
        return creating


def _with_port(dns_name: str, port: int) -> str:
    return f"{dns_name.partition(':')[0]}:{port}" if port else dns_name


def apply_transitions(state: State) -> None:
    """Apply the transitions completed since the last call to moto: network interfaces, groups and tags."""
    for old, new in state.take_completed():
        backend = ec2(old.region, old.owner_id)
        kept = new.network_interface_ids if new else ()
        for interface_id in old.network_interface_ids:
            if new and interface_id in kept:
                network.regroup_interface(backend, interface_id, new.security_group_ids)
            else:
                network.release_interface(backend, interface_id)
        if new is None:
            backend.tags.pop(old.id, None)


def type_of(subnet: Any) -> str:
    """The address type of moto's subnet, which an endpoint in it gets (docs/explanation/protocol.md#control-plane)."""
    if subnet.ipv6_native:
        return "ipv6"
    return "dualstack" if subnet.ipv6_cidr_block_association_set else "ipv4"


def check_dry_run(dry_run: bool) -> None:
    """Raise EC2's error for a dry run of a request that would have succeeded."""
    if dry_run:
        raise ApiError("DryRunOperation", "Request would have succeeded, but DryRun flag is set.")


def _check_modes(ip_address_type: str, preserve_client_ip: bool) -> None:
    if ip_address_type not in ADDRESS_TYPES:
        raise ApiError("InvalidParameterValue", f"Value ({ip_address_type}) for parameter ipAddressType is invalid.")
    if preserve_client_ip and ip_address_type != "ipv4":
        raise ApiError(
            "InvalidParameterCombination", "preserveClientIp is supported only with the ipv4 IP address type."
        )


def _values(endpoint: EndpointRecord, tags: Mapping[str, str], name: str) -> Iterable[str]:
    """What a filter of this name looks at."""
    if name.startswith("tag:"):
        return [tags[name[4:]]] if name[4:] in tags else []
    fields: dict[str, Iterable[str]] = {
        "instance-connect-endpoint-id": [endpoint.id],
        "state": [endpoint.state],
        "subnet-id": [endpoint.subnet_id],
        "vpc-id": [endpoint.vpc_id],
        "tag-key": tags,
        "tag-value": tags.values(),
    }
    if name not in fields:
        raise ApiError("InvalidParameterValue", f"The filter '{name}' is invalid")
    return fields[name]
