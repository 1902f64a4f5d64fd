"""`eicctl rdp` up to the client: passwords and hints."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eicctl.emulator.control.instances import password_of
from eicctl.emulator.server import Emulator

Run = Callable[..., Any]
pytestmark = pytest.mark.usefixtures("endpoint")


@pytest.fixture
def key_file(ec2: Any, tmp_path: Path) -> Path:
    """The private key of win-1's key pair."""
    path = tmp_path / "windows.pem"
    path.write_text(ec2.create_key_pair(KeyName="windows")["KeyMaterial"])
    return path


def test_the_password_is_printed(eicctl: Run, key_file: Path, instance_ids: dict[str, str]) -> None:
    ran = eicctl("rdp", "win-1", "--key-file", str(key_file), "--print-password")
    assert (ran.code, ran.out) == (0, password_of(instance_ids["win-1"]) + "\n")


def test_the_key_pair_is_named(eicctl: Run) -> None:
    ran = eicctl("rdp", "win-1", "--print-password")
    assert ran.code == 2
    assert "with the private key of key pair windows" in ran.err


def test_another_pairs_key(eicctl: Run, ec2: Any, key_file: Path) -> None:
    key_file.write_text(ec2.create_key_pair(KeyName="other")["KeyMaterial"])
    ran = eicctl("rdp", "win-1", "--key-file", str(key_file), "--print-password")
    assert ran.code == 2
    assert "does not decrypt the password" in ran.err


def test_no_password_yet(eicctl: Run, ec2: Any, key_file: Path) -> None:
    ec2.delete_key_pair(KeyName="windows")
    ran = eicctl("rdp", "win-1", "--key-file", str(key_file), "--print-password")
    assert ran.code == 5
    assert "or none yet" in ran.err


def test_a_user_with_a_line_end(eicctl: Run) -> None:
    assert eicctl("rdp", "win-1", "--no-launch", "--user", "a\nb").code == 2


def test_a_machine_that_boots_is_waited_for(
    emulator: Emulator, ec2: Any, eicctl: Run, key_file: Path, instance_ids: dict[str, str]
) -> None:
    emulator.state.behave(boot=1.5)
    ec2.stop_instances(InstanceIds=[instance_ids["win-1"]])
    ec2.start_instances(InstanceIds=[instance_ids["win-1"]])
    ran = eicctl("rdp", "--wait", "win-1", "--key-file", str(key_file), "--print-password")
    assert (ran.code, ran.out) == (0, password_of(instance_ids["win-1"]) + "\n")
    assert ran.err == ""


def test_the_wait_ends(emulator: Emulator, ec2: Any, eicctl: Run, instance_ids: dict[str, str]) -> None:
    emulator.state.behave(boot=600.0)
    ec2.stop_instances(InstanceIds=[instance_ids["win-1"]])
    ec2.start_instances(InstanceIds=[instance_ids["win-1"]])
    ran = eicctl("rdp", "win-1", "--no-launch", "--wait=1")
    assert ran.code == 5
    assert "error: win-1 is not ready after 1 s: the instance is pending" in ran.err


def test_no_launch_takes_no_key(eicctl: Run, key_file: Path) -> None:
    ran = eicctl("rdp", "win-1", "--no-launch", "--key-file", str(key_file))
    assert ran.code == 2
    assert "--no-launch starts no client and does not take --key-file" in ran.err
    assert "--print-password" in ran.err
    ran = eicctl("rdp", "win-1", "--no-launch", "--client", "xfreerdp")
    assert ran.code == 2
    assert "does not take --client" in ran.err


@pytest.mark.skipif(sys.platform != "linux", reason="mstsc is a client of another platform than Linux")
def test_a_client_of_another_platform(eicctl: Run) -> None:
    ran = eicctl("rdp", "win-1", "--client", "mstsc")
    assert ran.code == 2
    assert "mstsc is a client of Windows" in ran.err
    assert "on Linux: xfreerdp3, xfreerdp, " in ran.err


@pytest.mark.needs("xfreerdp")
def test_a_client_without_a_display(eicctl: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    ran = eicctl("rdp", "win-1", "--client", "xfreerdp")
    assert ran.code == 1
    assert "error: xfreerdp ended with exit code 1" in ran.err
