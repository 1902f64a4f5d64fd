"""What macOS and Windows run of the tests."""

from __future__ import annotations

import pytest

from tests.platforms import ROOT, reason_to_skip

TESTS = ROOT / "tests"


@pytest.mark.parametrize(
    ("name", "darwin", "win32"),
    [
        ("unit/test_tunnel_slots.py", "", ""),
        ("unit/test_support_jsonstore.py", "", "tests/unit/test_support_jsonstore.py needs POSIX: st_mode"),
        ("unit/test_emulator_sockets.py", "", "tests/unit/test_emulator_sockets.py imports eicctl.emulator"),
        ("integration", "", "tests/integration/conftest.py imports eicctl.emulator"),
        ("e2e/test_ssh_config_file.py", "", "tests/e2e/conftest.py imports eicctl.emulator"),
        ("integration/test_faults_many.py", "tests/integration/test_faults_many.py needs Linux: /proc/", None),
    ],
)
def test_each_platform_runs_what_it_can(name: str, darwin: str, win32: str | None) -> None:
    assert reason_to_skip(TESTS / name, "linux") == ""
    assert reason_to_skip(TESTS / name, "darwin") == darwin
    if win32 is not None:
        assert reason_to_skip(TESTS / name, "win32") == win32


def test_most_files_run_elsewhere() -> None:
    files = sorted(TESTS.rglob("test_*.py"))
    unit = [file for file in files if file.parent.name == "unit"]
    assert len([file for file in files if not reason_to_skip(file, "darwin")]) > 0.7 * len(files)
    assert len([file for file in unit if not reason_to_skip(file, "win32")]) > 0.6 * len(unit)
