"""`eicctl local`: start, environment, status, end, and starts that fail."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from eicctl.core.errors import LocalError
from eicctl.emulator import daemon
from eicctl.emulator.machines import sshd
from tests.e2e.conftest import Eicctl, clean_env, local_world, run_eicctl, start_local, to_local
from tests.processes import PROGRAM
from tests.waiting import is_gone, wait_for


def record(folder: Path) -> Path:
    return folder / "eicctl" / "state" / "local" / "running.json"


def test_up_env_status_down(tmp_path: Path) -> None:
    env = clean_env(tmp_path)
    assert run_eicctl(env, "local", "status").returncode == 5
    found = start_local(env)
    try:
        assert record(tmp_path).stat().st_mode & 0o777 == 0o600
        status = json.loads(run_eicctl(env, "local", "status", "--output", "json").stdout)
        assert [machine["name"] for machine in status["Machines"]] == ["web-1", "app-1", "win-1", "demo-db"]
        again = run_eicctl(env, "local", "up", "--detach")
        assert again.returncode == 6
        assert "is already running" in again.stderr.decode()
        assert b"web-1" in run_eicctl(found, "instances").stdout
    finally:
        down = run_eicctl(found, "local", "down")
        assert down.returncode == 0
    stopped, undo = down.stderr.decode().splitlines()
    assert stopped == "Local AWS stopped"
    assert undo.startswith("Undo in this shell: unset AWS_ENDPOINT_URL ")
    assert set(undo.split()[5:]) == {name for name in found if name.startswith("AWS_") and found[name] != env.get(name)}
    lost = run_eicctl(found, "instances")
    assert lost.returncode == 5
    assert b"eicctl local up --detach; or leave it: unset AWS_ENDPOINT_URL" in lost.stderr
    assert run_eicctl(env, "local", "env").returncode == 5


@pytest.mark.parametrize(
    ("shell", "sets", "unsets"),
    [
        ("bash", "export AWS_REGION=us-east-1", "unset AWS_PROFILE"),
        ("zsh", "export AWS_REGION=us-east-1", "unset AWS_PROFILE"),
        ("fish", "set -gx AWS_REGION 'us-east-1';", "set -e AWS_PROFILE;"),
        ("powershell", "$env:AWS_REGION = 'us-east-1'", "Remove-Item Env:AWS_PROFILE -ErrorAction SilentlyContinue"),
    ],
)
def test_env_in_every_shells_syntax(local_aws: dict[str, str], shell: str, sets: str, unsets: str) -> None:
    lines = run_eicctl(local_aws, "local", "env", "--shell", shell).stdout.decode().splitlines()
    assert sets in lines
    assert unsets in lines


def test_a_killed_one_does_not_block_the_next(tmp_path: Path) -> None:
    env = clean_env(tmp_path)
    start_local(env)
    os.kill(json.loads(record(tmp_path).read_text())["pid"], signal.SIGKILL)
    (left,) = record(tmp_path).parent.glob("files-*")
    try:
        start_local(env)
        assert not left.exists()
    finally:
        assert run_eicctl(env, "local", "down").returncode == 0
    assert not list(record(tmp_path).parent.glob("files-*"))


def endpoints(env: dict[str, str]) -> bytes:
    return run_eicctl(env, "list-endpoints", "--query", "[].Name", "--output", "text").stdout


def test_one_that_is_stopped_keeps_its_state(tmp_path: Path) -> None:
    """It answers nobody for as long as it is stopped: no second one starts, and it goes on where it was."""
    env = clean_env(tmp_path)
    found = start_local(env)
    try:
        assert run_eicctl(found, "create-endpoint", "--name", "office", "--wait").returncode == 0
        pid = json.loads(record(tmp_path).read_text())["pid"]
        os.kill(pid, signal.SIGSTOP)
        told = run_eicctl(env, "local", "status")
        assert (told.returncode, f"hint: kill -CONT {pid}" in told.stderr.decode()) == (5, True)
        for words in (["--detach"], []):
            again = run_eicctl(env, "local", "up", *words)
            assert (again.returncode, b"is already running" in again.stderr) == (6, True)
        os.kill(pid, signal.SIGCONT)
        assert endpoints(found) == b"office\n"
        os.kill(pid, signal.SIGSTOP)
    finally:
        assert run_eicctl(env, "local", "down").returncode == 0
    assert not record(tmp_path).exists()
    assert not list(record(tmp_path).parent.glob("files-*"))


def test_one_that_cannot_be_reached_from_here_keeps_its_state(tmp_path: Path) -> None:
    """As from another network namespace: nothing is at its address."""
    env = clean_env(tmp_path)
    found = start_local(env)
    try:
        assert run_eicctl(found, "create-endpoint", "--name", "office", "--wait").returncode == 0
        text = record(tmp_path).read_text()
        with socket.create_server(("127.0.0.1", 0)) as sock:
            nowhere = f"http://127.0.0.1:{sock.getsockname()[1]}"
        record(tmp_path).write_text(json.dumps(json.loads(text) | {"url": nowhere}))
        told = run_eicctl(env, "local", "status")
        assert (told.returncode, f"does not answer at {nowhere}" in told.stderr.decode()) == (5, True)
        again = run_eicctl(env, "local", "up", "--detach")
        assert (again.returncode, b"is already running" in again.stderr) == (6, True)
        record(tmp_path).write_text(text)
        assert endpoints(found) == b"office\n"
    finally:
        assert run_eicctl(env, "local", "down").returncode == 0


def test_two_that_start_at_the_same_time(tmp_path: Path) -> None:
    env = clean_env(tmp_path)
    words = [PROGRAM, "local", "up", "--detach"]
    both = [subprocess.Popen(words, env=env, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE) for _ in range(2)]
    try:
        said = [process.communicate(timeout=60)[1] for process in both]
        assert sorted(process.returncode != 0 for process in both) == [False, True], said
        assert any(b"is already running" in text or b"did not start" in text for text in said)
        assert run_eicctl(env, "local", "status").returncode == 0
    finally:
        assert run_eicctl(env, "local", "down").returncode == 0


def test_down_ends_no_other_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ID in the record may be another process's here: the emulator is in another PID namespace."""
    monkeypatch.setenv("EICCTL_HOME", str(tmp_path))
    with daemon.only_one(), subprocess.Popen(["sleep", "60"]) as other:
        monkeypatch.setattr(daemon, "STOP_TIMEOUT", 0.2)
        with daemon.recorded(daemon.Running(other.pid, "http://127.0.0.1:9", 9, "", {})) as is_recorded:
            found = daemon.running()
            assert found
            with pytest.raises(LocalError, match="does not stop"):
                daemon.stop(found)
            assert other.poll() is None
            assert not is_recorded()  # which the emulator would notice
        other.kill()


def test_a_record_stays_although_the_home_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the embedded SSH server does for a user without a home: the local AWS must not take its record for removed."""
    for name in ("EICCTL_HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    with daemon.recorded(daemon.Running(1, "http://127.0.0.1:9", 9, "", {})) as is_recorded:
        monkeypatch.setenv("HOME", os.devnull)
        assert is_recorded()
        monkeypatch.setenv("HOME", str(tmp_path))
    assert not daemon.record_path().exists()


def test_the_log_lists_tunnels(local_aws: dict[str, str], eicctl: Eicctl) -> None:
    assert eicctl("ssh", "web-1", "--", "true").returncode == 0
    log = Path(local_aws["EICCTL_HOME"], "state", "local", "log.txt")
    assert "10.0.1.10 port 22: open" in log.read_text()
    assert log.stat().st_mode & 0o777 == 0o600


def test_it_ends_with_its_folder(tmp_path: Path) -> None:
    env = clean_env(tmp_path)
    start_local(env)
    pid = json.loads(record(tmp_path).read_text())["pid"]
    shutil.rmtree(tmp_path / "eicctl")
    wait_for(lambda: is_gone(pid), "its end")


def test_a_foreground_one_ends_by_ctrl_c(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [PROGRAM, "local", "up"], env=clean_env(tmp_path), stderr=subprocess.PIPE, stdin=subprocess.DEVNULL
    )
    assert process.stderr
    assert b"Local AWS running" in process.stderr.readline()
    started = time.monotonic()
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    assert time.monotonic() - started < 9
    process.stderr.close()
    assert not record(tmp_path).exists()


def test_commands_end_with_their_clients_under_nohup(tmp_path: Path) -> None:
    env = clean_env(tmp_path)
    subprocess.run(["nohup", PROGRAM, "local", "up", "--detach"], env=env, check=True, stdin=subprocess.DEVNULL)
    try:
        env = to_local(env)
        assert run_eicctl(env, "create-endpoint", "--wait").returncode == 0
        ssh = [PROGRAM, "ssh", "web-1", "--", "echo $$; exec sleep 300"]
        with subprocess.Popen(ssh, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as login:
            assert login.stdout
            pid = int(login.stdout.readline())
            login.terminate()
        wait_for(lambda: is_gone(pid), "the end of the command")
    finally:
        run_eicctl(env, "local", "down")


def test_a_busy_port_is_reported(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        done = run_eicctl(clean_env(tmp_path), "local", "up", "--detach", "--data-port", str(port))
    assert done.returncode == 1
    assert f"Port {port} on 127.0.0.1 is in use" in done.stderr.decode()


WORLD = """
[[image]]
key = "debian"
name = "debian-12-amd64-20260301"
users = ["admin"]

[[vpc]]
cidr = "10.9.0.0/16"
[[vpc.subnet]]
name = "s"
cidr = "10.9.1.0/24"
[[vpc.group]]
name = "open"
ingress = ["22 from 0.0.0.0/0"]
[[vpc.instance]]
name = "node"
address = "10.9.1.10"
count = 3
groups = ["open"]
"""


def test_a_world_of_ones_own(tmp_path: Path) -> None:
    world = tmp_path / "world.toml"
    world.write_text(WORLD)
    with local_world(clean_env(tmp_path), "--world", str(world), endpoint=None) as found:
        listed = run_eicctl(found, "instances", "--query", "[].[Name, PrivateIpAddress]", "--output", "json")
        assert json.loads(listed.stdout) == [["node-1", "10.9.1.10"], ["node-2", "10.9.1.11"], ["node-3", "10.9.1.12"]]


@pytest.mark.needs("sshd")
def test_machines_can_be_real_sshds(tmp_path: Path) -> None:
    user = "ec2-user" if sshd.find_wrapper() else sshd.own_account()
    with local_world(clean_env(tmp_path), "--sshd") as found:
        done = run_eicctl(found, "ssh", f"{user}@web-1", "--", "echo $SSH_CONNECTION; exit 4")
        assert done.returncode == 4, done.stderr.decode()
        assert done.stdout.strip()
