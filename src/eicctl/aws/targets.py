"""From the user's words to a `Target`: the instance or address, and the endpoint that serves it."""

from __future__ import annotations

import ipaddress
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from eicctl.aws.ec2_requests import listed
from eicctl.aws.endpoint_selection import (
    NoEndpointError,
    TargetLocation,
    choose_endpoint,
    not_usable,
    serves,
    usable_name,
)
from eicctl.aws.endpoints import get_endpoint, list_endpoints
from eicctl.aws.errors import translated
from eicctl.aws.explicit_target import (
    INSTANCE_ID,
    Resolver,
    addresses_of,
    check_named,
    check_port,
    explicit_target,
    is_address,
    with_address,
)
from eicctl.aws.instances import list_instances, no_instance, tag_filter, with_other_case
from eicctl.aws.network import cidrs_of, why_no_endpoint
from eicctl.aws.session import Session
from eicctl.core.errors import AmbiguousError, NotFoundError, UnavailableError
from eicctl.core.model import Endpoint, Instance, Target, usual_port
from eicctl.core.request import ConnectRequest
from eicctl.support import pins
from eicctl.support.threads import both

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import SubnetTypeDef, VpcTypeDef


_log = logging.getLogger(__name__)

_CONNECTABLE = ("running", "pending", "stopping")


class SeveralInstancesError(AmbiguousError):
    """A name that several instances have; `candidates` are they, running ones first."""

    def __init__(self, name: str, candidates: Sequence[Instance], hint: str) -> None:
        listed = "\n".join(f"  {i.id}  {i.state}  {i.private_ip}  {i.availability_zone}" for i in candidates)
        super().__init__(f'Multiple instances match "{name}":\n{listed}', hint=hint)
        self.candidates = tuple(candidates)


class InstanceStateError(UnavailableError):
    """An instance that cannot accept connections: stopped, terminated, or about to be.

    Attributes:
        instance_id: The instance, if it can be started; else empty.
        label: Its name and ID.
    """

    instance_id = label = ""


@dataclass(frozen=True, slots=True)
class Found:
    """A target before its endpoint is chosen. `instance` is None if the address belongs to no known one."""

    location: TargetLocation
    address: str
    instance: Instance | None = None


def resolve(session: Session, request: ConnectRequest, *, resolver: Resolver = addresses_of) -> Target:
    """Return the target that a request means.

    Nothing is asked of AWS where the request has the endpoint's ID, its DNS name and the address.

    Raises:
        UsageError: The request says nothing, or asks for a port that the service does not have.
        NotFoundError: There is no such target, or no endpoint for it.
        AmbiguousError: There are several; `SeveralInstancesError` has the candidates.
        UnavailableError: The instance or the endpoint is in a state that serves no connection.
    """
    check_port(request)
    if target := explicit_target(session, request):
        return target
    check_named(request)
    request = with_address(request, resolver)
    started = time.monotonic()
    found, endpoints = both(lambda: find(session, request, resolver), lambda: endpoints_for(session, request))
    target = with_endpoint(session, request, found, endpoints)
    _log.debug(
        "resolved %s in %.0f ms: %s, %s port %d, through %s",
        request.label,
        1000 * (time.monotonic() - started),
        target.instance_id or "no known instance",
        target.address,
        target.remote_port,
        target.endpoint_id,
    )
    return target


def served_by(endpoints: Sequence[Endpoint], instance: Instance) -> Endpoint | None:
    """Return the endpoint that would serve an instance, or None."""
    try:
        return choose_endpoint(endpoints, location_of(instance), instance.private_ip or instance.ipv6)
    except (NotFoundError, UnavailableError, ValueError):
        return None


def target_of(session: Session, instance: Instance, endpoint: Endpoint, *, remote_port: int) -> Target:
    """Return the target for an instance through an endpoint that serves it.

    Raises:
        UnavailableError: FIPS is asked for, and the endpoint has no FIPS name.
    """
    addresses = [address for address in (instance.private_ip, instance.ipv6) if address]
    address = next((address for address in addresses if serves(endpoint, address)), addresses[0])
    return _target(session, address, remote_port, endpoint, instance)


def _target(
    session: Session, address: str, port: int, endpoint: Endpoint, instance: Instance | None, *, dns_name: str = ""
) -> Target:
    """The target at an address: that of an instance if it is known; `dns_name` is what the user specified."""
    dns_name = dns_name or usable_name(endpoint, fips=session.fips, dualstack=session.dualstack)
    target = Target(address, port, endpoint.id, dns_name, session.region)
    if not instance:
        return target
    return replace(
        target,
        instance_id=instance.id,
        instance_name=instance.name,
        platform=instance.platform,
        image_id=instance.image_id,
        availability_zone=instance.availability_zone,
    )


def endpoints_for(session: Session, request: ConnectRequest) -> list[Endpoint]:
    """Return the endpoints to choose from: the one that the request names, else all of the region."""
    if request.endpoint_id:
        return [get_endpoint(session, request.endpoint_id)]
    return list_endpoints(session)


def with_endpoint(session: Session, request: ConnectRequest, found: Found, endpoints: Sequence[Endpoint]) -> Target:
    """Return the target with the endpoint that serves it; `request` has its address as `with_address` makes it.

    Raises:
        NotFoundError: Its VPC has no endpoint.
        UnavailableError: None of them serves connections, or the address's family.
    """
    address = request.private_ip_address or found.address
    instance = found.instance
    remote_port = request.remote_port or usual_port(instance.platform if instance else "")
    again = _again(found, remote_port)
    if request.endpoint_id:
        endpoint = endpoints[0]
        if not endpoint.usable:
            raise not_usable([endpoint], again, session.command)
    else:
        if instance and instance.ipv6 and not request.private_ip_address:
            address = _suited(instance, endpoints)
        try:
            endpoint = choose_endpoint(endpoints, found.location, address, command=session.command, again=again)
        except NoEndpointError as error:
            better = why_no_endpoint(session, found.location, endpoints, address, error=error, again=again)
            better.group_ids = instance.security_group_ids if instance else ()
            if better is error:
                raise
            raise better from error
    return _target(session, address, remote_port, endpoint, instance, dns_name=request.endpoint_dns_name)


def _again(found: Found, remote_port: int) -> tuple[str, ...]:
    """Return the command with which the user would connect."""
    label = found.location.label
    if remote_port == 22:
        return ("eicctl", "ssh", label)
    if found.instance and found.instance.platform == "windows":
        return ("eicctl", "rdp", label)
    return ("eicctl", "tunnel", label, "--remote-port", str(remote_port))


def _suited(instance: Instance, endpoints: Sequence[Endpoint]) -> str:
    """Return the instance's address of a family that an endpoint of its VPC serves, IPv4 first."""
    usable = [endpoint for endpoint in endpoints if endpoint.vpc_id == instance.vpc_id and endpoint.usable]
    for address in (instance.private_ip, instance.ipv6):
        if address and any(serves(endpoint, address) for endpoint in usable):
            return address
    return instance.private_ip or instance.ipv6


def find(session: Session, request: ConnectRequest, resolver: Resolver = addresses_of) -> Found:
    """Return the instance or address that a request means; it has its address as `with_address` makes it.

    Raises:
        NotFoundError: There is none.
        AmbiguousError: There are several.
        UnavailableError: The instance does not run.
    """
    words = request.instance_id or request.target or request.private_ip_address
    if INSTANCE_ID.fullmatch(words):
        return _of_instance(_by_id(session, words))
    if is_address(words):
        return _by_address(session, str(ipaddress.ip_address(words)))
    if found := _by_name(session, words):
        return found
    for address in () if tag_filter(words) else resolver(words):
        return replace(_by_address(session, str(ipaddress.ip_address(address))), address=address)
    if not tag_filter(words) and (same := with_other_case(session, words)):
        return _one_of(session, words, same)
    why = ", and the name does not resolve from here" if "." in words else ""
    raise no_instance(session, words, why=why)


def _by_id(session: Session, instance_id: str) -> Instance:
    try:
        return list_instances(session, ids=[instance_id])[0]
    except (NotFoundError, IndexError) as error:
        raise no_instance(session, instance_id) from error


def _by_name(session: Session, name: str) -> Found | None:
    """Return the instance with this Name tag, `tag:KEY=VALUE` or private DNS name."""
    tagged = tag_filter(name)
    filters = [tagged or {"tag:Name": [name]}]
    if "." in name and not tagged:
        filters.append({"private-dns-name": [name]})
    found = {i.id: i for f in filters for i in list_instances(session, filters=f)}
    return _one_of(session, name, list(found.values())) if found else None


def _one_of(session: Session, name: str, found: Sequence[Instance]) -> Found:
    """Return the only one of some instances that can be connected to, or the only one that still exists."""
    alive = [instance for instance in found if instance.state in _CONNECTABLE]
    candidates = alive or [instance for instance in found if instance.state != "terminated"] or found
    if len(candidates) > 1:
        raise _several(session, name, candidates)
    return _of_instance(candidates[0])


def _several(session: Session, name: str, candidates: Sequence[Instance]) -> SeveralInstancesError:
    return SeveralInstancesError(name, candidates, session.command("eicctl", "ssh", candidates[0].id))


def _of_instance(instance: Instance) -> Found:
    if instance.state not in _CONNECTABLE:
        label = f"{instance.name} ({instance.id})" if instance.name else instance.id
        error = InstanceStateError(f"The instance {label} is {instance.state}")
        if instance.state in ("stopped", "stopping"):
            error.hint = pins.command("aws", "ec2", "start-instances", "--instance-ids", instance.id)
            error.instance_id, error.label = instance.id, label
        raise error
    return Found(location_of(instance), instance.private_ip or instance.ipv6, instance)


def location_of(instance: Instance) -> TargetLocation:
    """Return where an instance is."""
    label = instance.name or instance.id
    return TargetLocation(label, instance.vpc_id, instance.subnet_id, instance.availability_zone, instance.owner_id)


def _by_address(session: Session, address: str) -> Found:
    """Return the instance with an address, else the subnet or VPC whose range holds it."""
    version = ipaddress.ip_address(address).version
    field = "private-ip-address" if version == 4 else "network-interface.ipv6-addresses.ipv6-address"

    def instances() -> list[Instance]:
        return list_instances(session, filters={field: [address], "instance-state-name": list(_CONNECTABLE)})

    with_address, (subnets, vpcs) = both(instances, lambda: both(lambda: _subnets(session), lambda: _vpcs(session)))
    if len(with_address) > 1:
        raise _several(session, address, with_address)
    if with_address:
        return replace(_of_instance(with_address[0]), address=address)
    holding = [row for row in vpcs if _holds(cidrs_of(row), address)]
    if not holding:
        public = "endpoints reach private addresses only, and this one is public; or try another --region"
        raise NotFoundError(
            f"No VPC in {session.region} contains {address}",
            hint=public if ipaddress.ip_address(address).is_global else "try another --region",
        )
    if len(holding) > 1:
        listed = ", ".join(row["VpcId"] for row in holding)
        raise AmbiguousError(
            f"Multiple VPCs contain {address}: {listed}",
            hint="specify --instance-connect-endpoint-id; eicctl list-endpoints",
        )
    vpc_id = holding[0]["VpcId"]
    for row in subnets:
        if row["VpcId"] == vpc_id and _holds(cidrs_of(row), address):
            return Found(TargetLocation(address, vpc_id, row["SubnetId"], row["AvailabilityZone"]), address)
    return Found(TargetLocation(address, vpc_id), address)


def _subnets(session: Session) -> list[SubnetTypeDef]:
    with translated("look up the subnets"):
        return list(listed(session.client("ec2"), "describe_subnets", "Subnets"))


def _vpcs(session: Session) -> list[VpcTypeDef]:
    with translated("look up the VPCs"):
        return list(listed(session.client("ec2"), "describe_vpcs", "Vpcs"))


def _holds(ranges: Sequence[str], address: str) -> bool:
    return any(ipaddress.ip_address(address) in ipaddress.ip_network(cidr) for cidr in ranges)
