"""World files: what does not fit together is named with its key."""

from __future__ import annotations

import tomllib

import pytest

from eicctl.core.errors import UsageError
from eicctl.emulator.world.schema import RuleSpec, WorldReader, WorldSpec

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
    return WorldReader("world.toml").read(tomllib.loads(text))


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
    assert ssh.ingress == (
        RuleSpec(22, 22, "", "bastion"),
        RuleSpec(8000, 8080, "10.0.0.0/8", ""),
        RuleSpec(None, None, "::/0", ""),
    )
    assert ssh.egress is None
    assert bastion.egress == (RuleSpec(22, 22, "", "ssh"),)


def test_no_egress_is_not_the_same_as_none_said() -> None:
    assert read(GOOD.replace('egress = ["22 to ssh"]', "egress = []")).vpcs[0].groups[1].egress == ()


def test_an_address_tells_the_subnet() -> None:
    (vpc,) = read(GOOD).vpcs
    assert [instance.subnet for instance in vpc.instances] == ["one", "two"]
    assert vpc.databases[0].subnet == "two"


def test_forwards() -> None:
    assert read(GOOD).vpcs[0].instances[1].forwards == {3389: "localhost:13389", 22: "[::1]:2222"}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"10.0.1.0/24"', '"10.1.1.0/24"', "vpc[0].subnet[0].cidr is not in the VPC's range 10.0.0.0/16: 10.1.1.0/24"),
        ('"10.0.1.0/24"', '"10.0.1.7/24"', "vpc[0].subnet[0].cidr is not a CIDR range: 10.0.1.7/24 has host bits set"),
        ('"10.0.2.0/28"', '"10.0.0.0/20"', "vpc[0].subnet[1].cidr overlaps that of one: 10.0.0.0/20"),
        ('"10.0.0.0/16"', '"fd00::/16"', "vpc[0].cidr must be an IPv4 range, not fd00::/16"),
        ('"fd00:0:0:1::/64"', '"fd01::/64"', "vpc[0].subnet[0].ipv6_cidr is not in the VPC's range"),
        ('name = "two"', 'name = "one"', "vpc[0].subnet[1].name is that of another subnet: one"),
        ('name = "two"', "name = 2", "vpc[0].subnet[1].name must be of type str"),
        ('name = "bastion"', 'name = "ssh"', "vpc[0].group[1].name is that of another group: ssh"),
        ('name = "bastion"', 'name = "default"', "vpc[0].group[1].name is that of another group: default"),
        (
            '"22 to ssh"',
            '"22 from ssh"',
            "vpc[0].group[1].egress has a rule that is not of the form 'PORT to CIDR|GROUP'",
        ),
        ('"22 to ssh"', '"22 to nobody"', "egress has a rule that names neither a CIDR range nor a group of the VPC"),
        ('"22 to ssh"', '"22-21 to ssh"', "egress has a rule that has no such ports: '22-21 to ssh'"),
        ('"22 to ssh"', '"99999 to ssh"', "egress has a rule that has no such ports"),
        ('"22 to ssh"', "22", "vpc[0].group[1].egress must be a list of strings"),
        ('"10.0.2.14"', '"10.0.9.9"', "vpc[0].instance[1].address is in no subnet of the VPC: 10.0.9.9"),
        ('"10.0.2.14"', '"10.0.2.15"', "vpc[0].instance[1].address is one that AWS keeps for itself: 10.0.2.15"),
        ('"10.0.2.14"', '"10.0.2.3"', "vpc[0].instance[1].address is one that AWS keeps for itself: 10.0.2.3"),
        ('"10.0.2.14"', '"10.0.1.12"', "vpc[0].instance[1].address is that of another machine: 10.0.1.12"),
        ('"10.0.2.14"', '"10.0.2.14"\ncount = 2', "address is one that AWS keeps for itself: 10.0.2.15"),
        ('"10.0.2.14"', '"10.0.2.14"\nsubnet = "one"', "vpc[0].instance[1].subnet must be one of two, not 'one'"),
        ('"10.0.2.14"', '"10.0.2.14"\nipv6_address = "fd00:0:0:1::14"', "ipv6_address is in no range of its subnet"),
        ('"fd00:0:0:1::10"', '"10.0.1.20"', "vpc[0].instance[0].ipv6_address must be an IPv6 address, not 10.0.1.20"),
        ("count = 3", "count = 0", "vpc[0].instance[0].count must be from 1 to 1000, not 0"),
        ("count = 3", "count = true", "vpc[0].instance[0].count must be of type int"),
        ('"10.0.2.4"', '"10.0.2.14"', "vpc[0].database[0].address is that of another machine: 10.0.2.14"),
        ('id = "orders"', 'id = "-x"', "vpc[0].database[0].id must be letters, digits and single hyphens, not '-x'"),
        ('id = "orders"', 'id = "o"\nengine = "db9"', "vpc[0].database[0].engine must be one of postgres,"),
        ('id = "orders"', 'id = "o"\nport = 70000', "vpc[0].database[0].port must be from 1 to 65535, not 70000"),
        ('id = "orders"', 'id = "o"\nforward = "5432"', "vpc[0].database[0].forward must be HOST:PORT, not '5432'"),
        ("3389 = ", "70000 = ", "vpc[0].instance[1].forwards must map port numbers to HOST:PORT, not '70000' to"),
        ('"localhost:13389"', '"localhost"', "vpc[0].instance[1].forwards must map port numbers to HOST:PORT"),
        ('users = ["admin"]', 'users = ["../x"]', "image[0].users must have names of OS users only, not '../x'"),
        ('users = ["admin"]', 'owner = "bob"', "image[0].owner must be amazon or an account ID, not 'bob'"),
        ('key = "linux"', 'key = ""', "image[0].key must be some text, not ''"),
    ],
)
def test_what_does_not_fit(old: str, new: str, message: str) -> None:
    assert error_of((old, new)).startswith("world.toml: ")
    assert message in error_of((old, new))


def test_names_that_are_there_twice() -> None:
    image = '[[image]]\nkey = "linux"\nname = "x"\n\n[[vpc]]'
    assert error_of(("[[vpc]]", image)) == "world.toml: image[1].key is there twice: linux"
    database = '[[vpc.database]]\nid = "orders"\naddress = "10.0.2.5"\n\n[[vpc.database]]'
    assert error_of(("[[vpc.database]]", database)) == "world.toml: vpc[0].database[1].id is there twice: orders"


def test_instances_need_an_image() -> None:
    image = GOOD[: GOOD.index("[[vpc]]")]
    assert "vpc[0].instance[0].image cannot be given" in error_of((image, "\n"))


def test_a_vpc_that_is_no_table() -> None:
    with pytest.raises(UsageError, match=r"^world\.toml: vpc\[0\] must be a table$"):
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
    with pytest.raises(UsageError, match="characters that no answer"):
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
    assert (subnet.cidr, instance.subnet, instance.address) == ("", "six", "")


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("fd00:0:0:6::10", "fd00:0:0:1::40", "address is missing: the subnet one has IPv4 addresses"),
        ("fd00:0:0:6::10", "fd00:0:0:7::10", "ipv6_address is in no subnet"),
        ("fd00:0:0:6::/64", "fd00:0:0:1::/64", "ipv6_cidr overlaps that of one"),
        ('ipv6_cidr = "fd00:0:0:6::/64"', "", "cidr is missing"),
        ('ipv6_address = "fd00:0:0:6::10"', "", "address is missing"),
    ],
)
def test_what_does_not_fit_with_ipv6_only(old: str, new: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        read(GOOD + SIX.replace(old, new))
