"""The parts of the background process that need none: messages, environments, rates."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from dataclasses import asdict, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eicctl.agent import paths as environment
from eicctl.agent import protocol
from eicctl.named_tunnels.status import Meter, Status
from eicctl.support import pins
from tests.fuzzing import fuzz

MESSAGES = st.dictionaries(st.text(), st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.text()))


@fuzz
@given(MESSAGES)
def test_messages_survive(message: protocol.Message) -> None:
    left, right = socket.socketpair()
    with left, right:
        left.sendall(protocol.encode(message) * 2)
        left.shutdown(socket.SHUT_WR)
        assert protocol.receive(right) == message
        assert protocol.receive(right) == message
        assert protocol.receive(right) is None


@fuzz
@given(st.binary(max_size=300))
def test_no_bytes_do_more_than_be_refused(data: bytes) -> None:
    left, right = socket.socketpair()
    with left, right:
        left.sendall(data)
        left.shutdown(socket.SHUT_WR)
        try:
            found = protocol.receive(right)
        except protocol.WireError:
            return
        assert found is None or isinstance(found, dict)


def test_a_message_that_comes_in_pieces_is_put_together() -> None:
    left, right = socket.socketpair()
    data = protocol.encode({"Do": "status", "Text": "x" * 5000})

    def send() -> None:
        for start in range(0, len(data), 7):
            left.sendall(data[start : start + 7])

    with left, right:
        threading.Thread(target=send, daemon=True).start()
        assert protocol.receive(right) == {"Do": "status", "Text": "x" * 5000}


def test_a_message_beyond_the_limit_is_refused() -> None:
    left, right = socket.socketpair()

    def send() -> None:
        with contextlib.suppress(OSError):  # the other end does not wait for the rest
            left.sendall(b"x" * (protocol.LONGEST + 2**17))

    with left, right:
        threading.Thread(target=send, daemon=True).start()
        with pytest.raises(protocol.WireError, match="too long"):
            protocol.receive(right)
    with pytest.raises(protocol.WireError):
        protocol.encode({"Text": "x" * protocol.LONGEST})


def test_environments_with_other_credentials_or_proxies_differ() -> None:
    base = {"HOME": "/home/me", "PATH": "/bin", "AWS_CONFIG_FILE": "/c"}
    name = environment.fingerprint(base)
    assert environment.fingerprint(base | {"PATH": "/usr/bin", "TERM": "xterm"}) == name
    for change in (
        {"AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "secret"},
        {"https_proxy": "http://proxy:3128"},
        {"AWS_CA_BUNDLE": "/ca.pem"},
        {"HOME": "/home/other"},
    ):
        assert environment.fingerprint(base | change) != name


def test_profiles_and_regions_share_an_environment() -> None:
    base = {"HOME": "/home/me"}
    assert environment.fingerprint(base | {"AWS_PROFILE": "a", "AWS_REGION": "x"}) == environment.fingerprint(base)
    assert pins.environment_profile({"AWS_PROFILE": "a"}) == "a"
    assert pins.environment_region({"AWS_DEFAULT_REGION": "y"}) == "y"
    assert "AWS_PROFILE" not in environment.for_process({"AWS_PROFILE": "a"})


def test_a_profile_beside_keys_belongs_to_the_environment() -> None:
    keys = {"AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "s"}
    assert pins.environment_profile(keys | {"AWS_PROFILE": "a"}) == ""
    assert environment.fingerprint(keys | {"AWS_PROFILE": "a"}) != environment.fingerprint(keys | {"AWS_PROFILE": "b"})


def test_rates_are_what_was_added_since_the_last_look(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    meter = Meter()
    status = Status("a", "direct", "", "open", bytes_in=1000)
    (first,) = meter.with_rates([status])
    assert first.rate_in == 0
    now[0] += 2
    (second,) = meter.with_rates([replace(status, bytes_in=5000, bytes_out=10)])
    assert (second.rate_in, second.rate_out) == (2000, 5)
    now[0] += 1
    (third,) = meter.with_rates([replace(status, bytes_in=0)])
    assert third.rate_in == 0


def test_a_status_is_the_same_after_json() -> None:
    status = Status("a", "db", "/f", "retrying", local=("127.0.0.1:1",), retry_in=1.5, error="e")
    found = json.loads(json.dumps(asdict(status)))
    assert asdict(Status(**found)) == found
