"""World files: what does not fit together is named with its key."""

from __future__ import annotations

import tomllib

import pytest

from eicctl.core.errors import UsageError
from eicctl.emulator.world.schema import RuleSpec, WorldSpec, read_world

GOOD = """
[[image]]
key = "linux"
name = "debian-12"
users = ["admin"]

[[vpc]]
cidr = "10.0.0.0/16"
ipv6_cidr = "fd00::/56"

[[vpc.subnet]]
name = "one"
cidr = "10.0.1.0/24"
ipv6_cidr = "fd00:0:0:1::/64"

[[vpc.subnet]]
name = "two"
cidr = "10.0.2.0/28"

[[vpc.group]]
name = "ssh"
ingress = ["22 from bastion", "8000-8080 from 10.0.0.0/8", "all from ::/0"]

[[vpc.group]]
name = "bastion"
egress = ["22 to ssh"]

[[vpc.instance]]
name = "node"
address = "10.0.1.10"
ipv6_address = "fd00:0:0:1::10"
count = 3

[[vpc.instance]]
name = "last"
address = "10.0.2.14"
forwards = { 3389 = "localhost:13389", 22 = "[::1]:2222" }

[[vpc.database]]
id = "orders"
address = "10.0.2.4"
"""


def read(text: str) -> WorldSpec:
    return read_world(tomllib.loads(text), "world.toml")


def error_of(*changes: tuple[str, str]) -> str:
    text = GOOD
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    with pytest.raises(UsageError) as wrong:
        read(text)
    assert wrong.value.exit_code == 2
    return wrong.value.message


def test_rules_are_read() -> None:
    ssh, bastion = read(GOOD).vpcs[0].groups
    assert ssh.rules()[0] == [
        RuleSpec(22, 22, "", "bastion"),
        RuleSpec(8000, 8080, "10.0.0.0/8", ""),
        RuleSpec(None, None, "::/0", ""),
    ]
    assert ssh.egress is None
    assert bastion.rules()[1] == [RuleSpec(22, 22, "", "ssh")]


def test_an_empty_egress_differs_from_a_missing_one() -> None:
    assert read(GOOD.replace('egress = ["22 to ssh"]', "egress = []")).vpcs[0].groups[1].egress == ()


def test_an_address_determines_the_subnet() -> None:
    (vpc,) = read(GOOD).vpcs
    subnets = [vpc.subnet_of(each.first_address) for each in vpc.instances] + [vpc.subnet_of(vpc.databases[0].address)]
    assert [subnet and subnet.name for subnet in subnets] == ["one", "two", "two"]


def test_forwards() -> None:
    assert read(GOOD).vpcs[0].instances[1].forwards == {3389: "localhost:13389", 22: "[::1]:2222"}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            '"10.0.1.0/24"',
            '"10.1.1.0/24"',
            "vpc[0].subnet[0].cidr: 10.1.1.0/24 is not in the VPC's range (10.0.0.0/16)",
        ),
        ('"10.0.1.0/24"', '"10.0.1.7/24"', "vpc[0].subnet[0].cidr: 10.0.1.7/24 has host bits set"),
        ('"10.0.2.0/28"', '"10.0.0.0/20"', "vpc[0].subnet[1].cidr: 10.0.0.0/20 overlaps that of one"),
        ('"10.0.0.0/16"', '"fd00::/16"', "vpc[0].cidr: Expected 4 octets in 'fd00::'"),
        ('"fd00:0:0:1::/64"', '"fd01::/64"', "vpc[0].subnet[0].ipv6_cidr: fd01::/64 is not in the VPC's range"),
        ('name = "two"', 'name = "one"', "vpc[0].subnet[1].name: one is a duplicate"),
        ('name = "two"', "name = 2", "vpc[0].subnet[1].name: Expected `str`, got `int`"),
        ('name = "bastion"', 'name = "ssh"', "vpc[0].group[1].name: ssh is a duplicate"),
        ('name = "bastion"', 'name = "default"', "vpc[0].group[1].name: default is a duplicate"),
        (
            '"22 to ssh"',
            '"22 from ssh"',
            "vpc[0].group[1].egress: '22 from ssh' does not have the form 'PORT to CIDR|GROUP'",
        ),
        ('"22 to ssh"', '"22 to nobody"', "vpc[0].group[1].egress: 'nobody' is not one of default, ssh, bastion"),
        ('"22 to ssh"', '"22-21 to ssh"', "egress: '22-21 to ssh' has an invalid port range"),
        ('"22 to ssh"', '"99999 to ssh"', "egress: '99999 to ssh' has an invalid port range"),
        ('"22 to ssh"', "22", "vpc[0].group[1].egress[0]: Expected `str`, got `int`"),
        ('"10.0.2.14"', '"10.0.9.9"', "vpc[0].instance[1].address: 10.0.9.9 is not in any subnet of the VPC"),
        ('"10.0.2.14"', '"10.0.2.15"', "vpc[0].instance[1].address: 10.0.2.15 is reserved by AWS"),
        ('"10.0.2.14"', '"10.0.2.3"', "vpc[0].instance[1].address: 10.0.2.3 is reserved by AWS"),
        ('"10.0.2.14"', '"10.0.1.12"', "vpc[0].instance[1].address: 10.0.1.12 is already used by another machine"),
        ('"10.0.2.14"', '"10.0.2.14"\ncount = 2', "address: 10.0.2.15 is reserved by AWS"),
        ('"10.0.2.14"', '"10.0.2.14"\nsubnet = "one"', "vpc[0].instance[1].subnet: 'one' is not one of two"),
        (
            '"10.0.2.14"',
            '"10.0.2.14"\nipv6_address = "fd00:0:0:1::14"',
            "ipv6_address: fd00:0:0:1::14 is not in the subnet's range",
        ),
        (
            '"fd00:0:0:1::10"',
            '"10.0.1.20"',
            "vpc[0].instance[0].ipv6_address: At least 3 parts expected in '10.0.1.20'",
        ),
        ("count = 3", "count = 0", "vpc[0].instance[0].count: Expected `int` >= 1"),
        ("count = 3", "count = true", "vpc[0].instance[0].count: Expected `int`, got `bool`"),
        ('"10.0.2.4"', '"10.0.2.14"', "vpc[0].database[0].address: 10.0.2.14 is already used by another machine"),
        (
            'id = "orders"',
            'id = "-x"',
            "vpc[0].database[0].id: Expected `str` matching regex '^[A-Za-z](-?[A-Za-z0-9])",
        ),
        (
            'id = "orders"',
            'id = "o"\nengine = "db9"',
            "vpc[0].database[0].engine: Expected `str` matching regex '^(postgres|mysql|",
        ),
        ('id = "orders"', 'id = "o"\nport = 70000', "vpc[0].database[0].port: Expected `int` <= 65535"),
        ('id = "orders"', 'id = "o"\nforward = "5432"', "vpc[0].database[0].forward: '5432' is not HOST:PORT"),
        ("3389 = ", "70000 = ", "world.toml: vpc[0].instance[1].forwards: Expected `int` <= 65535"),
        ('"localhost:13389"', '"localhost"', "vpc[0].instance[1].forwards.3389: 'localhost' is not HOST:PORT"),
        ('users = ["admin"]', 'users = ["../x"]', "image[0].users[0]: Expected `str` matching regex '^[A-Za-z_]"),
        ('users = ["admin"]', 'owner = "bob"', "image[0].owner: Expected `str` matching regex '^(amazon|"),
        ('key = "linux"', 'key = ""', "image[0].key: Expected `str` of length >= 1"),
    ],
)
def test_what_does_not_fit(old: str, new: str, message: str) -> None:
    assert error_of((old, new)).startswith("world.toml: ")
    assert message in error_of((old, new))


def test_duplicate_names() -> None:
    image = '[[image]]\nkey = "linux"\nname = "x"\n\n[[vpc]]'
    assert error_of(("[[vpc]]", image)) == "world.toml: image[1].key: linux is a duplicate"
    database = '[[vpc.database]]\nid = "orders"\naddress = "10.0.2.5"\n\n[[vpc.database]]'
    assert error_of(("[[vpc.database]]", database)) == "world.toml: vpc[0].database[1].id: orders is a duplicate"


def test_instances_need_an_image() -> None:
    image = GOOD[: GOOD.index("[[vpc]]")]
    assert "image: missing, but required by instances" in error_of((image, "\n"))


def test_a_vpc_that_is_not_a_table() -> None:
    with pytest.raises(UsageError, match=r"^world\.toml: vpc\[0\]: Expected `object`, got `int`$"):
        read("vpc = [1]")


@pytest.mark.parametrize(
    "line",
    [
        'name = "a\\u001b"',
        'name = "a"\ntags = { Team = "\\u0000" }',
        'name = "a"\ntags = { "\\u000b" = "x" }',
        'name = "a"\nusers = ["\\u0001"]',
    ],
)
def test_text_that_no_answer_could_hold(line: str) -> None:
    with pytest.raises(UsageError, match="characters that a response"):
        read(f'{GOOD}\n[[vpc.instance]]\naddress = "10.0.1.40"\n{line}\n')


SIX = """
[[vpc.subnet]]
name = "six"
ipv6_cidr = "fd00:0:0:6::/64"

[[vpc.instance]]
name = "six"
ipv6_address = "fd00:0:0:6::10"
"""


def test_a_subnet_and_an_instance_with_ipv6_only() -> None:
    world = read(f"{GOOD}{SIX}")
    subnet, instance = world.vpcs[0].subnets[-1], world.vpcs[0].instances[-1]
    assert (vpc_subnet := world.vpcs[0].subnet_of(instance.first_address))
    assert (subnet.cidr, vpc_subnet.name, instance.address) == (None, "six", None)


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("fd00:0:0:6::10", "fd00:0:0:1::40", "address: missing, as the subnet one has IPv4 addresses"),
        ("fd00:0:0:6::10", "fd00:0:0:7::10", "ipv6_address: fd00:0:0:7::10 is not in any subnet"),
        ("fd00:0:0:6::/64", "fd00:0:0:1::/64", "ipv6_cidr: fd00:0:0:1::/64 overlaps that of one"),
        ('ipv6_cidr = "fd00:0:0:6::/64"', "", "cidr: missing"),
        ('ipv6_address = "fd00:0:0:6::10"', "", "address: missing"),
    ],
)
def test_what_does_not_fit_with_ipv6_only(old: str, new: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        read(GOOD + SIX.replace(old, new))
