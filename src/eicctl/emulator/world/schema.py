"""World files: their tables as types, and whether the parts of a VPC fit together."""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Annotated, Any, NamedTuple, TypeVar

import msgspec
from msgspec import Meta, field

from eicctl.core.errors import UsageError
from eicctl.emulator.control.permission import UNWRITABLE

_AWS_RESERVES = 4
"""The first addresses of a subnet, like its last one, are AWS's own."""

_LAST_PORT = 65_535
_HOST_PORT = re.compile(r"(\[[0-9A-Fa-f:]+\]|[^\s:\[\]]+):(\d{1,5})")
_REPORT = re.compile(r"(.*?)(?: - at (?:`key` in )?`\$\.?(.*)`)?", re.DOTALL)
"""msgspec's message, and the path that it reports."""
_ENTRY = re.compile(r"(\d{1,5}) (allow|deny) (.+)")
_RULE = re.compile(r"(?:(\d{1,5})(?:-(\d{1,5}))?|all) (\w+) (\S+)")


S = TypeVar("S")


def _one_of(*words: str) -> Meta:
    return Meta(pattern=f"^({'|'.join(words)})$")


Text = Annotated[str, Meta(min_length=1)]
Port = Annotated[int, Meta(ge=1, le=_LAST_PORT)]
AccountId = Annotated[str, Meta(pattern=r"^(\d{12})?$")]
OsUser = Annotated[str, Meta(pattern=r"^[A-Za-z_][A-Za-z0-9._-]{0,31}$")]
Address = IPv4Address | IPv6Address


class Misfit(ValueError):
    """What does not fit in a table; the message begins with the key."""


class RuleSpec(NamedTuple):
    """A rule of a security group: TCP ports `first` to `last`, or everything where `first` is None.

    The peer is a CIDR range, or else the name of a group of the VPC.
    """

    first: int | None
    last: int | None
    cidr: str
    group: str


class AclEntrySpec(NamedTuple):
    """An entry of a network ACL: TCP ports `first` to `last`, or everything where `first` is None."""

    number: int
    allow: bool
    first: int | None
    last: int | None
    cidr: str


def parse_rule(text: str, word: str) -> RuleSpec:
    """Read `PORT[-PORT]|all WORD CIDR|GROUP`; `word` is `from` for ingress, `to` for egress.

    Raises:
        ValueError: It does not have that form.
    """
    found = _RULE.fullmatch(text)
    if not found or found[3] != word:
        raise ValueError(f"{text!r} does not have the form 'PORT {word} CIDR|GROUP'")
    first, last = (int(found[1]), int(found[2] or found[1])) if found[1] else (None, None)
    if first is not None and last is not None and not first <= last <= _LAST_PORT:
        raise ValueError(f"{text!r} has an invalid port range")
    try:
        return RuleSpec(first, last, str(ipaddress.ip_network(found[4])), "")
    except ValueError:
        return RuleSpec(first, last, "", found[4])


def parse_entry(text: str, word: str) -> AclEntrySpec:
    """Read `NUMBER allow|deny PORT[-PORT]|all WORD CIDR`, an entry of a network ACL.

    Raises:
        ValueError: It does not have that form.
    """
    found = _ENTRY.fullmatch(text)
    if not found or not 1 <= int(found[1]) <= 32_766:
        raise ValueError(f"{text!r} does not have the form 'NUMBER allow|deny PORT {word} CIDR'")
    rule = parse_rule(found[3], word)
    if rule.group:
        raise ValueError(f"{text!r} has no CIDR range")
    return AclEntrySpec(int(found[1]), found[2] == "allow", rule.first, rule.last, rule.cidr)


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table of a world file. What `__post_init__` refuses is reported with the table's path in the file."""


def _parsed(key: str, parse: Callable[[str, str], S], texts: Iterable[str], word: str) -> list[S]:
    try:
        return [parse(text, word) for text in texts]
    except ValueError as error:
        raise Misfit(f"{key}: {error}") from None


def _check_names(key: str, names: Iterable[str], known: Collection[str]) -> None:
    """Refuse a name that is not known; empty ones stand for none."""
    for name in names:
        if name and name not in known:
            raise Misfit(f"{key}: {name!r} is not one of {', '.join(known) or 'none'}")


def _check_distinct(table: str, key: str, names: Sequence[str]) -> None:
    for number, name in enumerate(names):
        if name in names[:number]:
            raise Misfit(f"{table}[{number}].{key}: {name} is a duplicate")


def _check_host_port(key: str, text: str) -> None:
    found = _HOST_PORT.fullmatch(text)
    if not found or not 1 <= int(found[2]) <= _LAST_PORT:
        raise Misfit(f"{key}: {text!r} is not HOST:PORT")


class ImageSpec(Table, frozen=True):
    """An AMI; its name and owner identify its OS user."""

    key: Text
    name: Text
    owner: Annotated[str, Meta(pattern=r"^(amazon|\d{12})$")] = "amazon"
    platform: Annotated[str, _one_of("linux", "windows")] = "linux"
    users: tuple[OsUser, ...] = ()


class SubnetSpec(Table, frozen=True):
    """A subnet; it has IPv6 only where `cidr` is None. `shared_with` are accounts that may use it (AWS RAM)."""

    name: Text
    cidr: IPv4Network | None = None
    ipv6_cidr: IPv6Network | None = None
    availability_zone: str = ""
    shared_with: tuple[AccountId, ...] = ()

    def __post_init__(self) -> None:
        if not self.cidr and not self.ipv6_cidr:
            raise Misfit("cidr: missing")

    def holds(self, address: Address) -> bool:
        """Whether an address is in one of its ranges."""
        return any(address in network for network in (self.cidr, self.ipv6_cidr) if network)


class GroupSpec(Table, frozen=True):
    """A security group; `egress` is None if the file does not specify it, and all outbound traffic is allowed.

    `account` is a participant of the shared VPC; empty for the owner.
    """

    name: Text
    account: AccountId = ""
    ingress: tuple[str, ...] = ()
    egress: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        self.rules()

    def rules(self) -> tuple[list[RuleSpec], list[RuleSpec]]:
        """The inbound and the outbound rules."""
        return (
            _parsed("ingress", parse_rule, self.ingress, "from"),
            _parsed("egress", parse_rule, self.egress or (), "to"),
        )


class InstanceSpec(Table, frozen=True):
    """An instance, or `count` of them at consecutive addresses (`NAME-1`, `NAME-2`, …).

    `address` is None if it has IPv6 only, as in a subnet that has it only. `account` is a participant of the shared
    subnet; empty for the owner.
    """

    name: Text
    subnet: str = ""
    address: IPv4Address | None = None
    ipv6_address: IPv6Address | None = None
    image: str = ""
    count: Annotated[int, Meta(ge=1, le=1000)] = 1
    state: Annotated[str, _one_of("running", "stopped", "terminated")] = "running"
    instance_type: Text = "t3.micro"
    groups: tuple[str, ...] = ()
    users: tuple[OsUser, ...] = ()
    forwards: dict[Port, str] = {}
    ec2_instance_connect: bool = True
    authorized_keys: tuple[str, ...] = ()
    tags: dict[str, str] = {}
    key_name: str = ""
    account: AccountId = ""

    def __post_init__(self) -> None:
        for port, target in self.forwards.items():
            _check_host_port(f"forwards.{port}", target)
        if not (self.address or self.ipv6_address):
            raise Misfit("address: missing")

    @property
    def first_address(self) -> Address:
        """The address that determines the subnet."""
        return self.address or self.ipv6_address  # type: ignore[return-value]  # one is set


class DatabaseSpec(Table, frozen=True):
    """An RDS instance at a private address, or an Aurora cluster with its writer at that address.

    `forward` is the real `HOST:PORT` behind it, if any.
    """

    id: Annotated[str, Meta(pattern=r"^[A-Za-z](-?[A-Za-z0-9]){0,62}$")]
    address: IPv4Address
    engine: Annotated[
        str,
        _one_of(
            *("postgres", "mysql", "mariadb", "aurora-postgresql", "aurora-mysql"),
            *("oracle-se2", "oracle-ee", "sqlserver-ex", "sqlserver-se", "sqlserver-ee"),
        ),
    ] = "postgres"
    port: Port = 5432
    groups: tuple[str, ...] = ()
    forward: str = ""
    reader_address: IPv4Address | None = None
    iam_auth: bool = False

    def __post_init__(self) -> None:
        if self.forward:
            _check_host_port("forward", self.forward)
        if self.reader_address and not self.is_cluster:
            raise Misfit(f"reader_address: {self.engine} is not an Aurora engine")

    @property
    def is_cluster(self) -> bool:
        """Whether it is an Aurora cluster."""
        return self.engine.startswith("aurora-")


class AclSpec(Table, frozen=True):
    """A network ACL for some subnets."""

    name: Text
    subnets: tuple[str, ...] = ()
    ingress: tuple[str, ...] = ()
    egress: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for key, entries in zip(("ingress", "egress"), self.entries(), strict=True):
            numbers = [entry.number for entry in entries]
            if double := next((number for number in numbers if numbers.count(number) > 1), None):
                raise Misfit(f"{key}: two entries have the number {double}")

    def entries(self) -> tuple[list[AclEntrySpec], list[AclEntrySpec]]:
        """The inbound and the outbound entries."""
        return (
            _parsed("ingress", parse_entry, self.ingress, "from"),
            _parsed("egress", parse_entry, self.egress, "to"),
        )


class EndpointSpec(Table, frozen=True):
    """An endpoint, ready for connections; an empty `ip_address_type` is the subnet's.

    `account` is a participant of the shared subnet; empty for the owner.
    """

    subnet: Text
    name: str = ""
    groups: tuple[str, ...] = ()
    preserve_client_ip: bool = False
    ip_address_type: Annotated[str, _one_of("ipv4", "dualstack", "ipv6", "")] = ""
    account: AccountId = ""

    def __post_init__(self) -> None:
        if self.preserve_client_ip and self.ip_address_type not in ("", "ipv4"):
            raise Misfit("preserve_client_ip: requires ip_address_type ipv4")


class VpcSpec(Table, frozen=True):
    """A VPC and all that is in it. `account` owns it; empty for the emulator's own account."""

    cidr: IPv4Network
    name: str = ""
    region: Text = "us-east-1"
    account: AccountId = ""
    ipv6_cidr: IPv6Network | None = None
    subnets: tuple[SubnetSpec, ...] = field(name="subnet", default=())
    groups: tuple[GroupSpec, ...] = field(name="group", default=())
    instances: tuple[InstanceSpec, ...] = field(name="instance", default=())
    databases: tuple[DatabaseSpec, ...] = field(name="database", default=())
    acls: tuple[AclSpec, ...] = field(name="acl", default=())
    endpoints: tuple[EndpointSpec, ...] = field(name="endpoint", default=())

    def subnet_of(self, address: Address) -> SubnetSpec | None:
        """The subnet that has an address in its ranges."""
        return next((subnet for subnet in self.subnets if subnet.holds(address)), None)

    def __post_init__(self) -> None:
        _check_distinct("subnet", "name", [subnet.name for subnet in self.subnets])
        _check_distinct("group", "name", [group.name for group in self.groups])
        _check_distinct("database", "id", [database.id for database in self.databases])
        _check_distinct("acl", "name", [acl.name for acl in self.acls])
        owners = [endpoint.account for endpoint in self.endpoints]
        if double := next((number for number, owner in enumerate(owners) if owner in owners[:number]), None):
            raise Misfit(f"endpoint[{double}]: a VPC can have only one endpoint")
        self._check_subnets()
        self._check_references()
        self._check_addresses()
        self._check_participants()

    def _check_participants(self) -> None:
        """Check that what belongs to a participant is in a shared subnet, and in groups of the same account."""
        of_group = {"default": "", **{group.name: group.account for group in self.groups}}
        shared = {subnet.name: subnet.shared_with for subnet in self.subnets}
        for number, group in enumerate(self.groups):
            for rule in (rule for rules in group.rules() for rule in rules if rule.group):
                _check_owner(f"group[{number}]", group.account, [rule.group], of_group)
        for number, instance in enumerate(self.instances):
            subnet = self.subnet_of(instance.first_address)
            _check_shared(f"instance[{number}]", instance.account, subnet.shared_with if subnet else ())
            _check_owner(f"instance[{number}]", instance.account, instance.groups or ["default"], of_group)
        for number, endpoint in enumerate(self.endpoints):
            _check_shared(f"endpoint[{number}]", endpoint.account, shared[endpoint.subnet])
            _check_owner(f"endpoint[{number}]", endpoint.account, endpoint.groups or ["default"], of_group)

    def _check_subnets(self) -> None:
        for number, subnet in enumerate(self.subnets):
            for key in ("cidr", "ipv6_cidr"):
                inner, outer = getattr(subnet, key), getattr(self, key)
                if not inner:
                    continue
                if not outer or not inner.subnet_of(outer):
                    raise Misfit(f"subnet[{number}].{key}: {inner} is not in the VPC's range ({outer or 'none'})")
                for other in self.subnets[:number]:
                    if (range_of_other := getattr(other, key)) and inner.overlaps(range_of_other):
                        raise Misfit(f"subnet[{number}].{key}: {inner} overlaps that of {other.name}")

    def _check_references(self) -> None:
        """Check that every name refers to something."""
        subnets = [subnet.name for subnet in self.subnets]
        groups = ["default", *(group.name for group in self.groups)]
        if "default" in groups[1:]:
            raise Misfit(f"group[{groups.index('default', 1) - 1}].name: default is a duplicate")
        for number, group in enumerate(self.groups):
            for key, rules in zip(("ingress", "egress"), group.rules(), strict=True):
                _check_names(f"group[{number}].{key}", [rule.group for rule in rules], groups)
        members: dict[str, tuple[InstanceSpec | DatabaseSpec | EndpointSpec, ...]]
        members = {"instance": self.instances, "database": self.databases, "endpoint": self.endpoints}
        for table, rows in members.items():
            for number, row in enumerate(rows):
                _check_names(f"{table}[{number}].groups", row.groups, groups)
        for number, acl in enumerate(self.acls):
            _check_names(f"acl[{number}].subnets", acl.subnets, subnets)
        for number, endpoint in enumerate(self.endpoints):
            _check_names(f"endpoint[{number}].subnet", [endpoint.subnet], subnets)

    def _check_addresses(self) -> None:
        """Check that addresses are unique, and that a subnet can assign them."""
        used: set[Address] = set()
        for number, instance in enumerate(self.instances):
            path = f"instance[{number}]"
            key = "address" if instance.address else "ipv6_address"
            subnet = self._subnet(f"{path}.{key}", instance.first_address)
            if subnet.cidr and not instance.address:
                raise Misfit(f"{path}.address: missing, as the subnet {subnet.name} has IPv4 addresses")
            _check_names(f"{path}.subnet", [instance.subnet], [subnet.name])
            if instance.address:
                _use(f"{path}.address", instance.address, instance.count, subnet.cidr, used)
            if instance.ipv6_address:
                _use(f"{path}.ipv6_address", instance.ipv6_address, instance.count, subnet.ipv6_cidr, used)
        for number, database in enumerate(self.databases):
            cidr = self._subnet(f"database[{number}].address", database.address).cidr
            _use(f"database[{number}].address", database.address, 1, cidr, used)
            if database.reader_address:
                _use(f"database[{number}].reader_address", database.reader_address, 1, cidr, used)

    def _subnet(self, path: str, address: Address) -> SubnetSpec:
        if subnet := self.subnet_of(address):
            return subnet
        raise Misfit(f"{path}: {address} is not in any subnet of the VPC")


def _check_shared(path: str, account: str, shared_with: Sequence[str]) -> None:
    if account and account not in shared_with:
        raise Misfit(f"{path}.account: the subnet is not shared with {account}")


def _check_owner(path: str, account: str, groups: Iterable[str], of_group: Mapping[str, str]) -> None:
    """Refuse groups of another account; the VPC's default one is the owner's."""
    for group in groups:
        if of_group[group] != account:
            raise Misfit(f"{path}.groups: {group} belongs to another account")


def _use(path: str, first: Address, count: int, network: IPv4Network | IPv6Network | None, used: set[Address]) -> None:
    """Mark addresses as used, or refuse them."""
    for address in (first + number for number in range(count)):
        if network is None or address not in network:
            raise Misfit(f"{path}: {address} is not in the subnet's range ({network or 'none'})")
        if int(address) - int(network.network_address) < _AWS_RESERVES or address == network.broadcast_address:
            raise Misfit(f"{path}: {address} is reserved by AWS")
        if address in used:
            raise Misfit(f"{path}: {address} is already used by another machine")
        used.add(address)


class AccountSpec(Table, frozen=True):
    """An account of the organization whose management account is the emulator's own.

    `role` is what the management account can assume in it; empty for none.
    """

    id: Annotated[str, Meta(pattern=r"^\d{12}$")]
    name: Text
    state: Annotated[str, _one_of("ACTIVE", "SUSPENDED", "PENDING_CLOSURE", "CLOSED")] = "ACTIVE"
    role: str = "OrganizationAccountAccessRole"


class WorldSpec(Table, frozen=True):
    """A whole world file."""

    accounts: tuple[AccountSpec, ...] = field(name="account", default=())
    images: tuple[ImageSpec, ...] = field(name="image", default=())
    vpcs: tuple[VpcSpec, ...] = field(name="vpc", default=())

    def __post_init__(self) -> None:
        images = [image.key for image in self.images]
        _check_distinct("image", "key", images)
        accounts = [account.id for account in self.accounts]
        _check_distinct("account", "id", accounts)
        for number, vpc in enumerate(self.vpcs):
            _check_names(f"vpc[{number}].account", [vpc.account], accounts)
            for index, subnet in enumerate(vpc.subnets):
                _check_names(f"vpc[{number}].subnet[{index}].shared_with", subnet.shared_with, accounts)
            if vpc.instances and not images:
                raise Misfit("image: missing, but required by instances")
            for index, instance in enumerate(vpc.instances):
                _check_names(f"vpc[{number}].instance[{index}].image", [instance.image], images)


def read_world(content: Mapping[str, Any], source: str) -> WorldSpec:
    """Return the world that a file's content describes.

    Args:
        content: The parsed TOML.
        source: What errors call the file.

    Raises:
        UsageError: Something does not fit; the message has its path in the file, as `vpc[0].instance[2].address`.
    """
    try:
        for path, text in _texts(content, "$"):
            if UNWRITABLE.search(text):
                raise msgspec.ValidationError(
                    f"has characters that a response of the AWS API cannot contain - at `{path}`"
                )
        return msgspec.convert(content, WorldSpec, dec_hook=_network_value, str_keys=True)
    except msgspec.ValidationError as error:
        found = _REPORT.fullmatch(str(error))
        message, path = found.groups(default="") if found else (str(error), "")
        if unknown := re.search(r"unknown field `(.*)`", message):
            tables = Table.__subclasses__()
            keys = {key.encode_name for table in tables for key in msgspec.structs.fields(table)}
            near = difflib.get_close_matches(unknown[1], keys, n=1)
            message += f" (did you mean {near[0]}?)" if near else ""
        joint = ("." if isinstance(error.__cause__, Misfit) else ": ") if path else ""
        raise UsageError(f"{source}: {path}{joint}{message}", hint="eicctl local world") from None


def _network_value(kind: type, value: object) -> Any:
    """Make an address or a range of its text."""
    if not isinstance(value, str):
        raise ValueError(f"Expected `str`, got `{type(value).__name__}`")
    return kind(value)


def _texts(value: object, path: str) -> Iterator[tuple[str, str]]:
    """All strings in a document, keys included, each with its path."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield path, key
            yield from _texts(item, f"{path}.{key}")
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _texts(item, f"{path}[{number}]")
