"""World files: their keys, types and values, and whether it all fits together."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, NoReturn, TypeVar

from eicctl.core.errors import UsageError
from eicctl.emulator.control.permission import UNWRITABLE

S = TypeVar("S")

ENGINES = (
    *("postgres", "mysql", "mariadb", "aurora-postgresql", "aurora-mysql"),
    *("oracle-se2", "oracle-ee", "sqlserver-ex", "sqlserver-se", "sqlserver-ee"),
)
_HOST_PORT = re.compile(r"(\[[0-9A-Fa-f:]+\]|[^\s:\[\]]+):(\d{1,5})")
_PORTS = range(1, 65_536)
_RESERVED = 4
"""The first addresses of a subnet, like its last one, are AWS's own."""
_ENTRY = re.compile(r"(\d{1,5}) (allow|deny) (.+)")
_RULE = re.compile(r"(?:(\d{1,5})(?:-(\d{1,5}))?|all) (\w+) (\S+)")


# Readers of values: each returns what a key's value says, or raises a ValueError whose message goes after the key.

Reader = Callable[[Any], Any]


def _typed(kind: type) -> Reader:
    def read(value: Any) -> Any:
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise ValueError(f"must be of type {kind.__name__}")
        return value

    return read


def _text(pattern: str = r"\S.*", form: str = "some text") -> Reader:
    def read(value: Any) -> str:
        if not re.fullmatch(pattern, _typed(str)(value)):
            raise ValueError(f"must be {form}, not {value!r}")
        return str(value)

    return read


def _strings(pattern: str = r".*", form: str = "") -> Reader:
    def read(values: Any) -> tuple[str, ...]:
        for value in _typed(list)(values):
            if not isinstance(value, str):
                raise ValueError("must be a list of strings")
            if not re.fullmatch(pattern, value):
                raise ValueError(f"must have {form} only, not {value!r}")
        return tuple(values)

    return read


def _choice(*words: str) -> Reader:
    def read(value: Any) -> str:
        if _typed(str)(value) not in words:
            raise ValueError(f"must be one of {', '.join(words)}, not {value!r}" if words else "names nothing")
        return str(value)

    return read


def _number(first: int, last: int) -> Reader:
    def read(value: Any) -> int:
        if not first <= _typed(int)(value) <= last:
            raise ValueError(f"must be from {first} to {last}, not {value}")
        return int(value)

    return read


def _ip(parse: Callable[[str], Any], what: str, version: int) -> Reader:
    def read(value: Any) -> str:
        try:
            found = parse(_typed(str)(value))
        except ValueError as error:
            raise ValueError(f"is not {what}: {error}" if isinstance(value, str) else str(error)) from None
        if found.version != version:
            raise ValueError(f"must be an IPv{version} {what.rpartition(' ')[2]}, not {value}")
        return str(found)

    return read


def _mapping(values: Any) -> dict[str, str]:
    if not all(isinstance(value, str) for value in _typed(dict)(values).values()):
        raise ValueError("must map to strings")
    return dict(values)


def _is_host_port(text: str) -> bool:
    found = _HOST_PORT.fullmatch(text)
    return bool(found and int(found[2]) in _PORTS)


def _host_port(value: Any) -> str:
    if not _is_host_port(_typed(str)(value)):
        raise ValueError(f"must be HOST:PORT, not {value!r}")
    return str(value)


def _forwards(values: Any) -> dict[int, str]:
    for port, address in _mapping(values).items():
        if not port.isdecimal() or int(port) not in _PORTS or not _is_host_port(address):
            raise ValueError(f"must map port numbers to HOST:PORT, not {port!r} to {address!r}")
    return {int(port): address for port, address in values.items()}


def _each(parse: Callable[[str, str], Any], word: str, what: str) -> Reader:
    def read(values: Any) -> tuple[Any, ...]:
        found = []
        for text in _strings()(values):
            try:
                found.append(parse(text, word))
            except ValueError as error:
                raise ValueError(f"has {what} that {error}: {text!r}") from None
        return tuple(found)

    return read


def parse_rule(text: str, word: str) -> RuleSpec:
    """Read `PORT[-PORT]|all WORD CIDR|GROUP`; `word` is `from` for ingress, `to` for egress.

    Raises:
        ValueError: It is not of that form; the message goes after the rule.
    """
    found = _RULE.fullmatch(text)
    if not found or found[3] != word:
        raise ValueError(f"is not of the form 'PORT {word} CIDR|GROUP'")
    first, last = (int(found[1]), int(found[2] or found[1])) if found[1] else (None, None)
    if first is not None and last is not None and not first <= last <= _PORTS[-1]:
        raise ValueError("has no such ports")
    try:
        return RuleSpec(first, last, str(ipaddress.ip_network(found[4])), "")
    except ValueError:
        return RuleSpec(first, last, "", found[4])


def parse_entry(text: str, word: str) -> AclEntrySpec:
    """Read `NUMBER allow|deny PORT[-PORT]|all WORD CIDR`, an entry of a network ACL.

    Raises:
        ValueError: It is not of that form; the message goes after the entry.
    """
    found = _ENTRY.fullmatch(text)
    if not found or not 1 <= int(found[1]) <= 32_766:
        raise ValueError(f"is not of the form 'NUMBER allow|deny PORT {word} CIDR'")
    rule = parse_rule(found[3], word)
    if rule.group:
        raise ValueError("names no CIDR range")
    return AclEntrySpec(int(found[1]), found[2] == "allow", rule.first, rule.last, rule.cidr)


def _key(read: Reader, *default: Any) -> Any:
    """A field that a key of the table gives; without a default the key must be there."""
    return field(metadata={"read": read, "default": default})


def _tables(name: str, spec: type) -> Any:
    """A field that the tables of a name give."""
    return field(metadata={"key": name, "spec": spec})


_CIDR4, _CIDR6 = (_ip(ipaddress.ip_network, "a CIDR range", version) for version in (4, 6))
_ADDRESS4, _ADDRESS6 = (_ip(ipaddress.ip_address, "an IP address", version) for version in (4, 6))
_USERS = _strings(r"[A-Za-z_][A-Za-z0-9._-]{0,31}", "names of OS users")


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
    """A security group; `egress` is None where the file does not specify it, and everything is allowed out."""

    name: str = _key(_text())
    ingress: tuple[RuleSpec, ...] = _key(_each(parse_rule, "from", "a rule"), ())
    egress: tuple[RuleSpec, ...] | None = _key(_each(parse_rule, "to", "a rule"), None)


@dataclass(frozen=True, slots=True)
class SubnetSpec:
    """A subnet; `cidr` is empty where it has IPv6 only."""

    name: str = _key(_text())
    cidr: str = _key(_CIDR4, "")
    ipv6_cidr: str = _key(_CIDR6, "")
    availability_zone: str = _key(_text(), "")


@dataclass(frozen=True, slots=True)
class InstanceSpec:
    """An instance, or `count` of them at consecutive addresses (`NAME-1`, `NAME-2`, …).

    `address` is empty where it has IPv6 only, as in a subnet that has it only.
    """

    name: str = _key(_text())
    subnet: str = _key(_text(), "")
    address: str = _key(_ADDRESS4, "")
    ipv6_address: str = _key(_ADDRESS6, "")
    image: str = _key(_text(), "")
    count: int = _key(_number(1, 1000), 1)
    state: str = _key(_choice("running", "stopped", "terminated"), "running")
    instance_type: str = _key(_text(), "t3.micro")
    groups: tuple[str, ...] = _key(_strings(), ())
    users: tuple[str, ...] = _key(_USERS, ())
    forwards: Mapping[int, str] = _key(_forwards, {})
    ec2_instance_connect: bool = _key(_typed(bool), True)
    authorized_keys: tuple[str, ...] = _key(_strings(), ())
    tags: Mapping[str, str] = _key(_mapping, {})
    key_name: str = _key(_text(), "")


@dataclass(frozen=True, slots=True)
class DatabaseSpec:
    """An RDS instance at a private address, or an Aurora cluster with its writer there.

    `forward` is the real `HOST:PORT` behind it, if there is one.
    """

    id: str = _key(_text(r"[A-Za-z](-?[A-Za-z0-9]){0,62}", "letters, digits and single hyphens"))
    engine: str = _key(_choice(*ENGINES), "postgres")
    port: int = _key(_number(1, _PORTS[-1]), 5432)
    address: str = _key(_ADDRESS4)
    groups: tuple[str, ...] = _key(_strings(), ())
    forward: str = _key(_host_port, "")
    reader_address: str = _key(_ADDRESS4, "")
    iam_auth: bool = _key(_typed(bool), False)
    subnet: str = ""

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

    name: str = _key(_text())
    subnets: tuple[str, ...] = _key(_strings(), ())
    ingress: tuple[AclEntrySpec, ...] = _key(_each(parse_entry, "from", "an entry"), ())
    egress: tuple[AclEntrySpec, ...] = _key(_each(parse_entry, "to", "an entry"), ())


@dataclass(frozen=True, slots=True)
class EndpointSpec:
    """An endpoint, ready for connections; an empty `ip_address_type` is the subnet's."""

    name: str = _key(_text(), "")
    subnet: str = _key(_text())
    groups: tuple[str, ...] = _key(_strings(), ())
    preserve_client_ip: bool = _key(_typed(bool), False)
    ip_address_type: str = _key(_choice("ipv4", "dualstack", "ipv6"), "")


@dataclass(frozen=True, slots=True)
class VpcSpec:
    """A VPC and all that is in it."""

    name: str = _key(_text(), "")
    region: str = _key(_text(), "us-east-1")
    cidr: str = _key(_CIDR4)
    ipv6_cidr: str = _key(_CIDR6, "")
    subnets: tuple[SubnetSpec, ...] = _tables("subnet", SubnetSpec)
    groups: tuple[GroupSpec, ...] = _tables("group", GroupSpec)
    instances: tuple[InstanceSpec, ...] = _tables("instance", InstanceSpec)
    databases: tuple[DatabaseSpec, ...] = _tables("database", DatabaseSpec)
    acls: tuple[AclSpec, ...] = _tables("acl", AclSpec)
    endpoints: tuple[EndpointSpec, ...] = _tables("endpoint", EndpointSpec)


@dataclass(frozen=True, slots=True)
class ImageSpec:
    """An AMI; its name and owner identify its OS user."""

    key: str = _key(_text())
    name: str = _key(_text())
    owner: str = _key(_text(r"amazon|\d{12}", "amazon or an account ID"), "amazon")
    platform: str = _key(_choice("linux", "windows"), "linux")
    users: tuple[str, ...] = _key(_USERS, ())


@dataclass(frozen=True, slots=True)
class WorldSpec:
    """A whole world file."""

    images: tuple[ImageSpec, ...] = _tables("image", ImageSpec)
    vpcs: tuple[VpcSpec, ...] = _tables("vpc", VpcSpec)


class WorldReader:
    """Reads the content of a world file.

    Args:
        source: What to call the file in errors.
    """

    def __init__(self, source: str) -> None:
        self._source = source

    def read(self, content: Mapping[str, Any]) -> WorldSpec:
        """Return the world, or raise `UsageError` naming the first key that is wrong."""
        world = self._table("", dict(content), WorldSpec)
        self.distinct("image", "key", [image.key for image in world.images])
        images = [image.key for image in world.images]
        vpcs = [_VpcCheck(self, f"vpc[{number}]", vpc, images).checked() for number, vpc in enumerate(world.vpcs)]
        return replace(world, vpcs=tuple(vpcs))

    def wrong(self, table: str, key: str, why: str) -> NoReturn:
        """Raise the error about a key of a table, such as `vpc[0].instance[2]`."""
        place = ".".join(part for part in (table, key) if part) or "it"
        raise UsageError(f"{self._source}: {place} {why}", hint="eicctl local world")

    def distinct(self, tables: str, key: str, names: Sequence[str]) -> None:
        """Refuse a name that an earlier table has."""
        for number, name in enumerate(names):
            if name in names[:number]:
                self.wrong(f"{tables}[{number}]", key, f"is there twice: {name}")

    def _table(self, where: str, content: object, spec: type[S]) -> S:
        if not isinstance(content, dict):
            self.wrong(where, "", "must be a table")
        values: dict[str, Any] = {}
        left = dict(content)
        for each in fields(spec):  # type: ignore[arg-type]
            name = each.metadata.get("key", each.name)
            if not each.metadata:
                continue
            value = left.pop(name, None)
            if any(UNWRITABLE.search(text) for text in _texts(value)):
                self.wrong(where, name, "has characters that no answer of the AWS API could hold")
            try:
                if inner := each.metadata.get("spec"):
                    place = f"{where}.{name}" if where else name
                    rows = enumerate(_typed(list)(value or []))
                    values[each.name] = tuple(self._table(f"{place}[{number}]", row, inner) for number, row in rows)
                elif value is None or (value == "" and each.metadata["default"] == ("",)):
                    (values[each.name],) = each.metadata["default"]
                else:
                    values[each.name] = each.metadata["read"](value)
            except ValueError as error:
                self.wrong(where, name, "is missing" if value is None else str(error))
        if left:
            self.wrong(where, next(iter(left)), "is not a key of world files")
        return spec(**values)


class _VpcCheck:
    """Checks that the parts of a VPC fit together, and fills in what follows from others."""

    def __init__(self, reader: WorldReader, where: str, vpc: VpcSpec, images: Sequence[str]) -> None:
        self._reader = reader
        self._where = where
        self._vpc = vpc
        self._images = images
        self._subnets = [subnet.name for subnet in vpc.subnets]
        self._groups = ["default", *(group.name for group in vpc.groups)]
        self._taken: set[str] = set()

    def checked(self) -> VpcSpec:
        vpc, where, distinct = self._vpc, self._where, self._reader.distinct
        for number, subnet in enumerate(vpc.subnets):
            self._check_subnet(f"{where}.subnet[{number}]", subnet, vpc.subnets[:number])
        for number, name in enumerate(self._groups[1:]):
            if name in self._groups[: number + 1]:
                self._reader.wrong(f"{where}.group[{number}]", "name", f"is that of another group: {name}")
        for number, group in enumerate(vpc.groups):
            self._check_group(f"{where}.group[{number}]", group)
        instances = [self._instance(f"{where}.instance[{n}]", instance) for n, instance in enumerate(vpc.instances)]
        databases = [self._database(f"{where}.database[{n}]", each) for n, each in enumerate(vpc.databases)]
        distinct(f"{where}.database", "id", [database.id for database in databases])
        for number, acl in enumerate(vpc.acls):
            self._check_acl(f"{where}.acl[{number}]", acl)
        distinct(f"{where}.acl", "name", [acl.name for acl in vpc.acls])
        for number, endpoint in enumerate(vpc.endpoints):
            self._check_endpoint(f"{where}.endpoint[{number}]", endpoint, number)
        zoned = [replace(each, availability_zone=each.availability_zone or f"{vpc.region}a") for each in vpc.subnets]
        return replace(vpc, subnets=tuple(zoned), instances=tuple(instances), databases=tuple(databases))

    def _check_subnet(self, where: str, subnet: SubnetSpec, others: Sequence[SubnetSpec]) -> None:
        wrong = self._reader.wrong
        if not subnet.cidr and not subnet.ipv6_cidr:
            wrong(where, "cidr", "is missing")
        if subnet.name in [other.name for other in others]:
            wrong(where, "name", f"is that of another subnet: {subnet.name}")
        for key in ("cidr", "ipv6_cidr"):
            inner, outer = getattr(subnet, key), getattr(self._vpc, key)
            if not inner:
                continue
            network = ipaddress.ip_network(inner)
            if not outer or not network.subnet_of(ipaddress.ip_network(outer)):  # type: ignore[arg-type]
                wrong(where, key, f"is not in the VPC's range {outer or '(it has none)'}: {inner}")
            for other in others:
                if getattr(other, key) and network.overlaps(ipaddress.ip_network(getattr(other, key))):
                    wrong(where, key, f"overlaps that of {other.name}: {inner}")

    def _check_group(self, where: str, group: GroupSpec) -> None:
        for key, rules in (("ingress", group.ingress), ("egress", group.egress or ())):
            for peer in (rule.group for rule in rules):
                if peer and peer not in self._groups:
                    why = f"has a rule that names neither a CIDR range nor a group of the VPC: {peer!r}"
                    self._reader.wrong(where, key, why)

    def _check_acl(self, where: str, acl: AclSpec) -> None:
        self._check_known(where, "subnets", acl.subnets, self._subnets, "a subnet")
        for key, entries in (("ingress", acl.ingress), ("egress", acl.egress)):
            numbers = [entry.number for entry in entries]
            for number in numbers:
                if numbers.count(number) > 1:
                    self._reader.wrong(where, key, f"has two entries of one number: {number}")

    def _check_endpoint(self, where: str, endpoint: EndpointSpec, number: int) -> None:
        if number:
            self._reader.wrong(where, "", "is the second endpoint of its VPC, which can have one")
        self._check_choice(where, "subnet", endpoint.subnet, self._subnets)
        self._check_known(where, "groups", endpoint.groups, self._groups, "a group")
        if endpoint.preserve_client_ip and endpoint.ip_address_type not in ("", "ipv4"):
            self._reader.wrong(where, "preserve_client_ip", "is for the ip_address_type ipv4 only")

    def _instance(self, where: str, spec: InstanceSpec) -> InstanceSpec:
        wrong = self._reader.wrong
        if not spec.address and not spec.ipv6_address:
            wrong(where, "address", "is missing")
        subnet = self._subnet_of(where, spec.address or spec.ipv6_address)
        if subnet.cidr and not spec.address:
            wrong(where, "address", f"is missing: the subnet {subnet.name} has IPv4 addresses")
        if spec.subnet:
            self._check_choice(where, "subnet", spec.subnet, [subnet.name])
        for key, cidr in (("address", subnet.cidr), ("ipv6_address", subnet.ipv6_cidr)):
            if first := getattr(spec, key):
                self._take(where, key, first, spec.count, cidr)
        if not self._images:
            wrong(where, "image", "cannot be given: the file has no [[image]]")
        if spec.image:
            self._check_choice(where, "image", spec.image, self._images)
        self._check_known(where, "groups", spec.groups, self._groups, "a group")
        return replace(spec, subnet=subnet.name, image=spec.image or self._images[0])

    def _database(self, where: str, spec: DatabaseSpec) -> DatabaseSpec:
        subnet = self._subnet_of(where, spec.address)
        for key in ("address", "reader_address"):
            if address := getattr(spec, key):
                self._take(where, key, address, 1, subnet.cidr)
        self._check_known(where, "groups", spec.groups, self._groups, "a group")
        if spec.reader_address and not spec.is_cluster:
            self._reader.wrong(where, "reader_address", f"is for the engines of Aurora, not for {spec.engine}")
        return replace(spec, subnet=subnet.name)

    def _subnet_of(self, where: str, address: str) -> SubnetSpec:
        key, range_key = ("ipv6_address", "ipv6_cidr") if ":" in address else ("address", "cidr")
        found = [
            subnet
            for subnet in self._vpc.subnets
            if (cidr := getattr(subnet, range_key)) and ipaddress.ip_address(address) in ipaddress.ip_network(cidr)
        ]
        return found[0] if found else self._reader.wrong(where, key, f"is in no subnet of the VPC: {address}")

    def _take(self, where: str, key: str, first: str, count: int, cidr: str) -> None:
        """Take addresses that no other machine has, and that are a subnet's to give."""
        wrong = self._reader.wrong
        if not cidr:
            wrong(where, key, f"is in no range of its subnet: {first}")
        network = ipaddress.ip_network(cidr)
        for number in range(count):
            address = ipaddress.ip_address(first) + number
            if address not in network:
                wrong(where, key, f"is not in the subnet's range {cidr}: {address}")
            if int(address) - int(network.network_address) < _RESERVED or address == network.broadcast_address:
                wrong(where, key, f"is one that AWS keeps for itself: {address}")
            if str(address) in self._taken:
                wrong(where, key, f"is that of another machine: {address}")
            self._taken.add(str(address))

    def _check_choice(self, where: str, key: str, word: str, words: Sequence[str]) -> None:
        try:
            _choice(*words)(word)
        except ValueError as error:
            self._reader.wrong(where, key, str(error))

    def _check_known(self, where: str, key: str, names: Iterable[str], known: Collection[str], what: str) -> None:
        for name in names:
            if name not in known:
                self._reader.wrong(where, key, f"names {what} that the VPC does not have: {name}")


def _texts(value: object) -> list[str]:
    """The strings in a value; tables in lists are read by themselves."""
    if isinstance(value, dict):
        return [*map(str, value), *(text for item in value.values() for text in _texts(item))]
    if isinstance(value, list):
        return [item for item in value if isinstance(item, str)]
    return [value] if isinstance(value, str) else []
