"""AWS changes under what runs: the time, the credentials, the endpoint."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from eicctl.aws.session import Session
from eicctl.aws.targets import resolve
from eicctl.core import errors
from eicctl.core.request import ConnectRequest
from eicctl.emulator.control.backends import sts
from eicctl.emulator.server import Emulator
from eicctl.named_tunnels.config_file import Definition
from eicctl.ssh.forward.connection import Remote
from eicctl.tunnel.dial import Dialer
from tests.integration.forwarding import echo, forwarding, target
from tests.integration.keeping import keeping
from tests.integration.listening import connect, listening
from tests.waiting import wait_for

if TYPE_CHECKING:
    from tests.integration.conftest import Handler, Ran, Service

Serve = Callable[["Handler"], "Service"]


@pytest.mark.parametrize(
    ("offset", "words"),
    [
        (-3600.0, ["instances"]),
        (3600.0, ["list-endpoints"]),
        (3600.0, ["ssh", "web-1", "--", "true"]),
        (3600.0, ["create-endpoint", "--dry-run"]),
    ],
)
def test_a_clock_that_is_an_hour_off_is_named_by_commands(
    eicctl: Callable[..., Ran], emulator: Emulator, endpoint: dict[str, Any], offset: float, words: list[str]
) -> None:
    emulator.state.behave(clock_offset=offset)
    ran = eicctl(*words)
    assert ran.code == 4
    way = "behind" if offset > 0 else "ahead of"
    assert re.search(rf"^hint: this machine's clock is 3[56][0-9]{{2}} s {way} AWS's; to set it: ", ran.err, re.M)
    assert "renew" not in ran.err


class Credentials:
    """A session in the credentials file, which can expire, and be renewed."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._sts = boto3.client("sts")  # with the long-lived keys of the environment

    def renew(self) -> None:
        """Write a good session."""
        keys = self._sts.get_session_token()["Credentials"]
        self._file.write_text(
            f"[default]\naws_access_key_id = {keys['AccessKeyId']}\n"
            f"aws_secret_access_key = {keys['SecretAccessKey']}\naws_session_token = {keys['SessionToken']}\n"
        )

    def expire(self) -> None:
        """Let every session have expired."""
        sessions = sts().assumed_roles
        sessions[:] = [replace(session, expiration=datetime(2026, 1, 1)) for session in sessions]


@pytest.fixture
def session_keys(emulator: Emulator, home: Path, monkeypatch: pytest.MonkeyPatch) -> Credentials:
    """Credentials that are a session of the default profile."""
    found = Credentials(home / "credentials")
    found.renew()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    return found


def test_credentials_that_expire_under_a_listener(serve: Serve, session_keys: Credentials) -> None:
    """What is open goes on; the next connection says what has happened, or takes the new ones."""
    service = serve(echo)
    session = Session()
    dialer = Dialer(service.target, session.credentials, session.ca_bundle)
    with listening(dialer) as (port, told), connect(port) as old:
        old.sendall(b"1")
        assert old.recv(1) == b"1"
        session_keys.expire()
        with connect(port) as refused:
            assert refused.recv(1) == b""
        wait_for(lambda: told.failures)
        assert isinstance(told.failures[0], errors.CredentialsError)
        assert "expired" in told.failures[0].message
        assert told.failures[0].hint
        assert "renew the session" in told.failures[0].hint
        old.sendall(b"2")
        assert old.recv(1) == b"2"
        session_keys.renew()
        with connect(port) as new:
            new.sendall(b"3")
            assert new.recv(1) == b"3"


def test_credentials_that_expire_before_a_renewal_of_ssh(
    emulator: Emulator, endpoint: dict[str, Any], session_keys: Credentials
) -> None:
    emulator.add_fault("cut", after_seconds=1.0)
    with target(echo) as port, forwarding(Remote("localhost", port)) as running:
        session_keys.expire()
        wait_for(lambda: "retrying" in running.record.events)
        error = running.record.errors[0]
        assert isinstance(error, errors.CredentialsError)
        assert error.hint
        assert "aws sso login" in error.hint
        session_keys.renew()
        wait_for(lambda: "recovered" in running.record.events)
        with connect(running.port) as client:
            client.sendall(b"x")
            assert client.recv(1) == b"x"


def test_credentials_that_expire_under_a_named_tunnel(endpoint: dict[str, Any], session_keys: Credentials) -> None:
    definition = Definition(name="web", source="/p/eicctl.toml", target="web-1", remote_port=22, local_port=0)
    with keeping() as kept:
        kept.open(definition)
        port = int(kept.status("web").local[0].rpartition(":")[2])
        session_keys.expire()
        with connect(port) as refused:
            assert refused.recv(1) == b""
        failing = kept.wait_for("web", lambda status: status.state == "failing")
        assert "expired" in failing.error
        assert "renew" in failing.hint
        session_keys.renew()
        with connect(port) as client:
            assert client.recv(3) == b"SSH"
        kept.wait_for("web", lambda status: status.state == "open")


def moving(request: ConnectRequest) -> Dialer:
    """A dialer that looks its target up again, as commands' dialers do."""
    session = Session()

    def look_up() -> Any:
        return resolve(session, request)

    return Dialer(look_up(), session.credentials, session.ca_bundle, look_up=look_up)


def greeting(port: int) -> bytes:
    with connect(port) as client:
        return client.recv(3)


def test_an_endpoint_that_is_deleted_under_a_listener(ec2: Any, endpoint: dict[str, Any], subnet_id: str) -> None:
    """Without another one the error says so; through another one the next client is served."""
    dialer = moving(ConnectRequest(target="web-1"))
    dialer_pinned = moving(ConnectRequest(target="web-1", endpoint_id=endpoint["InstanceConnectEndpointId"]))
    with listening(dialer) as (port, told):
        assert greeting(port) == b"SSH"
        ec2.delete_instance_connect_endpoint(InstanceConnectEndpointId=endpoint["InstanceConnectEndpointId"])
        assert greeting(port) == b""
        wait_for(lambda: told.failures)
        assert isinstance(told.failures[0], errors.NotFoundError)
        assert "has no EC2 Instance Connect Endpoint" in told.failures[0].message
        assert told.failures[0].hint
        assert "eicctl create-endpoint" in told.failures[0].hint
        made = ec2.create_instance_connect_endpoint(SubnetId=subnet_id)["InstanceConnectEndpoint"]
        dialer._looked_up = 0.0  # it is looked up once in ten seconds
        assert greeting(port) == b"SSH"
        assert dialer.target.endpoint_id == made["InstanceConnectEndpointId"]
        with pytest.raises(errors.NotFoundError):
            dialer_pinned.open(retry_budget=0)  # another one is not what the user has asked for


def test_an_endpoint_that_is_replaced_under_a_forward(ec2: Any, endpoint: dict[str, Any], subnet_id: str) -> None:
    with target(echo) as port, forwarding(Remote("localhost", port)) as running:
        ec2.delete_instance_connect_endpoint(InstanceConnectEndpointId=endpoint["InstanceConnectEndpointId"])
        ec2.create_instance_connect_endpoint(SubnetId=subnet_id)
        asyncio.run_coroutine_threadsafe(running.ssh.current.close(), running.loop).result(60)
        wait_for(lambda: "recovered" in running.record.events)
        with connect(running.port) as client:
            client.sendall(b"x")
            assert client.recv(1) == b"x"


def test_many_clients_look_a_lost_endpoint_up_once(ec2: Any, endpoint: dict[str, Any], subnet_id: str) -> None:
    dialer = moving(ConnectRequest(target="web-1"))
    assert dialer.look_up
    look_up, calls = dialer.look_up, []

    def counted() -> Any:
        calls.append(1)
        return look_up()

    dialer.look_up = counted
    ec2.delete_instance_connect_endpoint(InstanceConnectEndpointId=endpoint["InstanceConnectEndpointId"])
    ec2.create_instance_connect_endpoint(SubnetId=subnet_id)
    with listening(dialer) as (port, _):
        clients = [socket.create_connection(("127.0.0.1", port), timeout=60) for _ in range(8)]
        assert {client.recv(3) for client in clients} == {b"SSH"}
        for client in clients:
            client.close()
    assert len(calls) == 1
