"""World files (docs/reference/local-aws.md): their resources, created in moto and in the emulator's state."""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from eicctl.core.errors import UsageError
from eicctl.emulator.control import backends, interfaces
from eicctl.emulator.control.backends import ec2, rds, zones
from eicctl.emulator.control.endpoints import CreateRequest, EndpointService
from eicctl.emulator.control.instances import describe_platform, host_key, machine_of, make_ipv6_only
from eicctl.emulator.state import Machine, State
from eicctl.emulator.world.schema import (
    AclEntrySpec,
    AclSpec,
    DatabaseSpec,
    EndpointSpec,
    GroupSpec,
    ImageSpec,
    InstanceSpec,
    RuleSpec,
    SubnetSpec,
    VpcSpec,
    WorldReader,
    WorldSpec,
)
from eicctl.support.documents import read_toml

_REST = AclEntrySpec(32_767, False, None, None, "0.0.0.0/0")
"""The entry with which every network ACL ends."""


def allow_ipv6(ec2: Any, vpc_id: str) -> None:
    """Let IPv6 through the default network ACL, as EC2 does where the VPC has it and moto does not."""
    default = next(acl for acl in ec2.network_acls.values() if acl.vpc_id == vpc_id and acl.default)
    for egress in (True, False):
        _make_entry(ec2, default.id, egress, AclEntrySpec(101, True, None, None, "::/0"))


def make_acl(ec2: Any, vpc_id: str, subnets: Mapping[str, Any], spec: AclSpec) -> None:
    """Make a network ACL in front of the subnets that it names."""
    acl = ec2.create_network_acl(vpc_id, tags=[{"Key": "Name", "Value": spec.name}])
    for egress, entries in ((False, spec.ingress), (True, spec.egress)):
        for entry in (*entries, _REST):
            _make_entry(ec2, acl.id, egress, entry)
    for name in spec.subnets:
        there = next(
            association
            for each in ec2.network_acls.values()
            for association in each.associations
            if association.subnet_id == subnets[name].id
        )
        ec2.replace_network_acl_association(there.id, acl.id)


def make_endpoint(
    service: EndpointService, state: State, subnet_id: str, groups: Sequence[str], spec: EndpointSpec
) -> None:
    """Make an endpoint that is ready for connections."""
    request = CreateRequest(
        subnet_id=subnet_id,
        security_group_ids=tuple(groups),
        preserve_client_ip=spec.preserve_client_ip,
        ip_address_type=spec.ip_address_type or ("ipv4" if spec.preserve_client_ip else ""),
        tags={"Name": spec.name} if spec.name else {},
    )
    made = service.create(request, dry_run=False)
    state.put_endpoint(replace(made, state="create-complete"))


def _make_entry(ec2: Any, acl_id: str, egress: bool, entry: AclEntrySpec) -> None:
    six = ":" in entry.cidr
    ec2.create_network_acl_entry(
        network_acl_id=acl_id,
        rule_number=entry.number,
        protocol="-1" if entry.first is None else "6",
        rule_action="allow" if entry.allow else "deny",
        egress=egress,
        cidr_block=None if six else entry.cidr,
        ipv6_cidr_block=entry.cidr if six else None,
        icmp_code=None,
        icmp_type=None,
        port_range_from=entry.first,
        port_range_to=entry.last,
    )


__all__ = ["Seeder", "check_zones", "host_key"]


def check_zones(world: WorldSpec, source: str) -> None:
    """Raise `UsageError` if AWS has no such region or Availability Zone. `source` is what errors call the file."""
    for number, vpc in enumerate(world.vpcs):
        known = zones(vpc.region)
        if not known:
            raise UsageError(f"{source}: vpc[{number}].region is not an AWS region: {vpc.region}")
        for place, subnet in enumerate(vpc.subnets):
            if subnet.availability_zone not in known:
                raise UsageError(
                    f"{source}: vpc[{number}].subnet[{place}].availability_zone "
                    f"must be one of {', '.join(known)}, not {subnet.availability_zone!r}"
                )


class Seeder:
    """Makes worlds in a state that has none.

    Args:
        state: Where machines and endpoints are kept.
        dns_name: What every endpoint's DNS name is: `HOST` or `HOST:PORT` of the data plane.
    """

    def __init__(self, state: State, dns_name: str) -> None:
        self._state = state
        self._dns_name = dns_name

    def make(self, world: WorldSpec) -> None:
        """Make everything; in each region that the world names, moto's default VPC goes."""
        images = {image.key: image for image in world.images}
        for region in {vpc.region for vpc in world.vpcs}:
            _clear_region(ec2(region))
        for vpc in world.vpcs:
            _VpcSeeder(self._state, vpc, images, self._dns_name).make()


def _clear_region(backend: Any) -> None:
    """Take moto's default VPC away: it would make every choice of a VPC ambiguous."""
    for subnets in backend.subnets.values():
        subnets.clear()
    backend.vpcs.clear()
    backend.groups.clear()


class _VpcSeeder:
    def __init__(self, state: State, spec: VpcSpec, images: dict[str, ImageSpec], dns_name: str) -> None:
        self._state = state
        self._spec = spec
        self._images = images
        self._dns_name = dns_name
        self._ec2 = ec2(spec.region)

    def make(self) -> None:
        spec = self._spec
        self._vpc = self._ec2.create_vpc(spec.cidr, tags=_tag_list({"Name": spec.name}))
        if spec.ipv6_cidr:
            # moto gives a range of its own choice, as Amazon does.
            self._vpc.associate_vpc_cidr_block("", amazon_provided_ipv6_cidr_block=True)["cidr_block"] = spec.ipv6_cidr
        self._subnets = {subnet.name: self._make_subnet(subnet) for subnet in spec.subnets}
        self._groups = {"default": self._default_group()}
        for group in spec.groups:
            self._groups[group.name] = self._ec2.create_security_group(
                group.name, f"{group.name} of the emulated world", vpc_id=self._vpc.id, tags={"Name": group.name}
            )
        if spec.ipv6_cidr:
            # EC2 lets IPv6 out too where the VPC has it, and so does moto, but for the group that came with the VPC.
            everything = self._rule(RuleSpec(None, None, "::/0", ""))
            self._ec2.authorize_security_group_egress(self._groups["default"].id, **everything)
        for group in spec.groups:
            self._make_rules(group)
        for instance in spec.instances:
            for number in range(instance.count):
                self._make_instance(instance, number)
        for database in spec.databases:
            self._make_database(database)
        if spec.ipv6_cidr:
            allow_ipv6(self._ec2, self._vpc.id)
        for acl in spec.acls:
            make_acl(self._ec2, self._vpc.id, self._subnets, acl)
        service = EndpointService(self._state, spec.region, self._dns_name)
        for endpoint in spec.endpoints:
            subnet_id = str(self._subnets[endpoint.subnet].id)
            groups = self._group_ids(endpoint.groups)
            make_endpoint(service, self._state, subnet_id, groups, endpoint)

    def _make_subnet(self, spec: SubnetSpec) -> Any:
        return self._ec2.create_subnet(
            self._vpc.id,
            spec.cidr or None,
            ipv6_cidr_block=spec.ipv6_cidr or None,
            ipv6_native=not spec.cidr,
            availability_zone=spec.availability_zone,
            tags={"subnet": {"Name": spec.name}},
        )

    def _group_ids(self, names: tuple[str, ...]) -> list[str]:
        return [str(self._groups[name].id) for name in names or ("default",)]

    def _default_group(self) -> Any:
        return next(group for group in self._ec2.groups[self._vpc.id].values() if group.name == "default")

    def _make_rules(self, spec: GroupSpec) -> None:
        group = self._groups[spec.name]
        for rule in spec.ingress:
            self._ec2.authorize_security_group_ingress(group.id, **self._rule(rule))
        if spec.egress is not None:
            group.egress_rules.clear()
            for rule in spec.egress:
                self._ec2.authorize_security_group_egress(group.id, **self._rule(rule))

    def _rule(self, rule: RuleSpec) -> dict[str, Any]:
        """The rule as moto's operations take it."""
        return {
            "ip_protocol": "-1" if rule.first is None else "tcp",
            "from_port": "-1" if rule.first is None else str(rule.first),
            "to_port": "-1" if rule.last is None else str(rule.last),
            "ip_ranges": [{"CidrIpv6" if ":" in rule.cidr else "CidrIp": rule.cidr}] if rule.cidr else [],
            "source_groups": [{"GroupId": self._groups[rule.group].id}] if rule.group else [],
            "vpc_id": self._vpc.id,
        }

    def _make_instance(self, spec: InstanceSpec, number: int) -> None:
        image = self._images[spec.image]
        name = spec.name if spec.count == 1 else f"{spec.name}-{number + 1}"
        address = str(ipaddress.ip_address(spec.address or spec.ipv6_address) + number)
        subnet = self._subnets[spec.subnet]
        reservation = self._ec2.run_instances(
            self._image(image),
            1,
            None,
            [],
            security_group_ids=self._group_ids(spec.groups),
            subnet_id=subnet.id,
            private_ip=address,
            instance_type=spec.instance_type,
            is_instance_type_default=False,
            region_name=self._spec.region,
            placement=subnet.availability_zone,
            key_name=None,
            nics={},
            tags={"instance": {"Name": name, **spec.tags}},
        )
        instance = reservation.instances[0]
        # The pair need not be there: the user makes it, and has the private key then.
        instance.key_name = spec.key_name or None
        if spec.state == "stopped":
            instance.stop()
        elif spec.state == "terminated":
            instance.terminate()
        describe_platform(instance)
        if not spec.address:
            make_ipv6_only(instance)
        machine = replace(
            machine_of(self._state, instance),
            users=spec.users or image.users,
            forwards=tuple(spec.forwards.items()),
            ec2_instance_connect=spec.ec2_instance_connect,
            authorized_keys=spec.authorized_keys,
        )
        if machine.authorized_keys and not machine.host_key:
            private, public = host_key()
            machine = replace(machine, host_key=private, host_public_key=public, ec2_instance_connect=False)
        if spec.address:
            self._state.put_machine(machine)
        if spec.ipv6_address:
            ipv6_address = str(ipaddress.ip_address(spec.ipv6_address) + number)
            instance.ipv6_address = ipv6_address
            instance.nics[0].ipv6_addresses = [ipv6_address]
            # The same machine, at another address.
            self._state.put_machine(replace(machine, address=ipv6_address))

    def _image(self, spec: ImageSpec) -> str:
        """Return the ID of the AMI, made at its first use in the region."""
        for image in self._ec2.amis.values():
            if image.name == spec.name:
                return str(image.id)
        image = self._ec2.register_image(spec.name, spec.name)
        image.owner_id, image.owner_alias = ("137112412989", "amazon") if spec.owner == "amazon" else (spec.owner, None)
        image.platform = "windows" if spec.platform == "windows" else None
        image.architecture, image.virtualization_type, image.root_device_type = "x86_64", "hvm", "ebs"
        image.launch_permissions = [{"Group": "all"}]
        describe_platform(image)
        self._state.remember_users(str(image.id), spec.users)
        return str(image.id)

    def _make_database(self, spec: DatabaseSpec) -> None:
        subnet = self._subnets[spec.subnet]
        group_ids = self._group_ids(spec.groups)
        common = {
            "engine": spec.engine,
            "master_username": "demo",
            "master_user_password": secrets.token_urlsafe(16),
            "port": spec.port,
            "vpc_security_group_ids": group_ids,
            "db_subnet_group_name": self._database_subnets(),
            "enable_iam_database_authentication": spec.iam_auth,
        }
        instance = {"db_instance_class": "db.t3.medium", "availability_zone": subnet.availability_zone}
        backend = rds(self._spec.region)
        if not spec.is_cluster:
            made = backend.create_db_instance(
                {"db_instance_identifier": spec.id, "allocated_storage": 20, **common, **instance}
            )
            self._place_database(spec, spec.address, [str(made.address)])
            return
        cluster = backend.create_db_cluster({"db_cluster_identifier": spec.id, **common})
        cluster.status = "available"
        members = [
            backend.create_db_instance(
                {
                    "db_instance_identifier": f"{spec.id}-{number}",
                    "db_cluster_identifier": spec.id,
                    "engine": spec.engine,
                    **instance,
                }
            )
            for number in range(1, 3 if spec.reader_address else 2)
        ]
        names = [str(member.address) for member in members]
        # Without a reader, the reader endpoint leads to the writer (RDS user guide, Aurora endpoints).
        reader = str(cluster.reader_endpoint)
        self._place_database(
            spec, spec.address, [str(cluster.endpoint), names[0], *([] if spec.reader_address else [reader])]
        )
        if spec.reader_address:
            self._place_database(spec, spec.reader_address, [reader, names[1]])

    def _place_database(self, spec: DatabaseSpec, address: str, names: list[str]) -> None:
        """Give a database its place in the VPC."""
        group_ids = self._group_ids(spec.groups)
        interfaces.make(self._ec2, self._subnets[spec.subnet], group_ids, "RDSNetworkInterface", address=address)
        self._state.put_machine(
            Machine(
                kind="service",
                name=spec.id,
                address=address,
                region=self._spec.region,
                vpc_id=self._vpc.id,
                forwards=((spec.port, spec.forward),) if spec.forward else (),
                security_group_ids=tuple(group_ids),
                names=tuple(names),
            )
        )

    def _database_subnets(self) -> str:
        """Return the name of a DB subnet group with all subnets of the VPC."""
        name = f"{self._spec.name.lower() or 'world'}-{self._vpc.id}"
        backend = rds(self._spec.region)
        if name not in backend.subnet_groups:
            backend.create_subnet_group(name, "All subnets of the VPC", list(self._subnets.values()), [])
        return name


def _tag_list(tags: dict[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items() if value]


_SHIPPED = Path(__file__).parent


def load_world(state: State, path: Path | None = None, dns_name: str = "localhost") -> None:
    """Make the world of the file at `path`, or the default one, instead of all that there is.

    Args:
        state: The emulator's memory.
        path: The file, or the name of a world that eicctl ships where there is no such file; None for the default one.
        dns_name: What every endpoint's DNS name is: `HOST` or `HOST:PORT` of the data plane.

    Raises:
        UsageError: The file cannot be read, or says something that cannot be; the message names the key.
    """
    name = str(path) if path else "the default world"
    try:
        _, content = read_toml(_shipped(path) or path or _SHIPPED / "default.toml")
    except OSError as error:
        raise UsageError(f"cannot read the world file {name}: {error}") from error
    except ValueError as error:
        raise UsageError(f"{name} is not TOML: {error}") from error
    world = WorldReader(name).read(content)
    check_zones(world, name)
    with backends.LOCK:
        backends.reset()
        state.clear()
        Seeder(state, dns_name).make(world)


def _shipped(path: Path | None) -> Path | None:
    """The world that eicctl ships by this name, where there is no file of the name."""
    if path is None or path.suffix or path.exists():
        return None
    found = _SHIPPED / f"{path.name}.toml"
    return found if found.is_file() else None
