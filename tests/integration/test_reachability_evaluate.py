"""What the evaluation says of a network is what a real connection through the emulator finds.

The emulator decides with code of its own, on what moto has; the evaluation reads the same network by the API.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from eicctl.aws.accounts import Account
from eicctl.aws.session import Session
from eicctl.aws.targets import target_of
from eicctl.core.errors import TargetUnreachableError
from eicctl.emulator.server import Emulator
from eicctl.emulator.world import load_world
from eicctl.reachability.coverage import Inventory, Reach, ScanLocation, assess, read_inventory
from eicctl.reachability.remedies import Change
from eicctl.tunnel.dial import Dialer
from eicctl.tunnel.probe import probe


@cache
def session_at(_url: str) -> Session:
    """A session for the emulator of this process. Its clients are made once, as that takes longer than their calls."""
    return Session()


@pytest.fixture
def session(emulator: Emulator) -> Session:
    return session_at(emulator.url)


@pytest.fixture
def ec2(session: Session) -> Any:
    return session.client("ec2")


def surveyed(session: Session) -> Inventory:
    return read_inventory(session, ScanLocation(Account(session), session.region))


def assessed(found: Inventory) -> list[Reach]:
    return [assess(each, found.endpoints, found.facts) for each in found.instances]


def dial(session: Session, reach: Reach) -> bool:
    """Whether a real connection gets to the instance."""
    assert reach.endpoint
    target = target_of(session, reach.instance, reach.endpoint, remote_port=reach.port)
    try:
        found = probe(Dialer(target, session.credentials, session.ca_bundle))
    except TargetUnreachableError:
        return False
    assert found.banner or reach.port != 22
    return True


@pytest.fixture
def broken(emulator: Emulator) -> Iterator[Emulator]:
    load_world(emulator.state, Path("broken"), emulator.dns_name())
    emulator.state.behave(client_ip="203.0.113.9")
    yield emulator
    emulator.reset()


CAUSES = {
    "good-linux": "",
    "good-windows": "",
    "no-ingress": "target-ingress",
    "wrong-range": "target-ingress",
    "windows-without-3389": "target-ingress",
    "no-egress": "endpoint-egress",
    "acl-denies-in": "target-acl-in",
    "acl-denies-back": "target-acl-out",
    "no-endpoint": "no-endpoint",
    "old-type": "client-ip-preservation",
}


def undo(ec2: Any, change: Change) -> None:
    """Restore what was there before a change."""
    given = change.parameters
    if change.operation == "create_network_acl_entry":
        ec2.delete_network_acl_entry(**{key: given[key] for key in ("NetworkAclId", "RuleNumber", "Egress")})
    elif change.operation == "create_route":
        ec2.delete_route(RouteTableId=given["RouteTableId"], DestinationCidrBlock=given["DestinationCidrBlock"])
    elif change.is_group_rule:
        getattr(ec2, change.undo_operation)(**given)
    else:
        before: dict[str, Any] = {"IpAddressType": "ipv4"} if "IpAddressType" in given else {}
        before |= {"PreserveClientIp": True} if "PreserveClientIp" in given else {}
        ec2.modify_instance_connect_endpoint(**{**given, **before})


@pytest.mark.usefixtures("broken")
def test_the_broken_world_is_broken_as_it_says_and_each_change_mends_it(session: Session, ec2: Any) -> None:
    before = surveyed(session)
    reaches = assessed(before)
    assert {reach.instance.name: reach.check for reach in reaches} == CAUSES
    for reach in reaches:
        assert reach.verdict == ("failed" if reach.check else "ok")
        if reach.endpoint is None:
            continue
        assert dial(session, reach) == (reach.verdict == "ok"), reach
        if reach.change is None or not reach.change.operation:
            continue
        getattr(ec2, reach.change.operation)(**reach.change.parameters)
        now = surveyed(session)
        mended = assess(reach.instance, now.endpoints, now.facts)
        assert mended.verdict == "ok", mended
        assert dial(session, mended), mended
        undo(ec2, reach.change)
        now = surveyed(session)
        assert assess(reach.instance, now.endpoints, now.facts).check == reach.check


@dataclass
class World:
    """The default world with an endpoint in web-1's subnet, and the target app-1 in another one."""

    ec2: Any
    endpoint: dict[str, Any]
    group: str
    acl: str
    vpc: str

    def ingress(self, **rule: Any) -> None:
        """Let the target's group have this rule and no other."""
        row = self.ec2.describe_security_groups(GroupIds=[self.group])["SecurityGroups"][0]
        self.ec2.revoke_security_group_ingress(GroupId=self.group, IpPermissions=row["IpPermissions"])
        whole = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, **rule}
        self.ec2.authorize_security_group_ingress(GroupId=self.group, IpPermissions=[whole])

    def range(self, cidr: str, **rule: Any) -> None:
        """Let the target's group have a rule for a range."""
        self.ingress(IpRanges=[{"CidrIp": cidr}], **rule)

    def entry(self, number: int, action: str, *, egress: bool = False, cidr: str = "0.0.0.0/0", **fields: Any) -> None:
        """Add an entry to the network ACL of both subnets."""
        self.ec2.create_network_acl_entry(
            NetworkAclId=self.acl,
            RuleNumber=number,
            RuleAction=action,
            Egress=egress,
            CidrBlock=cidr,
            **{"Protocol": "6", "PortRange": {"From": 22, "To": 22}} | fields,
        )

    def entries(self, *entries: tuple[int, str, str]) -> None:
        """Add several."""
        for number, action, cidr in entries:
            self.entry(number, action, cidr=cidr)

    def prefix_list(self, *cidrs: str) -> None:
        """Let the target's group have a rule for a prefix list."""
        made = self.ec2.create_managed_prefix_list(
            PrefixListName="list",
            Entries=[{"Cidr": cidr} for cidr in cidrs],
            MaxEntries=5,
            AddressFamily="IPv4",
        )
        self.ingress(PrefixListIds=[{"PrefixListId": made["PrefixList"]["PrefixListId"]}])

    def own_group(self) -> str:
        """The endpoint's group."""
        return str(self.endpoint["SecurityGroupIds"][0])

    def egress(self, **rule: Any) -> None:
        """Let the endpoint's group have this egress rule and no other."""
        row = self.ec2.describe_security_groups(GroupIds=[self.own_group()])["SecurityGroups"][0]
        self.ec2.revoke_security_group_egress(GroupId=self.own_group(), IpPermissions=row["IpPermissionsEgress"])
        whole = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, **rule}
        self.ec2.authorize_security_group_egress(GroupId=self.own_group(), IpPermissions=[whole])


def pair(group: str) -> dict[str, Any]:
    return {"UserIdGroupPairs": [{"GroupId": group}]}


EPHEMERAL: dict[str, Any] = {"PortRange": {"From": 1024, "To": 65535}}

WORLDS: dict[str, tuple[Callable[[World], None], str]] = {
    "as it is": (lambda world: None, ""),
    "the endpoint's group": (lambda world: world.ingress(**pair(world.own_group())), ""),
    "the target's own group": (lambda world: world.ingress(**pair(world.group)), "target-ingress"),
    "the endpoint's subnet": (lambda world: world.range("10.0.1.0/24"), ""),
    "another subnet": (lambda world: world.range("10.0.9.0/24"), "target-ingress"),
    "another port": (lambda world: world.range("0.0.0.0/0", FromPort=23, ToPort=80), "target-ingress"),
    "ports around it": (lambda world: world.range("0.0.0.0/0", FromPort=20, ToPort=80), ""),
    "all traffic": (lambda world: world.range("0.0.0.0/0", IpProtocol="-1", FromPort=-1, ToPort=-1), ""),
    "UDP": (lambda world: world.range("0.0.0.0/0", IpProtocol="udp"), "target-ingress"),
    "ICMP": (
        lambda world: world.range("0.0.0.0/0", IpProtocol="icmp", FromPort=-1, ToPort=-1),
        "target-ingress",
    ),
    "IPv6": (lambda world: world.ingress(Ipv6Ranges=[{"CidrIpv6": "::/0"}]), "target-ingress"),
    "a prefix list": (lambda world: world.prefix_list("192.0.2.0/24", "10.0.0.0/16"), ""),
    "a prefix list of others": (lambda world: world.prefix_list("192.0.2.0/24"), "target-ingress"),
    "egress to the target's group": (lambda world: world.egress(**pair(world.group)), ""),
    "egress to its own": (lambda world: world.egress(**pair(world.own_group())), "endpoint-egress"),
    "egress to elsewhere": (
        lambda world: world.egress(IpRanges=[{"CidrIp": "10.0.1.0/24"}]),
        "endpoint-egress",
    ),
    "an ACL that denies first": (lambda world: world.entry(50, "deny"), "target-acl-in"),
    "an ACL that denies later": (lambda world: world.entry(150, "deny"), ""),
    "an ACL that allows some before": (
        lambda world: world.entries((40, "allow", "10.0.1.0/24"), (50, "deny", "0.0.0.0/0")),
        "",
    ),
    "an ACL that does not let out": (lambda world: world.entry(50, "deny", egress=True), "endpoint-acl-out"),
    "an ACL that denies the way back": (
        lambda world: world.entry(50, "deny", egress=True, **EPHEMERAL),
        "target-acl-out",
    ),
    "an ACL that denies the way back at its end": (
        lambda world: world.entry(50, "deny", **EPHEMERAL),
        "endpoint-acl-in",
    ),
    "an ACL that denies UDP": (lambda world: world.entry(50, "deny", Protocol="17"), ""),
    "an ACL that denies ICMP": (
        lambda world: world.entry(50, "deny", Protocol="1", IcmpTypeCode={"Type": -1, "Code": -1}),
        "",
    ),
}


@pytest.mark.parametrize(("change", "check"), WORLDS.values(), ids=WORLDS)
def test_what_is_said_is_what_a_dial_finds(
    session: Session, ec2: Any, endpoint: dict[str, Any], change: Callable[[World], None], check: str
) -> None:
    group = ec2.describe_security_groups(Filters=[{"Name": "group-name", "Values": ["targets"]}])["SecurityGroups"][0]
    acls = ec2.describe_network_acls(Filters=[{"Name": "vpc-id", "Values": [group["VpcId"]]}])["NetworkAcls"]
    change(World(ec2, endpoint, group["GroupId"], acls[0]["NetworkAclId"], group["VpcId"]))
    found = surveyed(session)
    (target,) = [instance for instance in found.instances if instance.name == "app-1"]
    reach = assess(target, found.endpoints, found.facts)
    assert (reach.verdict, reach.check) == ("failed" if check else "ok", check), reach.reason
    assert dial(session, reach) == (not check)


@pytest.fixture
def peers(emulator: Emulator, ec2: Any, tmp_path: Path) -> Iterator[dict[str, str]]:
    """Two VPCs, one with an endpoint and one with an instance, peered without routes."""
    path = tmp_path / "peers.toml"
    path.write_text(PEERS)
    load_world(emulator.state, path, emulator.dns_name())
    ids = {row["CidrBlock"]: row["VpcId"] for row in ec2.describe_vpcs()["Vpcs"]}
    made = ec2.create_vpc_peering_connection(VpcId=ids["10.1.0.0/16"], PeerVpcId=ids["10.2.0.0/16"])
    peering = made["VpcPeeringConnection"]["VpcPeeringConnectionId"]
    ec2.accept_vpc_peering_connection(VpcPeeringConnectionId=peering)
    tables = {row["VpcId"]: row["RouteTableId"] for row in ec2.describe_route_tables()["RouteTables"]}
    yield {"here": tables[ids["10.1.0.0/16"]], "there": tables[ids["10.2.0.0/16"]], "peering": peering}
    emulator.reset()


PEERS = """
[[image]]
key = "linux"
name = "al2023"
users = ["ec2-user"]

[[vpc]]
cidr = "10.1.0.0/16"
[[vpc.subnet]]
name = "hub"
cidr = "10.1.1.0/24"
[[vpc.endpoint]]
subnet = "hub"

[[vpc]]
cidr = "10.2.0.0/16"
[[vpc.subnet]]
name = "spoke"
cidr = "10.2.1.0/24"
[[vpc.group]]
name = "ssh"
ingress = ["22 from 10.1.0.0/16"]
[[vpc.instance]]
name = "spoke"
address = "10.2.1.10"
groups = ["ssh"]
"""


@pytest.mark.parametrize(
    ("routes", "check"),
    [
        ({}, "no-endpoint"),
        ({"here": "10.2.0.0/16"}, "no-endpoint"),
        ({"here": "10.2.0.0/16", "there": "10.9.0.0/16"}, "no-endpoint"),
        ({"here": "10.2.0.0/16", "there": "10.1.0.0/16"}, ""),
        ({"here": "10.2.1.0/24", "there": "10.0.0.0/8"}, ""),
    ],
)
def test_an_instance_of_another_vpc(
    session: Session, ec2: Any, peers: dict[str, str], routes: dict[str, str], check: str
) -> None:
    for table, cidr in routes.items():
        ec2.create_route(RouteTableId=peers[table], DestinationCidrBlock=cidr, VpcPeeringConnectionId=peers["peering"])
    found = surveyed(session)
    (target,) = found.instances
    reach = assess(target, found.endpoints, found.facts)
    assert (reach.verdict, reach.check) == ("failed" if check else "ok", check), reach.reason
    through = Reach(target, 22, "ok", found.endpoints[0])
    assert dial(session, through) == (not check)
    if not check:
        assert reach.reason.startswith("reached from another VPC: eicctl ssh i-")
        ec2.delete_vpc_peering_connection(VpcPeeringConnectionId=peers["peering"])
        gone = surveyed(session)
        assert assess(target, gone.endpoints, gone.facts).check == "no-endpoint"
        assert not dial(session, through)


@pytest.mark.usefixtures("endpoint")
def test_a_refused_read_leaves_its_fact_unknown(emulator: Emulator, session: Session) -> None:
    emulator.state.behave(denied="DescribeNetworkAcls DescribeNetworkInterfaces")
    found = surveyed(session)
    assert found.facts.acls is None
    assert found.facts.groups
    assert set(found.facts.unread) == {"DescribeNetworkAcls", "DescribeNetworkInterfaces"}
    verdicts = {reach.instance.name: (reach.verdict, reach.check) for reach in assessed(found)}
    assert verdicts == {
        "app-1": ("unknown", "endpoint-acl-out"),
        "web-1": ("ok", ""),
        "win-1": ("unknown", "endpoint-acl-out"),
    }
