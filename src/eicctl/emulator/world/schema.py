"""World files: their keys, types and values, and whether it all fits together."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from eicctl.core.errors import UsageError
from eicctl.emulator.control.permission import UNWRITABLE


@dataclass(frozen=True, slots=True)
class RuleSpec:
    """A rule of a security group: TCP ports `first` to `last`, or everything where `first` is None.

    The peer is a CIDR range, or else the name of a group of the VPC.
    """

    first: int | None
    last: int | None
    cidr: str
    group: str


@dataclass(frozen=True, slots=True)
class GroupSpec:
    """A security group; `egress` is None where the file says nothing of it, and everything is let out."""

    name: str
    ingress: tuple[RuleSpec, ...]
    egress: tuple[RuleSpec, ...] | None


@dataclass(frozen=True, slots=True)
class SubnetSpec:
    """A subnet; `cidr` is empty where it has IPv6 only."""

    name: str
    cidr: str
    ipv6_cidr: str
    availability_zone: str


@dataclass(frozen=True, slots=True)
class InstanceSpec:
    """An instance, or `count` of them at consecutive addresses (`NAME-1`, `NAME-2`, …).

    `address` is empty where it has IPv6 only, as in a subnet that has it only.
    """

    name: str
    subnet: str
    address: str
    ipv6_address: str
    image: str
    count: int
    state: str
    instance_type: str
    groups: tuple[str, ...]
    users: tuple[str, ...]
    forwards: Mapping[int, str]
    ec2_instance_connect: bool
    authorized_keys: tuple[str, ...]
    tags: Mapping[str, str]
    key_name: str


@dataclass(frozen=True, slots=True)
class DatabaseSpec:
    """An RDS instance at a private address, or an Aurora cluster with its writer there.

    `forward` is the real `HOST:PORT` behind it, if there is one.
    """

    id: str
    subnet: str
    engine: str
    port: int
    address: str
    groups: tuple[str, ...]
    forward: str
    reader_address: str
    iam_auth: bool

    @property
    def is_cluster(self) -> bool:
        """Whether it is an Aurora cluster."""
        return self.engine.startswith("aurora-")


@dataclass(frozen=True, slots=True)
class AclEntrySpec:
    """An entry of a network ACL: TCP ports `first` to `last`, or everything where `first` is None."""

    number: int
    allow: bool
    first: int | None
    last: int | None
    cidr: str


@dataclass(frozen=True, slots=True)
class AclSpec:
    """A network ACL for some subnets."""

    name: str
    subnets: tuple[str, ...]
    ingress: tuple[AclEntrySpec, ...]
    egress: tuple[AclEntrySpec, ...]


@dataclass(frozen=True, slots=True)
class EndpointSpec:
    """An endpoint, ready for connections; an empty `ip_address_type` is the subnet's."""

    name: str
    subnet: str
    groups: tuple[str, ...]
    preserve_client_ip: bool
    ip_address_type: str


@dataclass(frozen=True, slots=True)
class VpcSpec:
    """A VPC and all that is in it."""

    name: str
    region: str
    cidr: str
    ipv6_cidr: str
    subnets: tuple[SubnetSpec, ...]
    groups: tuple[GroupSpec, ...]
    instances: tuple[InstanceSpec, ...]
    databases: tuple[DatabaseSpec, ...]
    acls: tuple[AclSpec, ...]
    endpoints: tuple[EndpointSpec, ...]


@dataclass(frozen=True, slots=True)
class ImageSpec:
    """An AMI: its name and owner tell which OS user it has."""

    key: str
    name: str
    owner: str
    platform: str
    users: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WorldSpec:
    """A whole world file."""

    images: tuple[ImageSpec, ...]
    vpcs: tuple[VpcSpec, ...]


_ENTRY = re.compile(r"(\d{1,5}) (allow|deny) (.+)")
_FORM = re.compile(r"(?:(\d{1,5})(?:-(\d{1,5}))?|all) (\w+) (\S+)")


def parse_rule(text: str, word: str, groups: Collection[str]) -> RuleSpec:
    """Read `PORT[-PORT]|all WORD CIDR|GROUP`.

    Args:
        text: The rule.
        word: `from` for ingress, `to` for egress.
        groups: The names that groups have.

    Raises:
        ValueError: It is not of that form; the message goes after the rule.
    """
    found = _FORM.fullmatch(text)
    if not found or found[3] != word:
        raise ValueError(f"is not of the form 'PORT {word} CIDR|GROUP'")
    first, last = (int(found[1]), int(found[2] or found[1])) if found[1] else (None, None)
    if first is not None and last is not None and not first <= last <= 65_535:
        raise ValueError("has no such ports")
    peer = found[4]
    if peer in groups:
        return RuleSpec(first, last, "", peer)
    try:
        return RuleSpec(first, last, str(ipaddress.ip_network(peer)), "")
    except ValueError:
        raise ValueError("names neither a CIDR range nor a group of the VPC") from None


def parse_entry(text: str, word: str) -> AclEntrySpec:
    """Read `NUMBER allow|deny PORT[-PORT]|all WORD CIDR`, an entry of a network ACL.

    Raises:
        ValueError: It is not of that form; the message goes after the entry.
    """
    found = _ENTRY.fullmatch(text)
    if not found or not 1 <= int(found[1]) <= 32_766:
        raise ValueError(f"is not of the form 'NUMBER allow|deny PORT {word} CIDR'")
    rule = parse_rule(found[3], word, ())
    return AclEntrySpec(int(found[1]), found[2] == "allow", rule.first, rule.last, rule.cidr)


T = TypeVar("T")

_HOST_PORT = re.compile(r"(\[[0-9A-Fa-f:]+\]|[^\s:\[\]]+):(\d{1,5})")
_PORTS = range(1, 65_536)


class Table:
    """A table, and where it stands.

    Args:
        source: What to call the file in errors.
        where: The table's place in the file, as in `vpc[0].instance[2]`; empty for the whole file.
        content: What should be a table.
    """

    def __init__(self, source: str, where: str, content: object) -> None:
        self._source = source
        self._where = where
        if not isinstance(content, dict):
            raise self.wrong("", "must be a table")
        self._left: dict[str, Any] = dict(content)

    def wrong(self, key: str, why: str) -> UsageError:
        """An error about one of the keys."""
        place = ".".join(part for part in (self._where, key) if part) or "it"
        return UsageError(f"{self._source}: {place} {why}", hint="eicctl local world")

    def get(self, key: str, kind: type[T], default: T | None = None) -> T:
        """Take a key; without a default it must be there."""
        value = self._left.pop(key, default)
        if any(UNWRITABLE.search(text) for text in _texts(value)):
            raise self.wrong(key, "has characters that no answer of the AWS API could hold")
        if value is None:
            raise self.wrong(key, "is missing")
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise self.wrong(key, f"must be of type {kind.__name__}")
        return value

    def text(self, key: str, default: str | None = None, *, pattern: str = r"\S.*", form: str = "some text") -> str:
        """Take a string that has a form; an empty default needs none."""
        value = self.get(key, str, default)
        if value != default and not re.fullmatch(pattern, value):
            raise self.wrong(key, f"must be {form}, not {value!r}")
        return value

    def strings(self, key: str, *, pattern: str = r".*", form: str = "") -> tuple[str, ...]:
        """Take a list of strings, all of which have a form."""
        values = self.get(key, list, [])
        for value in values:
            if not isinstance(value, str):
                raise self.wrong(key, "must be a list of strings")
            if not re.fullmatch(pattern, value):
                raise self.wrong(key, f"must have {form} only, not {value!r}")
        return tuple(values)

    def mapping(self, key: str) -> dict[str, str]:
        """Take a table of strings."""
        values = self.get(key, dict, {})
        if not all(isinstance(value, str) for value in values.values()):
            raise self.wrong(key, "must map to strings")
        return dict(values)

    def tables(self, key: str) -> list[Table]:
        """Take a list of tables."""
        places = f"{self._where}.{key}" if self._where else key
        return [Table(self._source, f"{places}[{i}]", row) for i, row in enumerate(self.get(key, list, []))]

    def choice(self, key: str, of: Sequence[str], default: str | None = None) -> str:
        """Take one of some words, or the default."""
        value = self.get(key, str, default)
        if value not in of and value != default:
            raise self.wrong(key, f"must be one of {', '.join(of)}, not {value!r}" if of else "names nothing")
        return value

    def number(self, key: str, of: range, default: int) -> int:
        """Take a number from a range."""
        value = self.get(key, int, default)
        if value not in of:
            raise self.wrong(key, f"must be from {of.start} to {of.stop - 1}, not {value}")
        return value

    def port(self, key: str, default: int) -> int:
        """Take a port number."""
        return self.number(key, _PORTS, default)

    def host_port(self, key: str) -> str:
        """Take `HOST:PORT`, or nothing."""
        value = self.get(key, str, "")
        if value and not _is_host_port(value):
            raise self.wrong(key, f"must be HOST:PORT, not {value!r}")
        return value

    def forwards(self, key: str) -> dict[int, str]:
        """Take a table of port numbers to `HOST:PORT`."""
        values = self.mapping(key)
        for port, where in values.items():
            if not port.isdecimal() or int(port) not in _PORTS or not _is_host_port(where):
                raise self.wrong(key, f"must map port numbers to HOST:PORT, not {port!r} to {where!r}")
        return {int(port): where for port, where in values.items()}

    def network(self, key: str, version: int, *, needed: bool = True) -> str:
        """Take a CIDR range of an IP version, or nothing if it is not needed."""
        value = self.get(key, str, None if needed else "")
        if not value and not needed:
            return ""
        try:
            network = ipaddress.ip_network(value)
        except ValueError as error:
            raise self.wrong(key, f"is no CIDR range: {error}") from None
        if network.version != version:
            raise self.wrong(key, f"must be an IPv{version} range, not {value}")
        return str(network)

    def address(self, key: str, version: int, *, needed: bool = True) -> str:
        """Take an address of an IP version, or nothing if it is not needed."""
        value = self.get(key, str, None if needed else "")
        if not value and not needed:
            return ""
        try:
            address = ipaddress.ip_address(value)
        except ValueError as error:
            raise self.wrong(key, f"is no IP address: {error}") from None
        if address.version != version:
            raise self.wrong(key, f"must be an IPv{version} address, not {value}")
        return str(address)

    def done(self) -> None:
        """Refuse what has not been taken."""
        if self._left:
            raise self.wrong(next(iter(self._left)), "is not a key of world files")


def _texts(value: object) -> list[str]:
    """The strings in a value; tables in lists are read by themselves."""
    if isinstance(value, dict):
        return [*map(str, value), *(text for item in value.values() for text in _texts(item))]
    if isinstance(value, list):
        return [item for item in value if isinstance(item, str)]
    return [value] if isinstance(value, str) else []


def _is_host_port(text: str) -> bool:
    found = _HOST_PORT.fullmatch(text)
    return bool(found and int(found[2]) in _PORTS)


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
                found.append(parse_rule(text, word, self._groups))
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
                entry = parse_entry(text, word)
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
