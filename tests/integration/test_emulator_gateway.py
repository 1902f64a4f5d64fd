"""The emulator's data plane, spoken to with `websockets` and signed with botocore: none of eicctl's own client."""

from __future__ import annotations

import json
import socket
import ssl
import time
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage, InvalidStatus

from eicctl.emulator.server import Emulator
from tests.integration.plain_client import PlainTunnel, plain_client
from tests.waiting import wait_for

Open = Callable[..., PlainTunnel]


@pytest.fixture
def open_tunnel(emulator: Emulator, endpoint: dict[str, Any]) -> Iterator[Open]:
    """Open a tunnel to web-1:22; parameters of the URL can be changed, or taken away with None."""
    with plain_client(emulator.env["AWS_CA_BUNDLE"]) as client:

        def open_it(
            secret: str | None = None, service: str = "ec2-instance-connect", **changes: str | None
        ) -> PlainTunnel:
            parameters = {
                "instanceConnectEndpointId": endpoint["InstanceConnectEndpointId"],
                "remotePort": "22",
                "privateIpAddress": "10.0.1.10",
                **changes,
            }
            given = {name: value for name, value in parameters.items() if value is not None}
            request = AWSRequest("GET", f"https://{endpoint['DnsName']}/openTunnel", params=given)
            keys = Credentials(emulator.env["AWS_ACCESS_KEY_ID"], secret or emulator.env["AWS_SECRET_ACCESS_KEY"])
            SigV4QueryAuth(keys, service, "us-east-1", expires=60).add_auth(request)
            return client.open(str(request.url).replace("https:", "wss:"))

        yield open_it


RDP_REQUEST = bytes.fromhex("030000130ee000000000000100080003000000")


def control(emulator: Emulator, resource: str) -> Any:
    """Ask the control API."""
    request = urllib.request.Request(
        f"{emulator.url}/_eicctl/{resource}", headers={"Authorization": f"Bearer {emulator.token}"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def refusal(open_tunnel: Open, **changes: Any) -> tuple[int, str]:
    with pytest.raises(InvalidStatus) as refused:
        open_tunnel(**changes)
    body = json.loads(refused.value.response.body or b"")
    return refused.value.response.status_code, f"{body['ErrorCode']}: {body['Message']}"


def drain(tunnel: PlainTunnel) -> None:
    while True:
        tunnel.recv(timeout=60)


def closing(tunnel: PlainTunnel) -> tuple[int, str]:
    with pytest.raises(ConnectionClosed) as closed:
        drain(tunnel)
    assert closed.value.rcvd
    return closed.value.rcvd.code, closed.value.rcvd.reason


def test_a_good_request_reaches_the_ssh_server(open_tunnel: Open) -> None:
    with open_tunnel() as tunnel:
        assert tunnel.headers["x-amzn-requestid"]
        assert bytes(tunnel.recv(timeout=60)).startswith(b"SSH-2.0-")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["ip-10-0-1-10.ec2.internal", "IP-10-0-1-10.EC2.INTERNAL"])
def test_a_dns_name_of_the_vpc_as_the_address(open_tunnel: Open, name: str) -> None:
    """An AWS blog post has one; that the service resolves it is a guess (docs/explanation/protocol.md#data-plane)."""
    with open_tunnel(privateIpAddress=name) as tunnel:
        assert bytes(tunnel.recv(timeout=60)).startswith(b"SSH-2.0-")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "status", "said"),
    [
        ({"privateIpAddress": "db.example.com"}, 400, "InvalidParameter"),
        ({"secret": "wrong"}, 403, "SignatureDoesNotMatch"),
        ({"service": "ec2"}, 403, "SignatureDoesNotMatch"),
        ({"instanceConnectEndpointId": "eice-0123456789abcdef0"}, 404, "ResourceNotFoundException"),
        (
            {"remotePort": "5432"},
            400,
            "InvalidParameter: The specified RemotePort is not valid. Specify either 22 or 3389",
        ),
        ({"remotePort": None}, 400, "InvalidParameter"),
        ({"privateIpAddress": "web-1"}, 400, "InvalidParameter"),
        ({"privateIpAddress": "fd00::1"}, 400, "InvalidParameter"),
        ({"maxTunnelDuration": "3601"}, 400, "InvalidParameter"),
        ({"maxTunnelDuration": "0"}, 400, "InvalidParameter"),
    ],
)
def test_refusals(open_tunnel: Open, changes: dict[str, Any], status: int, said: str) -> None:
    code, text = refusal(open_tunnel, **changes)
    assert code == status
    assert text.startswith(said)


@pytest.mark.parametrize(("offset", "word"), [(61.0, "expired"), (-400.0, "not yet current")])
def test_a_url_is_good_for_a_minute(open_tunnel: Open, emulator: Emulator, offset: float, word: str) -> None:
    emulator.state.behave(clock_offset=offset)
    assert word in refusal(open_tunnel)[1]


def test_an_unsigned_request_is_refused(emulator: Emulator, endpoint: dict[str, Any]) -> None:
    with plain_client(emulator.env["AWS_CA_BUNDLE"]) as client, pytest.raises(InvalidStatus) as refused:
        client.open(f"wss://{endpoint['DnsName']}/openTunnel?remotePort=22")
    assert refused.value.response.status_code == 403


def test_an_endpoint_that_is_being_made_refuses(open_tunnel: Open, emulator: Emulator) -> None:
    endpoint = emulator.state.endpoints()[0]
    emulator.state.put_endpoint(type(endpoint)(**{**_fields(endpoint), "state": "create-in-progress"}))
    assert "InvalidStateException" in refusal(open_tunnel)[1]
    emulator.state.put_endpoint(type(endpoint)(**{**_fields(endpoint), "state": "update-in-progress"}))
    open_tunnel().close()


def _fields(record: Any) -> dict[str, Any]:
    return {name: getattr(record, name) for name in record.__slots__}


@pytest.mark.parametrize("address", ["10.0.1.77", "10.0.2.30"])
def test_nothing_at_the_address_or_port(open_tunnel: Open, address: str) -> None:
    assert closing(open_tunnel(privateIpAddress=address))[1] == "Unable to connect to target"


def test_a_stopped_instance_is_unreachable(open_tunnel: Open, ec2: Any, instance_ids: dict[str, str]) -> None:
    ec2.stop_instances(InstanceIds=[instance_ids["web-1"]])
    assert closing(open_tunnel())[1] == "Unable to connect to target"


def test_the_targets_group_must_admit_the_endpoint(open_tunnel: Open, ec2: Any) -> None:
    group = ec2.describe_security_groups(Filters=[{"Name": "group-name", "Values": ["targets"]}])["SecurityGroups"][0]
    ec2.revoke_security_group_ingress(GroupId=group["GroupId"], IpPermissions=group["IpPermissions"])
    assert closing(open_tunnel())[1] == "Unable to connect to target"
    default = ec2.describe_security_groups(Filters=[{"Name": "group-name", "Values": ["default"]}])["SecurityGroups"]
    rule = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22}
    pairs = [{"GroupId": row["GroupId"]} for row in default]
    ec2.authorize_security_group_ingress(GroupId=group["GroupId"], IpPermissions=[{**rule, "UserIdGroupPairs": pairs}])
    with open_tunnel() as tunnel:
        assert tunnel.recv(timeout=60)


def test_the_endpoints_group_must_let_it_out(open_tunnel: Open, ec2: Any, endpoint: dict[str, Any]) -> None:
    group = ec2.describe_security_groups(GroupIds=endpoint["SecurityGroupIds"])["SecurityGroups"][0]
    ec2.revoke_security_group_egress(GroupId=group["GroupId"], IpPermissions=group["IpPermissionsEgress"])
    assert closing(open_tunnel())[1] == "Unable to connect to target"


def test_preserved_client_ips_meet_the_targets_rules(open_tunnel: Open, ec2: Any, emulator: Emulator) -> None:
    endpoint = emulator.state.endpoints()[0]
    emulator.state.put_endpoint(type(endpoint)(**{**_fields(endpoint), "preserve_client_ip": True}))
    assert closing(open_tunnel())[1] == "Unable to connect to target"
    emulator.state.behave(client_ip="10.0.9.9")
    with open_tunnel() as tunnel:
        assert tunnel.recv(timeout=60)


def test_the_duration_ends_a_tunnel(open_tunnel: Open) -> None:
    started = time.monotonic()
    code, _ = closing(open_tunnel(maxTunnelDuration="1"))
    assert code == 1000
    assert 0.9 < time.monotonic() - started < 4


def test_the_21st_connection_is_refused(open_tunnel: Open) -> None:
    tunnels = [open_tunnel() for _ in range(20)]
    try:
        assert refusal(open_tunnel)[0] == 429
    finally:
        for tunnel in tunnels:
            tunnel.close()


def test_a_text_frame_is_an_error(open_tunnel: Open) -> None:
    tunnel = open_tunnel()
    tunnel.send("text")
    assert closing(tunnel)[0] == 1003


def attempts(emulator: Emulator) -> list[dict[str, Any]]:
    """CloudTrail's records of tunnels."""
    return [event for event in emulator.state.events() if event["eventName"] == "OpenTunnel"]


def test_attempts_are_recorded(open_tunnel: Open, emulator: Emulator) -> None:
    open_tunnel(maxTunnelDuration="900").close()
    refusal(open_tunnel, secret="wrong")
    opened, refused = attempts(emulator)
    assert opened["requestParameters"] == {
        "instanceConnectEndpointId": emulator.state.endpoints()[0].id,
        "remotePort": "22",
        "privateIpAddress": "10.0.1.10",
        "maxTunnelDuration": "900",
    }
    assert "errorCode" not in opened
    assert opened["responseElements"] is None
    assert opened["sourceIPAddress"] in ("127.0.0.1", "::1")
    assert refused["errorCode"] == "SignatureDoesNotMatch"


def test_windows_greets_as_rdp_does(open_tunnel: Open) -> None:
    with open_tunnel(privateIpAddress="10.0.2.30", remotePort="3389") as tunnel:
        tunnel.send(RDP_REQUEST)
        greeting = bytes(tunnel.recv(timeout=60))  # type: ignore[arg-type]
    assert greeting[:4] == b"\x03\x00\x00\x13"
    assert greeting[5] == 0xD0


def test_open_connections_are_listed(open_tunnel: Open, emulator: Emulator, endpoint: dict[str, Any]) -> None:
    with open_tunnel(privateIpAddress="10.0.2.30", remotePort="3389") as tunnel:
        tunnel.send(RDP_REQUEST)
        tunnel.recv(timeout=60)
        (told,) = wait_for(lambda: [row for row in control(emulator, "connections") if row["from_target"]])
        assert told["endpoint_id"] == endpoint["InstanceConnectEndpointId"]
        assert (told["address"], told["port"]) == ("10.0.2.30", 3389)
        assert (told["to_target"], told["from_target"]) == (19, 19)
        assert told["request_id"] == tunnel.headers["x-amzn-requestid"]
    wait_for(lambda: control(emulator, "connections") == [])


def test_what_a_client_sent_before_it_left_arrives(open_tunnel: Open, serve: Callable[..., Any]) -> None:
    """Though the target takes its time, and is sending itself."""
    got: list[int] = []

    def slow(client: socket.socket) -> None:
        client.sendall(bytes(100_000))
        time.sleep(0.5)
        size = 0
        while data := client.recv(65536):
            size += len(data)
        got.append(size)

    serve(slow)
    tunnel = open_tunnel(privateIpAddress="10.0.1.99")
    for _ in range(4):
        tunnel.send(bytes(65_000))
    tunnel.close()
    wait_for(lambda: got)
    assert got == [260_000]


def test_a_frame_may_be_large_but_not_huge(open_tunnel: Open, serve: Callable[..., Any]) -> None:
    def take(client: socket.socket) -> None:
        while client.recv(65536):
            pass

    serve(take)
    tunnel = open_tunnel(privateIpAddress="10.0.1.99")
    tunnel.send(bytes(2**20))
    tunnel.send(bytes(2**20 + 1))
    assert closing(tunnel)[0] == 1009


# Faults


def test_fault_refuse(open_tunnel: Open, emulator: Emulator) -> None:
    emulator.add_fault("refuse", status=503, body={"ErrorCode": "Busy", "Message": "later"}, times=1)
    assert refusal(open_tunnel) == (503, "Busy: later")
    open_tunnel().close()


def test_fault_delay(open_tunnel: Open, emulator: Emulator) -> None:
    emulator.add_fault("delay", seconds=0.4)
    started = time.monotonic()
    open_tunnel().close()
    assert time.monotonic() - started > 0.4


def test_fault_cut_in_the_handshake(open_tunnel: Open, emulator: Emulator) -> None:
    emulator.add_fault("cut", stage="handshake")
    with pytest.raises((InvalidHandshake, InvalidMessage, OSError, EOFError)):
        open_tunnel()


def test_fault_cut_after_bytes(open_tunnel: Open, emulator: Emulator) -> None:
    emulator.add_fault("cut", after_bytes=4)
    tunnel = open_tunnel()
    assert tunnel.recv(timeout=60) == b"SSH-"
    with pytest.raises(ConnectionClosed) as closed:
        tunnel.recv(timeout=60)
    assert closed.value.rcvd is None


def test_fault_close(open_tunnel: Open, emulator: Emulator) -> None:
    emulator.add_fault("close", code=1008, reason="because", after_seconds=0.05)
    assert closing(open_tunnel()) == (1008, "because")


def test_fault_text(open_tunnel: Open, emulator: Emulator) -> None:
    emulator.add_fault("text", text="hello")
    with open_tunnel() as tunnel:
        assert tunnel.recv(timeout=60) == "hello"


def test_fault_garbage(open_tunnel: Open, emulator: Emulator) -> None:
    emulator.add_fault("garbage")
    with pytest.raises(ConnectionClosed) as closed:
        open_tunnel().recv(timeout=60)
    assert closed.value.sent
    assert closed.value.sent.code == 1002


def test_fault_fragment(open_tunnel: Open, emulator: Emulator) -> None:
    emulator.add_fault("fragment", size=3)
    with open_tunnel() as tunnel:
        parts = tunnel.recv_fragments()
    assert len(parts) > 3
    assert b"".join(parts).startswith(b"SSH-2.0")


def test_fault_stall(open_tunnel: Open, emulator: Emulator) -> None:
    emulator.add_fault("stall", direction="in")
    with open_tunnel() as tunnel, pytest.raises(TimeoutError):
        tunnel.recv(timeout=0.5)


def test_fault_stall_both_ways_ends_with_its_client(open_tunnel: Open, emulator: Emulator) -> None:
    emulator.add_fault("stall")
    with open_tunnel() as tunnel:
        tunnel.send(b"SSH-2.0-test\r\n")
        with pytest.raises(TimeoutError):
            tunnel.recv(timeout=0.3)
    wait_for(lambda: not emulator.connections())


def test_fault_cut_before_tls(open_tunnel: Open, emulator: Emulator) -> None:
    for stage in ("tcp", "tls"):
        emulator.add_fault("cut", stage=stage)
        with pytest.raises((ConnectionError, ssl.SSLError)):
            open_tunnel()
        open_tunnel().close()
    assert len(attempts(emulator)) == 2  # those before TLS have asked for nothing


def test_fault_cut_in_the_answer(open_tunnel: Open, emulator: Emulator) -> None:
    emulator.add_fault("cut", stage="response")
    with pytest.raises((InvalidMessage, OSError, EOFError)):
        open_tunnel()


@pytest.mark.parametrize("fault", [{"kind": "cut"}, {"kind": "cut", "stage": "frame", "after_bytes": 5}])
def test_fault_cut_gives_no_close_frame(open_tunnel: Open, emulator: Emulator, fault: dict[str, Any]) -> None:
    emulator.add_fault(**fault)
    with pytest.raises(ConnectionClosed) as closed:
        drain(open_tunnel())
    assert closed.value.rcvd is None


def test_fault_close_at_once(open_tunnel: Open, emulator: Emulator) -> None:
    emulator.add_fault("close", code=4321, reason="now")
    assert closing(open_tunnel()) == (4321, "now")


def test_fault_delay_of_the_target(open_tunnel: Open, emulator: Emulator) -> None:
    emulator.add_fault("delay", seconds=0.4, stage="target")
    with open_tunnel() as tunnel:
        started = time.monotonic()
        assert tunnel.recv(timeout=60)
        assert time.monotonic() - started > 0.3


def test_fault_drip(open_tunnel: Open, emulator: Emulator) -> None:
    emulator.add_fault("drip", size=2, seconds=0.01)
    with open_tunnel() as tunnel:
        assert [tunnel.recv(timeout=60) for _ in range(4)] == [b"SS", b"H-", b"2.", b"0-"]


def test_faults_are_for_whom_they_name(open_tunnel: Open, emulator: Emulator) -> None:
    emulator.add_fault("refuse", status=500, address="10.0.2.10", times=-1)
    open_tunnel().close()
    with pytest.raises(InvalidStatus):
        open_tunnel(privateIpAddress="10.0.2.10")


@pytest.mark.parametrize("bad", [{"kind": "x"}, {"kind": "refuse", "status": "a"}, {"kind": "cut", "bytes": 1}])
def test_unknown_faults_are_refused(emulator: Emulator, bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"kind|status|bytes"):
        emulator.add_fault(**bad)
