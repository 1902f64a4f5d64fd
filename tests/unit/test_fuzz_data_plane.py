"""Whatever an endpoint sends is an answer, or an error that says so; what is signed is what botocore signs."""

from __future__ import annotations

import json
import struct
from itertools import pairwise
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.exceptions import InvalidURI
from websockets.uri import parse_uri

from eicctl.core.errors import EicctlError, NetworkError, UsageError
from eicctl.core.model import Credentials, Target
from eicctl.support.connect import split_host
from eicctl.tunnel import dial, errors
from eicctl.tunnel.frames import MAX_MESSAGE
from eicctl.tunnel.sign import presign
from tests.fuzzing import any_text, fuzz
from tests.unit.test_tunnel_frames import by_us, by_websockets, frame
from tests.unit.test_tunnel_sign import NOW, signed_by_botocore

TARGET = Target("10.0.1.10", 22, "eice-1", "eice-1.example.com", "eu-west-1")
WORDS = st.text(st.characters(min_codepoint=33, max_codepoint=0x2FFF, exclude_categories=["Cs"]), min_size=1)
LABEL = st.from_regex(r"\A[a-zA-Z0-9]([a-zA-Z0-9-]{0,20}[a-zA-Z0-9])?\Z")


@fuzz
@given(
    host=st.lists(LABEL, min_size=1, max_size=5).map(".".join),
    port=st.none() | st.integers(1, 65535),
    address=WORDS,
    endpoint=WORDS,
    remote_port=st.integers(0, 2**32),
    secret=WORDS,
    token=st.none() | WORDS,
    duration=st.none() | st.integers(),
)
def test_any_parameters_are_signed_as_botocore_signs_them(
    host: str,
    port: int | None,
    address: str,
    endpoint: str,
    remote_port: int,
    secret: str,
    token: str | None,
    duration: int | None,
) -> None:
    name = host if port is None else f"{host}:{port}"
    credentials = Credentials("AKIAEXAMPLE", secret, token)
    target = Target(address, remote_port, endpoint, name, "eu-west-1")
    url = presign(target, credentials, max_tunnel_duration=duration, now=NOW)
    query = dict(parse_qsl(urlsplit(url).query, strict_parsing=True))
    assert query["privateIpAddress"] == address
    assert query["instanceConnectEndpointId"] == endpoint
    assert query["X-Amz-Signature"] == signed_by_botocore(url, credentials, "eu-west-1")


@fuzz
@given(any_text)
@example("a\r\nEvil: 1")
@example("a\x00b:443")
@example("[::1%eth0]")
def test_no_host_name_brings_a_header_along(name: str) -> None:
    try:
        split_host(name)
    except UsageError:
        return
    target = Target("10.0.1.10", 22, "eice-1", name, "eu-west-1")
    try:
        protocol = ClientProtocol(parse_uri(presign(target, Credentials("AKIAEXAMPLE", "secret"), now=NOW)))
    except (ValueError, InvalidURI, UnicodeError):
        return
    protocol.send_request(protocol.connect())
    (request,) = protocol.data_to_send()
    lines = request.split(b"\r\n")
    assert all(b"\n" not in line and b"\r" not in line for line in lines)
    assert [line.split(b":")[0] for line in lines[1:3]] == [b"Host", b"Upgrade"]


class Pieces:
    """What arrives, in pieces; the stream of a handshake."""

    def __init__(self, data: bytes, cuts: list[int]) -> None:
        places = sorted({cut % (len(data) + 1) for cut in cuts} | {0, len(data)})
        self._pieces = iter([data[begin:end] for begin, end in pairwise(places) if end > begin])

    def settimeout(self, timeout: float) -> None:
        """As SecureSocket's."""

    def receive(self) -> memoryview:
        """As SecureSocket's."""
        try:
            return memoryview(next(self._pieces))
        except StopIteration:
            raise EOFError from None


header = st.tuples(
    st.sampled_from([b"content-length", b"date", b"x-amzn-requestid", b"upgrade", b"connection", b"transfer-encoding"])
    | st.binary(max_size=20),
    st.sampled_from(
        [b"5", b"99999999999", b"-1", b"chunked", b"websocket", b"Upgrade", b"Mon, 01 Jan 2024 00:00:00 -0000"]
    )
    | st.binary(max_size=40),
)
answer = st.builds(
    lambda status, headers, body: (
        b"HTTP/1.1 %s\r\n%s\r\n%s" % (status, b"".join(b"%s: %s\r\n" % pair for pair in headers), body)
    ),
    st.sampled_from([b"101 Switching Protocols", b"403 Forbidden", b"503 x", b"200 OK", b"999 \xff\x1b[31m"])
    | st.binary(max_size=20),
    st.lists(header, max_size=6),
    st.binary(max_size=200)
    | st.sampled_from([b"[" * 5000, b'{"Message":"\\ud800\\u001b"}', b"5\r\nhello\r\n0\r\n\r\n"]),
)


@fuzz
@given(answer | st.binary(max_size=400), st.lists(st.integers(0, 500), max_size=10))
def test_any_answer_to_the_handshake(data: bytes, cuts: list[int]) -> None:
    protocol = ClientProtocol(parse_uri("wss://localhost/"), max_size=MAX_MESSAGE)
    protocol.send_request(protocol.connect())
    try:
        response, _ = dial._answer(Pieces(data, cuts), protocol, 10.0)  # type: ignore[arg-type]
    except NetworkError:
        return
    headers = {name.lower(): value for name, value in response.headers.raw_items()}
    told = errors.refusal(response.status_code, headers, bytes(response.body or b""), TARGET)
    assert len(told.message) < 2000


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 403 Forbidden\r\n\r\n" + b"x" * (4 * 2**20),
        b"HTTP/1.1 403 Forbidden\r\ncontent-length: 4194304\r\n\r\n" + b"x" * (4 * 2**20),
        b"HTTP/1.1 403 Forbidden\r\nx: " + b"x" * (4 * 2**20),
        b"HTTP/1.1 403 Forbidden\r\n" + b"a: b\r\n" * 2**19,
        b"x" * (4 * 2**20),
    ],
    ids=["body", "length", "header", "headers", "line"],
)
def test_a_big_answer_is_refused_before_it_is_read_whole(data: bytes) -> None:
    protocol = ClientProtocol(parse_uri("wss://localhost/"), max_size=MAX_MESSAGE)
    protocol.send_request(protocol.connect())
    stream = Pieces(data, list(range(0, len(data), 65536)))
    with pytest.raises(NetworkError):
        dial._answer(stream, protocol, 10.0)  # type: ignore[arg-type]
    assert stream.receive(), "nothing was left unread"


@fuzz
@given(
    st.integers(100, 999),
    st.dictionaries(st.sampled_from(["date", "x-amzn-requestid"]), any_text),
    st.binary(max_size=300)
    | st.dictionaries(
        st.sampled_from(["ErrorCode", "message", "__type", "Code"]),
        st.none() | st.integers() | any_text | st.lists(any_text),
    ).map(lambda fields: json.dumps(fields).encode()),
)
@example(403, {"date": "Mon, 01 Jan 2024 00:00:00 -0000"}, b"")
@example(403, {"date": "Mon, 01 Jan 9999 00:00:00 -9999"}, b"")
@example(403, {}, b"[" * 200_000)
@example(403, {}, b'{"Message": ' + b"9" * 5000 + b"}")
def test_any_refusal_is_an_error_with_bounds(status: int, headers: dict[str, str], body: bytes) -> None:
    told = errors.refusal(status, headers, body, TARGET)
    assert isinstance(told, EicctlError)
    assert len(told.message) < 2000


@fuzz
@given(st.integers(0, 2**16), any_text, st.floats(0, 1e6), st.integers(1, 3600), st.booleans())
def test_any_close(code: int, reason: str, lived: float, limit: int, answered: bool) -> None:
    told = errors.closing(code, reason, lived=lived, limit=limit, answered=answered, target=TARGET)
    assert told is None or len(told.message) < 1000


control = st.builds(frame, st.sampled_from([0x88, 0x89, 0x8A, 0x08, 0x09, 0xF8]), st.binary(max_size=130))
data_frame = st.builds(
    frame,
    st.sampled_from([0x00, 0x80, 0x01, 0x81, 0x02, 0x82, 0xC2, 0x83]),
    st.binary(max_size=300),
    form=st.sampled_from([None, 126, 127]).filter(bool) | st.none(),
    masked=st.booleans(),
)
huge = st.builds(
    lambda first, size: bytes([first, 127]) + struct.pack("!Q", size),
    st.sampled_from([0x02, 0x82, 0x00, 0x89]),
    st.sampled_from([0, 125, 126, MAX_MESSAGE, MAX_MESSAGE + 1, 2**63 - 1, 2**63, 2**64 - 1]),
)


@fuzz
@given(
    st.lists(data_frame | control | huge | st.binary(max_size=20), max_size=8),
    st.lists(st.integers(0, 2**12), max_size=15),
)
def test_any_frames_in_any_pieces_mean_what_they_mean_to_websockets(frames: list[bytes], cuts: list[int]) -> None:
    # websockets sees an unknown opcode before the frame's length has come, we see it afterwards: let it come.
    data = b"".join(frames) + bytes(10)
    payload, closed, broken, answers = by_websockets(data)
    got, our_closed, our_broken, our_answers, text = by_us(data, cuts)
    assert got.startswith(payload)
    if not text:
        assert (our_closed, our_broken, our_answers) == (closed, broken, answers)


def test_the_clock_is_compared_with_a_zone_that_is_not_told() -> None:
    """RFC 5322, 3.3: `-0000` is UTC from a system that knows no zone; Python's parser gives a naive time for it."""
    headers = {"date": "Mon, 01 Jan 2024 00:00:00 -0000"}
    told = errors.refusal(403, headers, b"", TARGET)
    assert told.hint
    assert "clock" in told.hint
