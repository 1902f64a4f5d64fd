"""World files: their form, checked key by key."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from eicctl.errors import UsageError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class GroupSpec:
    """A security group: `ingress` and `egress` rules of the form `PORT[-PORT]|all from|to CIDR|GROUP`."""

    name: str
    ingress: tuple[str, ...]
    egress: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class SubnetSpec:
    """A subnet."""

    name: str
    cidr: str
    availability_zone: str


@dataclass(frozen=True, slots=True)
class InstanceSpec:
    """An instance, or `count` of them at consecutive addresses (`NAME-1`, `NAME-2`, …)."""

    name: str
    subnet: str
    address: str
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


@dataclass(frozen=True, slots=True)
class DatabaseSpec:
    """An RDS instance at a private address; `forward` is the real `HOST:PORT` behind it, if there is one."""

    id: str
    engine: str
    port: int
    address: str
    groups: tuple[str, ...]
    forward: str


@dataclass(frozen=True, slots=True)
class VpcSpec:
    """A VPC and all that is in it."""

    name: str
    region: str
    cidr: str
    subnets: tuple[SubnetSpec, ...]
    groups: tuple[GroupSpec, ...]
    instances: tuple[InstanceSpec, ...]
    databases: tuple[DatabaseSpec, ...]


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


class _Table:
    """One table of the file: gives out its keys with their types, and knows where it stands."""

    def __init__(self, source: str, where: str, content: Any) -> None:
        self.where = where
        self._source = source
        if not isinstance(content, dict):
            raise self.wrong("", "must be a table")
        self._content: dict[str, Any] = dict(content)

    def wrong(self, key: str, why: str) -> UsageError:
        place = f"{self.where}.{key}" if key and self.where else key or self.where
        return UsageError(f"{self._source}: {place} {why}", hint="docs/emulator.md describes world files")

    def get(self, key: str, kind: type[T], default: T | None = None) -> T:
        value = self._content.pop(key, default)
        if value is None:
            raise self.wrong(key, "is missing")
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise self.wrong(key, f"must be of type {kind.__name__}")
        return value

    def strings(self, key: str, default: Sequence[str] = ()) -> tuple[str, ...]:
        values = self.get(key, list, list(default))
        if not all(isinstance(value, str) for value in values):
            raise self.wrong(key, "must be a list of strings")
        return tuple(values)

    def mapping(self, key: str) -> dict[str, str]:
        values = self.get(key, dict, {})
        if not all(isinstance(value, str) for value in values.values()):
            raise self.wrong(key, "must map to strings")
        return dict(values)

    def tables(self, key: str) -> list[_Table]:
        rows = self.get(key, list, [])
        return [
            _Table(self._source, f"{self.where}{'.' if self.where else ''}{key}[{i}]", r) for i, r in enumerate(rows)
        ]

    def choice(self, key: str, of: Sequence[str], default: str) -> str:
        value = self.get(key, str, default)
        if value not in of:
            raise self.wrong(key, f"must be one of {', '.join(of)}")
        return value

    def address(self, key: str) -> str:
        value = self.get(key, str)
        try:
            ipaddress.ip_address(value)
        except ValueError:
            raise self.wrong(key, f"is no IP address: {value}") from None
        return value

    def network(self, key: str) -> str:
        value = self.get(key, str)
        try:
            ipaddress.ip_network(value)
        except ValueError:
            raise self.wrong(key, f"is no CIDR range: {value}") from None
        return value

    def done(self) -> None:
        if self._content:
            raise self.wrong(next(iter(self._content)), "is not a key of world files")


class WorldReader:
    """Reads the content of a world file.

    Args:
        source: What to call the file in errors.
    """

    def __init__(self, source: str) -> None:
        self._source = source

    def read(self, content: Mapping[str, Any]) -> WorldSpec:
        """Return the world, or raise `UsageError` naming the first key that is wrong."""
        top = _Table(self._source, "", dict(content))
        images = tuple(self._image(table) for table in top.tables("image"))
        keys = [image.key for image in images]
        vpcs = tuple(self._vpc(table, keys) for table in top.tables("vpc"))
        top.done()
        return WorldSpec(images, vpcs)

    def _image(self, table: _Table) -> ImageSpec:
        image = ImageSpec(
            key=table.get("key", str),
            name=table.get("name", str),
            owner=table.get("owner", str, "amazon"),
            platform=table.choice("platform", ("linux", "windows"), "linux"),
            users=table.strings("users"),
        )
        table.done()
        return image

    def _vpc(self, table: _Table, images: Sequence[str]) -> VpcSpec:
        region = table.get("region", str, "us-east-1")
        subnets = tuple(self._subnet(row, region) for row in table.tables("subnet"))
        groups = tuple(self._group(row) for row in table.tables("group"))
        vpc = VpcSpec(
            name=table.get("name", str, ""),
            region=region,
            cidr=table.network("cidr"),
            subnets=subnets,
            groups=groups,
            instances=tuple(
                self._instance(row, images, [s.name for s in subnets], [g.name for g in groups])
                for row in table.tables("instance")
            ),
            databases=tuple(self._database(row, [g.name for g in groups]) for row in table.tables("database")),
        )
        table.done()
        return vpc

    def _subnet(self, table: _Table, region: str) -> SubnetSpec:
        subnet = SubnetSpec(
            table.get("name", str), table.network("cidr"), table.get("availability_zone", str, f"{region}a")
        )
        table.done()
        return subnet

    def _group(self, table: _Table) -> GroupSpec:
        name, ingress = table.get("name", str), table.strings("ingress")
        egress = table.strings("egress", ["?"])
        table.done()
        return GroupSpec(name, ingress, None if egress == ("?",) else egress)

    def _instance(
        self, table: _Table, images: Sequence[str], subnets: Sequence[str], groups: Sequence[str]
    ) -> InstanceSpec:
        forwards = table.mapping("forwards")
        if not all(port.isdigit() for port in forwards):
            raise table.wrong("forwards", "must map port numbers to HOST:PORT")
        instance = InstanceSpec(
            name=table.get("name", str),
            subnet=table.choice("subnet", subnets, subnets[0] if subnets else ""),
            address=table.address("address"),
            image=table.choice("image", images, images[0] if images else ""),
            count=table.get("count", int, 1),
            state=table.choice("state", ("running", "stopped", "terminated"), "running"),
            instance_type=table.get("instance_type", str, "t3.micro"),
            groups=_known(table, table.strings("groups"), groups),
            users=table.strings("users"),
            forwards={int(port): where for port, where in forwards.items()},
            ec2_instance_connect=table.get("ec2_instance_connect", bool, True),
            authorized_keys=table.strings("authorized_keys"),
            tags=table.mapping("tags"),
        )
        table.done()
        return instance

    def _database(self, table: _Table, groups: Sequence[str]) -> DatabaseSpec:
        database = DatabaseSpec(
            id=table.get("id", str),
            engine=table.get("engine", str, "postgres"),
            port=table.get("port", int, 5432),
            address=table.address("address"),
            groups=_known(table, table.strings("groups"), groups),
            forward=table.get("forward", str, ""),
        )
        table.done()
        return database


def _known(table: _Table, names: tuple[str, ...], groups: Sequence[str]) -> tuple[str, ...]:
    for name in names:
        if name not in groups and name != "default":
            raise table.wrong("groups", f"names a group that the VPC does not have: {name}")
    return names
