"""Network ACLs and endpoints in world files."""

from __future__ import annotations

import tomllib

import pytest

from eicctl.core.errors import UsageError
from eicctl.emulator.world.schema import AclEntrySpec, EndpointSpec, WorldReader

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
    (vpc,) = WorldReader("it").read(tomllib.loads(WORLD)).vpcs
    (acl,) = vpc.acls
    assert acl.ingress == (
        AclEntrySpec(50, False, 22, 22, "10.0.9.0/24"),
        AclEntrySpec(100, True, None, None, "::/0"),
    )
    assert acl.egress == (AclEntrySpec(100, True, 1024, 65535, "0.0.0.0/0"),)
    assert vpc.endpoints == (EndpointSpec("", "one", ("eice",), True, ""),)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("50 deny 22 from", "50 refuse 22 from", "vpc[0].acl[0].ingress has an entry that is not of the form"),
        ("50 deny 22 from", "0 deny 22 from", "vpc[0].acl[0].ingress has an entry that is not of the form"),
        ("50 deny 22 from", "50 deny 99999 from", "vpc[0].acl[0].ingress has an entry that has no such ports"),
        ("50 deny 22 from", "50 deny 22 to", "vpc[0].acl[0].ingress has an entry that is not of the form"),
        ("10.0.9.0/24", "eice", "vpc[0].acl[0].ingress has an entry that names no CIDR range"),
        ("50 deny", "100 deny", "vpc[0].acl[0].ingress has two entries of one number: 100"),
        ('subnets = ["one"]', 'subnets = ["two"]', "vpc[0].acl[0].subnets names a subnet that the VPC does not have"),
        ('groups = ["eice"]', 'groups = ["x"]', "vpc[0].endpoint[0].groups names a group that the VPC does not have"),
        ('subnet = "one"', 'subnet = "two"', "vpc[0].endpoint[0].subnet must be one of one, not 'two'"),
        (
            "preserve_client_ip = true",
            'preserve_client_ip = true\nip_address_type = "ipv6"',
            "is for the ip_address_type",
        ),
        (
            "[[vpc.endpoint]]",
            '[[vpc.endpoint]]\nsubnet = "one"\n[[vpc.endpoint]]',
            "endpoint[1] is the second endpoint",
        ),
    ],
)
def test_what_is_wrong_is_named(old: str, new: str, message: str) -> None:
    assert old in WORLD
    with pytest.raises(UsageError) as wrong:
        WorldReader("it").read(tomllib.loads(WORLD.replace(old, new, 1)))
    assert message in wrong.value.message
