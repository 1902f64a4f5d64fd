"""World files: their form, checked key by key, and whether it all fits together."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from eicctl.emulator.control import rules
from eicctl.emulator.world.specs import (
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
    WorldSpec,
)
from eicctl.emulator.world.table import Table

__all__ = [
    "DatabaseSpec",
    "GroupSpec",
    "ImageSpec",
    "InstanceSpec",
    "RuleSpec",
    "SubnetSpec",
    "VpcSpec",
    "WorldReader",
    "WorldSpec",
]

ENGINES = (
    "postgres",
    "mysql",
    "mariadb",
    "aurora-postgresql",
    "aurora-mysql",
    "oracle-se2",
    "oracle-ee",
    "sqlserver-ex",
    "sqlserver-se",
    "sqlserver-ee",
)
_USER = r"[A-Za-z_][A-Za-z0-9._-]{0,31}"
_COUNTS = range(1, 1001)
_RESERVED = 4
"""The first addresses of a subnet, like its last one, are AWS's own."""


class WorldReader:
    """Reads the content of a world file.

    Args:
        source: What to call the file in errors.
    """

    def __init__(self, source: str) -> None:
        self._source = source

    def read(self, content: Mapping[str, Any]) -> WorldSpec:
        """Return the world, or raise `UsageError` naming the first key that is wrong."""
        top = Table(self._source, "", dict(content))
        images = _unlike(top.tables("image"), "key", _image, lambda image: image.key)
        vpcs = tuple(_VpcReader(table, images).read() for table in top.tables("vpc"))
        top.done()
        return WorldSpec(images, vpcs)


def _image(table: Table) -> ImageSpec:
    image = ImageSpec(
        key=table.text("key"),
        name=table.text("name"),
        owner=table.text("owner", "amazon", pattern=r"amazon|\d{12}", form="amazon or an account ID"),
        platform=table.choice("platform", ("linux", "windows"), "linux"),
        users=table.strings("users", pattern=_USER, form="names of OS users"),
    )
    table.done()
    return image


class _VpcReader:
    """Reads one VPC. What is read first is what the rest refers to: subnets, then groups, then machines."""

    def __init__(self, table: Table, images: Sequence[ImageSpec]) -> None:
        self._table = table
        self._images = [image.key for image in images]
        self._taken: set[str] = set()

    def read(self) -> VpcSpec:
        table = self._table
        name, self._region = table.text("name", ""), table.text("region", "us-east-1")
        self._cidr = table.network("cidr", 4)
        self._ipv6_cidr = table.network("ipv6_cidr", 6, needed=False)
        self._subnets: tuple[SubnetSpec, ...] = ()
        for row in table.tables("subnet"):
            self._subnets += (self._subnet(row),)
        group_tables = table.tables("group")
        self._groups = ["default"]
        for row in group_tables:
            self._groups.append(self._group_name(row))
        groups = tuple(self._group(row, name) for row, name in zip(group_tables, self._groups[1:], strict=True))
        vpc = VpcSpec(
            name=name,
            region=self._region,
            cidr=self._cidr,
            ipv6_cidr=self._ipv6_cidr,
            subnets=self._subnets,
            groups=groups,
            instances=tuple(self._instance(row) for row in table.tables("instance")),
            databases=_unlike(table.tables("database"), "id", self._database, lambda database: database.id),
            acls=_unlike(table.tables("acl"), "name", self._acl, lambda acl: acl.name),
            endpoints=self._endpoints(table.tables("endpoint")),
        )
        table.done()
        return vpc

    def _subnet(self, table: Table) -> SubnetSpec:
        ipv6_cidr = table.network("ipv6_cidr", 6, needed=False)
        subnet = SubnetSpec(
            name=table.text("name"),
            cidr=table.network("cidr", 4, needed=not ipv6_cidr),
            ipv6_cidr=ipv6_cidr,
            availability_zone=table.text("availability_zone", f"{self._region}a"),
        )
        for key, inner, outer in (("cidr", subnet.cidr, self._cidr), ("ipv6_cidr", subnet.ipv6_cidr, self._ipv6_cidr)):
            if inner and not (outer and ipaddress.ip_network(inner).subnet_of(ipaddress.ip_network(outer))):  # type: ignore[arg-type]
                raise table.wrong(key, f"is not in the VPC's range {outer or '(it has none)'}: {inner}")
        for other in self._subnets:
            if other.name == subnet.name:
                raise table.wrong("name", f"is that of another subnet: {subnet.name}")
            for key, one, another in (
                ("cidr", subnet.cidr, other.cidr),
                ("ipv6_cidr", subnet.ipv6_cidr, other.ipv6_cidr),
            ):
                if one and another and ipaddress.ip_network(one).overlaps(ipaddress.ip_network(another)):
                    raise table.wrong(key, f"overlaps that of {other.name}: {one}")
        table.done()
        return subnet

    def _group_name(self, table: Table) -> str:
        name = table.text("name")
        if name in self._groups:
            raise table.wrong("name", f"is that of another group: {name}")
        return name

    def _group(self, table: Table, name: str) -> GroupSpec:
        ingress = self._rules(table, "ingress", "from", table.strings("ingress"))
        given = table.get("egress", list, [None])
        egress = None
        if given != [None]:
            egress = self._rules(table, "egress", "to", given)
        table.done()
        return GroupSpec(name, ingress, egress)

    def _rules(self, table: Table, key: str, word: str, texts: Iterable[object]) -> tuple[RuleSpec, ...]:
        found = []
        for text in texts:
            if not isinstance(text, str):
                raise table.wrong(key, "must be a list of strings")
            try:
                found.append(rules.parse(text, word, self._groups))
            except ValueError as error:
                raise table.wrong(key, f"has a rule that {error}: {text!r}") from None
        return tuple(found)

    def _acl(self, table: Table) -> AclSpec:
        acl = AclSpec(
            name=table.text("name"),
            subnets=self._known_subnets(table),
            ingress=self._entries(table, "ingress", "from"),
            egress=self._entries(table, "egress", "to"),
        )
        table.done()
        return acl

    def _known_subnets(self, table: Table) -> tuple[str, ...]:
        names = table.strings("subnets")
        for name in names:
            if name not in [subnet.name for subnet in self._subnets]:
                raise table.wrong("subnets", f"names a subnet that the VPC does not have: {name}")
        return names

    def _entries(self, table: Table, key: str, word: str) -> tuple[AclEntrySpec, ...]:
        found: dict[int, AclEntrySpec] = {}
        for text in table.strings(key):
            try:
                entry = rules.parse_entry(text, word)
            except ValueError as error:
                raise table.wrong(key, f"has an entry that {error}: {text!r}") from None
            if entry.number in found:
                raise table.wrong(key, f"has two entries of one number: {entry.number}")
            found[entry.number] = entry
        return tuple(found.values())

    def _endpoints(self, tables: Sequence[Table]) -> tuple[EndpointSpec, ...]:
        if len(tables) > 1:
            raise tables[1].wrong("", "is the second endpoint of its VPC, which can have one")
        return tuple(self._endpoint(table) for table in tables)

    def _endpoint(self, table: Table) -> EndpointSpec:
        names = [subnet.name for subnet in self._subnets]
        endpoint = EndpointSpec(
            name=table.text("name", ""),
            subnet=table.choice("subnet", names),
            groups=self._known(table),
            preserve_client_ip=table.get("preserve_client_ip", bool, False),
            ip_address_type=table.choice("ip_address_type", ("ipv4", "dualstack", "ipv6"), ""),
        )
        if endpoint.preserve_client_ip and endpoint.ip_address_type not in ("", "ipv4"):
            raise table.wrong("preserve_client_ip", "is for the ip_address_type ipv4 only")
        table.done()
        return endpoint

    def _instance(self, table: Table) -> InstanceSpec:
        count = table.number("count", _COUNTS, 1)
        ipv6_address = table.address("ipv6_address", 6, needed=False)
        address = table.address("address", 4, needed=not ipv6_address)
        subnet = self._subnet_of(table, address or ipv6_address)
        if subnet.cidr and not address:
            raise table.wrong("address", f"is missing: the subnet {subnet.name} has IPv4 addresses")
        chosen = table.choice("subnet", [subnet.name], subnet.name)
        if address:
            self._take(table, "address", address, count, subnet.cidr)
        if ipv6_address:
            self._take(table, "ipv6_address", ipv6_address, count, subnet.ipv6_cidr)
        if not self._images:
            raise table.wrong("image", "cannot be given: the file has no [[image]]")
        instance = InstanceSpec(
            name=table.text("name"),
            subnet=chosen,
            address=address,
            ipv6_address=ipv6_address,
            image=table.choice("image", self._images, self._images[0]),
            count=count,
            state=table.choice("state", ("running", "stopped", "terminated"), "running"),
            instance_type=table.text("instance_type", "t3.micro"),
            groups=self._known(table),
            users=table.strings("users", pattern=_USER, form="names of OS users"),
            forwards=table.forwards("forwards"),
            ec2_instance_connect=table.get("ec2_instance_connect", bool, True),
            authorized_keys=table.strings("authorized_keys"),
            tags=table.mapping("tags"),
            key_name=table.text("key_name", ""),
        )
        table.done()
        return instance

    def _database(self, table: Table) -> DatabaseSpec:
        address = table.address("address", 4)
        subnet = self._subnet_of(table, address)
        self._take(table, "address", address, 1, subnet.cidr)
        reader = table.address("reader_address", 4, needed=False)
        if reader:
            self._take(table, "reader_address", reader, 1, subnet.cidr)
        database = DatabaseSpec(
            id=table.text("id", pattern=r"[A-Za-z](-?[A-Za-z0-9]){0,62}", form="letters, digits and single hyphens"),
            subnet=subnet.name,
            engine=table.choice("engine", ENGINES, "postgres"),
            port=table.port("port", 5432),
            address=address,
            groups=self._known(table),
            forward=table.host_port("forward"),
            reader_address=reader,
            iam_auth=table.get("iam_auth", bool, False),
        )
        if reader and not database.is_cluster:
            raise table.wrong("reader_address", f"is for the engines of Aurora, not for {database.engine}")
        table.done()
        return database

    def _subnet_of(self, table: Table, address: str) -> SubnetSpec:
        key = "ipv6_address" if ":" in address else "address"
        for subnet in self._subnets:
            cidr = subnet.ipv6_cidr if ":" in address else subnet.cidr
            if cidr and ipaddress.ip_address(address) in ipaddress.ip_network(cidr):
                return subnet
        raise table.wrong(key, f"is in no subnet of the VPC: {address}")

    def _take(self, table: Table, key: str, first: str, count: int, cidr: str) -> None:
        """Take addresses that no other machine has, and that are a subnet's to give."""
        if not cidr:
            raise table.wrong(key, f"is in no range of its subnet: {first}")
        network = ipaddress.ip_network(cidr)
        for number in range(count):
            address = ipaddress.ip_address(first) + number
            if address not in network:
                raise table.wrong(key, f"is not in the subnet's range {cidr}: {address}")
            place = int(address) - int(network.network_address)
            if place < _RESERVED or address == network.broadcast_address:
                raise table.wrong(key, f"is one that AWS keeps for itself: {address}")
            if str(address) in self._taken:
                raise table.wrong(key, f"is that of another machine: {address}")
            self._taken.add(str(address))

    def _known(self, table: Table) -> tuple[str, ...]:
        names = table.strings("groups")
        for name in names:
            if name not in self._groups:
                raise table.wrong("groups", f"names a group that the VPC does not have: {name}")
        return names


def _unlike(tables: Iterable[Table], key: str, read: Any, name_of: Any) -> tuple[Any, ...]:
    """Read tables that must have names of their own."""
    found: dict[str, Any] = {}
    for table in tables:
        spec = read(table)
        if name_of(spec) in found:
            raise table.wrong(key, f"is there twice: {name_of(spec)}")
        found[name_of(spec)] = spec
    return tuple(found.values())
