"""The network of a region: VPCs, subnets, and what decides whether packets get through (`NetworkFacts`).

The facts are read by few calls at the same time. One that the caller's policy denies leaves its fact unknown.
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar, cast

from eicctl.aws import caches
from eicctl.aws.ec2_requests import batches, exact_filters, listed
from eicctl.aws.endpoint_selection import NoEndpointError, TargetLocation, serves, shared_vpc
from eicctl.aws.errors import translated
from eicctl.aws.identity import caller_identity
from eicctl.aws.session import Session
from eicctl.core.errors import AmbiguousError, DeniedError, EicctlError, NotFoundError, RefusedError
from eicctl.core.model import Endpoint
from eicctl.core.names import counted, natural_key
from eicctl.core.network import (
    ANY_PORT,
    AclEntry,
    GroupReference,
    Interface,
    NetworkAcl,
    NetworkFacts,
    Peering,
    PrefixList,
    Route,
    RouteKind,
    RouteTable,
    Rule,
    SecurityGroup,
    Subnet,
    Vpc,
)
from eicctl.support.threads import both, for_each, together

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import (
        IpPermissionOutputTypeDef,
        NetworkAclEntryTypeDef,
        NetworkAclTypeDef,
        NetworkInterfaceTypeDef,
        RouteTableTypeDef,
        RouteTypeDef,
        SecurityGroupTypeDef,
        SubnetTypeDef,
        VpcCidrBlockStateTypeDef,
        VpcPeeringConnectionTypeDef,
        VpcTypeDef,
    )


class _HasId(Protocol):
    @property
    def id(self) -> str: ...


T = TypeVar("T", bound=_HasId)
Facts: TypeAlias = "dict[str, T] | None"
"""Resources by their IDs; None if the caller may not read them."""


def read_network(
    session: Session,
    *,
    region: str | None = None,
    vpc_ids: Sequence[str] = (),
    interface_ids: Sequence[str] = (),
    addresses: Sequence[str] = (),
) -> NetworkFacts:
    """Return the network of a region.

    Args:
        session: Access to AWS.
        region: The region; the session's where None.
        vpc_ids: Read only what is in these VPCs; everything where empty.
        interface_ids: Network interfaces to read: those of endpoints.
        addresses: Private addresses (IPv4 or IPv6) whose network interfaces to read as well.

    Raises:
        EicctlError: AWS cannot be reached, or does not accept the credentials.
    """
    reader = _Reader(session.client("ec2", region or session.region))
    narrow = {"Filters": exact_filters({"vpc-id": vpc_ids})} if vpc_ids else {}
    reads: dict[str, Callable[[], Any]] = {
        "vpcs": lambda: reader.read("DescribeVpcs", "Vpcs", _vpc, narrow),
        "subnets": lambda: reader.read("DescribeSubnets", "Subnets", _subnet, narrow),
        "groups": lambda: reader.read("DescribeSecurityGroups", "SecurityGroups", group_of, narrow),
        "acls": lambda: reader.read("DescribeNetworkAcls", "NetworkAcls", _acl, narrow),
        "route_tables": lambda: reader.read("DescribeRouteTables", "RouteTables", _route_table, narrow),
        "peerings": lambda: reader.read("DescribeVpcPeeringConnections", "VpcPeeringConnections", _peering, {}),
        "interfaces": lambda: reader.interfaces(interface_ids, addresses),
    }
    read = dict(zip(reads, together(reads.values()), strict=True))
    facts = NetworkFacts(**read, prefix_lists=None)
    lists = for_each(reader.prefix_list, sorted(_prefix_lists_of(facts)))
    return replace(facts, prefix_lists={each.id: each for each in lists}, unread=dict(reader.unread))


class _Reader:
    """Reads whole lists by paginated calls. `unread` says which of them were refused, and why."""

    def __init__(self, client: EC2Client) -> None:
        self._client = client
        self.unread: dict[str, str] = {}

    def rows(self, operation: str, key: str, request: Mapping[str, Any]) -> list[Any] | None:
        """Return what a call lists, all pages of it; None if it was refused."""
        from botocore import xform_name

        try:
            with translated(f"read the network ({operation})"):
                rows = list(listed(self._client, xform_name(operation), key, **request))
        except (DeniedError, RefusedError) as error:
            self.unread[operation] = in_short(error)
            return None
        return rows

    def read(self, operation: str, key: str, make: Callable[[Any], T], request: Mapping[str, Any]) -> Facts[T]:
        """Return what a call lists, by ID; None if it was refused."""
        rows = self.rows(operation, key, request)
        return None if rows is None else {item.id: item for item in map(make, rows)}

    def interfaces(self, ids: Sequence[str], addresses: Sequence[str]) -> Facts[Interface]:
        """Return network interfaces by their IDs and their addresses."""
        wanted = {
            "network-interface-id": list(ids),
            "addresses.private-ip-address": [address for address in addresses if ":" not in address],
            "ipv6-addresses.ipv6-address": [address for address in addresses if ":" in address],
        }
        found: dict[str, Interface] = {}
        for name, values in wanted.items():
            for some in batches(values):
                filters = {"Filters": exact_filters({name: some})}
                read = self.read("DescribeNetworkInterfaces", "NetworkInterfaces", _interface, filters)
                if read is None:
                    return None
                found |= read
        return found

    def prefix_list(self, list_id: str) -> PrefixList:
        """Return a prefix list with its entries; without, where they cannot be read."""
        rows = self.rows("GetManagedPrefixListEntries", "Entries", {"PrefixListId": list_id})
        return PrefixList(list_id) if rows is None else PrefixList(list_id, cidrs=tuple(row["Cidr"] for row in rows))


def in_short(error: EicctlError) -> str:
    """Return an error in one line, without the page of code that EC2 appends for `sts decode-authorization-message`."""
    return " ".join(error.message.partition("Encoded authorization failure message")[0].split())


def _prefix_lists_of(facts: NetworkFacts) -> set[str]:
    """The prefix lists that rules and routes name; those of gateway endpoints (S3, DynamoDB) lead to no target."""
    rules = [rule for group in (facts.groups or {}).values() for rule in (*group.ingress, *group.egress)]
    routes = [route for table in (facts.route_tables or {}).values() for route in table.routes]
    named = {list_id for rule in rules for list_id in rule.prefix_list_ids}
    return named | {r.destination for r in routes if r.destination.startswith("pl-") and not r.via.startswith("vpce-")}


def _name(row: VpcTypeDef | SubnetTypeDef) -> str:
    return next((str(tag["Value"]) for tag in row.get("Tags", []) if tag["Key"] == "Name"), "")


def cidrs_of(row: VpcTypeDef | SubnetTypeDef) -> tuple[str, ...]:
    """Return the ranges of a VPC or a subnet, of both families, as DescribeVpcs or DescribeSubnets has them.

    EC2 goes on listing ranges that are disassociated or could not be associated; those are left out.
    """
    vpc = cast("VpcTypeDef", row)  # a subnet has no list of IPv4 ranges
    ipv4, ipv6 = vpc.get("CidrBlockAssociationSet", []), vpc.get("Ipv6CidrBlockAssociationSet", [])
    found = [
        vpc.get("CidrBlock", ""),  # a VPC's primary range cannot be disassociated, nor a subnet's
        *(item["CidrBlock"] for item in ipv4 if _associated(item.get("CidrBlockState", {}))),
        *(item["Ipv6CidrBlock"] for item in ipv6 if _associated(item.get("Ipv6CidrBlockState", {}))),
    ]
    return tuple(dict.fromkeys(filter(None, found)))


def _associated(state: VpcCidrBlockStateTypeDef) -> bool:
    return state.get("State", "associated") == "associated"


def _vpc(row: VpcTypeDef) -> Vpc:
    return Vpc(row["VpcId"], cidrs_of(row), _name(row), row.get("OwnerId", ""))


def _subnet(row: SubnetTypeDef) -> Subnet:
    return Subnet(row["SubnetId"], row["VpcId"], cidrs_of(row), row.get("AvailabilityZone", ""), _name(row))


def group_of(row: SecurityGroupTypeDef) -> SecurityGroup:
    """Return a security group as DescribeSecurityGroups has it."""
    return SecurityGroup(
        row["GroupId"],
        row.get("GroupName", ""),
        row.get("VpcId", ""),
        tuple(rule_of(rule) for rule in row.get("IpPermissions", [])),
        tuple(rule_of(rule) for rule in row.get("IpPermissionsEgress", [])),
    )


def rule_of(row: IpPermissionOutputTypeDef) -> Rule:
    """Return a rule as an `IpPermission` has it."""
    protocol = str(row.get("IpProtocol", "-1"))
    first, last = row.get("FromPort"), row.get("ToPort")
    ports = ANY_PORT if first is None or last is None or protocol == "-1" else (int(first), int(last))
    return Rule(
        protocol=protocol,
        ports=ports,
        cidrs=(
            *(item["CidrIp"] for item in row.get("IpRanges", [])),
            *(item["CidrIpv6"] for item in row.get("Ipv6Ranges", [])),
        ),
        groups=tuple(
            GroupReference(
                pair["GroupId"],
                pair.get("VpcId", ""),
                pair.get("UserId", ""),
                pair.get("VpcPeeringConnectionId", ""),
                pair.get("PeeringStatus", ""),
            )
            for pair in row.get("UserIdGroupPairs", [])
            if pair.get("GroupId")
        ),
        prefix_list_ids=tuple(item["PrefixListId"] for item in row.get("PrefixListIds", [])),
    )


def _acl(row: NetworkAclTypeDef) -> NetworkAcl:
    subnets = tuple(item["SubnetId"] for item in row.get("Associations", []) if item.get("SubnetId"))
    return NetworkAcl(row["NetworkAclId"], row.get("VpcId", ""), subnets, tuple(map(_entry, row.get("Entries", []))))


def _entry(row: NetworkAclEntryTypeDef) -> AclEntry:
    ports = row.get("PortRange") or {}
    return AclEntry(
        number=int(row["RuleNumber"]),
        egress=bool(row["Egress"]),
        allow=row["RuleAction"] == "allow",
        protocol=str(row.get("Protocol", "-1")),
        cidr=row.get("CidrBlock") or row["Ipv6CidrBlock"],
        ports=(int(ports["From"]), int(ports["To"])) if ports else ANY_PORT,
    )


_VIA: tuple[tuple[str, RouteKind], ...] = (
    ("VpcPeeringConnectionId", "peering"),
    ("TransitGatewayId", "transit-gateway"),
    ("NatGatewayId", "other"),
    ("NetworkInterfaceId", "other"),
    ("InstanceId", "other"),
    ("EgressOnlyInternetGatewayId", "other"),
    ("LocalGatewayId", "other"),
    ("CarrierGatewayId", "other"),
    ("CoreNetworkArn", "other"),
    ("GatewayId", "other"),
)


def _route_table(row: RouteTableTypeDef) -> RouteTable:
    associations = row.get("Associations", [])
    return RouteTable(
        row["RouteTableId"],
        row.get("VpcId", ""),
        tuple(item["SubnetId"] for item in associations if item.get("SubnetId")),
        any(item.get("Main") for item in associations),
        tuple(map(_route, row.get("Routes", []))),
    )


def _route(row: RouteTypeDef) -> Route:
    destination = (
        row.get("DestinationCidrBlock") or row.get("DestinationIpv6CidrBlock") or row.get("DestinationPrefixListId", "")
    )
    gone = row.get("State") == "blackhole"
    if row.get("GatewayId") == "local":
        return Route(destination, blackhole=gone)
    fields: Mapping[str, object] = row
    via, kind = next(((str(fields[key]), kind) for key, kind in _VIA if fields.get(key)), ("nothing", "other"))
    return Route(destination, kind, via, gone)


def _peering(row: VpcPeeringConnectionTypeDef) -> Peering:
    requester, accepter = row.get("RequesterVpcInfo", {}), row.get("AccepterVpcInfo", {})
    return Peering(
        row["VpcPeeringConnectionId"],
        (requester.get("VpcId", ""), accepter.get("VpcId", "")),
        row.get("Status", {}).get("Code", ""),
        requester.get("Region") == accepter.get("Region"),
    )


def _interface(row: NetworkInterfaceTypeDef) -> Interface:
    addresses = [item["PrivateIpAddress"] for item in row.get("PrivateIpAddresses", [])]
    addresses += [item["Ipv6Address"] for item in row.get("Ipv6Addresses", [])]
    return Interface(
        row["NetworkInterfaceId"],
        row.get("VpcId", ""),
        row.get("SubnetId", ""),
        tuple(dict.fromkeys(filter(None, [row.get("PrivateIpAddress", ""), *addresses]))),
        tuple(group["GroupId"] for group in row.get("Groups", [])),
    )


@dataclass(frozen=True, slots=True)
class ChosenSubnet:
    """A subnet for an endpoint, with the reason; `ip_address_type` is what an endpoint in it is by default."""

    subnet_id: str
    vpc_id: str
    reason: str
    ip_address_type: str


def describe_subnet(session: Session, subnet_id: str) -> ChosenSubnet:
    """Return a subnet that the user has named.

    Raises:
        NotFoundError: It does not exist.
    """
    with translated(f"look up {subnet_id}"):
        rows = session.client("ec2").describe_subnets(SubnetIds=[subnet_id])["Subnets"]
    return ChosenSubnet(subnet_id, rows[0]["VpcId"], "as specified", _type_of(rows[0]))


def choose_subnet(session: Session, vpc_id: str | None) -> ChosenSubnet:
    """Return the subnet of a VPC in which most instances run, or the one with most free addresses.

    Args:
        session: Access to AWS.
        vpc_id: The VPC, or None for the only one in the region.

    Raises:
        NotFoundError: There is no VPC, or it has no subnet.
        AmbiguousError: There are several VPCs.
    """
    vpc = vpc_id or only_vpc(session)
    with translated(f"look up the subnets of {vpc}"):
        client = session.client("ec2")
        subnets = client.describe_subnets(Filters=exact_filters({"vpc-id": [vpc]}))["Subnets"]
        filters = exact_filters({"vpc-id": [vpc], "instance-state-name": ["running"]})
        groups = listed(client, "describe_instances", "Reservations", Filters=filters)
        running = Counter(row["SubnetId"] for group in groups for row in group["Instances"])
        if not subnets:
            client.describe_vpcs(VpcIds=[vpc])
    if not subnets:
        raise NotFoundError(f"VPC {vpc} has no subnets", hint=session.command("aws", "ec2", "describe-subnets"))
    best = max(subnets, key=lambda row: (running[row["SubnetId"]], row["AvailableIpAddressCount"], row["SubnetId"]))
    count = running[best["SubnetId"]]
    why = f"{counted(count, 'running instance')}, most in {vpc}" if count else f"most free addresses in {vpc}"
    return ChosenSubnet(best["SubnetId"], vpc, f"{best['AvailabilityZone']}, {why}", _type_of(best))


def _type_of(subnet: SubnetTypeDef) -> str:
    families = {ipaddress.ip_network(cidr).version for cidr in cidrs_of(subnet)}
    return "dualstack" if len(families) > 1 else "ipv6" if families == {6} else "ipv4"


def why_no_endpoint(
    session: Session,
    location: TargetLocation,
    endpoints: Sequence[Endpoint],
    address: str,
    *,
    error: NoEndpointError,
    again: Sequence[str],
) -> NoEndpointError:
    """Return the error, extended with other endpoints that may reach a target whose VPC has none.

    Args:
        session: Access to AWS.
        location: Where the target is.
        endpoints: The endpoints of the region.
        address: The target's address.
        error: The error so far.
        again: The command with which the user would connect.
    """
    try:
        owner, peers = both(lambda: vpc_sharer(session, location.vpc_id), lambda: _peers(session, location.vpc_id))
    except EicctlError:
        return error
    fitting = (each for each in endpoints if each.vpc_id in peers and each.usable and not each.preserve_client_ip)
    peer = next((each for each in fitting if serves(each, address)), None)
    if not (owner or peer):
        return error
    text, hint = error.message, error.hint
    if owner:
        text = shared_vpc(location.vpc_id, owner, location.label)
        # Without a group, EC2 would take the VPC's default one, which is the owner's.
        where = ("--subnet-id", location.subnet_id) if location.subnet_id else ("--vpc-id", location.vpc_id)
        hint = session.command("eicctl", "create-endpoint", *where, "--create-security-group", "--wait")
    if peer:
        text += f"; endpoint {peer.id} of the peered VPC {peer.vpc_id} may reach it"
        hint = session.command(*again, "--instance-connect-endpoint-id", peer.id)
    found = NoEndpointError(text, hint=hint)
    found.vpc_owner = owner
    if not peer:
        found.location = error.location
    return found


def vpc_sharer(session: Session, vpc_id: str) -> str:
    """Return the account that shares a VPC with the caller's; empty if it is the caller's own."""
    with translated(f"look up {vpc_id}"):
        owner = str(session.client("ec2").describe_vpcs(VpcIds=[vpc_id])["Vpcs"][0].get("OwnerId", ""))
    return owner if owner and owner != caller_identity(session).account else ""


def shared_vpcs(session: Session) -> dict[str, str]:
    """Return the VPCs of the region that other accounts share with the caller's, each with the account that owns it.

    Empty where the caller may not list VPCs: it only explains an answer, which does not depend on it.
    """
    try:
        with translated("list the VPCs"):
            rows = list(listed(session.client("ec2"), "describe_vpcs", "Vpcs"))
        own = caller_identity(session).account
    except EicctlError:
        return {}
    return {row["VpcId"]: row["OwnerId"] for row in rows if row.get("OwnerId", own) != own}


def _peers(session: Session, vpc_id: str) -> set[str]:
    """Return the VPCs to which a VPC has an active peering connection."""
    with translated("look up the peering connections"):
        client = session.client("ec2")
        rows = list(listed(client, "describe_vpc_peering_connections", "VpcPeeringConnections"))
    pairs = [
        {row["RequesterVpcInfo"].get("VpcId", ""), row["AccepterVpcInfo"].get("VpcId", "")}
        for row in rows
        if row.get("Status", {}).get("Code") == "active"
    ]
    return {peer for pair in pairs if vpc_id in pair for peer in pair - {vpc_id}}


def vpc_names(session: Session, region: str | None = None) -> dict[str, str]:
    """Return the Name tags of the VPCs of a region, by ID; nothing if the caller may not look."""
    try:
        with translated("look up the VPCs"):
            rows = list(listed(session.client("ec2", region), "describe_vpcs", "Vpcs"))
    except DeniedError:
        return {}
    names = {row["VpcId"]: _name(row) for row in rows}
    caches.note_names(session, caches.VPCS, names, region=region or session.region, whole=True)
    return names


class SeveralVpcsError(AmbiguousError):
    """There are several VPCs; `candidates` has ID, name and CIDR ranges of each, those with a name first."""

    candidates: Sequence[tuple[str, str, str]] = ()


def only_vpc(session: Session) -> str:
    """Return the only VPC of the region.

    Raises:
        NotFoundError: There is none.
        SeveralVpcsError: There are several.
    """
    with translated("look up the VPCs"):
        vpcs = session.client("ec2").describe_vpcs()["Vpcs"]
    if not vpcs:
        raise NotFoundError(
            f"No VPC in {session.location}", hint=session.command("eicctl", "list-endpoints", "--all-regions")
        )
    if len(vpcs) > 1:
        found = [(row["VpcId"], _name(row), ", ".join(cidrs_of(row))) for row in vpcs]
        listed = "; ".join(f"{' '.join(filter(None, (vpc_id, name)))} ({cidrs})" for vpc_id, name, cidrs in found)
        error = SeveralVpcsError(
            f"Multiple VPCs in {session.location}: {listed}",
            hint=session.command("eicctl", "create-endpoint", "--vpc-id", found[0][0], "--wait"),
        )
        error.candidates = sorted(found, key=lambda row: (not row[1], natural_key(row[1]), row[0]))
        raise error
    return str(vpcs[0]["VpcId"])
