"""OpenSSH's sshd as an emulated machine, spoken to by OpenSSH's client: no tunnel, no eicctl."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from eicctl.emulator.machines import sshd as accounts
from eicctl.emulator.machines.sshd import Sshd
from eicctl.emulator.state import Machine, State
from tests.integration.machine_door import OpenSsh, door, linux_machine, openssh, pushed

pytestmark = pytest.mark.needs("sshd")


class Clock:
    """A clock that is put forward."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def state(clock: Clock) -> State:
    return State(clock)


@pytest.fixture
def user() -> str:
    """An OS user that the machine's sshd knows."""
    return "ec2-user" if accounts.find_wrapper() else accounts.own_account()


@pytest.fixture
def machine(user: str) -> Machine:
    return linux_machine(user, "second")


@pytest.fixture
def client(state: State, machine: Machine, user: str, tmp_path: Path) -> Iterator[OpenSsh]:
    """A client whose key has just been pushed."""
    sshd = Sshd(state, tmp_path)
    with door(lambda sock: sshd.serve(machine, sock)) as port:
        tools, public = openssh(port, user, machine, tmp_path)
        pushed(state, machine, user, public)
        yield tools


def test_a_pushed_key_logs_in(client: OpenSsh) -> None:
    done = client.run("echo out; cat >&2; exit 4", stdin=b"err")
    assert (done.returncode, done.stdout, done.stderr) == (4, b"out\n", b"err")


def test_a_key_is_forgotten_after_a_minute(client: OpenSsh, clock: Clock) -> None:
    clock.ahead = 61
    done = client.run("true")
    assert done.returncode == 255
    assert b"Permission denied" in done.stderr


@pytest.mark.parametrize("name", ["second", "nobody-at-all"])
def test_a_key_is_one_users(client: OpenSsh, name: str) -> None:
    done = replace(client, user=name).run("true")
    assert done.returncode == 255
    assert b"Permission denied" in done.stderr


def test_nothing_of_the_emulators_environment_leaks(client: OpenSsh, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    shown = client.run("env").stdout.decode()
    assert "USER=" in shown
    assert "secret" not in shown
    assert "NSS_WRAPPER" not in shown
    assert "LD_PRELOAD" not in shown


@pytest.mark.skipif(accounts.find_wrapper() is None, reason="nss_wrapper is not installed")
def test_the_home_is_the_machines_own(client: OpenSsh, tmp_path: Path, machine: Machine) -> None:
    (tmp_path / "file").write_bytes(os.urandom(100_000))
    assert client.tool("scp", str(tmp_path / "file"), "127.0.0.1:copy").returncode == 0
    copy = tmp_path / "homes" / machine.instance_id / "copy"
    assert copy.read_bytes() == (tmp_path / "file").read_bytes()
    assert client.run("echo $USER in $PWD").stdout.decode().strip() == f"ec2-user in {copy.parent}"


def test_a_terminal(client: OpenSsh) -> None:
    done = client.run("tty; exit 3", extra=["-tt"])
    assert done.returncode == 3
    assert done.stdout.startswith(b"/dev/pts/")


def test_an_authorized_key_needs_no_push(state: State, machine: Machine, user: str, tmp_path: Path) -> None:
    tools, public = openssh(0, user, machine, tmp_path)
    sshd = Sshd(state, tmp_path)
    with door(lambda sock: sshd.serve(replace(machine, authorized_keys=(public,)), sock)) as port:
        assert replace(tools, port=port).run("true").returncode == 0
