"""The demo's steps: each shows one thing and verifies it."""

from __future__ import annotations

import hashlib
import json
import platform
import secrets
import socket

from eicctl.cli.demo.stage import Stage, Unverified
from eicctl.cli.view import messages

_CONNECTION_REQUEST = bytes.fromhex("030000130ee000000000000100080003000000")
"""An X.224 connection request with an RDP negotiation request (MS-RDPBCGR 2.2.1.1)."""


def start(stage: Stage) -> None:
    """A local AWS."""
    stage.say("A local AWS: the EC2 API, the tunnel service with its signature checks, and machines to log in to")
    stage.start()
    _require(json.loads(stage.run("instances", "--output", "json", quiet=True)), "the local AWS has no instances")
    stage.verified("it answers, and has instances that no network reaches directly")


def create_endpoint(stage: Stage) -> None:
    """An endpoint."""
    stage.say(
        "An EC2 Instance Connect Endpoint, with a security group that lets it reach ports 22 and 3389 and no more"
    )
    words = ("create-endpoint", "--name", "demo", "--create-security-group", "--wait")
    answer = json.loads(
        stage.run(*words, "--query", "{ID: InstanceConnectEndpointId, State: State}", "--output", "json")
    )
    _require(answer["State"] == "create-complete", f"the endpoint is in state {answer['State']}")
    stage.verified(f"{answer['ID']} serves connections")


def list_instances(stage: Stage) -> None:
    """What can be reached."""
    stage.say("What can be reached now")
    table = stage.run("instances")
    _require(all(name in table for name in ("web-1", "app-1", "win-1", "eice-")), "instances are missing")
    stage.verified("every instance has an endpoint that serves it")


def run_command(stage: Stage) -> None:
    """A command over ssh."""
    stage.say("A command on a Linux machine: a fresh key is pushed for 60 seconds, and OpenSSH logs in with it")
    answer = stage.run("ssh", "web-1", "--", "uname -a; echo user=$USER")
    _require(platform.release() in answer and "user=ec2-user" in answer, "that is not what uname says")
    stage.verified("OpenSSH logged in through the tunnel, whose signature was checked")


def copy_file(stage: Stage) -> None:
    """A file over ssh."""
    stage.say("A file of 4 MB through the same way, and its checksum from the other side")
    file = stage.folder / "hello.bin"
    file.write_bytes(secrets.token_bytes(4 * 2**20))
    here = hashlib.sha256(file.read_bytes()).hexdigest()
    there = stage.run("ssh", "app-1", "--", "cat > hello.bin; sha256sum hello.bin", stdin=file)
    _require(here in there, f"the checksum here is {here}")
    stage.verified("both sides have the same SHA-256")


def greet_windows(stage: Stage) -> None:
    """A tunnel to RDP."""
    stage.say("A tunnel to port 3389 of a Windows machine, and the greeting of its RDP service")
    with stage.background(
        "tunnel", "win-1", "--remote-port", "3389", "--local-port", "0", "--output", "json"
    ) as tunnel:
        listening = stage.event(tunnel, "listening")
        messages.out(f"  listening on {' and '.join(listening['LocalAddresses'])}")
        host = listening["LocalAddresses"][0].rpartition(":")[0].strip("[]")
        with socket.create_connection((host, listening["LocalPort"]), timeout=10) as client:
            client.sendall(_CONNECTION_REQUEST)
            greeting = client.recv(64)
    messages.out(f"  the answer to an X.224 connection request: {greeting.hex(' ')}")
    _require(greeting[:2] == b"\x03\x00" and greeting[5] & 0xF0 == 0xD0, "that is no X.224 connection confirm")
    stage.verified("it is an X.224 connection confirm")


def refuse_forgery(stage: Stage) -> None:
    """A wrong key is refused."""
    stage.say("The same with a wrong secret key: the service does not accept the signature")
    real = stage.env["AWS_SECRET_ACCESS_KEY"]
    full = json.loads(stage.run("show-endpoint", "demo", "--output", "json", quiet=True))
    stage.env |= {"AWS_SECRET_ACCESS_KEY": "wrong"}
    try:
        stage.run(
            "proxy",
            "--instance-connect-endpoint-id", full["InstanceConnectEndpointId"],
            "--instance-connect-endpoint-dns-name", full["DnsName"],
            "--private-ip-address", "10.0.1.10",
            quiet=True,
        )  # fmt: skip
    except Unverified as refused:
        _require("exit code 4" in str(refused), str(refused))
    else:
        raise Unverified("the tunnel was opened")
    finally:
        stage.env["AWS_SECRET_ACCESS_KEY"] = real
    stage.verified("refused, with the exit code for credentials (4)")


def show_trail(stage: Stage) -> None:
    """What CloudTrail recorded."""
    stage.say("What CloudTrail has recorded of it")
    query = "[?EventName=='OpenTunnel']"
    events = json.loads(stage.run("audit", "--output", "json", "--query", query, quiet=True))
    for event in events:
        where = f"{event['PrivateIpAddress']}:{event['RemotePort']}"
        result = event["ErrorCode"] or "opened"
        messages.out(f"  {event['EventTime'][11:19]}  {where}  from {event['SourceIpAddress']}  {result}")
    ports = {(event["RemotePort"], event["ErrorCode"]) for event in events}
    _require({(22, ""), (3389, ""), (22, "SignatureDoesNotMatch")} <= ports, "records are missing")
    stage.verified(f"{len(events)} OpenTunnel events, the refused one among them")


def clean_up(stage: Stage) -> None:
    """The end."""
    stage.say("Everything is taken away again")
    stage.run("delete-endpoint", "demo", "--yes", "--wait", quiet=True)
    left = json.loads(stage.run("list-endpoints", "--output", "json", quiet=True))
    _require(left == [], "the endpoint is still there")
    stage.verified("the endpoint is gone")


STEPS = (
    start,
    create_endpoint,
    list_instances,
    run_command,
    copy_file,
    greet_windows,
    refuse_forgery,
    show_trail,
    clean_up,
)


def _require(good: object, otherwise: str) -> None:
    if not good:
        raise Unverified(otherwise)
