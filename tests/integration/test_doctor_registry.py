"""A check is one file: the list, the drawing, JSON and the reference have it, and nothing else has to be edited."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from eicctl.doctor import checks
from tests.integration.conftest import Ran
from tests.integration.test_doctor import World, world

Eicctl = Callable[..., Ran]

__all__ = ["world"]

MTU = """
from eicctl.doctor.check import Check, Outcome, Segment, Status

CHECK = Check(
    key="mtu",
    title="Path MTU",
    order=75,
    run=lambda context: Outcome(Status.WANTED, "1280 bytes get to " + context.target.endpoint_id, "use IPv4"),
    needs=("connectivity",),
    segment=Segment.TO_ENDPOINT,
    step="path MTU",
    inspects="the largest packet that gets through",
)
"""


@pytest.fixture
def add(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], None]:
    """Add a check that ends with a status."""

    def write(status: str) -> None:
        (tmp_path / "mtu.py").write_text(MTU.replace("WANTED", status))
        monkeypatch.setattr(checks, "__path__", [*checks.__path__, str(tmp_path)])
        monkeypatch.delitem(sys.modules, "eicctl.doctor.checks.mtu", raising=False)

    return write


def test_a_new_check_is_in_list_drawing_and_json(eicctl: Eicctl, world: World, add: Callable[[str], None]) -> None:
    add("OK")
    ran = eicctl("doctor", "web-1")
    assert ran.code == 0
    assert " ✓ Path MTU  " in ran.out
    assert "│  ✓ path MTU\n" in ran.out
    found = json.loads(eicctl("doctor", "web-1", "--output", "json").out)
    keys = [check["Key"] for check in found["Checks"]]
    assert keys[keys.index("connectivity") + 1] == "mtu"
    (step,) = [part for part in found["Path"] if part.get("Check") == "mtu"]
    assert (step["Status"], step["Blocked"]) == ("ok", False)


def test_a_new_check_that_fails_is_the_cause(eicctl: Eicctl, world: World, add: Callable[[str], None]) -> None:
    add("FAILED")
    ran = eicctl("doctor", "web-1")
    assert ran.code == 5
    assert "✗ 1280 bytes get to eice-" in ran.out
    assert "To fix: use IPv4" in ran.out
    assert "│  ✗ path MTU  ◀── blocked here" in ran.out


def test_a_new_check_is_in_the_reference(add: Callable[[str], None]) -> None:
    add("OK")
    script = Path(__file__).parents[2] / "scripts" / "reference.py"
    spec = importlib.util.spec_from_file_location("reference", script)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (
        "| `mtu` | Path MTU | the largest packet that gets through | `connectivity` | none |" in module.doctor_checks()
    )
