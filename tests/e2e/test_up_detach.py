"""`up --detach`, `ps`, `logs` and `down`: tunnels that outlive their terminal."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import FillCache
from tests.e2e.conftest import Env, run_eicctl
from tests.processes import PROGRAM
from tests.waiting import is_gone, wait_for

PROJECT = """
[tunnel.web]
target = "web-1"
remote_port = 22
local_port = 0

[tunnel.desk]
kind = "rdp"
target = "win-1"
local_port = 0

[tunnel.nowhere]
target = "no-such-machine"
remote_port = 22
"""


class Project:
    """A folder with an `eicctl.toml`, and a user whose background process ends with the test."""

    def __init__(self, env: Env, folder: Path) -> None:
        self.env = env
        self.folder = folder
        (folder / "eicctl.toml").write_text(PROJECT)

    def run(self, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [PROGRAM, *words],
            env=self.env | more,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )

    def ps(self, **more: str) -> dict[str, dict[str, Any]]:
        found = self.run("ps", "--output", "json", **more)
        assert found.returncode == 0, found.stderr
        return {row["Name"]: row for row in json.loads(found.stdout)}

    def up(self, *names: str, **more: str) -> dict[str, dict[str, Any]]:
        found = self.run("up", "--detach", *names, "--output", "json", **more)
        assert found.returncode == 0, found.stderr
        return {row["Name"]: row for row in json.loads(found.stdout)}

    def files(self, pattern: str) -> list[Path]:
        return sorted((Path(self.env["EICCTL_HOME"]) / "run").glob(pattern))


@pytest.fixture
def project(env: Env, tmp_path: Path, fill_cache: FillCache) -> Iterator[Project]:
    folder = tmp_path / "project"
    folder.mkdir()
    home = Path(tempfile.mkdtemp(prefix="b-"))  # a short path: those of sockets end at 107 bytes
    fill_cache(home)
    made = Project(env | {"EICCTL_HOME": str(home)}, folder)
    yield made
    made.run("down", "--all")
    shutil.rmtree(home, ignore_errors=True)


def banner(row: dict[str, Any]) -> bytes:
    with socket.create_connection(("127.0.0.1", row["LocalPort"]), timeout=60) as client:
        return client.recv(64)


def test_tunnels_stay_when_their_command_has_ended(project: Project) -> None:
    up = project.up("web", "desk")
    assert {row["State"] for row in up.values()} == {"open"}
    assert banner(up["web"]).startswith(b"SSH-2.0-")
    told = project.ps()
    assert list(told) == ["web", "desk"]
    assert told["web"]["TotalConnections"] == 1
    assert told["web"]["BytesIn"] > 0
    assert told["web"]["Pid"] == told["desk"]["Pid"]
    table = project.run("ps")
    assert "web" in table.stdout
    assert f"127.0.0.1:{up['web']['LocalPort']}" in table.stdout
    assert "opened for" in project.run("logs", "web").stdout
    wait_for(lambda: "closed" in project.run("logs", "web").stdout)
    down = project.run("down", "web")
    assert down.returncode == 0, down.stderr
    assert list(project.ps()) == ["desk"]
    with pytest.raises(ConnectionRefusedError):
        banner(up["web"])
    assert project.run("down", "web").returncode == 3


def test_a_home_with_a_long_path_serves_too(project: Project, tmp_path: Path) -> None:
    far = {"EICCTL_HOME": str(tmp_path / ("long-" * 15) / ("long-" * 15))}
    assert project.up("web", **far)["web"]["State"] == "open"
    assert list(project.ps(**far)) == ["web"]
    assert project.run("down", "--all", **far).returncode == 0
    assert project.ps(**far) == {}


def test_one_that_cannot_be_opened_is_told_and_does_not_hinder_the_others(project: Project) -> None:
    up = project.run("up", "--detach")
    assert up.returncode == 5
    assert "no-such-machine" in up.stderr
    states = {name: row["State"] for name, row in project.ps().items()}
    assert (states["web"], states["desk"]) == ("open", "open")
    assert states["nowhere"] in ("retrying", "opening")
    assert project.ps()["nowhere"]["Hint"]
    assert project.run("down").returncode == 0
    assert project.ps() == {}


def test_only_this_user_has_the_socket_and_the_files(project: Project) -> None:
    project.up("web")
    (sock,) = project.files("agent-*.sock")
    status = sock.stat()
    assert stat.S_ISSOCK(status.st_mode)
    assert stat.S_IMODE(status.st_mode) == 0o600
    assert stat.S_IMODE(sock.parent.stat().st_mode) == 0o700
    (record,) = project.files("agent-*.json")
    assert stat.S_IMODE(record.stat().st_mode) == 0o600
    secret = project.env["AWS_SECRET_ACCESS_KEY"]
    everything = b"".join(path.read_bytes() for path in Path(project.env["EICCTL_HOME"]).rglob("*") if path.is_file())
    assert secret.encode() not in everything
    pid = project.ps()["web"]["Pid"]
    assert secret not in Path(f"/proc/{pid}/cmdline").read_text()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_another_user_gets_no_answer(project: Project) -> None:
    project.up("web")
    (sock,) = project.files("agent-*.sock")
    # Somebody who could get at the socket all the same: root has opened the way.
    for folder in (sock.parent, *sock.parent.parents):
        folder.chmod(folder.stat().st_mode | 0o011)
    sock.chmod(0o666)
    asking = (
        "import os, socket, sys; os.setgid(65534); os.setuid(65534)\n"
        "s = socket.socket(socket.AF_UNIX); s.settimeout(20); s.connect(sys.argv[1])\n"
        "try:\n"
        "    s.sendall((2).to_bytes(4, 'big') + b'{}')\n"
        "    print(len(s.recv(100)))\n"
        "except ConnectionError:\n"
        "    print(0)\n"
    )
    answer = subprocess.run(
        [str(Path(PROGRAM).with_name("python")), "-c", asking, str(sock)], capture_output=True, text=True, check=False
    )
    assert answer.stdout.strip() == "0", answer.stderr
    assert "web" in project.ps()


def test_a_killed_process_is_told_and_does_not_hinder_the_next(project: Project) -> None:
    project.up("web")
    pid = project.ps()["web"]["Pid"]
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: is_gone(pid))
    lost = project.ps()
    assert (lost["web"]["State"], lost["web"]["Pid"]) == ("lost", None)
    assert str(pid) in lost["web"]["Error"]
    again = project.up("web")
    assert banner(again["web"]).startswith(b"SSH-2.0-")
    assert project.ps()["web"]["Pid"] != pid


def test_what_was_lost_can_be_forgotten(project: Project) -> None:
    project.up("web", "desk")
    pid = project.ps()["web"]["Pid"]
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: is_gone(pid))
    assert project.run("down", "desk").returncode == 0
    assert list(project.ps()) == ["web"]
    assert project.run("down", "--all").returncode == 0
    assert project.ps() == {}


def test_two_starts_at_once_make_one_process(project: Project) -> None:
    both = [
        subprocess.Popen(
            [PROGRAM, "up", "--detach", name, "--output", "json"],
            env=project.env,
            cwd=project.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in ("web", "desk")
    ]
    for process in both:
        _, err = process.communicate(timeout=200)
        assert process.returncode == 0, err
    told = project.ps()
    assert set(told) == {"web", "desk"}
    assert len({row["Pid"] for row in told.values()}) == 1
    assert len(project.files("agent-*.sock")) == 1


def test_an_idle_process_ends_and_leaves_nothing(project: Project) -> None:
    project.up("web", EICCTL_AGENT_IDLE="1")
    pid = project.ps(EICCTL_AGENT_IDLE="1")["web"]["Pid"]
    assert project.run("down", "web", EICCTL_AGENT_IDLE="1").returncode == 0
    wait_for(lambda: is_gone(pid))
    assert project.files("agent-*.sock") == []
    assert project.files("agent-*.json") == []


def test_another_environment_has_a_process_of_its_own(project: Project) -> None:
    project.up("web")
    project.up("desk", AWS_SESSION_TOKEN="", no_proxy="*")
    told = project.ps()
    assert told["web"]["Pid"] != told["desk"]["Pid"]
    clash = project.run("up", "--detach", "web", no_proxy="*")
    assert clash.returncode == 6
    assert "eicctl down web" in clash.stderr


def test_a_process_of_another_version_is_told(project: Project) -> None:
    project.up("web")
    (sock,) = project.files("agent-*.sock")
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(20)
        client.connect(str(sock))
        client.sendall(json.dumps({"Do": "status", "Version": "0.0.1", "Protocol": 1}).encode() + b"\n")
        answer = json.loads(client.makefile().readline())
    assert (answer["Ok"], answer["OtherVersion"], answer["Tunnels"]) == (False, True, 1)
    assert "web" in project.ps()


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 64, b"[1,2]\n", b"{}\n", b"\0"])
def test_nonsense_on_the_socket_harms_nobody(project: Project, data: bytes) -> None:
    project.up("web")
    (sock,) = project.files("agent-*.sock")
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(20)
        client.connect(str(sock))
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        while client.recv(4096):
            pass
    assert project.ps()["web"]["State"] == "open"


def test_without_definitions_it_is_told_what_to_write(env: Env, tmp_path: Path) -> None:
    told = run_eicctl(env | {"PWD": str(tmp_path)}, "up", "--file", str(tmp_path))
    assert told.returncode == 2
    empty = tmp_path / "empty"
    empty.mkdir()
    found = subprocess.run([PROGRAM, "up"], env=env, cwd=empty, capture_output=True, text=True, check=False, timeout=60)
    assert found.returncode == 3
    assert "hint: eicctl up --help" in found.stderr
    assert b"[tunnel.NAME]" in run_eicctl(env, "up", "--help").stdout


def test_in_the_foreground_lines_tell_where_to_connect(project: Project) -> None:
    process = subprocess.Popen(
        [PROGRAM, "up", "web", "--output", "json"],
        env=project.env,
        cwd=project.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    rows = (json.loads(line) for line in process.stdout)
    row = next(row for row in rows if row["State"] == "open")
    assert banner(row).startswith(b"SSH-2.0-")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    with pytest.raises(ConnectionRefusedError):
        banner(row)


def test_one_stopped_process_is_named_and_the_others_are_listed_and_ended(project: Project) -> None:
    other = {"EICCTL_AGENT_IDLE": "500"}  # another environment, and so another process
    stuck = project.up("web")
    pid = project.ps()["web"]["Pid"]
    project.up("desk", **other)
    os.kill(pid, signal.SIGSTOP)
    try:
        started = time.monotonic()
        told = project.run("ps", "--output", "json")
        assert time.monotonic() - started < 4  # nobody waits for what is stopped
        assert told.returncode == 0
        rows = {row["Name"]: row for row in json.loads(told.stdout)}
        assert (rows["desk"]["State"], rows["web"]["State"], rows["web"]["Pid"]) == ("open", "unknown", pid)
        assert f"The background process (PID {pid}) is stopped\nhint: kill -CONT {pid}\n" in told.stderr
        assert f"PID {pid}" in project.run("version").stdout
        for words in (["up", "--detach", "web"], ["down", "web"]):
            refused = project.run(*words)
            assert refused.returncode == 1
            assert f"(PID {pid}) is stopped" in refused.stderr
            assert f"hint: kill -CONT {pid}" in refused.stderr
        ended = project.run("down", "--all")
        assert ended.returncode == 1
        assert "Closed: desk" in ended.stderr
        assert f"(PID {pid}) is stopped\nhint: eicctl down --all --force" in ended.stderr
        assert list(project.ps()) == ["web"]
    finally:
        os.kill(pid, signal.SIGCONT)
    assert banner(stuck["web"]).startswith(b"SSH-2.0-")
    os.kill(pid, signal.SIGSTOP)
    forced = project.run("down", "--all", "--force")
    assert (forced.returncode, forced.stderr) == (0, "Closed: web\n")
    wait_for(lambda: is_gone(pid))
    assert project.ps() == {}
    assert project.run("down", "--force").returncode == 2


def test_a_process_that_takes_no_connections_any_more_is_not_taken_for_a_killed_one(project: Project) -> None:
    """Its queue is full of commands that have given up."""
    project.up("web")
    pid = project.ps()["web"]["Pid"]
    (path,) = project.files("agent-*.sock")
    os.kill(pid, signal.SIGSTOP)
    clients = []
    try:
        with contextlib.suppress(BlockingIOError):
            while True:
                clients.append(socket.socket(socket.AF_UNIX))
                clients[-1].setblocking(False)
                clients[-1].connect(str(path))
        told = project.run("ps", "--output", "json")
        assert json.loads(told.stdout)[0]["State"] == "unknown"
        assert f"(PID {pid}) is stopped" in told.stderr
        assert project.run("down", "--all", "--force").stderr == "Closed: web\n"
        wait_for(lambda: is_gone(pid))
    finally:
        for client in clients:
            client.close()
