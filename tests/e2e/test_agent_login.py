"""Logins whose tunnels the background process carries."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import FillCache
from tests.e2e.conftest import Env, run_eicctl
from tests.e2e.warmth import agent_pid, lent, proxy_below, wait_for_agent
from tests.processes import PROGRAM
from tests.waiting import wait_for

pytestmark = [
    pytest.mark.needs("sshd"),
    pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="no /proc"),
]


@pytest.fixture
def warm(sshd_env: Env, fill_cache: FillCache) -> Iterator[Env]:
    """An environment with a background process that the first login has started."""
    home = Path(tempfile.mkdtemp(prefix="w-"))  # a short path: those of sockets end at 107 bytes
    env = {name: value for name, value in sshd_env.items() if name != "CI"}
    env |= {"EICCTL_HOME": str(home), "EICCTL_AGENT": "on"}
    fill_cache(home)
    first = run_eicctl(env, "ssh", "node-1", "--", "sleep 0.5; echo $USER")
    assert first.stdout == b"ec2-user\n", first.stderr
    wait_for_agent(env)
    yield env
    run_eicctl(env, "down", "--all")
    shutil.rmtree(home, ignore_errors=True)


def session(env: Env, *words: str) -> subprocess.Popen[bytes]:
    """A login to `cat`, which has said that it is there."""
    process = subprocess.Popen(
        [PROGRAM, "ssh", *words, "node-1", "--", "echo ready; exec cat"],
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout
    assert process.stdout.readline() == b"ready\n"
    return process


def test_a_login_is_lent_unless_the_user_does_not_want_it(warm: Env) -> None:
    data = os.urandom(2**20)
    for words, expected in ([], True), (["--no-agent"], False):
        process = session(warm, *words)
        assert lent(proxy_below(process.pid)) is expected
        stdout, stderr = process.communicate(data, timeout=60)
        assert (process.returncode, stdout == data) == (0, True), stderr.decode()
    assert list(Path(warm["EICCTL_HOME"], "run").glob("ssh-*")) == []
    said = run_eicctl(warm, "ssh", "--verbose", "node-1", "--", "sleep 0.3").stderr
    assert b"\nTunnel opened by the background process in " in said


def test_exit_codes_and_copies_are_openssh_s(warm: Env, tmp_path: Path) -> None:
    assert run_eicctl(warm, "ssh", "node-1", "--", "exit 7").returncode == 7
    assert run_eicctl(warm, "ssh", "--os-user", "ec2-user", "node-1", "false").returncode == 1
    (tmp_path / "file").write_bytes(os.urandom(5 * 2**20))
    there = f"node-1:{tmp_path}/there"
    assert run_eicctl(warm, "scp", str(tmp_path / "file"), there).returncode == 0
    assert (tmp_path / "there").read_bytes() == (tmp_path / "file").read_bytes()


def test_a_session_in_the_background_outlives_its_command(warm: Env, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    words = [PROGRAM, "ssh", "-f", "node-1", f"sleep 1.5; touch {mark}"]
    nothing = subprocess.DEVNULL
    subprocess.run(words, env=warm, stdin=nothing, stdout=nothing, stderr=nothing, timeout=60, check=True)
    assert not mark.exists()
    wait_for(mark.exists, "the end of the session in the background")


def test_the_wait_for_a_full_endpoint_is_told(warm: Env, sshd_aws: Env) -> None:
    local = json.loads(Path(sshd_aws["EICCTL_HOME"], "state/local/running.json").read_text())
    refusal = {"kind": "refuse", "status": 429, "times": 5}
    request = urllib.request.Request(
        f"{local['url']}/_eicctl/faults", json.dumps(refusal).encode(), {"Authorization": f"Bearer {local['token']}"}
    )
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request):
        done = run_eicctl(warm, "ssh", "node-1", "--", "true")
    assert done.returncode == 0
    assert done.stderr.count(b"waiting up to 30 s: ") == 1, done.stderr


def test_a_killed_process_ends_the_session_and_is_named(warm: Env) -> None:
    process = session(warm)
    os.kill(agent_pid(warm), signal.SIGKILL)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 255
    assert b"The background process that relayed the connection has ended" in stderr


def test_a_stuck_process_is_done_without(warm: Env) -> None:
    pid = agent_pid(warm)
    os.kill(pid, signal.SIGSTOP)
    try:
        done = run_eicctl(warm, "ssh", "node-1", "--", "echo there", timeout=60)
    finally:
        os.kill(pid, signal.SIGCONT)
    assert done.stdout == b"there\n", done.stderr


def test_a_target_that_has_moved_is_looked_up(warm: Env) -> None:
    assert run_eicctl(warm, "ssh", "node-1", "true").returncode == 0
    (file,) = Path(warm["EICCTL_HOME"]).glob("cache/targets.json")
    known = json.loads(file.read_text())
    for row in known.values():
        row["Value"]["endpoint_dns_name"] = "no-such-host.invalid"
    file.write_text(json.dumps(known))
    done = run_eicctl(warm, "ssh", "node-1", "--", "echo there")
    assert done.stdout == b"there\n", done.stderr


def test_failures_are_told_as_without_it(warm: Env) -> None:
    run_eicctl(warm, "ssh", "bare", "true")  # what is said once, of the host's keys, has been said
    for words in ["no-such-machine"], ["root@bare", "true"]:
        with_it = run_eicctl(warm, "ssh", *words)
        without = run_eicctl(warm, "ssh", "--no-agent", *words)
        assert with_it.returncode == without.returncode != 0
        told = [[line for line in done.stderr.splitlines() if b"request ID" not in line] for done in (with_it, without)]
        assert told[0] == told[1]


def test_a_login_of_some_minutes_ago_is_not_believed_when_its_host_is_gone(sshd_env: Env) -> None:
    env = {name: value for name, value in sshd_env.items() if name != "CI"}
    for _ in range(2):  # what the first one remembers of OS users makes another key of the second one
        assert run_eicctl(env, "ssh", "node-1", "--", "true").returncode == 0
    (file,) = Path(env["EICCTL_HOME"]).glob("cache/logins.json")
    known = json.loads(file.read_text())
    (Path(env["EICCTL_HOME"]) / "cache" / "targets.json").unlink()
    gone = "i-0123456789abcdef0"
    for row in (kept["Value"] for kept in known.values()):
        row["Target"]["instance_id"] = row["Host"] = row["Settings"]["HostKeyAlias"] = gone
    file.write_text(json.dumps(known))
    with Path(env["EICCTL_HOME"], "state", "known_hosts").open("a") as hosts:
        hosts.write(f"{gone} ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGtEEV8nMTVpZZWQvo9f3pLxkp1zxsj6oPxHhYtQXn0k\n")
    done = run_eicctl(env, "ssh", "node-1", "--", "echo there")
    assert done.stdout == b"there\n", done.stderr
    assert gone not in done.stderr.decode()


def test_what_openssh_says_of_its_proxy_is_left_out_where_the_cause_is_told(warm: Env) -> None:
    for more in [], ["--no-agent"]:
        words = ["--private-ip-address", "10.0.1.77", "--no-send-key", *more, "ec2-user@node-1", "true"]
        done = run_eicctl(warm, "ssh", *words)
        assert done.returncode == 255
        said = done.stderr.decode()
        assert said.count("error: ") == said.count("10.0.1.77 port 22") == 1, said
        assert "kex_exchange" not in said
        assert "UNKNOWN port" not in said
