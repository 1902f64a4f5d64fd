"""Network ACLs and endpoints in world files."""

from __future__ import annotations

import tomllib

import pytest

from eicctl.core.errors import UsageError
from eicctl.emulator.world.schema import AclEntrySpec, EndpointSpec, read_world

WORLD = """
[[vpc]]
cidr = "10.0.0.0/16"
[[vpc.subnet]]
name = "one"
cidr = "10.0.1.0/24"
[[vpc.group]]
name = "eice"
[[vpc.acl]]
name = "edge"
subnets = ["one"]
ingress = ["50 deny 22 from 10.0.9.0/24", "100 allow all from ::/0"]
egress = ["100 allow 1024-65535 to 0.0.0.0/0"]
[[vpc.endpoint]]
subnet = "one"
groups = ["eice"]
preserve_client_ip = true
"""


def test_they_are_read() -> None:
    (vpc,) = read_world(tomllib.loads(WORLD), "it").vpcs
    (acl,) = vpc.acls
    assert acl.entries() == (
        [AclEntrySpec(50, False, 22, 22, "10.0.9.0/24"), AclEntrySpec(100, True, None, None, "::/0")],
        [AclEntrySpec(100, True, 1024, 65535, "0.0.0.0/0")],
    )
    assert vpc.endpoints == (EndpointSpec(subnet="one", groups=("eice",), preserve_client_ip=True),)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "50 deny 22 from",
            "50 refuse 22 from",
            "vpc[0].acl[0].ingress: '50 refuse 22 from 10.0.9.0/24' does not have the",
        ),
        (
            "50 deny 22 from",
            "0 deny 22 from",
            "vpc[0].acl[0].ingress: '0 deny 22 from 10.0.9.0/24' does not have the form",
        ),
        (
            "50 deny 22 from",
            "50 deny 99999 from",
            "vpc[0].acl[0].ingress: '99999 from 10.0.9.0/24' has an invalid port range",
        ),
        ("50 deny 22 from", "50 deny 22 to", "vpc[0].acl[0].ingress: '22 to 10.0.9.0/24' does not have the form"),
        ("10.0.9.0/24", "eice", "vpc[0].acl[0].ingress: '50 deny 22 from eice' has no CIDR range"),
        ("50 deny", "100 deny", "vpc[0].acl[0].ingress: two entries have the number 100"),
        ('subnets = ["one"]', 'subnets = ["two"]', "vpc[0].acl[0].subnets: 'two' is not one of one"),
        ('groups = ["eice"]', 'groups = ["x"]', "vpc[0].endpoint[0].groups: 'x' is not one of default, eice"),
        ('subnet = "one"', 'subnet = "two"', "vpc[0].endpoint[0].subnet: 'two' is not one of one"),
        (
            "preserve_client_ip = true",
            'preserve_client_ip = true\nip_address_type = "ipv6"',
            "vpc[0].endpoint[0].preserve_client_ip: requires ip_address_type ipv4",
        ),
        (
            "[[vpc.endpoint]]",
            '[[vpc.endpoint]]\nsubnet = "one"\n[[vpc.endpoint]]',
            "vpc[0].endpoint[1]: a VPC can have only one endpoint",
        ),
    ],
)
def test_what_is_wrong_is_named(old: str, new: str, message: str) -> None:
    assert old in WORLD
    with pytest.raises(UsageError) as wrong:
        read_world(tomllib.loads(WORLD.replace(old, new, 1)), "it")
    assert message in wrong.value.message
