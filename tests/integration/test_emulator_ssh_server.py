"""The embedded SSH server, spoken to by OpenSSH's own tools: no tunnel, no eicctl."""

from __future__ import annotations

import hashlib
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from eicctl.emulator.machines import Machines
from eicctl.emulator.machines.ssh_server import SshMachine
from eicctl.emulator.state import Machine, State
from tests.integration.machine_door import OpenSsh, door, linux_machine, openssh, pushed
from tests.terminal import exit_code, terminal
from tests.waiting import wait_for


@pytest.fixture
def state() -> State:
    return State()


@pytest.fixture
def machine() -> Machine:
    return linux_machine("ec2-user", "second")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The machine's home folder."""
    return tmp_path / "machine-home"


@pytest.fixture
def client(state: State, machine: Machine, home: Path, tmp_path: Path) -> Iterator[OpenSsh]:
    """A client whose key has just been pushed."""
    machines = Machines(state, tmp_path, sshd=False)
    server = SshMachine(state, machine, home, partial(machines.connect_from, machine))
    with door(server.serve) as port:
        tools, public = openssh(port, "ec2-user", machine, tmp_path)
        pushed(state, machine, "ec2-user", public)
        yield tools


def test_output_and_exit_status(client: OpenSsh) -> None:
    done = client.run("echo out; cat >&2; exit 4", stdin=b"err")
    assert (done.returncode, done.stdout, done.stderr) == (4, b"out\n", b"err")


def test_who_and_where(client: OpenSsh, home: Path) -> None:
    shown = client.run("echo $USER $LOGNAME $HOME; pwd").stdout.decode().split()
    assert shown == ["ec2-user", "ec2-user", str(home), str(home)]
    assert home.stat().st_mode & 0o777 == 0o700


def test_nothing_of_the_emulators_environment_leaks(client: OpenSsh, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret-of-the-host")
    assert b"secret-of-the-host" not in client.run("env").stdout


@pytest.mark.parametrize("name", ["second", "nobody-at-all"])
def test_a_key_is_one_users(client: OpenSsh, name: str) -> None:
    done = replace(client, user=name).run("true")
    assert done.returncode == 255
    assert b"Permission denied" in done.stderr


def test_a_command_that_is_killed(client: OpenSsh) -> None:
    """OpenSSH's client has no exit code for a signal: it ends with 255."""
    assert client.run("kill -TERM $$").returncode == 255


def test_binary_data_both_ways(client: OpenSsh) -> None:
    data = os.urandom(8_000_000)
    assert client.run("cat", stdin=data).stdout == data


def test_a_reader_that_stalls_stops_the_command(client: OpenSsh, home: Path) -> None:
    process = subprocess.Popen(
        ["ssh", *client.options, "127.0.0.1", "head -c 100000000 /dev/zero; echo done > finished"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdout
    assert process.stdout.read(1)
    time.sleep(0.7)
    assert not (home / "finished").exists()
    rest = 1
    while data := process.stdout.read(1_000_000):
        rest += len(data)
    process.stdout.close()
    assert process.wait(60) == 0
    assert rest == 100_000_000
    assert (home / "finished").exists()


def command_line(pid: int) -> bytes:
    """A process's command line; empty where there is no such process."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def test_the_command_ends_with_its_client(client: OpenSsh, home: Path) -> None:
    process = subprocess.Popen(
        ["ssh", *client.options, "127.0.0.1", "echo $$; exec sleep 300"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdout
    pid = int(process.stdout.readline())
    process.send_signal(signal.SIGKILL)
    process.wait(60)
    process.stdout.close()
    wait_for(lambda: b"sleep" not in command_line(pid), "the end of the command")


def test_a_terminal(client: OpenSsh) -> None:
    words = [*client.options, "-tt", "127.0.0.1", "PS1='prompt> ' sh -i"]
    session = terminal(os.environ, *words, program="ssh", size=(31, 97))
    session.expect("prompt> ")
    session.sendline("tty; stty size")
    session.expect(r"/dev/pts/\d+\s+31 97")
    session.sendline("sleep 100")
    time.sleep(0.3)
    session.sendintr()
    session.expect("prompt> ")
    session.sendline("exit 3")
    assert exit_code(session) == 3


def test_all_output_of_a_terminal_arrives(client: OpenSsh) -> None:
    done = client.run("seq 200000", extra=["-tt"])
    lines = done.stdout.split()
    assert len(lines) == 200_000
    assert lines[-1] == b"200000"


@pytest.mark.parametrize("protocol", ["-s", "-O"])
def test_scp(client: OpenSsh, home: Path, tmp_path: Path, protocol: str) -> None:
    file = tmp_path / "file"
    file.write_bytes(os.urandom(3_000_000))
    done = client.tool("scp", protocol, str(file), "127.0.0.1:copy")
    assert done.returncode == 0, done.stderr
    assert (home / "copy").read_bytes() == file.read_bytes()
    done = client.tool("scp", protocol, "127.0.0.1:copy", str(tmp_path / "back"))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "back").read_bytes() == file.read_bytes()


def test_sftp_starts_at_home(client: OpenSsh, home: Path, tmp_path: Path) -> None:
    (tmp_path / "hello").write_bytes(b"hello")
    script = f"pwd\nmkdir d\ncd d\nput {tmp_path}/hello\nrename hello there\nls -l\n"
    done = client.tool("sftp", "-b", "-", "127.0.0.1", stdin=script.encode())
    assert done.returncode == 0, done.stderr
    assert (home / "d" / "there").read_bytes() == b"hello"


@pytest.mark.needs("rsync")
def test_rsync_of_a_tree(client: OpenSsh, home: Path, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    for number in range(50):
        (tree / f"{number}.bin").write_bytes(os.urandom(20_000))
    shell = "ssh " + " ".join(client.options)
    command = ["rsync", "-a", "-e", shell, str(tree), "127.0.0.1:"]
    done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert digests(home / "tree") == digests(tree)


def digests(folder: Path) -> dict[str, str]:
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.iterdir()}


@pytest.fixture
def greeter() -> Iterator[int]:
    """A TCP service of this computer that greets; its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def greet() -> None:
            while True:
                try:
                    peer, _ = listener.accept()
                except OSError:
                    return
                with peer:
                    peer.sendall(b"greetings")

        threading.Thread(target=greet, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


def test_forwards_to_loopback(client: OpenSsh, greeter: int) -> None:
    assert client.tool("ssh", "-W", f"localhost:{greeter}", "127.0.0.1").stdout == b"greetings"


def test_forwards_to_the_worlds_services(client: OpenSsh, state: State, machine: Machine, greeter: int) -> None:
    forwards, names = ((5432, f"127.0.0.1:{greeter}"),), ("db.example.internal",)
    state.put_machine(
        Machine("service", "db", "10.0.0.50", "us-east-1", machine.vpc_id, forwards=forwards, names=names)
    )
    for there in ("10.0.0.50:5432", "DB.example.internal:5432"):
        assert client.tool("ssh", "-W", there, "127.0.0.1").stdout == b"greetings"
    for nowhere in ("10.0.0.50:5433", "10.0.0.51:5432", "other.example.internal:5432"):
        assert client.tool("ssh", "-W", nowhere, "127.0.0.1").returncode == 255


def test_other_machines_are_reached_through_it(client: OpenSsh, state: State, machine: Machine) -> None:
    windows = Machine("windows", "win", "10.0.0.60", "us-east-1", machine.vpc_id, "i-0123456789abcdef1")
    state.put_machine(windows)
    request = bytes.fromhex("030000130ee000000000000100080003000000")
    done = client.tool("ssh", "-W", "10.0.0.60:3389", "127.0.0.1", stdin=request)
    assert done.stdout[5:6] == b"\xd0"


def test_an_authorized_key_needs_no_push(state: State, machine: Machine, home: Path, tmp_path: Path) -> None:
    tools, public = openssh(0, "ec2-user", machine, tmp_path)
    owned = replace(machine, authorized_keys=("not a key", public))
    server = SshMachine(state, owned, home, partial(Machines(state, tmp_path, sshd=False).connect_from, owned))
    with door(server.serve) as port:
        assert replace(tools, port=port).run("true").returncode == 0
