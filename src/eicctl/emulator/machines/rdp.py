"""A service that greets as an RDP server does: an X.224 connection confirm, and nothing after it."""

from __future__ import annotations

import asyncio
import contextlib

_HEADER = 4  # TPKT: version 3, reserved, length in two bytes (RFC 1006, section 6)
_REQUEST = 0xE0  # X.224 connection request and confirm (ITU-T X.224, section 13)
_CONFIRM = 0xD0
_NEGOTIATE = bytes([2, 0, 8, 0, 1, 0, 0, 0])  # MS-RDPBCGR 2.2.1.2.1: negotiation response, TLS


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer a connection request; hang up on anything else, or when the client does."""
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        header = await reader.readexactly(_HEADER)
        length = int.from_bytes(header[2:4], "big")
        if header[0] == 3 and _HEADER + 7 <= length <= 512:
            request = await reader.readexactly(length - _HEADER)
            if request[1] & 0xF0 == _REQUEST:
                writer.write(confirm(source=request[4:6], negotiates=b"\x01\x00\x08\x00" in request))
                await writer.drain()
                await reader.read()
    writer.close()


def confirm(*, source: bytes, negotiates: bool) -> bytes:
    """Return the connection confirm for a request whose source reference is `source`."""
    body = bytes([_CONFIRM]) + source + b"\x12\x34" + b"\x00" + (_NEGOTIATE if negotiates else b"")
    return b"\x03\x00" + (_HEADER + 1 + len(body)).to_bytes(2, "big") + bytes([len(body)]) + body
