"""A world's resources, made in moto's backends and in the emulator's state."""

from __future__ import annotations

import contextlib
import ipaddress
from dataclasses import replace
from typing import Any

from eicctl.emulator.control.backends import ec2, rds
from eicctl.emulator.control.instances import describe_platform, host_key, machine_of
from eicctl.emulator.control.schema import DatabaseSpec, GroupSpec, ImageSpec, InstanceSpec, VpcSpec, WorldSpec
from eicctl.emulator.state import Machine, State
from eicctl.errors import UsageError

__all__ = ["Seeder", "host_key"]


class Seeder:
    """Makes worlds in a state that has none."""

    def __init__(self, state: State) -> None:
        self._state = state

    def make(self, world: WorldSpec) -> None:
        """Make everything; in each region that the world names, moto's default VPC goes."""
        images = {image.key: image for image in world.images}
        for region in {vpc.region for vpc in world.vpcs}:
            _clear_region(ec2(region))
        for vpc in world.vpcs:
            _VpcSeeder(self._state, vpc, images).make()


def _clear_region(backend: Any) -> None:
    """Take moto's default VPC away: it would make every choice of a VPC ambiguous."""
    for subnets in backend.subnets.values():
        subnets.clear()
    backend.vpcs.clear()
    backend.groups.clear()


class _VpcSeeder:
    def __init__(self, state: State, spec: VpcSpec, images: dict[str, ImageSpec]) -> None:
        self._state = state
        self._spec = spec
        self._images = images
        self._ec2 = ec2(spec.region)

    def make(self) -> None:
        spec = self._spec
        self._vpc = self._ec2.create_vpc(spec.cidr, tags=_tag_list({"Name": spec.name}))
        self._subnets = {
            subnet.name: self._ec2.create_subnet(
                self._vpc.id,
                subnet.cidr,
                availability_zone=subnet.availability_zone,
                tags={"subnet": {"Name": subnet.name}},
            )
            for subnet in spec.subnets
        }
        self._groups = {"default": self._default_group()}
        for group in spec.groups:
            self._groups[group.name] = self._ec2.create_security_group(
                group.name, f"{group.name} of the emulated world", vpc_id=self._vpc.id, tags={"Name": group.name}
            )
        for group in spec.groups:
            self._make_rules(group)
        for instance in spec.instances:
            for number in range(instance.count):
                self._make_instance(instance, number)
        for database in spec.databases:
            self._make_database(database)

    def _default_group(self) -> Any:
        return next(group for group in self._ec2.groups[self._vpc.id].values() if group.name == "default")

    def _make_rules(self, spec: GroupSpec) -> None:
        group = self._groups[spec.name]
        for rule in spec.ingress:
            self._ec2.authorize_security_group_ingress(group.id, **self._rule(spec, rule, "from"))
        if spec.egress is not None:
            group.egress_rules.clear()
            for rule in spec.egress:
                self._ec2.authorize_security_group_egress(group.id, **self._rule(spec, rule, "to"))

    def _rule(self, spec: GroupSpec, text: str, word: str) -> dict[str, Any]:
        ports, middle, peer = ([*text.split(), "", "", ""])[:3]
        first, _, last = ports.partition("-")
        protocol, numbers = ("-1", ("-1", "-1")) if ports == "all" else ("tcp", (first, last or first))
        by_cidr = False
        with contextlib.suppress(ValueError):
            by_cidr = bool(ipaddress.ip_network(peer))
        if middle != word or len(text.split()) != 3 or not (ports == "all" or (first + last).isdigit()):
            raise UsageError(f"the rule {text!r} of group {spec.name} is not of the form 'PORT {word} CIDR|GROUP'")
        if not by_cidr and peer not in self._groups:
            raise UsageError(f"the rule {text!r} of group {spec.name} names neither a CIDR range nor a group")
        return {
            "ip_protocol": protocol,
            "from_port": numbers[0],
            "to_port": numbers[1],
            "ip_ranges": [{"CidrIpv6" if ":" in peer else "CidrIp": peer}] if by_cidr else [],
            "source_groups": [] if by_cidr else [{"GroupId": self._groups[peer].id}],
            "vpc_id": self._vpc.id,
        }

    def _make_instance(self, spec: InstanceSpec, number: int) -> None:
        image = self._images[spec.image]
        name = spec.name if spec.count == 1 else f"{spec.name}-{number + 1}"
        address = str(ipaddress.ip_address(spec.address) + number)
        subnet = self._subnets[spec.subnet]
        group_ids = [self._groups[group].id for group in spec.groups] or [self._groups["default"].id]
        reservation = self._ec2.run_instances(
            self._image(image),
            1,
            None,
            [],
            security_group_ids=group_ids,
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
        if spec.state == "stopped":
            instance.stop()
        elif spec.state == "terminated":
            instance.terminate()
        describe_platform(instance)
        self._state.put_machine(
            replace(
                machine_of(self._state, instance),
                users=spec.users or image.users,
                forwards=tuple(spec.forwards.items()),
                ec2_instance_connect=spec.ec2_instance_connect,
                authorized_keys=spec.authorized_keys,
            )
        )

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
        groups = [self._groups[group].id for group in spec.groups] or [self._groups["default"].id]
        database = rds(self._spec.region).create_db_instance(
            {
                "db_instance_identifier": spec.id,
                "engine": spec.engine,
                "db_instance_class": "db.t3.micro",
                "allocated_storage": 20,
                "master_username": "demo",
                "master_user_password": "never-used-by-anyone",
                "port": spec.port,
                "vpc_security_group_ids": groups,
            }
        )
        self._state.put_machine(
            Machine(
                kind="service",
                name=spec.id,
                address=spec.address,
                region=self._spec.region,
                vpc_id=self._vpc.id,
                forwards=((spec.port, spec.forward),) if spec.forward else (),
                security_group_ids=tuple(groups),
                names=(str(database.address),),
            )
        )


def _tag_list(tags: dict[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items() if value]
