"""Connections that the background process carries: the same to see, whatever becomes of that process."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.conftest import FillCache
from tests.e2e.conftest import Env, run_eicctl
from tests.e2e.warmth import agent_pid, lent, listening, wait_for_agent
from tests.processes import PROGRAM
from tests.waiting import wait_for

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no background process")


@pytest.fixture
def short_home(env: Env, fill_cache: FillCache) -> Iterator[Env]:
    """An environment in which background processes are used; those that are left end with the test."""
    home = Path(tempfile.mkdtemp(prefix="w-"))  # a short path: those of sockets end at 107 bytes
    found = {name: value for name, value in env.items() if name != "CI"}
    found |= {"HOME": str(home), "EICCTL_HOME": str(home / "e"), "EICCTL_AGENT": "on"}
    fill_cache(home / "e")
    yield found
    run_eicctl(found, "down", "--all")
    shutil.rmtree(home, ignore_errors=True)


class Proxy:
    """A running `eicctl proxy` that has shown the first bytes of its target."""

    def __init__(self, env: Env, *words: str) -> None:
        self.process = subprocess.Popen(
            [PROGRAM, "proxy", *(words or ("web-1",))],
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert self.process.stdout
        self.banner = self.process.stdout.read(8)

    @property
    def lent(self) -> bool:
        """Whether another process carries it."""
        return lent(self.process.pid)

    def finish(self) -> tuple[int, str]:
        """Close stdin; return the exit code and what was told."""
        _, told = self.process.communicate(timeout=60)
        return self.process.returncode, told.decode()


@pytest.fixture
def warm(short_home: Env) -> Env:
    """An environment with a background process, which the first connection has started."""
    first = Proxy(short_home)
    wait_for_agent(short_home)
    assert first.finish() == (0, "")
    return short_home


needs_proc = pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="no /proc")


@needs_proc
def test_the_first_connection_starts_it_and_the_second_one_is_lent(short_home: Env) -> None:
    first = Proxy(short_home)
    assert not first.lent
    wait_for_agent(short_home)
    second = Proxy(short_home)
    assert second.lent
    assert second.banner == b"SSH-2.0-"
    assert second.finish() == (0, "")
    assert first.finish() == (0, "")


@needs_proc
@pytest.mark.parametrize("more", [{"EICCTL_AGENT": "off"}, {"EICCTL_AGENT": "", "CI": "true"}])
def test_none_is_started_where_it_is_not_wanted(short_home: Env, more: Env) -> None:
    proxy = Proxy(short_home | more)
    time.sleep(0.7)
    assert proxy.finish() == (0, "")
    assert listening(short_home) == []


def test_none_is_started_where_the_settings_say_so(short_home: Env) -> None:
    config = Path(short_home["EICCTL_HOME"], "config", "config.toml")
    config.parent.mkdir(parents=True)
    config.write_text("agent = false\n")
    proxy = Proxy(short_home | {"EICCTL_AGENT": ""})
    time.sleep(0.7)
    assert proxy.finish() == (0, "")
    assert listening(short_home) == []


@needs_proc
def test_one_that_runs_is_not_used_where_it_is_not_wanted(warm: Env) -> None:
    proxy = Proxy(warm, "web-1", "--no-agent")
    assert not proxy.lent
    assert proxy.finish() == (0, "")
    config = Path(warm["EICCTL_HOME"], "config", "config.toml")
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text("agent = false\n")
    proxy = Proxy(warm)
    assert not proxy.lent
    assert proxy.finish() == (0, "")


@needs_proc
def test_a_process_that_is_killed_ends_its_connections_and_no_other(warm: Env) -> None:
    client = Proxy(warm)
    assert client.lent
    os.kill(agent_pid(warm), signal.SIGKILL)
    code, told = client.finish()
    assert code == 5
    assert "background process that relayed the connection has ended" in told
    assert Proxy(warm).finish() == (0, "")


@needs_proc
def test_a_process_that_is_stuck_is_done_without(warm: Env) -> None:
    pid = agent_pid(warm)
    os.kill(pid, signal.SIGSTOP)
    try:
        proxy = Proxy(warm)
        assert proxy.banner == b"SSH-2.0-"
        assert not proxy.lent
    finally:
        os.kill(pid, signal.SIGCONT)
    time.sleep(0.3)  # it finds a client that has gone, and must not take its bytes
    assert proxy.finish() == (0, "")


@needs_proc
def test_signals_end_the_client_and_its_tunnel(warm: Env) -> None:
    own = pipes_of(agent_pid(warm))
    for number in signal.SIGINT, signal.SIGTERM, signal.SIGHUP:
        client = Proxy(warm)
        assert client.lent
        client.process.send_signal(number)
        assert client.process.wait(60) == 130
        client.finish()
        wait_for(lambda: not pipes_of(agent_pid(warm)) - own, "the closing of the client's pipes")
    assert Proxy(warm).finish() == (0, "")


def pipes_of(pid: int) -> set[str]:
    found = []
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            found.append(str(fd.readlink()))
    return {to for to in found if "pipe:" in to}


def test_failures_are_told_as_without_it(warm: Env) -> None:
    for words in ["no-such-machine"], ["web-1", "--remote-port", "80"], ["locked-1"], []:
        with_it = run_eicctl(warm, "proxy", *words)
        without = run_eicctl(warm, "proxy", "--no-agent", *words)
        assert with_it.returncode == without.returncode != 0
        told = [[line for line in done.stderr.splitlines() if b"request ID" not in line] for done in (with_it, without)]
        assert told[0] == told[1]
        assert with_it.stdout == b""


def test_forty_at_once_are_all_served(warm: Env) -> None:
    """More than the endpoint has places for; each leaves when it has been served."""
    with ThreadPoolExecutor(40) as pool:
        ended = list(pool.map(lambda _: Proxy(warm).finish(), range(40)))
    assert ended == [(0, "")] * 40


def test_bytes_are_the_same_both_ways(warm: Env, tmp_path: Path) -> None:
    """A login of OpenSSH, whose key the background process pushes, with ten megabytes there and back."""
    strict = ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"]
    key = Path(warm["HOME"], ".ssh", "eicctl", "keys", "ec2-user@web-1")
    proxy = f"ProxyCommand={PROGRAM} proxy --ssh-login %r@%n --remote-port %p %n"
    data = os.urandom(10 * 2**20)
    done = subprocess.run(
        [
            "ssh",
            "-F",
            "none",
            "-o",
            proxy,
            "-o",
            f"IdentityFile={key}",
            "-o",
            "IdentitiesOnly=yes",
            *strict,
            "ec2-user@web-1",
            "cat",
        ],
        env=warm,
        input=data,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout == data
    wait_for(lambda: not key.exists(), "the removal of the key")


def connect(env: Env) -> None:
    """One connection that ends as soon as it has seen its target."""
    assert run_eicctl(env, "proxy", "web-1", stdin=b"").returncode == 0


@needs_proc
def test_a_script_of_short_commands_gets_warm_also_after_a_kill_and_a_slow_start(
    short_home: Env, tmp_path: Path
) -> None:
    """No command waits for the background process, and none takes it along when it ends."""
    (tmp_path / "sitecustomize.py").write_text("import sys, time\n'eicctl.agent' in sys.orig_argv and time.sleep(2)\n")
    slow = short_home | {"PYTHONPATH": str(tmp_path)}
    for _ in range(2):
        connect(slow)  # nothing runs any more that has started it
        wait_for_agent(short_home)
        assert is_warm(slow)
        os.kill(agent_pid(short_home), signal.SIGKILL)
        connect(slow)  # beside the socket and the record that the killed one has left
        wait_for(lambda: answers(short_home), "another start of the background process")
        assert is_warm(slow)
        os.kill(agent_pid(short_home), signal.SIGKILL)
        for left in listening(short_home):
            left.unlink()


def files(env: Env) -> list[Path]:
    return list((Path(env["EICCTL_HOME"]) / "run").glob("agent-*"))


def is_warm(env: Env) -> bool:
    proxy = Proxy(env)
    found = proxy.lent
    assert proxy.finish() == (0, "")
    return found


def answers(env: Env) -> bool:
    for path in listening(env):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            if sock.connect_ex(str(path)) == 0:
                return True
    return False


@needs_proc
def test_an_idle_one_ends_though_it_is_looked_at(short_home: Env) -> None:
    env = short_home | {"EICCTL_AGENT_IDLE": "3"}
    connect(env)
    wait_for_agent(env)

    def look() -> bool:
        return run_eicctl(env, "ps").returncode == 0 and not listening(env)

    wait_for(look, "the end of a background process that is looked at")
    wait_for(lambda: not files(env), "the removal of its files")


@needs_proc
def test_there_are_three_at_most(short_home: Env) -> None:
    for number in range(5):
        env = short_home | {"EICCTL_OTHER": str(number)}  # another environment, another process
        before = set(listening(short_home))
        connect(env)
        wait_for(lambda before=before: set(listening(short_home)) - before, "a start")  # type: ignore[misc]
    wait_for(lambda: len(listening(short_home)) <= 3, "the end of the least used ones")
    wait_for(lambda: len(files(short_home)) <= 4 * 3, "the removal of their files")
    assert is_warm(short_home | {"EICCTL_OTHER": "4"})


@needs_proc
def test_it_weighs_little_after_many_connections(warm: Env) -> None:
    with ThreadPoolExecutor(5) as pool:
        list(pool.map(lambda _: connect(warm), range(50)))
    status = Path(f"/proc/{agent_pid(warm)}/status").read_text()
    resident = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
    assert resident < 45 * 1024
