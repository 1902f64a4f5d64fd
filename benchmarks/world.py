"""The world of a measurement: a target, the independent websocket server before it, and the clients to compare."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import certificate

HERE = Path(__file__).parent
TRANSFER = 2**29
"""Bytes of a bulk transfer."""


@dataclass(frozen=True)
class Client:
    """A tunnel client as command lines. `{port}` is the local port to listen on.

    `many` listens on `{count}` ports from `{port}` on, for as many endpoints; where it is empty, `listen` takes any
    number of connections. `env` is what the client needs besides the environment of all.
    """

    name: str
    listen: list[str]
    stdio: list[str]
    many: list[str] = field(default_factory=list)
    env: dict[str, str] = field(default_factory=dict)


def serve_target(listener: socket.socket) -> None:
    """Serve connections: the first byte says what to do (`e`cho, send `d`own, take `u`p, `s`tall); `!` answers it."""

    def handle(client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            kind = client.recv(1)
            client.sendall(b"!")
            if kind == b"e":
                while data := client.recv(65536):
                    client.sendall(data)
            elif kind == b"d":
                block = bytes(65536)
                for _ in range(TRANSFER // len(block)):
                    client.sendall(block)
            elif kind == b"u":
                buffer, left = bytearray(2**18), TRANSFER
                while left > 0 and (size := client.recv_into(buffer)):
                    left -= size
                client.sendall(b"k")
            elif kind == b"s":
                time.sleep(60)
            client.recv(1)

    while True:
        client, _ = listener.accept()
        threading.Thread(target=handle, args=(client,), daemon=True).start()


@contextlib.contextmanager
def world() -> Iterator[tuple[list[Client], dict[str, str]]]:
    """Start the target and the server; give the clients and the environment for them."""
    node = shutil.which("node")
    if not node:
        sys.exit("make bench: the server of the benchmarks needs Node.js (Debian: apt install nodejs)")
    with contextlib.ExitStack() as cleanup:
        folder = Path(cleanup.enter_context(tempfile.TemporaryDirectory()))
        cert, key = certificate.make(folder)
        target = cleanup.enter_context(socket.create_server(("127.0.0.1", 0), backlog=1024))
        pid = os.fork()
        if pid == 0:
            serve_target(target)
        cleanup.callback(os.kill, pid, 9)
        port = free_port()
        words = [node, str(HERE / "server.mjs"), str(cert), str(key), str(port), str(target.getsockname()[1])]
        server = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        cleanup.callback(server.wait)
        cleanup.callback(server.kill)
        assert server.stdout
        proxy = f"http://127.0.0.1:{server.stdout.readline().decode().strip()}"
        env = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        # Byte code is written, as it is for whoever has installed the clients.
        env.pop("PYTHONDONTWRITEBYTECODE", None)
        env |= {
            "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY": "x", "AWS_REGION": "us-east-1",
            "AWS_CA_BUNDLE": str(cert), "NO_PROXY": "localhost", "EICCTL_HOME": str(folder), "EICCTL_AGENT": "off",
            "PYTHONPYCACHEPREFIX": str(folder / "pycache"),
        }  # fmt: skip
        yield clients(f"localhost:{port}", {"SSL_CERT_FILE": str(cert), "HTTPS_PROXY": proxy, "NO_PROXY": ""}), env


def clients(endpoint: str, for_aws_cli: dict[str, str]) -> list[Client]:
    """The clients that are installed. The AWS CLI gets a proxy, as it dials port 443 whatever it is given."""
    full = ["--instance-connect-endpoint-id", "eice-0123456789abcdef0"]
    full += ["--instance-connect-endpoint-dns-name", endpoint, "--private-ip-address", "10.0.0.1"]
    eicctl = str(Path(sys.executable).with_name("eicctl"))
    plain = [sys.executable, str(HERE / "plain.py")]
    where = [endpoint, "eice-0123456789abcdef0", "10.0.0.1"]
    found = [
        Client("plain script", [*plain, "{port}", *where], [*plain, "stdio", *where]),
        Client(
            "eicctl",
            [eicctl, "tunnel", *full, "--remote-port", "22", "--local-port", "{port}", "--no-check"],
            [eicctl, "proxy", *full],
            [sys.executable, "-m", "benchmarks.listeners", endpoint, "{port}", "{count}"],
        ),
    ]
    if aws := aws_cli():
        host = [word.replace(endpoint, endpoint.partition(":")[0]) for word in full]
        base = [aws, "ec2-instance-connect", "open-tunnel", *host, "--remote-port", "22"]
        found.append(Client("AWS CLI v2", [*base, "--local-port", "{port}"], base, env=for_aws_cli))
    return found


def aws_cli() -> str | None:
    """The AWS CLI v2: the one that `AWS_CLI` names, or that of the path; None where there is none."""
    aws = os.environ.get("AWS_CLI") or shutil.which("aws")
    if aws and b"aws-cli/2" in subprocess.run([aws, "--version"], capture_output=True, check=False).stdout:
        return aws
    return None


def free_ports(count: int) -> int:
    """The first of so many ports in a row on which nobody listens now."""
    while True:
        first = free_port()
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError, OverflowError):
            for port in range(first, first + count):
                stack.enter_context(socket.create_server(("127.0.0.1", port)))
            return first


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def connect(port: int, kind: bytes, timeout: float = 20) -> socket.socket:
    """Connect, ask the target for a service, and wait for its answer."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            sock = socket.create_connection(("127.0.0.1", port), timeout=60)
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
            continue
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.sendall(kind)
        if sock.recv(1) != b"!":
            sys.exit("the target did not answer")
        return sock
