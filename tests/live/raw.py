"""Tunnels without eicctl: signed by botocore, dialled by websockets, so that the answers are the service's own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from websockets.asyncio.client import ClientConnection, connect
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed, InvalidStatus

EXPIRES = 60
"""Seconds that a URL is valid."""


@dataclass(frozen=True)
class Door:
    """An endpoint, and who asks for a tunnel through it."""

    endpoint_id: str
    dns_name: str
    region: str
    credentials: Credentials

    def url(self, address: str, port: int = 22, **more: object) -> str:
        """Return a presigned URL; `more` are further parameters."""
        parameters: dict[str, object] = {
            "instanceConnectEndpointId": self.endpoint_id,
            "remotePort": port,
            "privateIpAddress": address,
            **more,
        }
        request = AWSRequest("GET", f"https://{self.dns_name}/openTunnel", params=parameters)
        SigV4QueryAuth(self.credentials, "ec2-instance-connect", self.region, expires=EXPIRES).add_auth(request)
        return str(request.prepare().url).replace("https://", "wss://", 1)


@dataclass
class Answer:
    """How a handshake, and the tunnel after it, went."""

    status: int
    headers: dict[str, str]
    body: str = ""
    first: str | bytes = b""
    close_code: int | None = None
    close_reason: str = ""
    seconds: float = 0

    @property
    def error_code(self) -> str:
        """The error code in a refusal's body."""
        with contextlib.suppress(ValueError, AttributeError):
            return str(json.loads(self.body).get("ErrorCode", ""))
        return ""

    def fields(self) -> dict[str, Any]:
        """What is recorded of it."""
        kept = {name: value for name, value in self.headers.items() if name.startswith(("x-amzn", "content-type"))}
        found: dict[str, Any] = {"Status": self.status, "Headers": kept, "Seconds": round(self.seconds, 1)}
        if self.status != 101:
            return found | {"Body": self.body, "ErrorCode": self.error_code}
        text = isinstance(self.first, str)
        return found | {"Text": text, "CloseCode": self.close_code, "CloseReason": self.close_reason}


def _context() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=os.environ.get("AWS_CA_BUNDLE"))


def _lower(headers: Headers) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.raw_items()}


async def _open(url: str) -> tuple[ClientConnection | None, Answer]:
    local = "//localhost:" in url or "//127.0.0.1:" in url or "//[::1]:" in url
    try:
        connection = await connect(
            url, ssl=_context(), compression=None, ping_interval=None, close_timeout=2, proxy=None if local else True
        )
    except InvalidStatus as error:
        answer = error.response
        return None, Answer(answer.status_code, _lower(answer.headers), (answer.body or b"").decode(errors="replace"))
    assert connection.response
    return connection, Answer(101, _lower(connection.response.headers))


async def _attempt(url: str, send: bytes, seconds: float) -> Answer:
    began = time.monotonic()
    connection, answer = await _open(url)
    if connection:
        try:
            async with asyncio.timeout(seconds):
                if send:
                    answer.first = await connection.recv()
                    await connection.send(send)
                while True:
                    data = await connection.recv()
                    answer.first = answer.first or data
        except TimeoutError:
            await connection.close()
        except ConnectionClosed as closed:
            answer.close_code = closed.rcvd.code if closed.rcvd else None
            answer.close_reason = closed.rcvd.reason if closed.rcvd else "no close frame"
    answer.seconds = time.monotonic() - began
    return answer


def attempt(url: str, *, send: bytes = b"", seconds: float = 30) -> Answer:
    """Open a tunnel and read until the other side closes it, or the time is over.

    Args:
        url: Presigned.
        send: What to send after the first message has come.
        seconds: How long to wait for the close.
    """
    return asyncio.run(_attempt(url, send, seconds))


def knock(url: str) -> Answer:
    """Open a tunnel, and close it at once."""

    async def opened() -> Answer:
        connection, answer = await _open(url)
        if connection:
            await connection.close()
        return answer

    return asyncio.run(opened())


def crowd(urls: list[str]) -> list[Answer]:
    """Open all, one after the other, without closing any before the last has been answered."""

    async def opened() -> list[Answer]:
        connections = []
        answers = []
        try:
            for url in urls:
                connection, answer = await _open(url)
                answers.append(answer)
                connections += [connection] if connection else []
        finally:
            await asyncio.gather(*(connection.close() for connection in connections))
        return answers

    return asyncio.run(opened())


def shown(answers: list[Answer]) -> Iterator[str]:
    """Each answer in a word."""
    return (f"{answer.status} {answer.error_code}".strip() for answer in answers)
