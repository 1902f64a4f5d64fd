"""What the tests in this process share: clients, an endpoint, targets, and the command line without a subprocess."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import botocore.session
import pytest

from eicctl import cli
from eicctl.agent import client
from eicctl.agent.client import GoneError, ask
from eicctl.aws.session import Session
from eicctl.core.errors import EicctlError
from eicctl.core.model import Target
from eicctl.emulator.server import Emulator
from eicctl.emulator.state import Machine
from eicctl.tunnel.dial import Dialer

Handler = Callable[[socket.socket], None]


@pytest.fixture(scope="session", autouse=True)
def service_models_read_once() -> Iterator[None]:
    """botocore reads its models for each session of the tests' own; eicctl's are cut down (`fill_cache`)."""
    create = functools.cache(botocore.session.create_loader)

    def common(data_path: str | None = None) -> Any:
        loader = create(data_path)
        loader.search_paths[:] = dict.fromkeys(loader.search_paths)  # each session of boto3 adds its own folder
        return loader

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(botocore.session, "create_loader", common)
        yield


@pytest.fixture(scope="session")
def ec2_client(running_emulator: Emulator) -> Any:
    """boto3's client, whose making takes longer than most tests."""
    env = running_emulator.env
    session = boto3.Session(env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"], region_name=env["AWS_REGION"])
    return session.client("ec2", endpoint_url=env["AWS_ENDPOINT_URL"])


@pytest.fixture
def ec2(emulator: Emulator, ec2_client: Any) -> Any:
    """boto3's client before a fresh world."""
    return ec2_client


@pytest.fixture
def subnet_id(ec2: Any) -> str:
    """The subnet of web-1."""
    rows = ec2.describe_subnets(Filters=[{"Name": "tag:Name", "Values": ["private-a"]}])["Subnets"]
    return str(rows[0]["SubnetId"])


@pytest.fixture
def dual_stack_subnet_id(ec2: Any, subnet_id: str) -> str:
    """The subnet of web-1, with an IPv6 range."""
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    ec2.associate_vpc_cidr_block(VpcId=vpc, AmazonProvidedIpv6CidrBlock=True)
    given = ec2.describe_vpcs()["Vpcs"][0]["Ipv6CidrBlockAssociationSet"][0]["Ipv6CidrBlock"]
    ec2.associate_subnet_cidr_block(SubnetId=subnet_id, Ipv6CidrBlock=given.replace("/56", "/64"))
    return subnet_id


@pytest.fixture
def endpoint(ec2: Any, subnet_id: str) -> dict[str, Any]:
    """An endpoint that serves connections, as EC2 describes it."""
    made = ec2.create_instance_connect_endpoint(SubnetId=subnet_id)["InstanceConnectEndpoint"]
    rows = ec2.describe_instance_connect_endpoints(InstanceConnectEndpointIds=[made["InstanceConnectEndpointId"]])
    row: dict[str, Any] = rows["InstanceConnectEndpoints"][0]
    assert row["State"] == "create-complete"
    return row


@pytest.fixture
def instance_ids(ec2: Any) -> dict[str, str]:
    """Instance IDs by name."""
    rows = [row for group in ec2.describe_instances()["Reservations"] for row in group["Instances"]]
    return {tag["Value"]: row["InstanceId"] for row in rows for tag in row["Tags"] if tag["Key"] == "Name"}


@dataclass
class Service:
    """A TCP service of the test behind an address of the VPC."""

    target: Target
    dialer: Dialer
    connections: list[socket.socket]


@pytest.fixture
def serve(emulator: Emulator, endpoint: dict[str, Any]) -> Iterator[Callable[[Handler], Service]]:
    """Put a service behind 10.0.1.99:22; every connection is handled in a thread by the function given."""
    listeners: list[socket.socket] = []
    open_sockets: list[socket.socket] = []

    def start(handler: Handler) -> Service:
        listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        listeners.append(listener)

        def handle(client: socket.socket) -> None:
            with client:
                try:
                    handler(client)
                except OSError:
                    return

        def accept() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                open_sockets.append(client)
                threading.Thread(target=handle, args=(client,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        forwards = ((22, f"127.0.0.1:{listener.getsockname()[1]}"),)
        emulator.state.put_machine(
            Machine("service", "test", "10.0.1.99", "us-east-1", endpoint["VpcId"], forwards=forwards)
        )
        target = Target("10.0.1.99", 22, endpoint["InstanceConnectEndpointId"], endpoint["DnsName"], "us-east-1")
        session = Session()
        return Service(target, Dialer(target, session.credentials, session.ca_bundle), open_sockets)

    yield start
    for sock in (*listeners, *open_sockets):
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
        sock.close()


@dataclass
class Ran:
    """What a command has done."""

    code: int
    out: str
    err: str


@pytest.fixture
def eicctl(emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Run a command in this process."""

    def run(*words: str) -> Ran:
        capsys.readouterr()
        code = cli.main(list(words))
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return run


@pytest.fixture
def aws(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials, and nobody who would look at them."""
    for name, value in (("ACCESS_KEY_ID", "AKIAEXAMPLE"), ("SECRET_ACCESS_KEY", "secret"), ("REGION", "us-east-1")):
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")


@pytest.fixture
def warm(aws: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A background process."""
    folder = Path(tempfile.mkdtemp(prefix="e-"))  # a short path: those of sockets end at 107 bytes
    monkeypatch.setenv("EICCTL_HOME", str(folder))
    monkeypatch.setenv("EICCTL_AGENT", "on")
    monkeypatch.delenv("CI", raising=False)
    place = client.here()
    subprocess.run(
        [sys.executable, "-c", "from eicctl.agent import client; client.start(client.here())"], check=True, timeout=60
    )
    pid = int(ask(place, "status")["Pid"])
    yield
    try:
        ask(place, "end")
    except (GoneError, EicctlError):
        os.kill(pid, signal.SIGKILL)
    shutil.rmtree(folder, ignore_errors=True)
