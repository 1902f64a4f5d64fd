"""The text and the JSON of what happens to tunnels."""

from __future__ import annotations

import json

import pytest

from eicctl.core.errors import DurationReachedError, LocalError, TargetUnreachableError
from eicctl.core.events import CloseInfo, TunnelEvent
from eicctl.core.model import Target
from eicctl.view.events import lines, renderer

TARGET = Target("10.0.1.10", 22, "eice-1", "eice-1.example", "us-east-1", instance_name="web-1")

CLIENT = "127.0.0.1:5000"

WAITING = TunnelEvent("waiting", 4, CLIENT, count=3, limit=20)
NEXT = TunnelEvent("waiting", 5, "127.0.0.1:5001", limit=20)
DISCONNECTED = TunnelEvent("disconnected", 4, CLIENT)
LISTENING = TunnelEvent("listening", local=("127.0.0.1:15432", "[::1]:15432"), remote="db:5432", via="web-1")
OPENED = TunnelEvent("opened", 1, CLIENT, "db:5432")
NOTE = TunnelEvent("note", via="web-1", text="Logging in as ubuntu")


def closed(error: DurationReachedError | LocalError | None = None) -> TunnelEvent:
    info = CloseInfo(error.message if error else "closed by the client", error, 1000, 20, 1.25, "r-1")
    return TunnelEvent("closed", 4, CLIENT, close_info=info)


def test_lines_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    emit = renderer("text")
    for event in (WAITING, NEXT, DISCONNECTED, closed()):
        emit(event)
    assert capsys.readouterr().err.splitlines() == [
        "[4] 127.0.0.1:5000 queued (20-connection limit, 3 ahead)",
        "[5] 127.0.0.1:5001 queued (20-connection limit, next in line)",
        "[4] 127.0.0.1:5000: client disconnected before the tunnel opened",
        "[4] closed: closed by the client (1,000 bytes in, 20 out, 1.2 s)",
    ]


def test_objects(capsys: pytest.CaptureFixture[str]) -> None:
    emit = renderer("json")
    emit(TunnelEvent("listening", local=("127.0.0.1:2222",), target=TARGET))
    emit(WAITING)
    emit(DISCONNECTED)
    emit(closed())
    first, *rest = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert list(first) == ["Event", "LocalAddresses", "LocalPort", "Target"]
    assert first["Target"]["InstanceName"] == "web-1"
    assert rest == [
        {"Event": "waiting", "Connection": 4, "Client": CLIENT, "Before": 3},
        {"Event": "disconnected", "Connection": 4, "Client": CLIENT},
        {
            "Event": "closed",
            "Connection": 4,
            "Client": CLIENT,
            "Reason": "closed by the client",
            "Error": False,
            "BytesIn": 1000,
            "BytesOut": 20,
            "Seconds": 1.25,
            "RequestId": "r-1",
        },
    ]


def test_a_duration_that_was_reached_is_told_once() -> None:
    error = DurationReachedError("Tunnel closed: maximum duration (10 s) reached", hint="connect again")
    assert lines(closed(error)) == [
        "[4] closed: maximum duration (10 s) reached (1,000 bytes in, 20 out, 1.2 s)",
        "[4] request ID: r-1",
        "[4] hint: connect again",
    ]


def test_the_first_object_is_listening(capsys: pytest.CaptureFixture[str]) -> None:
    emit = renderer("json")
    for event in (NOTE, LISTENING, OPENED):
        emit(event)
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [event["Event"] for event in found] == ["listening", "note", "opened"]
    assert found[0]["LocalPort"] == 15432
    assert found[0]["Via"] == "web-1"


def test_what_is_not_verbose_leaves_out_the_usual_course(capsys: pytest.CaptureFixture[str]) -> None:
    emit = renderer("text", verbose=False)
    for event in (LISTENING, OPENED, closed(), closed(LocalError("the client is gone")), NOTE):
        emit(event)
    emit(closed(DurationReachedError("maximum duration (10 s) reached")))
    shown = capsys.readouterr()
    assert shown.out == "Listening on 127.0.0.1:15432 and [::1]:15432 for db:5432 (through web-1)\n"
    first, second, *_ = shown.err.splitlines()
    assert first == "web-1: Logging in as ubuntu"
    assert second.startswith("[4] closed: maximum duration")


def test_an_event_comes_back_from_json() -> None:
    error = TargetUnreachableError("the endpoint cannot reach it", hint="eicctl doctor web-1")
    for event in (
        WAITING,
        LISTENING,
        TunnelEvent("failed", 1, CLIENT, error=error),
        TunnelEvent("closed", 1, CLIENT, close_info=CloseInfo(error.message, error, 0, 0, 0.5)),
        TunnelEvent("checked", target=TARGET, text="SSH-2.0"),
    ):
        back = TunnelEvent.from_json(json.loads(json.dumps(event.to_json())))
        assert lines(back) == lines(event)
        assert back.to_json() == event.to_json()
