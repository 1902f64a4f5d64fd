"""World files (docs/reference/local-aws.md): their resources, created in moto and in the emulator's state."""

from __future__ import annotations

import secrets
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

from eicctl.core.errors import UsageError
from eicctl.emulator.control import backends, network, organization
from eicctl.emulator.control.backends import ACCOUNT, ec2, rds, zones
from eicctl.emulator.control.endpoints import CreateRequest, EndpointService
from eicctl.emulator.control.instances import describe_platform, host_key, machine_of, make_ipv6_only
from eicctl.emulator.state import Account, Machine, State
from eicctl.emulator.world.schema import (
    AclEntrySpec,
    AclSpec,
    DatabaseSpec,
    EndpointSpec,
    ImageSpec,
    InstanceSpec,
    RuleSpec,
    SubnetSpec,
    VpcSpec,
    WorldSpec,
    read_world,
)
from eicctl.support.toml_files import read_toml

_INCLUDED = Path(__file__).parent
_REST = AclEntrySpec(32_767, False, None, None, "0.0.0.0/0")
"""The entry with which every network ACL ends."""


def load_world(state: State, path: Path | None = None, dns_name: str = "localhost") -> None:
    """Replace all resources by those of a world file. moto's default VPC is removed in each of its regions.

    Args:
        state: The emulator's memory.
        path: The file, or the name of a world that eicctl includes if no such file exists; None for the default one.
        dns_name: Every endpoint's DNS name: `HOST` or `HOST:PORT` of the data plane.

    Raises:
        UsageError: The file cannot be read, or is not valid; the message names the key.
    """
    name = str(path) if path else "the default world"
    included = _INCLUDED / f"{path.name}.toml" if path and not path.suffix and not path.exists() else None
    try:
        _, content = read_toml(included if included and included.is_file() else path or _INCLUDED / "default.toml")
    except OSError as error:
        raise UsageError(f"Cannot read the world file {name}: {error}") from error
    except ValueError as error:
        raise UsageError(f"{name} is not TOML: {error}") from error
    world = read_world(content, name)
    _check_zones(world, name)
    with backends.LOCK:
        backends.reset()
        state.clear()
        for account in world.accounts:
            organization.add_account(state, Account(account.id, account.name, account.state), account.role)
        owners = {ACCOUNT, *(account.id for account in world.accounts)}
        for region, owner in product({vpc.region for vpc in world.vpcs}, owners):
            _clear_region(ec2(region, owner))
        for vpc in world.vpcs:
            _VpcLoader(state, vpc, world.images, dns_name).load()


def _check_zones(world: WorldSpec, source: str) -> None:
    """Refuse a region or an Availability Zone that AWS does not have."""
    for number, vpc in enumerate(world.vpcs):
        known = zones(vpc.region)
        if not known:
            raise UsageError(f"{source}: vpc[{number}].region: {vpc.region} is not an AWS region")
        for index, subnet in enumerate(vpc.subnets):
            if subnet.availability_zone not in ("", *known):
                raise UsageError(
                    f"{source}: vpc[{number}].subnet[{index}].availability_zone: "
                    f"{subnet.availability_zone!r} is not one of {', '.join(known)}"
                )


def _clear_region(backend: Any) -> None:
    """Remove moto's default VPC, with which every choice of a VPC would be ambiguous."""
    for subnets in backend.subnets.values():
        subnets.clear()
    backend.vpcs.clear()
    backend.groups.clear()


class _VpcLoader:
    """Creates a VPC and all that is in it."""

    def __init__(self, state: State, spec: VpcSpec, images: tuple[ImageSpec, ...], dns_name: str) -> None:
        self._state = state
        self._spec = spec
        self._images = {image.key: image for image in images}
        self._dns_name = dns_name
        self._owner = spec.account or ACCOUNT
        self._ec2 = ec2(spec.region, self._owner)

    def load(self) -> None:
        spec = self._spec
        tags = [{"Key": "Name", "Value": spec.name}] if spec.name else []
        self._vpc = self._ec2.create_vpc(str(spec.cidr), tags=tags)
        if spec.ipv6_cidr:
            # moto chooses a range, as Amazon does.
            association = self._vpc.associate_vpc_cidr_block("", amazon_provided_ipv6_cidr_block=True)
            association["cidr_block"] = str(spec.ipv6_cidr)
        self._subnets = {subnet.name: self._load_subnet(subnet) for subnet in spec.subnets}
        self._share()
        self._load_groups()
        for instance in spec.instances:
            for number in range(instance.count):
                self._load_instance(instance, number)
        for database in spec.databases:
            self._load_database(database)
        if spec.ipv6_cidr:  # EC2's default network ACL allows IPv6 where the VPC has it, and moto's does not
            default = next(a for a in self._ec2.network_acls.values() if a.vpc_id == self._vpc.id and a.default)
            for egress in (True, False):
                self._load_entry(default.id, egress, AclEntrySpec(101, True, None, None, "::/0"))
        for acl in spec.acls:
            self._load_acl(acl)
        self._share()  # the network ACLs
        for endpoint in spec.endpoints:
            self._load_endpoint(endpoint)

    def _of(self, account: str) -> Any:
        """moto's EC2 of the owner, or of a participant."""
        return ec2(self._spec.region, account or self._owner)

    def _share(self) -> None:
        """Show shared subnets to participants, with their VPC, network ACLs and route tables: moto's same objects."""
        for spec in self._spec.subnets:
            subnet = self._subnets[spec.name]
            for account in spec.shared_with:
                theirs = self._of(account)
                theirs.vpcs[self._vpc.id] = self._vpc
                theirs.subnets[subnet.availability_zone][subnet.id] = subnet
                for mine, shown in (
                    (self._ec2.network_acls, theirs.network_acls),
                    (self._ec2.route_tables, theirs.route_tables),
                ):
                    shown.update({key: each for key, each in mine.items() if each.vpc_id == self._vpc.id})

    def _load_subnet(self, spec: SubnetSpec) -> Any:
        return self._ec2.create_subnet(
            self._vpc.id,
            str(spec.cidr) if spec.cidr else None,
            ipv6_cidr_block=str(spec.ipv6_cidr) if spec.ipv6_cidr else None,
            ipv6_native=not spec.cidr,
            availability_zone=spec.availability_zone or f"{self._spec.region}a",
            tags={"subnet": {"Name": spec.name}},
        )

    def _load_groups(self) -> None:
        backend, vpc_id = self._ec2, self._vpc.id
        default = next(group for group in backend.groups[vpc_id].values() if group.name == "default")
        self._groups = {"default": default} | {
            spec.name: self._of(spec.account).create_security_group(
                spec.name, f"{spec.name} of the emulated world", vpc_id=vpc_id, tags={"Name": spec.name}
            )
            for spec in self._spec.groups
        }
        if self._spec.ipv6_cidr:
            # Where the VPC has IPv6, groups allow all outbound IPv6 in EC2; moto omits that in the VPC's default group.
            backend.authorize_security_group_egress(default.id, **self._rule(RuleSpec(None, None, "::/0", "")))
        for spec in self._spec.groups:
            group, backend = self._groups[spec.name], self._of(spec.account)
            ingress, egress = spec.rules()
            for rule in ingress:
                backend.authorize_security_group_ingress(group.id, **self._rule(rule))
            if spec.egress is not None:
                group.egress_rules.clear()
                for rule in egress:
                    backend.authorize_security_group_egress(group.id, **self._rule(rule))

    def _rule(self, rule: RuleSpec) -> dict[str, Any]:
        """The rule as arguments of moto's operations."""
        return {
            "ip_protocol": "-1" if rule.first is None else "tcp",
            "from_port": "-1" if rule.first is None else str(rule.first),
            "to_port": "-1" if rule.last is None else str(rule.last),
            "ip_ranges": [{"CidrIpv6" if ":" in rule.cidr else "CidrIp": rule.cidr}] if rule.cidr else [],
            "source_groups": [{"GroupId": self._groups[rule.group].id}] if rule.group else [],
            "vpc_id": self._vpc.id,
        }

    def _group_ids(self, names: tuple[str, ...]) -> list[str]:
        return [str(self._groups[name].id) for name in names or ("default",)]

    def _subnet_at(self, address: Any) -> Any:
        """moto's subnet that has an address; the world file was checked for it."""
        spec = self._spec.subnet_of(address)
        return self._subnets[spec.name if spec else ""]

    def _load_instance(self, spec: InstanceSpec, number: int) -> None:
        image = self._images[spec.image] if spec.image else next(iter(self._images.values()))
        subnet = self._subnet_at(spec.first_address)
        reservation = self._of(spec.account).run_instances(
            self._image(image, spec.account),
            1,
            None,
            [],
            security_group_ids=self._group_ids(spec.groups),
            subnet_id=subnet.id,
            private_ip=str(spec.first_address + number),
            instance_type=spec.instance_type,
            is_instance_type_default=True,  # any type is taken, and not looked for among moto's 1,000
            region_name=self._spec.region,
            placement=subnet.availability_zone,
            key_name=None,
            nics={},
            tags={"instance": {"Name": spec.name if spec.count == 1 else f"{spec.name}-{number + 1}", **spec.tags}},
        )
        instance = reservation.instances[0]
        # The pair need not exist: the user creates it, and has the private key then.
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
            instance.ipv6_address = ipv6_address = str(spec.ipv6_address + number)
            instance.nics[0].ipv6_addresses = [ipv6_address]
            # The same machine, at another address.
            self._state.put_machine(replace(machine, address=ipv6_address))

    def _image(self, spec: ImageSpec, account: str) -> str:
        """Return the ID of the AMI, created at its first use in the region and account."""
        backend = self._of(account)
        for image in backend.amis.values():
            if image.name == spec.name:
                return str(image.id)
        image = backend.register_image(spec.name, spec.name)
        image.owner_id, image.owner_alias = ("137112412989", "amazon") if spec.owner == "amazon" else (spec.owner, None)
        image.platform = "windows" if spec.platform == "windows" else None
        image.architecture, image.virtualization_type, image.root_device_type = "x86_64", "hvm", "ebs"
        image.launch_permissions = [{"Group": "all"}]
        describe_platform(image)
        self._state.users[str(image.id)] = spec.users
        return str(image.id)

    def _load_database(self, spec: DatabaseSpec) -> None:
        backend = rds(self._spec.region, self._owner)
        common = {
            "engine": spec.engine,
            "master_username": "demo",
            "master_user_password": secrets.token_urlsafe(16),
            "port": spec.port,
            "vpc_security_group_ids": self._group_ids(spec.groups),
            "db_subnet_group_name": self._database_subnets(),
            "enable_iam_database_authentication": spec.iam_auth,
        }
        zone = self._subnet_at(spec.address).availability_zone
        instance = {"db_instance_class": "db.t3.medium", "availability_zone": zone}
        if not spec.is_cluster:
            single = {"db_instance_identifier": spec.id, "allocated_storage": 20, **common, **instance}
            self._put_database(spec, spec.address, backend.create_db_instance(single).address)
            return
        cluster = backend.create_db_cluster({"db_cluster_identifier": spec.id, **common})
        cluster.status = "available"
        member = {"db_cluster_identifier": spec.id, "engine": spec.engine, **instance}
        names = [
            backend.create_db_instance({"db_instance_identifier": f"{spec.id}-{number}", **member}).address
            for number in range(1, 3 if spec.reader_address else 2)
        ]
        if spec.reader_address:
            self._put_database(spec, spec.address, cluster.endpoint, names[0])
            self._put_database(spec, spec.reader_address, cluster.reader_endpoint, names[1])
        else:  # the reader endpoint leads to the writer (RDS user guide, Aurora endpoints)
            self._put_database(spec, spec.address, cluster.endpoint, names[0], cluster.reader_endpoint)

    def _put_database(self, spec: DatabaseSpec, address: Any, *names: str) -> None:
        """Give a database a network interface, and a machine that answers for it."""
        group_ids = self._group_ids(spec.groups)
        subnet = self._subnet_at(spec.address)
        network.create_interface(self._ec2, subnet, group_ids, "RDSNetworkInterface", address=str(address))
        self._state.put_machine(
            Machine(
                kind="service",
                name=spec.id,
                address=str(address),
                region=self._spec.region,
                vpc_id=self._vpc.id,
                forwards=((spec.port, spec.forward),) if spec.forward else (),
                security_group_ids=tuple(group_ids),
                names=tuple(map(str, names)),
                account=self._owner,
            )
        )

    def _database_subnets(self) -> str:
        """Return the name of a DB subnet group with all subnets of the VPC."""
        name = f"{self._spec.name.lower() or 'world'}-{self._vpc.id}"
        backend = rds(self._spec.region, self._owner)
        if name not in backend.subnet_groups:
            backend.create_subnet_group(name, "All subnets of the VPC", list(self._subnets.values()), [])
        return name

    def _load_acl(self, spec: AclSpec) -> None:
        """Create a network ACL in front of the subnets that it names."""
        acl = self._ec2.create_network_acl(self._vpc.id, tags=[{"Key": "Name", "Value": spec.name}])
        for egress, entries in enumerate(spec.entries()):
            for entry in (*entries, _REST):
                self._load_entry(acl.id, bool(egress), entry)
        associations = {a.subnet_id: a.id for each in self._ec2.network_acls.values() for a in each.associations}
        for name in spec.subnets:
            self._ec2.replace_network_acl_association(associations[self._subnets[name].id], acl.id)

    def _load_entry(self, acl_id: str, egress: bool, entry: AclEntrySpec) -> None:
        six = ":" in entry.cidr
        self._ec2.create_network_acl_entry(
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

    def _load_endpoint(self, spec: EndpointSpec) -> None:
        """Create an endpoint that is ready for connections."""
        request = CreateRequest(
            subnet_id=str(self._subnets[spec.subnet].id),
            security_group_ids=tuple(self._group_ids(spec.groups)),
            preserve_client_ip=spec.preserve_client_ip,
            ip_address_type=spec.ip_address_type or ("ipv4" if spec.preserve_client_ip else ""),
            tags={"Name": spec.name} if spec.name else {},
        )
        account = spec.account or self._owner
        created = EndpointService(self._state, self._spec.region, self._dns_name, account=account).create(request)
        self._state.put_endpoint(replace(created, state="create-complete"))
