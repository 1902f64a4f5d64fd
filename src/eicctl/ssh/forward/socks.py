"""The server's side of SOCKS5 (RFC 1928), as far as TCP connections without authentication need it."""

from __future__ import annotations

import asyncio
import ipaddress

from eicctl.core.errors import EicctlError
from eicctl.ssh.forward.connection import RefusedByHostError, Remote

VERSION = 5
NO_AUTHENTICATION, NO_METHOD = 0, 0xFF
CONNECT = 1
IPV4, NAME, IPV6 = 1, 3, 4
SUCCEEDED, HOST_UNREACHABLE, REFUSED, BAD_COMMAND, BAD_ADDRESS = 0, 4, 5, 7, 8


class SocksError(Exception):
    """The client does not speak SOCKS5, or requests something unsupported; it has got an answer."""


async def requested(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Remote:
    """Return the destination that a client requests.

    Raises:
        SocksError: It is not a request that can be served.
        asyncio.IncompleteReadError: The client has disconnected.
    """
    version, count = await reader.readexactly(2)
    if version != VERSION:
        raise SocksError(_other(version))
    methods = await reader.readexactly(count)
    if NO_AUTHENTICATION not in methods:
        writer.write(bytes((VERSION, NO_METHOD)))
        raise SocksError("the client requires authentication, which this SOCKS5 proxy does not have")
    writer.write(bytes((VERSION, NO_AUTHENTICATION)))
    _, command, _, kind = await reader.readexactly(4)
    if kind in (IPV4, IPV6):
        host = str(ipaddress.ip_address(await reader.readexactly(4 if kind == IPV4 else 16)))
    elif kind == NAME:
        (length,) = await reader.readexactly(1)
        host = (await reader.readexactly(length)).decode("ascii", errors="replace")
    else:
        answer(writer, BAD_ADDRESS)
        raise SocksError(f"the client sent an unknown address type: {kind}")
    port = int.from_bytes(await reader.readexactly(2), "big")
    if command != CONNECT:
        answer(writer, BAD_COMMAND)
        raise SocksError("the client requested something other than a TCP connection, which SSH cannot forward")
    return Remote(host, port)


def answer(writer: asyncio.StreamWriter, code: int) -> None:
    """Send the reply to a request. The address that RFC 1928 has in it is of no use to the client."""
    writer.write(bytes((VERSION, code, 0, IPV4, 0, 0, 0, 0, 0, 0)))


def failure_code(error: EicctlError) -> int:
    """Return the reply for an error."""
    return REFUSED if isinstance(error, RefusedByHostError) else HOST_UNREACHABLE


def _other(version: int) -> str:
    if version == 4:
        return "the client speaks SOCKS4; this is SOCKS5 (curl: socks5h://)"
    if chr(version).isalpha():
        return "the client speaks HTTP or something else; this is a SOCKS5 proxy (socks5h://)"
    return f"the client does not speak SOCKS5 (first byte {version})"
