"""A day's work with secrets that are known, and then a search for them: in logs, outputs, files and process lists.

Where a secret may be is said here by name; anywhere else it is a defect.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyotp
import pytest

from eicctl.emulator.control.instances import password_of
from tests.e2e.conftest import Env, boto3_client, clean_env, local_world, run_eicctl
from tests.processes import PROGRAM
from tests.secrecy import files_below, found_below, found_in, open_to_others, password_proxy, sampled
from tests.worlds import AMAZON_LINUX, NETWORK, WINDOWS

pytestmark = pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="the process list is that of Linux")

WORLD = (
    AMAZON_LINUX
    + WINDOWS
    + NETWORK
    + """
[[vpc.group]]
name = "targets"
ingress = ["22 from 10.0.0.0/16", "3389 from 10.0.0.0/16"]

[[vpc.group]]
name = "database"
ingress = ["5432 from targets"]

[[vpc.instance]]
name = "web-1"
address = "10.0.1.10"
image = "amazon-linux"
groups = ["targets"]

[[vpc.instance]]
name = "win-1"
address = "10.0.1.20"
image = "windows"
groups = ["targets"]
key_name = "windows"

[[vpc.database]]
id = "orders"
address = "10.0.1.50"
groups = ["database"]
iam_auth = true
"""
)

PROJECT = '[tunnel.web]\ntarget = "web-1"\nremote_port = 22\nlocal_port = 0\n'

SENTINEL = f"sentinel-{uuid.uuid4().hex}"
"""A word of a command line, which has to be seen there."""

CLIENT = "#!/bin/sh\nread -r password\nsleep 0.2\nexit 0\n"
"""A Remote Desktop client that takes its password and ends."""


@dataclass
class Day:
    """What was run, what it printed, and the secrets in play.

    Attributes:
        home: The user's home: AWS's files, the log file and the files that commands wrote.
        own: eicctl's own folder (`EICCTL_HOME`).
    """

    home: Path
    own: Path
    env: Env
    endpoint: dict[str, Any]
    secrets: dict[str, str]
    printed: dict[str, bytes] = field(default_factory=dict)
    results: dict[str, bytes] = field(default_factory=dict)
    codes: dict[str, int] = field(default_factory=dict)
    processes: set[bytes] = field(default_factory=set)
    while_open: dict[str, int] = field(default_factory=dict)
    proxied: list[str] = field(default_factory=list)

    @property
    def log(self) -> Path:
        return self.home / "eicctl.log"

    def stderr(self, name: str) -> Path:
        return self.home / f"{name}.stderr"

    def run(self, name: str, *words: str, stdin: bytes | None = None, more: Env | None = None) -> bytes:
        """Run a command with everything logged; return its stdout."""
        logged = ("--debug", "--log-file", str(self.log))
        run = run_eicctl(self.env | (more or {}), *logged, *words, stdin=stdin)
        self.results[name], self.printed[name], self.codes[name] = run.stdout, run.stderr, run.returncode
        return run.stdout

    def serving(self, name: str, *words: str) -> subprocess.Popen[bytes]:
        """Start a command that serves until it is interrupted."""
        with self.stderr(name).open("wb") as stderr:  # no pipe, which nobody would read meanwhile
            return subprocess.Popen(
                [PROGRAM, "--debug", "--log-file", str(self.log), *words],
                env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr,
            )  # fmt: skip

    def over(self, name: str, process: subprocess.Popen[bytes]) -> None:
        """Interrupt it."""
        process.send_signal(signal.SIGINT)
        self.results[name], _ = process.communicate(timeout=60)
        self.printed[name], self.codes[name] = self.stderr(name).read_bytes(), process.returncode


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Day]:
    """All of it, run once."""
    folder = tmp_path_factory.mktemp("aws")
    (folder / "world.toml").write_text(WORLD)
    env = clean_env(folder)
    own = Path(tempfile.mkdtemp(prefix="s-"))  # a short path: those of sockets end at 107 bytes
    with local_world(env, "--world", str(folder / "world.toml"), endpoint=None) as found:
        answer = run_eicctl(found, "create-endpoint", "--create-security-group", "--wait", "--output", "json")
        made = prepared(found, tmp_path_factory.mktemp("home"), own, json.loads(answer.stdout))
        with password_proxy("me", made.secrets["proxy password"]) as (port, seen), sampled() as processes:
            proxy = f"http://me:{quote(made.secrets['proxy password'], safe='')}@127.0.0.1:{port}"
            work(made, proxy)
            made.processes, made.proxied = processes.lines, seen
        yield made
        run_eicctl(made.env, "down", "--all")
    shutil.rmtree(own, ignore_errors=True)


def prepared(found: Env, home: Path, own: Path, endpoint: dict[str, Any]) -> Day:
    """A user with a long-lived key, an MFA device, a key pair, and everything that others could read closed."""
    home.chmod(0o700)
    keys = {"aws_access_key_id": found["AWS_ACCESS_KEY_ID"], "aws_secret_access_key": found["AWS_SECRET_ACCESS_KEY"]}
    iam, ec2 = boto3_client(found, "iam"), boto3_client(found, "ec2")
    device = iam.create_virtual_mfa_device(VirtualMFADeviceName=f"secrets-{uuid.uuid4().hex}")["VirtualMFADevice"]
    serial, seed = device["SerialNumber"], device["Base32StringSeed"].decode()
    iam.enable_mfa_device(
        UserName="local", SerialNumber=serial, AuthenticationCode1="000000", AuthenticationCode2="111111"
    )
    (home / "windows.pem").write_text(ec2.create_key_pair(KeyName="windows")["KeyMaterial"])
    (home / "credentials").write_text("[work]\n" + "".join(f"{name} = {value}\n" for name, value in keys.items()))
    (home / "config").write_text(f"[profile work]\nmfa_serial = {serial}\nregion = us-east-1\n")
    (home / "eicctl.toml").write_text(PROJECT)
    (home / "bin").mkdir(mode=0o700)
    (home / "bin" / "xfreerdp").write_text(CLIENT)
    (home / "bin" / "xfreerdp").chmod(0o700)
    for name in ("windows.pem", "credentials", "config", "eicctl.toml", "tunnel.stderr", "db.stderr"):
        (home / name).touch(0o600)
        (home / name).chmod(0o600)
    rows = [row for group in ec2.describe_instances()["Reservations"] for row in group["Instances"]]
    windows = next(row["InstanceId"] for row in rows if row.get("KeyName") == "windows")
    env = found | {
        "HOME": str(home), "EICCTL_HOME": str(own), "AWS_CONFIG_FILE": str(home / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(home / "credentials"), "PATH": f"{home / 'bin'}:{found['PATH']}",
    }  # fmt: skip
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        env.pop(name, None)
    secrets = {
        "secret access key": keys["aws_secret_access_key"],
        "MFA seed": seed,
        "MFA code": pyotp.TOTP(seed).now(),
        "Windows password": password_of(windows),
        "proxy password": f"Pa/ss+{uuid.uuid4().hex}",
        "foreign key": uuid.uuid4().hex + uuid.uuid4().hex[:8],
    }
    return Day(home, own, env, endpoint, secrets)


def work(day: Day, proxy: str) -> None:
    """Log in with MFA, connect in every way, look for causes, fail in some ways."""
    code, through = day.secrets["MFA code"], {"HTTPS_PROXY": proxy}
    day.run("mfa", "mfa", "login", "--profile", "work", "--token-code", "-", stdin=f"{code}\n".encode())
    kept = (day.home / "credentials").read_text().partition("[work-mfa]")[2]
    values = dict(line.split(" = ", 1) for line in kept.splitlines() if " = " in line)
    day.secrets["temporary secret key"] = values["aws_secret_access_key"]
    day.secrets["session token"] = values["aws_session_token"]
    day.env["AWS_PROFILE"] = "work-mfa"
    key = ("--key-file", str(day.home / "windows.pem"))
    client = (*key, "--client", "xfreerdp", "--local-port", "0")
    with ThreadPoolExecutor(3) as pool:  # the processes share the log file
        begun: list[Future[Any]] = [
            pool.submit(day.run, "audit", "audit"),  # which waits for CloudTrail between its requests
            pool.submit(in_the_background, day, through),
            pool.submit(day.run, "doctor", "doctor", "web-1", more=through),
            pool.submit(day.run, "ssh", "ssh", "web-1", "--", "echo", "logged in"),
            pool.submit(day.run, "scp", "scp", str(day.home / "eicctl.toml"), "web-1:copied"),
            pool.submit(day.run, "proxy", "proxy", "web-1", stdin=b"", more=through),
            pool.submit(day.run, "rdp", "rdp", "win-1", *client),
            pool.submit(day.run, "password", "rdp", "win-1", *key, "--print-password"),
            pool.submit(serve_tunnel, day),
            pool.submit(serve_database, day),
            pool.submit(fail, day, proxy),
        ]
        for each in begun:
            each.result()


def serve_tunnel(day: Day) -> None:
    tunnel = day.serving("tunnel", "tunnel", "web-1", "--remote-port", "22", "--local-port", "0")
    assert tunnel.stdout
    port = int(tunnel.stdout.readline().split()[2].rpartition(b":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
        assert client.recv(7) == b"SSH-2.0"
    day.over("tunnel", tunnel)


def serve_database(day: Day) -> None:
    database = day.serving("db", "db", "orders", "--iam-auth", "--user", "app", "--local-port", "0", "--output", "json")
    assert database.stdout
    events = (json.loads(line) for line in database.stdout)
    file = Path(next(event["PasswordFile"] for event in events if event["Event"] == "ready"))
    day.secrets["database token"] = file.read_text().partition("X-Amz-Signature=")[2][:64]
    day.while_open["database token"] = stat.S_IMODE(file.stat().st_mode)
    day.over("db", database)


def in_the_background(day: Day, through: dict[str, str]) -> None:
    files = ("--file", str(day.home / "eicctl.toml"))
    (row,) = json.loads(day.run("up", "up", "--detach", *files, "--output", "json", more=through))
    with socket.create_connection(("127.0.0.1", row["LocalPort"]), timeout=60) as client:
        assert client.recv(7) == b"SSH-2.0"
    day.run("ps", "--profile", SENTINEL, "ps", "--output", "json")
    day.run("down", "down", "--all")


def fail(day: Day, proxy: str) -> None:
    """Errors: of a proxy, of a key that AWS does not know, of a proxy that is none."""
    keys = {"AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY": day.secrets["foreign key"]}
    told = ("--private-ip-address", "10.0.1.10", "--region", "us-east-1")
    way = {
        "--instance-connect-endpoint-id": "InstanceConnectEndpointId",
        "--instance-connect-endpoint-dns-name": "DnsName",
    }
    whole = (*told, *(word for option, key in way.items() for word in (option, day.endpoint[key])))
    day.run("wrong key", "instances", more=keys)
    day.run("wrong key, tunnel", "proxy", *whole, stdin=b"", more=keys)
    day.run("refusing proxy", "proxy", *whole, stdin=b"", more={"HTTPS_PROXY": proxy.replace("me:", "you:", 1)})
    day.run(
        "no proxy", "proxy", *whole, stdin=b"", more={"HTTPS_PROXY": f"http://me:{day.secrets['proxy password']}@h"}
    )


FAILING = {"wrong key": 4, "wrong key, tunnel": 4, "refusing proxy": 5, "no proxy": 2, "tunnel": 130, "db": 130}


def test_everything_has_run(day: Day) -> None:
    """Or there would be nothing to find."""
    said = {
        name: day.printed[name].decode()[-2000:] for name, code in day.codes.items() if code != FAILING.get(name, 0)
    }
    assert not said
    assert day.results["ssh"] == b"logged in\n"
    assert len([line for line in day.proxied if line.startswith("CONNECT localhost:")]) >= 3
    log = day.log.read_text()
    for told in ("GetSessionToken", "SendSSHPublicKey", "GetPasswordData", "LookupEvents", "web-1: first byte"):
        assert told in log
    assert "the background process begins" in log
    assert "Traceback" in log


def test_the_search_finds_what_is_there(day: Day) -> None:
    """Each way of searching, where a secret may be."""
    assert found_below(day.home, {"session token": day.secrets["session token"]})["credentials"]
    assert day.secrets["Windows password"] in day.results["password"].decode()
    assert any(SENTINEL.encode() in line for line in day.processes)
    programs = {Path(os.fsdecode(line.split(b"\0")[0])).name for line in day.processes}
    assert {"ssh", "scp"} <= programs
    assert any(b"eicctl.agent" in line for line in day.processes)
    assert found_in(b"https://h/?X-Amz-Signature=0123456789abcdef&a", {}) == {"a presigned URL"}


def test_no_process_shows_a_secret(day: Day) -> None:
    assert {line: found for line in day.processes if (found := found_in(line, day.secrets))} == {}


def test_nothing_printed_holds_a_secret(day: Day) -> None:
    results = {name: data for name, data in day.results.items() if name != "password"}  # which it is asked for
    assert {name: found for name, data in results.items() if (found := found_in(data, day.secrets))} == {}
    assert {name: found for name, data in day.printed.items() if (found := found_in(data, day.secrets))} == {}


def test_no_file_holds_a_secret(day: Day) -> None:
    assert found_below(day.own, day.secrets) == {}
    assert found_below(day.home, day.secrets) == {
        "credentials": {"secret access key", "temporary secret key", "session token"},
        "credentials.eicctl-backup": {"secret access key"},
        "windows.pem": {"a private key"},
    }


def test_nobody_else_can_read_the_files(day: Day) -> None:
    assert len(files_below(day.own)) > 2
    assert open_to_others(day.own) == []
    assert open_to_others(day.home) == []
    assert day.while_open == {"database token": 0o600}
