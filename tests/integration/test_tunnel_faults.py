"""What goes wrong on the way, and what the user is told."""

from __future__ import annotations

import dataclasses
import json
import socket
import threading
import time
from collections.abc import Callable
from email.utils import format_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from eicctl import __version__
from eicctl.aws.session import Session
from eicctl.core import errors
from eicctl.emulator.server import Emulator
from eicctl.support import tls
from eicctl.tunnel.dial import Dialer
from eicctl.tunnel.probe import probe
from tests.integration.listening import Told, connect, listening, read_all
from tests.waiting import wait_for

if TYPE_CHECKING:
    from tests.integration.conftest import Handler, Service

Serve = Callable[["Handler"], "Service"]


def echo(client: socket.socket) -> None:
    while data := client.recv(65536):
        client.sendall(data)


def banner(client: socket.socket) -> None:
    client.sendall(b"hello, " * 1000)
    client.recv(1)


def ended(service: Service) -> tuple[bytes, Told]:
    """Connect once; return what came and what was told."""
    with listening(service.dialer) as (port, told), connect(port) as client:
        got = read_all(client)
        wait_for(lambda: told.endings or told.failures)
        return got, told


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        ({"kind": "cut", "after_seconds": 0.1}, errors.NetworkError, "broke"),
        ({"kind": "cut", "after_bytes": 1000}, errors.NetworkError, "broke"),
        (
            {"kind": "close", "code": 1008, "reason": "policy", "after_bytes": 1000},
            errors.UnreachableError,
            "policy (code 1008)",
        ),
        ({"kind": "close", "code": 1011, "after_seconds": 0.1}, errors.UnreachableError, "code 1011"),
        ({"kind": "text", "text": "odd"}, errors.NetworkError, "text where only bytes are expected: odd"),
        ({"kind": "garbage"}, errors.NetworkError, "no valid websocket data"),
    ],
)
def test_an_open_tunnel_that_breaks(
    serve: Serve, emulator: Emulator, fault: dict[str, Any], kind: type[Exception], words: str
) -> None:
    service = serve(banner)
    emulator.add_fault(**fault)
    got, told = ended(service)
    error = told.ending().error
    assert isinstance(error, kind)
    assert words in error.message
    if "after_bytes" in fault:
        assert got == (b"hello, " * 1000)[:1000]


def test_an_unreachable_target_names_causes(emulator: Emulator, serve: Serve) -> None:
    service = serve(echo)
    service.dialer.target = dataclasses.replace(service.target, address="10.0.1.250")
    _, told = ended(service)
    error = told.ending().error
    assert isinstance(error, errors.TargetUnreachableError)
    assert error.hint
    assert "security group" in error.hint


def test_the_duration_is_named(serve: Serve) -> None:
    service = serve(echo)
    service.dialer.max_tunnel_duration = 1
    _, told = ended(service)
    error = told.ending().error
    assert error
    assert "maximum duration (1 s) reached" in error.message


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "refuse", "status": 503, "body": {"ErrorCode": "ServiceUnavailable", "Message": "busy"}},
        {"kind": "cut", "stage": "handshake"},
    ],
)
def test_a_passing_failure_is_tried_again(serve: Serve, emulator: Emulator, fault: dict[str, Any]) -> None:
    service = serve(echo)
    emulator.add_fault(**fault, times=2)
    with listening(service.dialer) as (port, told), connect(port) as client:
        client.sendall(b"x")
        assert client.recv(1) == b"x"
        assert len(told.retries) == 2


@pytest.mark.parametrize("stage", ["tcp", "tls", "handshake", "response"])
def test_a_cut_before_the_tunnel_is_open(serve: Serve, emulator: Emulator, stage: str) -> None:
    """It is tried again; when it goes on, the error says where it happened."""
    service = serve(echo)
    emulator.add_fault("cut", stage=stage)
    service.dialer.open().close()
    emulator.add_fault("cut", stage=stage, times=-1)
    with pytest.raises(errors.NetworkError, match=r"TLS|handshake|broke|Cannot connect") as told:
        service.dialer.open(retry_budget=0)
    assert told.value.transient


def test_a_cut_in_the_middle_of_a_frame(serve: Serve, emulator: Emulator) -> None:
    service = serve(banner)
    emulator.add_fault("cut", stage="frame")
    got, told = ended(service)
    assert isinstance(told.ending().error, errors.NetworkError)
    assert (b"hello, " * 1000).startswith(got)


def test_a_refusal_is_not(serve: Serve, emulator: Emulator) -> None:
    service = serve(echo)
    emulator.add_fault("refuse", status=403, body={"ErrorCode": "AccessDeniedException", "Message": "no"}, times=-1)
    _, told = ended(service)
    assert not told.retries
    assert isinstance(told.failures[0], errors.DeniedError)


def test_the_retry_budget_ends(serve: Serve, emulator: Emulator) -> None:
    service = serve(echo)
    emulator.add_fault("refuse", status=503, times=-1)
    started = time.monotonic()
    with pytest.raises(errors.RefusedError):
        service.dialer.open(retry_budget=0.6)
    assert time.monotonic() - started < 5


def test_a_wrong_secret_is_told_as_such(serve: Serve) -> None:
    service = serve(echo)
    good = service.dialer.credentials()
    service.dialer.credentials = lambda: dataclasses.replace(good, secret_access_key="wrong")
    with pytest.raises(errors.CredentialsError) as told:
        service.dialer.open()
    assert "signature" in told.value.message
    assert "wrong" not in f"{told.value} {told.value.hint}"
    assert told.value.request_id


def test_a_clock_that_is_an_hour_off_is_named(serve: Serve, emulator: Emulator) -> None:
    service = serve(echo)
    emulator.state.behave(clock_offset=3600.0)
    answer = {"ErrorCode": "InvalidSignatureException", "Message": "Signature expired"}
    hour_ahead = format_datetime(emulator.state.now())
    emulator.add_fault("refuse", status=403, body=answer, headers={"Date": hour_ahead}, times=1)
    with pytest.raises(errors.CredentialsError) as told:
        service.dialer.open()
    assert told.value.hint
    assert "s behind AWS's" in told.value.hint


def test_credentials_are_read_anew_for_each_connection(
    serve: Serve, emulator: Emulator, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session that is renewed in the file is used without a restart."""
    key, secret = emulator.env["AWS_ACCESS_KEY_ID"], emulator.env["AWS_SECRET_ACCESS_KEY"]
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    file = home / "credentials"
    file.write_text(f"[default]\naws_access_key_id = {key}\naws_secret_access_key = old\n")
    service = serve(echo)
    session = Session()
    dialer = Dialer(service.target, session.credentials, session.ca_bundle)
    with pytest.raises(errors.CredentialsError):
        dialer.open()
    file.write_text(f"[default]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n")
    dialer.open().close()


def test_the_next_dial_resumes_the_tls_session(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls, "_known", {})
    service = serve(echo)
    resumed = []
    for _ in range(3):
        stream = service.dialer.open().stream
        resumed.append(stream.resumed)
        stream.close()
    assert resumed == [False, True, True]


def test_cloudtrail_shows_the_user_agent(serve: Serve) -> None:
    serve(echo).dialer.open().close()
    found = boto3.client("cloudtrail").lookup_events(
        LookupAttributes=[{"AttributeKey": "EventName", "AttributeValue": "OpenTunnel"}]
    )["Events"]
    assert json.loads(found[0]["CloudTrailEvent"])["userAgent"].startswith(f"eicctl/{__version__} ua/2.1 os/")


def test_another_ca_is_not_trusted(serve: Serve) -> None:
    service = serve(echo)
    with pytest.raises(errors.NetworkError) as told:
        Dialer(service.target, service.dialer.credentials, None).open(retry_budget=0)
    assert "not trusted" in told.value.message
    assert told.value.hint
    assert "--ca-bundle" in told.value.hint


@pytest.mark.parametrize("content", ["", "no certificate\n"])
def test_a_ca_bundle_without_certificates(serve: Serve, tmp_path: Path, content: str) -> None:
    service = serve(echo)
    bundle = tmp_path / "ca.pem"
    bundle.write_text(content)
    with pytest.raises(errors.LocalError, match=r"ca\.pem"):
        Dialer(service.target, service.dialer.credentials, str(bundle)).open()


@pytest.mark.parametrize(
    ("dns_name", "words"),
    [
        ("localhost:1", "Cannot connect to localhost:1"),
        ("no-such-host.invalid", "Cannot resolve no-such-host.invalid"),
    ],
)
def test_no_way_to_the_endpoint(serve: Serve, dns_name: str, words: str) -> None:
    service = serve(echo)
    target = dataclasses.replace(service.target, endpoint_dns_name=dns_name)
    with pytest.raises(errors.NetworkError, match=words):
        Dialer(target, service.dialer.credentials, service.dialer.ca_bundle).open(retry_budget=0)


def test_something_else_at_the_endpoints_address(serve: Serve) -> None:
    """A server that speaks no TLS."""
    service = serve(echo)
    with socket.create_server(("127.0.0.1", 0)) as plain:

        def answer() -> None:
            client, _ = plain.accept()
            with client:
                client.recv(100)
                client.sendall(b"220 mail.example.com\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        target = dataclasses.replace(service.target, endpoint_dns_name=f"localhost:{plain.getsockname()[1]}")
        with pytest.raises(errors.NetworkError, match="TLS"):
            Dialer(target, service.dialer.credentials, service.dialer.ca_bundle).open(retry_budget=0)
        thread.join()


def test_probe_proves_an_ssh_server(serve: Serve, endpoint: dict[str, Any]) -> None:
    service = serve(echo)
    target = dataclasses.replace(service.target, address="10.0.1.10")
    found = probe(Dialer(target, service.dialer.credentials, service.dialer.ca_bundle))
    assert found.banner.startswith(b"SSH-2.0-")
    assert found.request_id


def test_probe_tells_that_the_target_is_unreachable(serve: Serve) -> None:
    service = serve(echo)
    target = dataclasses.replace(service.target, address="10.0.1.250")
    with pytest.raises(errors.TargetUnreachableError):
        probe(Dialer(target, service.dialer.credentials, service.dialer.ca_bundle))


def test_the_end_of_a_listener_closes_its_tunnels_properly(serve: Serve, emulator: Emulator) -> None:
    service = serve(echo)
    with listening(service.dialer) as (port, told):
        client = connect(port)
        client.sendall(b"x")
        assert client.recv(1) == b"x"
        started = time.monotonic()
    assert time.monotonic() - started < 1
    assert told.endings[0].reason == "closed here"
    assert read_all(client) == b""
    client.close()
    wait_for(lambda: not emulator.connections())
