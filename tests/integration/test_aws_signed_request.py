"""Requests without botocore: their answers are those of boto3, which asks where anything is unusual."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar

import boto3
import pytest

from eicctl.aws.ec2_requests import answered, parsed
from eicctl.aws.endpoints import get_endpoint, list_endpoints
from eicctl.aws.instances import console_output, describe_images, list_instances
from eicctl.aws.session import Session
from eicctl.core.errors import EicctlError
from eicctl.emulator.server import Emulator

XML = b"""<?xml version="1.0" encoding="UTF-8"?>
<DescribeInstanceConnectEndpointsResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>r</requestId>
<instanceConnectEndpointSet><item><instanceConnectEndpointId>%s</instanceConnectEndpointId><state>create-complete</state>
<preserveClientIp>false</preserveClientIp><publicDnsNames/><tagSet><item><key>Name</key><value>a &amp; b</value></item>
<item><key>empty</key><value/></item></tagSet></item></instanceConnectEndpointSet>%s
</DescribeInstanceConnectEndpointsResponse>"""


def answers(session: Session, endpoint_id: str) -> list[Any]:
    """All that a login may ask of EC2."""
    instances = list_instances(session, filters={"tag:Name": ["web-1", "a*b", "x&y=z"]})
    return [
        instances,
        list_instances(session, ids=[instances[0].id]),
        list_instances(session),
        list_endpoints(session),
        get_endpoint(session, endpoint_id),
        describe_images(session, [instances[0].image_id, "ami-0123456789abcdef0"]),
        console_output(session, instances[0].id),
    ]


@pytest.fixture
def by_program(emulator: Emulator, home: Path, monkeypatch: pytest.MonkeyPatch) -> Session:
    """A session whose keys are a program's, so that boto3 asks."""
    pair = os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]
    keys = {"Version": 1, "AccessKeyId": pair[0], "SecretAccessKey": pair[1]}
    (home / "keys.json").write_text(json.dumps(keys))
    (home / "config").write_text(f"[profile program]\ncredential_process = cat {home}/keys.json\n")
    return Session(profile="program")


def test_the_answers_are_those_of_boto3(endpoint: dict[str, Any], by_program: Session) -> None:
    plain = Session()
    assert (plain.plain, by_program.plain) == (True, False)
    endpoint_id = endpoint["InstanceConnectEndpointId"]
    ours = answers(plain, endpoint_id)
    assert all(ours)
    assert ours == answers(by_program, endpoint_id)
    assert not plain._clients


def test_botocore_is_not_loaded(emulator: Emulator, endpoint: dict[str, Any]) -> None:
    code = (
        "import sys; from eicctl.aws.session import Session; from eicctl.aws.targets import resolve; "
        "from eicctl.core.request import ConnectRequest; resolve(Session(), ConnectRequest(target='web-1')); "
        "print(*sys.modules)"
    )
    words = [sys.executable, "-c", code]
    loaded = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True).stdout.split()
    assert "eicctl.aws.targets" in loaded
    assert not {"botocore", "boto3", "urllib3", "http.client"} & set(loaded)


class Api(BaseHTTPRequestHandler):
    """EC2 as it is reached over the Internet: chunks that come in pieces, and pages."""

    protocol_version = "HTTP/1.1"
    connections: ClassVar[set[object]]
    asked: ClassVar[list[bytes]]
    status = 200

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.connections.add(self.client_address)
        self.asked.append(body)
        second = b"NextToken" in body
        found = XML % (b"eice-2", b"") if second else XML % (b"eice-1", b"<nextToken>t/+=</nextToken>")
        self.send_response(self.status if b"Action" in body else 500)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for start in range(0, len(found), 100):
            piece = found[start : start + 100]
            self.wfile.write(f"{len(piece):X};x=y\r\n".encode() + piece[:50])
            self.wfile.flush()
            self.wfile.write(piece[50:] + b"\r\n")
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def api(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Api]]:
    Api.connections, Api.asked, Api.status = set(), [], 200
    server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
    Thread(target=server.serve_forever, daemon=True).start()
    names = {"AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "eu-west-1"}
    for name, value in {**names, "AWS_ENDPOINT_URL_EC2": f"http://127.0.0.1:{server.server_port}"}.items():
        monkeypatch.setenv(name, value)
    yield Api
    server.shutdown()
    server.server_close()


def test_pages_come_in_chunks_over_one_connection(api: type[Api]) -> None:
    found = list_endpoints(Session())
    assert [(each.id, each.name, each.tags["empty"], each.preserve_client_ip) for each in found] == [
        ("eice-1", "a & b", "", False),
        ("eice-2", "a & b", "", False),
    ]
    assert api.asked[1].endswith(b"NextToken=t%2F%2B%3D")
    assert len(api.connections) == 1


def test_boto3_asks_where_the_service_refuses(api: type[Api]) -> None:
    api.status = 403
    with pytest.raises(EicctlError):
        list_endpoints(Session())
    assert len(api.asked) == 2


@pytest.mark.parametrize("operation", ["DescribeInstances", "DescribeInstanceConnectEndpoints", "DescribeImages"])
def test_names_are_those_of_botocore_s_model(operation: str) -> None:
    """Those that eicctl reads, in a response that has each of them once."""
    fields = {
        "DescribeInstances": """
            Reservations: OwnerId Instances
            Instances: InstanceId ImageId InstanceType KeyName Placement Platform PrivateDnsName PrivateIpAddress State
                SubnetId VpcId Ipv6Address NetworkInterfaces SecurityGroups Tags
            NetworkInterfaces: Ipv6Addresses
            Ipv6Addresses: Ipv6Address
            SecurityGroups: GroupId
            Tags: Key Value
            State: Name
            Placement: AvailabilityZone""",
        "DescribeInstanceConnectEndpoints": """
            InstanceConnectEndpoints: InstanceConnectEndpointId InstanceConnectEndpointArn OwnerId State VpcId SubnetId
                StateMessage DnsName FipsDnsName AvailabilityZone CreatedAt IpAddressType PreserveClientIp
                SecurityGroupIds NetworkInterfaceIds PublicDnsNames Tags
            PublicDnsNames: Ipv4 Dualstack
            Dualstack: DnsName FipsDnsName""",
        "DescribeImages": "Images: ImageId Name OwnerId PlatformDetails",
    }[operation]
    read: dict[str, list[str]] = {}
    for word in fields.split():
        if word.endswith(":"):
            read[word[:-1]] = names = []
        else:
            names.append(word)
    model: Any = boto3.client("ec2", region_name="us-east-1").meta.service_model.operation_model(operation)

    def check(shape: Any, name: str) -> None:
        shape = shape.member if shape.type_name == "list" else shape
        for wanted in read.get(name, []):
            member = shape.members[wanted]
            text = {"CreatedAt": b"2026-01-02T03:04:05.000Z", "PreserveClientIp": b"true"}.get(wanted, b"x")
            tag = member.serialization["name"].encode()
            (answer,) = parsed(b"<r><%s>%s</%s></r>" % (tag, text, tag))
            assert answer == wanted
            check(member, wanted)

    top = next(iter(read))
    (answer,) = parsed(b"<r><%s/></r>" % model.output_shape.members[top].serialization["name"].encode())
    assert answer == top
    check(model.output_shape.members[top], top)


def test_another_operation_s_parameters_are_flat(api: type[Api]) -> None:
    answered(Session(), "get_console_output", InstanceId="i-1", Latest=True)
    assert api.asked[0] == b"Action=GetConsoleOutput&Version=2016-11-15&InstanceId=i-1&Latest=true"
