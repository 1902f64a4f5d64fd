"""`eicctl rdp` up to the client: passwords and hints."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eicctl.emulator.control.passwords import password_of

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
    assert "--key-file with the private key of windows" in ran.err


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
