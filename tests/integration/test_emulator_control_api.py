"""The emulator's own HTTP API, and the emulator's start and end."""

from __future__ import annotations

import json
import socket
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import boto3
import pytest

from eicctl.core.errors import LocalError
from eicctl.emulator.data.sockets import loopback_sockets
from eicctl.emulator.server import Emulator


def call(emulator: Emulator, method: str, resource: str, content: Any = None, token: str = "") -> tuple[int, Any]:
    """Return status and answer."""
    request = urllib.request.Request(
        f"{emulator.url}/_eicctl/{resource}",
        data=None if content is None else json.dumps(content).encode(),
        method=method,
        headers={"Authorization": f"Bearer {token or emulator.token}"},
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def test_status(emulator: Emulator, endpoint: dict[str, Any]) -> None:
    status, answer = call(emulator, "GET", "status")
    assert status == 200
    assert answer["endpoints"] == {endpoint["InstanceConnectEndpointId"]: "create-complete"}
    assert answer["behavior"]["max_connections"] == 20
    assert "host_key" not in json.dumps(answer)


def test_events_can_be_added(emulator: Emulator) -> None:
    made_up = {"eventName": "OpenTunnel", "eventTime": "2026-01-01T00:00:00Z", "errorCode": "AccessDenied"}
    status, answer = call(emulator, "POST", "events", {"Records": [made_up, {}]})
    assert status == 200
    assert answer["Records"][0].items() >= made_up.items()
    assert answer["Records"][1]["eventID"]
    assert call(emulator, "GET", "events")[1] == answer["Records"]
    assert call(emulator, "POST", "events", {"Records": [{"eventTime": "yesterday"}]})[0] == 400


@pytest.mark.parametrize(
    ("method", "resource", "token", "code"),
    [
        ("GET", "status", "wrong", 401),
        ("POST", "reset", "wrong", 401),
        ("GET", "nothing", "", 404),
        ("DELETE", "status", "", 404),
    ],
)
def test_what_is_refused(emulator: Emulator, method: str, resource: str, token: str, code: int) -> None:
    status, answer = call(emulator, method, resource, token=token)
    assert status == code
    assert answer["error"]


def test_faults_are_asked_for_listed_and_forgotten(emulator: Emulator) -> None:
    status, made = call(emulator, "POST", "faults", {"kind": "close", "code": 4000, "times": 3})
    assert status == 200
    assert call(emulator, "GET", "faults") == (200, [made])
    assert made["code"] == 4000
    assert call(emulator, "DELETE", "faults")[0] == 200
    assert call(emulator, "GET", "faults") == (200, [])


@pytest.mark.parametrize("content", [{"kind": "explode"}, [], {"kind": "cut", "after_bytes": "1"}])
def test_an_invalid_fault_is_reported(emulator: Emulator, content: Any) -> None:
    status, answer = call(emulator, "POST", "faults", content)
    assert status == 400
    assert answer["error"]


def test_settings(emulator: Emulator, ec2: Any, subnet_id: str) -> None:
    assert call(emulator, "POST", "settings", {"fail_create": "no addresses left", "transition": 0})[0] == 200
    made = ec2.create_instance_connect_endpoint(SubnetId=subnet_id)["InstanceConnectEndpoint"]
    (row,) = ec2.describe_instance_connect_endpoints(InstanceConnectEndpointIds=[made["InstanceConnectEndpointId"]])[
        "InstanceConnectEndpoints"
    ]
    assert (row["State"], row["StateMessage"]) == ("create-failed", "no addresses left")


@pytest.mark.parametrize("content", [{"speed": 1}, {"max_connections": "20"}, {"latency": True}])
def test_an_invalid_setting_is_reported(emulator: Emulator, content: dict[str, Any]) -> None:
    status, answer = call(emulator, "POST", "settings", content)
    assert status == 400
    assert next(iter(content)) in answer["error"]


def test_latency(emulator: Emulator, ec2: Any) -> None:
    call(emulator, "POST", "settings", {"latency": 0.3})
    started = time.monotonic()
    ec2.describe_vpcs()
    assert time.monotonic() - started >= 0.3


def test_reset_makes_the_world_anew(emulator: Emulator, ec2: Any, endpoint: dict[str, Any]) -> None:
    emulator.add_fault("text", times=-1)
    assert call(emulator, "POST", "reset")[0] == 200
    assert ec2.describe_instance_connect_endpoints()["InstanceConnectEndpoints"] == []
    assert call(emulator, "GET", "faults") == (200, [])
    assert call(emulator, "GET", "events") == (200, [])
    vpcs = ec2.describe_vpcs()["Vpcs"]
    assert len(vpcs) == 1
    assert vpcs[0]["VpcId"] != endpoint["VpcId"]


def test_a_busy_port_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        with pytest.raises(LocalError, match=f"Port {port} on 127.0.0.1 is in use"):
            loopback_sockets(port)


def test_nothing_is_left_of_a_start_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a process of its own: moto's memory is one, and the other tests' emulator has it."""
    import subprocess
    import sys

    monkeypatch.setenv("TMPDIR", str(tmp_path))
    program = """
import socket, threading
from eicctl.emulator.server import Emulator, Options
from eicctl.core.errors import LocalError
with socket.create_server(("127.0.0.1", 0)) as busy:
    for options in (Options(data_port=busy.getsockname()[1]), Options(port=busy.getsockname()[1])):
        try:
            Emulator(options).start()
        except LocalError:
            continue
        raise SystemExit("it has started")
assert threading.active_count() == 1, threading.enumerate()
"""
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True, timeout=60)
    assert not list(tmp_path.iterdir())


def test_it_starts_again_and_ends_soon_though_clients_hang(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import subprocess
    import sys

    monkeypatch.setenv("TMPDIR", str(tmp_path))
    program = """
import gc, socket, ssl, threading, time
from eicctl.emulator.server import Emulator
for _ in range(2):
    emulator = Emulator(transition=0.0)
    emulator.start()
    silent = socket.create_connection(("127.0.0.1", emulator.data_port))
    context = ssl.create_default_context(cafile=emulator.env["AWS_CA_BUNDLE"])
    half = context.wrap_socket(socket.create_connection(("127.0.0.1", emulator.data_port)), server_hostname="localhost")
    half.sendall(b"GET /openTunnel HTTP/1.1\\r\\n")
    started = time.monotonic()
    emulator.stop()
    took = time.monotonic() - started
    assert took < 1.5, took
    silent.close()
    half.close()
    gc.collect()
assert threading.active_count() == 1, threading.enumerate()
"""
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error::ResourceWarning", "-c", program],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "ResourceWarning" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_its_own_threads_only_serve(emulator: Emulator) -> None:
    boto3.client("sts").get_caller_identity()
    assert not [
        thread for thread in threading.enumerate() if thread is not threading.main_thread() and not thread.daemon
    ]
