"""World files of the local AWS: what is wrong is named with its key."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eicctl.core.errors import UsageError
from eicctl.emulator.control.network import Rule
from eicctl.emulator.world.schema import read_world

GOOD = """
[[image]]
key = "a"
name = "n"
[[vpc]]
cidr = "10.0.0.0/16"
[[vpc.subnet]]
name = "s"
cidr = "10.0.1.0/24"
[[vpc.instance]]
name = "i"
address = "10.0.1.5"
"""


def read(text: str) -> None:
    read_world(tomllib.loads(text), "world.toml")


def test_a_small_one() -> None:
    read(GOOD)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (('cidr = "10.0.0.0/16"', 'cidr = "10.0.0.0/99"'), r"vpc\[0\]\.cidr: '99' is not a valid netmask"),
        (('cidr = "10.0.0.0/16"', ""), r"vpc\[0\]: Object missing required field `cidr`"),
        (('address = "10.0.1.5"', 'address = "x"'), r"vpc\[0\]\.instance\[0\]\.address: Expected 4 octets in 'x'"),
        (('address = "10.0.1.5"', 'address = "10.0.1.5"\nstate = "odd"'), r"state: Expected .* '.\(running"),
        (('address = "10.0.1.5"', 'address = "10.0.1.5"\nimage = "b"'), r"image: 'b' is not one of a"),
        (('address = "10.0.1.5"', 'address = "10.0.1.5"\ngroups = ["g"]'), r"groups: 'g' is not one of default"),
        (('address = "10.0.1.5"', 'address = "10.0.1.5"\ncount = "2"'), r"count: Expected `int`, got `str`"),
        (('address = "10.0.1.5"', 'address = "10.0.1.5"\ncolour = "red"'), r"unknown field `colour`$"),
        (('address = "10.0.1.5"', 'address = "10.0.1.5"\ncounts = 3'), r"`counts` .did you mean count\?"),
        (('address = "10.0.1.5"', 'address = "10.0.1.5"\nforwards = { ssh = "x:1" }'), r"forwards: Expected `int`"),
    ],
)
def test_what_is_wrong_is_named(change: tuple[str, str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        read(GOOD.replace(*change))


@given(first=st.integers(0, 65535), last=st.integers(0, 65535), port=st.integers(0, 65535))
def test_a_rule_admits_its_ports(first: int, last: int, port: int) -> None:
    assert Rule(first, last, cidr="10.0.0.0/8").admits(port, "10.1.2.3", []) == (first <= port <= last)


@pytest.mark.parametrize(
    ("rule", "admitted"),
    [
        (Rule(22, 22, cidr="10.0.0.0/16"), True),
        (Rule(22, 22, cidr="10.1.0.0/16"), False),
        (Rule(22, 22, cidr="::/0"), False),
        (Rule(22, 22, group_id="sg-1"), True),
        (Rule(22, 22, group_id="sg-2"), False),
    ],
)
def test_a_rule_admits_its_peers(rule: Rule, admitted: bool) -> None:
    assert rule.admits(22, "10.0.0.5", ["sg-1"]) is admitted
