"""From words to a target, with the emulator's world."""

from __future__ import annotations

from typing import Any

import pytest

from eicctl.aws.session import Session
from eicctl.aws.targets import SeveralInstancesError, resolve
from eicctl.core import errors
from eicctl.core.model import Target
from eicctl.core.request import ConnectRequest
from eicctl.emulator.server import Emulator


def found(words: str = "", **request: Any) -> Target:
    names = {"db.example.com": ["10.0.2.50"], "outside.example.com": ["203.0.113.9"], "public.example.com": ["3.5.1.1"]}
    return resolve(Session(), ConnectRequest(target=words, **request), resolver=lambda name: names.get(name, []))


def test_by_every_kind_of_word(ec2: Any, endpoint: dict[str, Any], instance_ids: dict[str, str]) -> None:
    dns = ec2.describe_instances(InstanceIds=[instance_ids["web-1"]])["Reservations"][0]["Instances"][0][
        "PrivateDnsName"
    ]
    for target in (
        found("web-1"),
        found(instance_ids["web-1"]),
        found("10.0.1.10"),
        found(dns),
        found(instance_id=instance_ids["web-1"]),
        found(instance_id="web-1"),
        found(private_ip_address="10.0.1.10"),
    ):
        assert target.instance_id == instance_ids["web-1"]
        assert target.address == "10.0.1.10"
        assert target.endpoint_id == endpoint["InstanceConnectEndpointId"]
        assert target.endpoint_dns_name == endpoint["DnsName"]
        assert target.platform == "linux"


def test_a_target_beside_an_instance_id_is_refused(instance_ids: dict[str, str]) -> None:
    with pytest.raises(errors.UsageError, match=r'Both a target \("uptime"\) and --instance-id'):
        found("uptime", instance_id=instance_ids["web-1"])


def test_an_address_without_an_instance(endpoint: dict[str, Any]) -> None:
    assert (found("10.0.2.50").address, found("10.0.2.50").instance_id) == ("10.0.2.50", "")


def test_a_range_that_another_vpc_no_longer_has(ec2: Any, endpoint: dict[str, Any]) -> None:
    other = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    made = ec2.associate_vpc_cidr_block(VpcId=other, CidrBlock="10.0.0.0/16")["CidrBlockAssociation"]
    with pytest.raises(errors.AmbiguousError):
        found("10.0.2.50")
    ec2.disassociate_vpc_cidr_block(AssociationId=made["AssociationId"])
    listed = ec2.describe_vpcs(VpcIds=[other])["Vpcs"][0]["CidrBlockAssociationSet"]
    assert [row["CidrBlockState"]["State"] for row in listed] == ["associated", "disassociated"]
    assert found("10.0.2.50").endpoint_id == endpoint["InstanceConnectEndpointId"]


def test_a_dns_name_that_leads_into_the_vpc(endpoint: dict[str, Any]) -> None:
    assert found("db.example.com", remote_port=3389).address == "10.0.2.50"


def test_a_dns_name_in_the_place_of_an_address(endpoint: dict[str, Any]) -> None:
    target = found(private_ip_address="db.example.com", remote_port=3389)
    assert (target.address, target.remote_port, target.instance_id) == ("10.0.2.50", 3389, "")


def test_an_address_that_does_not_resolve(endpoint: dict[str, Any]) -> None:
    with pytest.raises(errors.NotFoundError, match="Cannot resolve") as caught:
        found(private_ip_address="nobody.example.com", remote_port=3389)
    assert "--via INSTANCE" in str(caught.value.hint)


def test_an_address_that_resolves_to_a_public_one(endpoint: dict[str, Any]) -> None:
    with pytest.raises(errors.NotFoundError, match="No VPC") as caught:
        found(private_ip_address="public.example.com", remote_port=3389)
    assert "public" in str(caught.value.hint)


@pytest.mark.parametrize("words", ["outside.example.com", "nobody", "192.0.2.1", "i-0123456789abcdef0"])
def test_nothing_there(endpoint: dict[str, Any], words: str) -> None:
    with pytest.raises(errors.NotFoundError):
        found(words)


def test_an_address_beside_an_instance_id(endpoint: dict[str, Any], instance_ids: dict[str, str]) -> None:
    target = found(instance_id=instance_ids["web-1"], private_ip_address="10.0.1.11")
    assert (target.address, target.instance_id) == ("10.0.1.11", instance_ids["web-1"])


def test_a_name_with_several_matches(ec2: Any, endpoint: dict[str, Any], instance_ids: dict[str, str]) -> None:
    ec2.create_tags(Resources=[instance_ids["app-1"]], Tags=[{"Key": "Name", "Value": "web-1"}])
    with pytest.raises(SeveralInstancesError) as told:
        found("web-1")
    assert {instance.id for instance in told.value.candidates} == {instance_ids["web-1"], instance_ids["app-1"]}
    assert told.value.exit_code == 3
    ec2.stop_instances(InstanceIds=[instance_ids["app-1"]])
    assert found("web-1").instance_id == instance_ids["web-1"]


def test_a_name_is_no_pattern(endpoint: dict[str, Any]) -> None:
    with pytest.raises(errors.NotFoundError):
        found("web-*")


@pytest.mark.parametrize(("call", "state"), [("stop_instances", "stopped"), ("terminate_instances", "terminated")])
def test_an_instance_that_does_not_run(
    ec2: Any, endpoint: dict[str, Any], instance_ids: dict[str, str], call: str, state: str
) -> None:
    getattr(ec2, call)(InstanceIds=[instance_ids["web-1"]])
    with pytest.raises(errors.UnavailableError, match=f"is {state}"):
        found(instance_ids["web-1"])


def test_no_endpoint_says_how_to_make_one(emulator: Emulator, subnet_id: str) -> None:
    with pytest.raises(errors.NotFoundError) as told:
        found("web-1")
    assert "(target web-1) has no EC2 Instance Connect Endpoint" in told.value.message
    assert told.value.hint == f"eicctl create-endpoint --subnet-id {subnet_id} --wait --region us-east-1"


def peered(ec2: Any, *, preserving: bool = False) -> str:
    """An endpoint in another VPC, which has a peering connection to the one of web-1; returns its ID."""
    own = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    other = ec2.create_vpc(CidrBlock="10.7.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=other, CidrBlock="10.7.1.0/24")["Subnet"]["SubnetId"]
    made = ec2.create_instance_connect_endpoint(SubnetId=subnet, PreserveClientIp=preserving)
    peering = ec2.create_vpc_peering_connection(VpcId=other, PeerVpcId=own)["VpcPeeringConnection"]
    with pytest.raises(errors.NotFoundError) as told:  # not accepted yet
        found("web-1")
    assert "create-endpoint" in str(told.value.hint)
    ec2.accept_vpc_peering_connection(VpcPeeringConnectionId=peering["VpcPeeringConnectionId"])
    return str(made["InstanceConnectEndpoint"]["InstanceConnectEndpointId"])


@pytest.mark.parametrize(
    ("port", "again"), [(22, "eicctl ssh web-1"), (3389, "eicctl tunnel web-1 --remote-port 3389")]
)
def test_an_endpoint_of_a_peered_vpc_is_named(emulator: Emulator, ec2: Any, port: int, again: str) -> None:
    endpoint_id = peered(ec2)
    with pytest.raises(errors.NotFoundError, match=f"{endpoint_id} of the peered VPC vpc-.* may reach it") as told:
        found("web-1", remote_port=port)
    assert told.value.hint == f"{again} --instance-connect-endpoint-id {endpoint_id} --region us-east-1"
    assert found("web-1", remote_port=port, endpoint_id=endpoint_id).endpoint_id == endpoint_id


def test_one_that_preserves_client_ips_leads_to_no_other_vpc(emulator: Emulator, ec2: Any) -> None:
    peered(ec2, preserving=True)
    with pytest.raises(errors.NotFoundError) as told:
        found("web-1")
    assert "create-endpoint" in str(told.value.hint)


def test_a_vpc_that_another_account_shares(emulator: Emulator, subnet_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("moto.ec2.models.vpcs.VPC.owner_id", "111122223333")
    with pytest.raises(errors.NotFoundError) as told:
        found("web-1")
    assert "(target web-1) is shared by account 111122223333, whose endpoints other accounts" in told.value.message
    create = f"eicctl create-endpoint --subnet-id {subnet_id} --create-security-group --wait --region us-east-1"
    assert told.value.hint == create


def test_what_ec2_does_not_tell_is_left_out(emulator: Emulator, subnet_id: str) -> None:
    emulator.state.behave(denied="DescribeVpcPeeringConnections DescribeVpcs")
    with pytest.raises(errors.NotFoundError) as told:
        found("web-1")
    assert f"--subnet-id {subnet_id}" in str(told.value.hint)


def test_an_endpoint_in_the_making(emulator: Emulator, ec2: Any, subnet_id: str) -> None:
    emulator.state.behave(transition=3600.0)
    ec2.create_instance_connect_endpoint(SubnetId=subnet_id)
    with pytest.raises(errors.UnavailableError, match="is still being created"):
        found("web-1")


def test_an_endpoint_that_is_named(endpoint: dict[str, Any]) -> None:
    endpoint_id = endpoint["InstanceConnectEndpointId"]
    assert found("web-1", endpoint_id=endpoint_id).endpoint_id == endpoint_id
    with pytest.raises(errors.NotFoundError):
        found("web-1", endpoint_id="eice-0123456789abcdef0")


@pytest.mark.parametrize(
    ("target", "port", "shown"),
    [
        ("web-1", 80, "eicctl forward web-1:80"),
        ("i-0123456789abcdef0", 5432, "eicctl forward i-0123456789abcdef0:5432"),
        ("10.0.1.10", 33890, "eicctl forward --via INSTANCE 10.0.1.10:33890"),
        ("fd00::1", 80, "eicctl forward --via INSTANCE '[fd00::1]:80'"),
        ("db.internal", 5432, "eicctl forward --via INSTANCE db.internal:5432"),
    ],
)
def test_other_ports_are_refused_with_the_way_out(emulator: Emulator, target: str, port: int, shown: str) -> None:
    with pytest.raises(errors.UsageError) as told:
        found(target, remote_port=port)
    assert told.value.hint == shown


def test_any_port_when_told(endpoint: dict[str, Any]) -> None:
    assert found("web-1", remote_port=80, allow_any_port=True).remote_port == 80


def test_told_in_full_asks_nothing(home: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    target = found(private_ip_address="10.0.0.5", endpoint_id="eice-1", endpoint_dns_name="e.example.com")
    assert target == Target("10.0.0.5", 22, "eice-1", "e.example.com", "eu-west-1")


@pytest.mark.parametrize("address", ["10.0.0.256", "web-1", "10.0.0.0/8", ""])
def test_an_address_that_is_none(home: object, monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    with pytest.raises(errors.UsageError):
        found(private_ip_address=address, endpoint_id="eice-1", endpoint_dns_name="e.example.com")


def test_fips(endpoint: dict[str, Any]) -> None:
    target = resolve(Session(fips=True), ConnectRequest(target="web-1"))
    assert target.endpoint_dns_name == endpoint["FipsDnsName"]
