"""What the service has answered in a recorded run, answered again to eicctl."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from websockets.datastructures import Headers
from websockets.http11 import Response

import eicctl
from tests.integration.scripted_endpoint import Peer, ScriptedEndpoint
from tests.live.recording import LOCAL, Recording, recordings

EXIT_CODES = {
    "port 23": (2, 6),
    "21st": (6,),
    "unknown key": (4,),
    "bad signature": (4,),
    "duration 0": (2, 6),
    "duration 3601": (2, 6),
}
"""What eicctl makes of each refusal; those of policies are denials, too."""


def entries(*, status: bool) -> Iterator[Any]:
    """The raw answers of all recordings: with `status`, the refusals, else the tunnels that were closed."""
    for path in (LOCAL, *recordings()):
        for entry in Recording.load(path).entries:
            if "Headers" in entry and (entry["Status"] != 101) is status and entry.get("CloseCode", 0) is not None:
                yield pytest.param(entry, id=f"{path.stem} {entry['Kind']}")


@pytest.fixture
def keys(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")


@pytest.mark.usefixtures("keys")
@pytest.mark.parametrize("entry", list(entries(status=True)))
def test_a_refusal_has_the_services_words_and_an_exit_code(tmp_path: Path, entry: dict[str, Any]) -> None:
    body = entry["Body"].encode()

    def refuse(peer: Peer) -> None:
        peer.accept()
        peer.protocol.data_to_send()  # the acceptance, in whose place the refusal is sent
        headers = Headers({**entry["Headers"], "Content-Length": str(len(body)), "Connection": "close"})
        peer.sock.sendall(Response(entry["Status"], "Refused", headers, body).serialize())

    with ScriptedEndpoint(tmp_path, refuse) as endpoint:
        target = replace(endpoint.target, endpoint_id=f"eice-{secrets.token_hex(8)}")  # whose slots nobody remembers
        with pytest.raises(eicctl.EicctlError) as caught:
            eicctl.connect(target, region="us-east-1", ca_bundle=endpoint.ca, queue_timeout=0.2)
    assert caught.value.exit_code in EXIT_CODES.get(entry["Kind"], (4,))
    assert caught.value.request_id == entry["Headers"].get("x-amzn-requestid")
    shown = f"{caught.value.message} {caught.value.hint}"
    assert entry["ErrorCode"] in shown or entry["Body"].split('"Message": "')[-1].rstrip('"}') in shown


@pytest.mark.usefixtures("keys")
@pytest.mark.parametrize("entry", list(entries(status=False)))
def test_a_close_is_explained(tmp_path: Path, entry: dict[str, Any]) -> None:
    def close(peer: Peer) -> None:
        peer.accept()
        peer.protocol.send_close(entry["CloseCode"], entry["CloseReason"])
        peer.flush()
        peer.wait_for_end()

    with ScriptedEndpoint(tmp_path, close) as endpoint:
        with eicctl.connect(endpoint.target, region="us-east-1", ca_bundle=endpoint.ca) as sock:
            assert sock.recv(1) == b""
            error = sock.error
        assert isinstance(error, eicctl.TargetUnreachableError) is ("Unable to connect" in entry["CloseReason"])
        assert sock.ending is not None


def test_the_local_aws_has_a_recording_of_each_kind() -> None:
    kinds = {entry["Kind"] for entry in Recording.load(LOCAL).entries}
    assert kinds >= {*EXIT_CODES, "good", "nobody there", "second endpoint", "accepted", "refused"}
