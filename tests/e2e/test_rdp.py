"""`eicctl rdp`, as installed: FreeRDP on a virtual display, before xrdp and a desktop that asks for a password."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from eicctl.emulator.control.instances import password_of
from tests.e2e.conftest import Env, boto3_client, clean_env, local_world
from tests.e2e.desktop import answers, running, shares, vnc_desktop, xrdp, xvfb
from tests.ports import free_port
from tests.processes import PROGRAM
from tests.waiting import wait_for
from tests.worlds import NETWORK, WINDOWS

WORLD = (
    WINDOWS
    + NETWORK
    + """
[[vpc.group]]
name = "rdp"
ingress = ["3389 from 10.0.0.0/16"]

[[vpc.instance]]
name = "win-1"
address = "10.0.1.20"
groups = ["rdp"]
key_name = "windows"
forwards = {{ 3389 = "127.0.0.1:{port}" }}

[[vpc.instance]]
name = "win-2"
address = "10.0.1.21"
groups = ["rdp"]
key_name = "windows"
forwards = {{ 3389 = "127.0.0.1:{port}" }}
"""
)
"""Two machines with passwords of their own, and one desktop behind both."""

needs_desktop = pytest.mark.needs("xrdp", "xfreerdp", "Xvfb", "Xtigervnc", "vncpasswd", "display", "import", "convert")


@dataclass
class Desk:
    """A local AWS with `win-1` and `win-2`, their key, the desktop, and the log of the xrdp before it."""

    env: Env
    key: str
    passwords: dict[str, str]
    log: Path
    desktop: subprocess.Popen[bytes]


@pytest.fixture
def display() -> Iterator[str]:
    with xvfb() as display:
        yield display


Aws = tuple[Env, str, dict[str, str]]


def _prepared(found: Env, folder: Path) -> Aws:
    ec2 = boto3_client(found, "ec2")
    (folder / "key.pem").write_text(ec2.create_key_pair(KeyName="windows")["KeyMaterial"])
    rows = [row for group in ec2.describe_instances()["Reservations"] for row in group["Instances"]]
    ids = {tag["Value"]: row["InstanceId"] for row in rows for tag in row["Tags"] if tag["Key"] == "Name"}
    return found, str(folder / "key.pem"), {name: password_of(found_id) for name, found_id in ids.items()}


@pytest.fixture(scope="module")
def rdp_port() -> int:
    """Where xrdp listens: known before it starts, as the emulated world names it."""
    return free_port()


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory, rdp_port: int) -> Iterator[Aws]:
    """A local AWS, the private key of its machines' key pair, and their passwords as the emulator has them."""
    folder = tmp_path_factory.mktemp("aws")
    (folder / "world.toml").write_text(WORLD.format(port=rdp_port))
    options = ["--world", str(folder / "world.toml")]
    with local_world(clean_env(folder), *options, endpoint=["--create-security-group"]) as found:
        yield _prepared(found, folder)


@pytest.fixture
def desk(aws: Aws, rdp_port: int, tmp_path: Path) -> Iterator[Desk]:
    """The desktop, which wants the password of `win-1`."""
    env, key, passwords = aws
    with vnc_desktop(tmp_path, passwords["win-1"]) as (port, desktop), xrdp(tmp_path, rdp_port, port):
        yield Desk(env | {"EICCTL_HOME": str(tmp_path / "eicctl")}, key, passwords, tmp_path / "xrdp.log", desktop)


def secrets_seen(password: str) -> list[str]:
    """Every process whose command line or environment has the password, of those whose files we may read."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        for name in ("cmdline", "environ"):
            with contextlib.suppress(OSError):
                if password.encode() in (path / name).read_bytes():
                    found.append(f"{path.name}/{name}")
    return found


def clients(program: str, part: str) -> list[int]:
    """The processes of a program with a part in their command line."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = path.read_bytes().decode(errors="replace").split("\0")
            if program in words[:2] and any(part in word for word in words):
                found.append(int(path.parent.name))
    return found


@contextlib.contextmanager
def connected(desk: Desk, display: str, name: str, port: int, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    words = [PROGRAM, "rdp", name, "--key-file", desk.key, "--client", "xfreerdp", "--local-port", str(port)]
    env = desk.env | {"DISPLAY": display}
    with log.open("wb") as output, running(words, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=output) as e:
        yield e


def until_shown(command: subprocess.Popen[bytes], display: str, picture: Path, log: Path) -> None:
    def shown() -> bool:
        assert command.poll() is None, log.read_text(errors="replace")
        return all(0.45 < share < 0.55 for share in shares(display, picture))

    wait_for(shown, "a picture of the desktop")


@needs_desktop
def test_the_desktop_is_shown_until_its_session_ends(desk: Desk, display: str, tmp_path: Path) -> None:
    password = desk.passwords["win-1"]
    assert password.startswith("Eic-")
    picture, log, port = tmp_path / "screen.png", tmp_path / "eicctl.log", free_port()
    assert shares(display, picture) == (0, 0)
    with connected(desk, display, "win-1", port, log) as command:
        until_shown(command, display, picture, log)
        if keep := os.environ.get("EICCTL_TEST_PICTURES"):
            shutil.copy(picture, keep)
        (client,) = clients(str(shutil.which("xfreerdp")), f"/v:127.0.0.1:{port}")
        assert b"DISPLAY=" in Path(f"/proc/{client}/environ").read_bytes()
        assert secrets_seen(password) == []
        desk.desktop.terminate()
        assert command.wait(60) == 0, log.read_text(errors="replace")
    assert not answers(port)
    assert password not in log.read_text(errors="replace")


@needs_desktop
def test_another_password_shows_no_desktop(desk: Desk, display: str, tmp_path: Path) -> None:
    """The same way to the same desktop, but the password is that of another machine."""
    assert desk.passwords["win-2"][:8] != desk.passwords["win-1"][:8]
    picture, log, port = tmp_path / "screen.png", tmp_path / "eicctl.log", free_port()
    with connected(desk, display, "win-2", port, log):
        wait_for(
            lambda: desk.log.exists() and "password failed" in desk.log.read_text(),
            "a refusal of the password",
            timeout=60,
        )
        assert shares(display, picture) == (0, 0)


@needs_desktop
def test_ctrl_c_ends_the_client(desk: Desk, display: str, tmp_path: Path) -> None:
    picture, log, port = tmp_path / "screen.png", tmp_path / "eicctl.log", free_port()
    with connected(desk, display, "win-1", port, log) as command:
        until_shown(command, display, picture, log)
        program = str(shutil.which("xfreerdp"))
        assert clients(program, f"/v:127.0.0.1:{port}")
        command.send_signal(signal.SIGINT)
        assert command.wait(60) == 130, log.read_text(errors="replace")
        assert not clients(program, f"/v:127.0.0.1:{port}")
    assert not answers(port)


READER = """#!/bin/sh
printf '%s' "$2" > "$0.told.new" && mv "$0.told.new" "$0.told"
exec sleep 600
"""
"""A client that notes which file it was given, and stays."""


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="remmina is a client of Linux")
def test_ctrl_c_removes_the_connection_file(aws: Aws, tmp_path: Path) -> None:
    program = tmp_path / "bin" / "remmina"
    program.parent.mkdir()
    program.write_text(READER)
    program.chmod(0o755)
    told, port = program.with_name("remmina.told"), free_port()
    env = aws[0] | {"EICCTL_HOME": str(tmp_path / "eicctl")}
    env |= {"PATH": f"{program.parent}:{env['PATH']}"}
    words = [PROGRAM, "rdp", "win-1", "--client", "remmina", "--local-port", str(port)]
    with running(words, env=env, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE) as command:
        wait_for(lambda: told.exists() or command.poll() is not None, "a start of the client")
        file = Path(told.read_text())
        assert f"full address:s:127.0.0.1:{port}\r\n".encode() in file.read_bytes()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
        assert answers(port)
        command.send_signal(signal.SIGINT)
        assert command.wait(60) == 130
    assert not file.exists()
    assert not file.parent.exists()
    assert not answers(port)


def test_no_file_without_a_client(aws: Aws, tmp_path: Path) -> None:
    port, home = free_port(), tmp_path / "eicctl"
    words = [PROGRAM, "rdp", "win-1", "--no-launch", "--local-port", str(port)]
    env = aws[0] | {"EICCTL_HOME": str(home)}
    with running(words, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as command:
        line = command.stdout.readline() if command.stdout else b""
        assert line.startswith(b"Listening on "), line
        assert answers(port)
        assert not list(home.rglob("*.rdp"))
        command.send_signal(signal.SIGINT)
        assert command.wait(60) == 130
