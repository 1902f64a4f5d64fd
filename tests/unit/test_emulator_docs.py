"""docs/reference/local-aws.md documents all that the emulator accepts, and its example is valid."""

from __future__ import annotations

import dataclasses
import inspect
import re
import tomllib
from pathlib import Path
from typing import get_args, get_type_hints

import msgspec
import pytest

from eicctl.emulator import control_api
from eicctl.emulator.data import faults
from eicctl.emulator.state import Behavior, Fault
from eicctl.emulator.world import schema

PAGE = Path(__file__).parents[2].joinpath("docs", "reference", "local-aws.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    """The text below a heading."""
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def test_the_example_world_can_be_read() -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    world = schema.read_world(tomllib.loads(example), "docs/reference/local-aws.md")
    (vpc,) = world.vpcs
    assert vpc.instances[0].count == 3
    assert vpc.databases[0].forward == "localhost:5432"


SPECS = [
    "AccountSpec",
    "ImageSpec",
    "VpcSpec",
    "SubnetSpec",
    "GroupSpec",
    "AclSpec",
    "InstanceSpec",
    "DatabaseSpec",
    "EndpointSpec",
]


@pytest.mark.parametrize("spec", SPECS)
def test_every_key_of_world_files_is_documented(spec: str) -> None:
    tables = {"subnets", "instances", "databases", "acls", "endpoints"} - ({"subnets"} if spec == "AclSpec" else set())
    tables |= {"groups"} if spec == "VpcSpec" else set()
    for field in msgspec.structs.fields(getattr(schema, spec)):
        assert field.name in tables or f"`{field.name}`" in section("World files"), field.name


@pytest.mark.parametrize("name", faults.KINDS)
def test_every_fault_is_documented(name: str) -> None:
    (row,) = re.findall(rf"^\| `{name}` \| .*\|.*\|$", section("Faults"), re.MULTILINE)
    kind = faults.KINDS[name]
    for field in msgspec.structs.fields(kind):
        if field.name not in Fault.__struct_fields__:
            assert f"`{field.name}`" in row
    stages = get_args(get_type_hints(kind)["stage"])
    if len(stages) > 1:
        assert "`stage`" in row
        for stage in stages:
            assert f"`{stage}`" in section("Faults")


def test_every_setting_is_documented() -> None:
    documented = re.findall(r"^\| `(\w+)` \|", section("Settings"), re.MULTILINE)
    assert documented == [field.name for field in dataclasses.fields(Behavior)]


def test_every_request_is_documented() -> None:
    accepted = set(re.findall(r'\("(GET|POST|DELETE)", "(\w+)"\)', inspect.getsource(control_api)))
    documented = set(re.findall(r"^\| `(GET|POST|DELETE) (\w+)` \|", section("Control API"), re.MULTILINE))
    assert accepted == documented
