"""IncomingFrames gives the same payload, and sees the same end, as websockets' parser alone."""

from __future__ import annotations

import os
import struct
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

from eicctl.tunnel.frames import JOINED, MAX_MESSAGE, IncomingFrames, plain_frame


def protocol() -> ClientProtocol:
    """The protocol of a websocket whose handshake is done."""
    made = ClientProtocol(parse_uri("wss://localhost/"), max_size=MAX_MESSAGE)
    made.state = OPEN
    # websockets' parser begins with the HTTP answer; this one begins after it.
    made.parser = super(ClientProtocol, made).parse()
    next(made.parser)
    return made


def frame(first: int, payload: bytes, *, form: int | None = None, masked: bool = False) -> bytes:
    """A frame by its first byte and its payload; `form` is the length's code (126, 127), longer than needed too."""
    form = form or (len(payload) if len(payload) < 126 else 126 if len(payload) < 65536 else 127)
    length = struct.pack("!H", len(payload)) if form == 126 else struct.pack("!Q", len(payload)) if form == 127 else b""
    return bytes([first, form | (0x80 if masked else 0)]) + length + (b"mask" if masked else b"") + payload


def by_websockets(data: bytes) -> tuple[bytes, object, bool, list[bytes]]:
    """What websockets says of the bytes: payload before a text frame, the close, broken or not, the answers."""
    reader = protocol()
    reader.receive_data(data)
    payload = b""
    for event in reader.events_received():
        assert isinstance(event, Frame)
        if event.opcode is Opcode.TEXT:
            break
        if event.opcode in (Opcode.BINARY, Opcode.CONT):
            payload += event.data
    return payload, reader.close_rcvd, bool(reader.parser_exc), kinds(reader.data_to_send())


def by_us(data: bytes, cuts: list[int]) -> tuple[bytes, object, bool, list[bytes], bool]:
    ours = protocol()
    frames = IncomingFrames(ours)
    payload = b""
    places = sorted({cut % (len(data) + 1) for cut in cuts} | {0, len(data)})
    for begin, end in pairwise(places):
        payload += b"".join(frames.receive(memoryview(data[begin:end])))
    return payload, frames.closed, bool(frames.broken), kinds(ours.data_to_send()), frames.text is not None


def kinds(answers: list[bytes]) -> list[bytes]:
    """The first two bytes of what is sent: the rest is masked at random."""
    return [answer[:2] for answer in answers]


payloads = st.one_of(
    st.binary(max_size=20),
    st.sampled_from([125, 126, 127, 65535, 65536]).map(lambda size: bytes(range(256)) * 256 + b"z" * size),
)
well_formed = st.one_of(
    st.builds(frame, st.just(0x82), payloads, form=st.sampled_from([None, 127])),
    st.builds(frame, st.sampled_from([0x89, 0x8A]), st.binary(max_size=125)),
    st.builds(
        lambda a, ping, b: frame(2, a) + ping + frame(0x80, b),
        payloads,
        st.sampled_from([b"", frame(0x89, b"p")]),
        payloads,
    ),
)
last = st.one_of(
    st.just(b""),
    st.builds(frame, st.integers(0, 255), st.binary(max_size=200)),
    st.builds(frame, st.integers(0, 255), st.binary(max_size=20), masked=st.just(True)),
    st.builds(
        lambda code, reason: frame(0x88, struct.pack("!H", code) + reason),
        st.integers(0, 65535),
        st.binary(max_size=123),
    ),
    st.sampled_from(
        [frame(0x88, b""), frame(0x88, b"x"), frame(0x89, bytes(126)), frame(0x09, b""), frame(0x80, b"alone")]
    ),
    st.sampled_from([b"\x82\x7f" + struct.pack("!Q", size) for size in (MAX_MESSAGE + 1, 2**63, 2**64 - 1)]),
    st.just(frame(2, b"begun") + frame(0x82, b"and begun again")),
    st.just(frame(2, b"begun") + frame(0x88, struct.pack("!H", 1000))),
)


@given(
    st.lists(well_formed, max_size=5),
    last,
    st.lists(well_formed, max_size=2),
    st.lists(st.integers(0, 2**20), max_size=12),
)
@example([frame(0x82, b"a")], frame(0x88, struct.pack("!H", 1000) + b"bye"), [frame(0x82, b"late")], [1, 2, 3, 4, 5, 6])
def test_the_same_as_websockets(before: list[bytes], end: bytes, after: list[bytes], cuts: list[int]) -> None:
    data = b"".join([*before, end, *after])
    payload, closed, broken, answers = by_websockets(data)
    got, our_closed, our_broken, our_answers, text = by_us(data, cuts)
    # A frame of which only a part is there is passed on as far as it goes: websockets waits for the rest.
    assert got.startswith(payload)
    if not text:
        assert (our_closed, our_broken, our_answers) == (closed, broken, answers)
        if closed or broken:
            assert got == payload


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, 200_000])
def test_a_plain_frame_in_single_bytes(size: int) -> None:
    payload = bytes(index % 251 for index in range(size))
    data = frame(0x82, payload) + frame(0x82, b"next")
    frames = IncomingFrames(protocol())
    got = b"".join(
        bytes(part) for index in range(len(data)) for part in frames.receive(memoryview(data)[index : index + 1])
    )
    assert got == payload + b"next"


def test_payload_is_passed_on_before_its_frame_is_whole() -> None:
    frames = IncomingFrames(protocol())
    assert b"".join(frames.receive(memoryview(frame(0x82, b"0123456789")[:6]))) == b"0123"
    assert b"".join(frames.receive(memoryview(b"456"))) == b"456"


@pytest.mark.parametrize("size", [1, 125, 126, 127, JOINED, JOINED + 1, 65_000, 65_535])
def test_what_is_sent_is_what_websockets_reads(size: int) -> None:
    payload = os.urandom(size)
    server = ServerProtocol()
    server.state = OPEN
    server.parser = super(ServerProtocol, server).parse()
    next(server.parser)
    sent = [b"".join(plain_frame(memoryview(payload))) for _ in range(3)]
    server.receive_data(b"".join(sent))
    assert server.events_received() == [Frame(Opcode.BINARY, payload)] * 3
    assert not server.parser_exc
    assert len(set(sent)) == 3, "the masking keys are the same"
