"""What `eicctl tunnel` says of clients that wait."""

from __future__ import annotations

import json

import pytest

from eicctl.cli.view.tunnel_events import events_for
from eicctl.core.model import Target

TARGET = Target("10.0.1.10", 22, "eice-1", "eice-1.example", "us-east-1", instance_name="web-1")


def test_lines_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    events = events_for("text", TARGET)
    events.waiting(4, "127.0.0.1:5000", 3)
    events.waiting(5, "127.0.0.1:5001", 0)
    events.left(4, "127.0.0.1:5000")
    assert capsys.readouterr().err.splitlines() == [
        "[4] 127.0.0.1:5000 waits for a place at eice-1 (3 before it)",
        "[5] 127.0.0.1:5001 waits for a place at eice-1 (the next one)",
        "[4] 127.0.0.1:5000 has left before its tunnel was open",
    ]


def test_objects(capsys: pytest.CaptureFixture[str]) -> None:
    events = events_for("json", TARGET)
    events.waiting(4, "127.0.0.1:5000", 3)
    events.left(4, "127.0.0.1:5000")
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == [
        {"Event": "waiting", "Connection": 4, "Client": "127.0.0.1:5000", "Before": 3},
        {"Event": "disconnected", "Connection": 4, "Client": "127.0.0.1:5000"},
    ]
