"""Which faults can be asked for, and what a request for one may say."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from eicctl.emulator.data import faults
from eicctl.emulator.state import State


@pytest.mark.parametrize(
    ("content", "stage"),
    [
        ({"kind": "refuse", "status": 503, "body": {"ErrorCode": "x"}, "headers": {"Retry-After": "1"}}, "handshake"),
        ({"kind": "delay", "seconds": 0.5, "stage": "target"}, "target"),
        ({"kind": "cut"}, "open"),
        ({"kind": "cut", "stage": "tls"}, "tls"),
        ({"kind": "close", "code": 4000, "reason": "r", "after_bytes": 10}, "open"),
        ({"kind": "drip", "size": 1, "seconds": 0}, "open"),
    ],
)
def test_good_ones(content: dict[str, Any], stage: str) -> None:
    fault = faults.parse_fault(content)
    expected = {"id": fault.id, "times": 1, "endpoint_id": "", "address": "", **content, "stage": stage}
    assert expected.items() <= msgspec.to_builtins(fault).items()


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ({}, "kind"),
        ({"kind": "explode"}, "kind"),
        ({"kind": "refuse", "seconds": 1}, "seconds"),
        ({"kind": "refuse", "status": "503"}, "status"),
        ({"kind": "refuse", "status": 42}, "status"),
        ({"kind": "close", "code": 999}, "code"),
        ({"kind": "cut", "after_bytes": True}, "after_bytes"),
        ({"kind": "cut", "after_seconds": -1}, "after_seconds"),
        ({"kind": "cut", "stage": "target"}, "stage"),
        ({"kind": "cut", "stage": "tcp", "address": "10.0.0.1"}, "stage tcp"),
        ({"kind": "stall", "direction": "up"}, "direction"),
        ({"kind": "text", "times": 0}, "times"),
        ({"kind": "text", "times": "1"}, "times"),
        ({"kind": "text", "address": 1}, "address"),
    ],
)
def test_bad_ones_say_what_is_wrong(content: dict[str, Any], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        faults.parse_fault(content)


def test_bodies() -> None:
    assert faults.Refuse().content == b""
    assert faults.Refuse(body="<html>").content == b"<html>"
    assert json.loads(faults.Refuse(body={"a": 1}).content) == {"a": 1}


def take(state: State, endpoint_id: str = "eice-1", address: str = "10.0.0.9") -> str:
    fault = state.take_fault(endpoint_id, address, faults.AFTER_TLS)
    return str(fault.__struct_config__.tag) if fault else ""


def test_each_is_injected_as_often_as_specified() -> None:
    state = State()
    state.add_fault(faults.parse_fault({"kind": "text", "times": 2}))
    state.add_fault(faults.parse_fault({"kind": "garbage", "times": -1}))
    assert [take(state) for _ in range(5)] == ["text", "text", "garbage", "garbage", "garbage"]
    state.clear_faults()
    assert take(state) == ""


def test_each_is_shown_to_whom_it_names() -> None:
    state = State()
    state.add_fault(faults.parse_fault({"kind": "text", "address": "10.0.0.8"}))
    state.add_fault(faults.parse_fault({"kind": "garbage", "endpoint_id": "eice-2"}))
    assert take(state) == ""
    assert take(state, address="10.0.0.8") == "text"
    assert take(state, endpoint_id="eice-2") == "garbage"


def test_a_fault_before_tls_waits_for_a_new_connection() -> None:
    state = State()
    state.add_fault(faults.parse_fault({"kind": "cut", "stage": "tcp"}))
    assert take(state) == ""
    assert state.take_fault("", "", faults.BEFORE_TLS)
    assert not state.faults()
