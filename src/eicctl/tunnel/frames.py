"""Frames that the service sends: plain ones are passed on where they lie, the rest is websockets'.

Nearly all that crosses a tunnel has one shape: a binary frame, a whole message by itself (RFC 6455, section 5.2). The
payload of one that comes needs no copy and no wait for its end, which halves the cost of a bulk transfer
(benchmarks/RESULTS.md). Every other frame (a fragment, a control frame, text, one that breaks a rule) goes to
websockets' parser byte for byte; so what frames mean stays websockets' business. Of those that are sent, the plain ones
are built here, with one copy less.
"""

from __future__ import annotations

import os
import struct

from websockets.client import ClientProtocol
from websockets.frames import Close, Frame, Opcode, apply_mask  # type: ignore[attr-defined] # in C, where that is built

MAX_MESSAGE = 16 * 2**20
"""Longest message, in bytes, that is taken from the service. AWS's client sends at most 65,000; its server's limit
is not documented, so this one only guards memory."""

_PLAIN = 0x80 | Opcode.BINARY
"""The first byte of a binary frame that is the last one of its message, without reserved bits."""

MOST_PONGS = 1024
"""Pings of which each is answered; of more that come together, the last ones are (RFC 6455, section 5.5.3)."""

Part = memoryview | bytes | bytearray


_MASKED = 0x80
_SHORT, _LONG = struct.Struct("!BB"), struct.Struct("!BBH")

JOINED = 4096
"""Bytes of payload up to which header and payload are one piece: a TLS record costs more than their copy."""


def plain_frame(data: memoryview) -> tuple[bytes, ...]:
    """Return the pieces of a client's binary frame (RFC 6455, section 5.2), with at most 65,535 bytes of payload."""
    size = len(data)
    key = os.urandom(4)
    head = _SHORT.pack(_PLAIN, _MASKED | size) if size < 126 else _LONG.pack(_PLAIN, _MASKED | 126, size)
    masked: bytes = apply_mask(data, key)
    return (head + key + masked,) if size <= JOINED else (head + key, masked)


class IncomingFrames:
    """Reads the service's frames after the handshake.

    Attributes:
        closed: The service's close frame, once it has come. What comes after it is ignored.
        text: The payload of a text frame, once one has come. What comes after it is ignored.
        pongs: How many pings were answered.
        broken: Why what has come is no valid websocket data. What comes after it is ignored.
    """

    def __init__(self, protocol: ClientProtocol) -> None:
        self._protocol = protocol
        self._header = b""  # the beginning of a frame, too short to tell what it is
        self._plain = 0  # bytes that a plain frame's payload still lacks
        self._other = 0  # bytes that a frame of websockets' still lacks
        self._fragmented = False
        self._over = False
        self._pings = 0
        self.pongs = 0
        self.closed: Close | None = None
        self.text: bytes | None = None
        self.broken: Exception | None = None

    def receive(self, data: memoryview) -> list[Part]:
        """Return the payload in what has arrived, in pieces; some of them lie in `data`.

        What websockets has to answer (a pong, a close) is in `protocol.data_to_send()` afterwards.
        """
        if self._header:
            data = memoryview(self._header + data)
            self._header = b""
        parts: list[Part] = []
        at, end = 0, len(data)
        while at < end and not self._over:
            if self._plain:
                begin, at = at, min(at + self._plain, end)
                parts.append(data[begin:at])
                self._plain -= at - begin
            elif self._other:
                begin, at = at, min(at + self._other, end)
                self._other -= at - begin
                self._give(data[begin:at], parts)
            elif not (head := self._head_size(data, at, end)):
                self._header = bytes(data[at:])
                break
            else:
                size = int.from_bytes(data[at + 2 : at + head], "big") if head > 2 else data[at + 1] & 0x7F
                if data[at] == _PLAIN and not self._fragmented and data[at + 1] < 0x80 and size <= MAX_MESSAGE:
                    at += head
                    self._plain = size
                else:
                    self._other = head + size
        return parts

    @staticmethod
    def _head_size(data: memoryview, at: int, end: int) -> int:
        """Return how many bytes of the frame at `at` come before its payload, or 0 if they have not all arrived.

        For a masked frame, which the service must not send, it is enough that websockets sees that it is masked.
        """
        if end - at < 2:
            return 0
        length = data[at + 1]
        size = 4 if length == 126 else 10 if length == 127 else 2
        return size if end - at >= size else 0

    def _give(self, data: memoryview, parts: list[Part]) -> None:
        """Let websockets read bytes of the frame that it has been given."""
        if self._pings >= MOST_PONGS:
            self._protocol.data_to_send()  # the pongs to all of them but the next: thrown away
            self._pings = 0
        self._protocol.receive_data(data)  # type: ignore[arg-type] # it extends a bytearray
        for event in self._protocol.events_received():
            if not isinstance(event, Frame):
                continue
            if event.opcode is Opcode.PING:
                self._pings += 1
            elif event.opcode is Opcode.PONG:
                self.pongs += 1
            elif event.opcode is Opcode.TEXT:
                self.text = bytes(event.data)
            elif event.opcode in (Opcode.BINARY, Opcode.CONT):
                self._fragmented = not event.fin
                parts.append(event.data)
        self.closed = self._protocol.close_rcvd
        self.broken = self._protocol.parser_exc
        self._over = bool(self.text is not None or self.closed or self.broken)
