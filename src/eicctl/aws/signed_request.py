"""Requests that a login waits for, sent without botocore: its import and a client take longer than all the rest.

Only the common case is handled here: credentials that are read without botocore, a regional endpoint, and success.
boto3 handles anything else, with retries and errors.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import socket
import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from eicctl import __version__
from eicctl.core.errors import EicctlError
from eicctl.core.sigv4 import ALGORITHM, signature
from eicctl.support.activity import Activity
from eicctl.support.connect import CONNECT_TIMEOUT, connect
from eicctl.support.proxies import proxy_url
from eicctl.support.tls import trust

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from eicctl.aws.session import Session
    from eicctl.core.model import Credentials

READ_TIMEOUT = 30.0
"""Seconds of silence after which boto3 asks again."""

IDLE = 15.0
"""Seconds after its last response within which a connection is used again."""

_MOST_IDLE = 2
"""Connections with a server that are kept: instances and endpoints are asked for at the same time."""

_USUAL_REGION = re.compile(r"(us|eu|ap|sa|ca|me|af|il|mx)-\w+-\d+")
_LONGEST = 2**25

_log = logging.getLogger("eicctl.aws.clients")
_idle: dict[tuple[str, str | None], list[tuple[_Connection, float]]] = {}
_lock = threading.Lock()


def response(
    session: Session, service: str, operation: str, *, headers: Mapping[str, str], body: bytes, region: str = ""
) -> bytes | None:
    """Send a POST request to a service; return the body of its response, or None where boto3 must ask.

    Args:
        session: Access to AWS.
        service: Its name in signatures and host names.
        operation: For the log.
        headers: Those of the service's protocol, by their names in lower case.
        body: The request's body.
        region: Another region than the session's.
    """
    started = time.monotonic()
    try:
        region = region or session.region
        if not session.plain or not (url := _endpoint(session, service, region)):
            return None
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.path or parts.query or parts.username:
            return None
        if parts.scheme == "http" and proxy_url(parts.hostname, parts.port or 80, "http"):
            return None
        where = parts.netloc.lower(), service, region
        signed = request(*where, session.credentials(), headers=headers, body=body)
        with Activity(operation, region):
            status, found, answer = _answered((url, session.ca_bundle), signed)
    except (EicctlError, OSError, EOFError, ValueError) as error:
        _log.debug("%s %s: %s; boto3 tries again", service, operation, error)
        return None
    took = 1000 * (time.monotonic() - started)
    text = "%s %s in %s: HTTP %d after %.0f ms, request ID %s"
    _log.debug(text, service, operation, region, status, took, found.get("x-amzn-requestid", "none"))
    return answer if status == 200 else None


def _endpoint(session: Session, service: str, region: str) -> str | None:
    """Return the URL of a service, or None if only botocore can determine it."""
    variable = f"AWS_ENDPOINT_URL_{service.upper().replace('-', '_')}"
    configured = os.environ.get(variable) or os.environ.get("AWS_ENDPOINT_URL")
    if os.environ.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS") or session.fips or session.dualstack:
        return None
    if configured:
        return configured.rstrip("/")
    return f"https://{service}.{region}.amazonaws.com" if _USUAL_REGION.fullmatch(region) else None


def request(
    host: str,
    service: str,
    region: str,
    credentials: Credentials,
    *,
    headers: Mapping[str, str],
    body: bytes,
    now: datetime | None = None,
) -> bytes:
    """Return the HTTP request, signed by SigV4 with an `Authorization` header."""
    moment = (now or datetime.now(UTC)).strftime("%Y%m%dT%H%M%SZ")
    all_headers = {**headers, "host": host, "x-amz-date": moment}
    if credentials.session_token:
        all_headers["x-amz-security-token"] = credentials.session_token
    signed = ";".join(sorted(all_headers))
    lines = [f"{name}:{all_headers[name]}" for name in sorted(all_headers)]
    canonical = "\n".join(("POST", "/", "", *lines, "", signed, hashlib.sha256(body).hexdigest()))
    scope = f"{moment[:8]}/{region}/{service}/aws4_request"
    signature_ = signature(credentials, moment, scope, canonical)
    all_headers["authorization"] = (
        f"{ALGORITHM} Credential={credentials.access_key_id}/{scope}, SignedHeaders={signed}, Signature={signature_}"
    )
    all_headers |= {"user-agent": f"eicctl/{__version__}", "content-length": str(len(body))}
    if any("\r" in value or "\n" in value for value in all_headers.values()):
        raise ValueError("a header would have more than one line")
    head = "".join(f"{name}: {value}\r\n" for name, value in all_headers.items())
    return f"POST / HTTP/1.1\r\n{head}\r\n".encode() + body


Response = tuple[int, dict[str, str], bytes]
"""Status, headers by their names in lower case, and body."""


def _answered(server: tuple[str, str | None], signed: bytes) -> Response:
    """Return the response of a server (URL, CA bundle), by an idle connection if one still works.

    Raises:
        EicctlError, OSError, EOFError, ValueError: No response came, or it is not HTTP.
    """
    with _lock:
        idle, since = _idle[server].pop() if _idle.get(server) else (None, 0.0)
    if idle:
        try:
            if time.monotonic() - since < IDLE:
                return _asked(idle, server, signed)
        except (OSError, EOFError):  # the service has closed it; asking twice does no harm
            pass
        idle.close()
    connection = _Connection(*server)
    try:
        return _asked(connection, server, signed)
    except BaseException:
        connection.close()
        raise


def _asked(connection: _Connection, server: tuple[str, str | None], signed: bytes) -> Response:
    found = connection.ask(signed)
    with _lock:
        kept = _idle.setdefault(server, [])
        if keep := len(kept) < _MOST_IDLE and found[1].get("connection", "").lower() != "close":
            kept.append((connection, time.monotonic()))
    if not keep:
        connection.close()
    return found


class _Connection:
    """One HTTP/1.1 connection.

    Args:
        url: Scheme, host and port.
        ca_bundle: CA certificates to trust, or None for the system's.
    """

    def __init__(self, url: str, ca_bundle: str | None) -> None:
        parts = urlsplit(url)
        host, secure = parts.hostname or "", parts.scheme == "https"
        port = parts.port or (443 if secure else 80)
        self._send: Callable[[bytes], object]
        self._receive: Callable[[], bytes | memoryview | None]
        if secure:
            sock = connect(host, port, CONNECT_TIMEOUT)
            stream = trust(ca_bundle).secured(sock, host, port)
            self._send, self._receive, self.close = stream.send, stream.receive, stream.close
        else:
            sock = socket.create_connection((host, port), CONNECT_TIMEOUT)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._send, self._receive, self.close = sock.sendall, lambda: sock.recv(2**20), sock.close
        sock.settimeout(READ_TIMEOUT)

    def ask(self, request: bytes) -> Response:
        """Send a request; return the response.

        Raises:
            OSError, EOFError: The connection broke.
            ValueError: It is not an HTTP response with a length.
        """
        self._send(request)
        data = bytearray()
        while not (head := _head(data)):
            self._read(data)
        code, headers, start = head
        del data[:start]
        while (body := _body(headers, data)) is None:
            self._read(data)
        return code, headers, body

    def _read(self, data: bytearray) -> None:
        if not (more := self._receive()):
            raise EOFError("the connection has ended")
        data += more
        if len(data) > _LONGEST:
            raise ValueError("response too long")


def _head(data: bytearray) -> tuple[int, dict[str, str], int] | None:
    """Return the status, the headers, and where the body begins; None where some of them are still to come.

    Raises:
        ValueError: It is not HTTP.
    """
    end = data.find(b"\r\n\r\n")
    if end < 0:
        if len(data) > 2**16:
            raise ValueError("response too long")
        return None
    first, *lines = data[:end].decode("latin-1").split("\r\n")
    version, code, *_ = first.split(" ")
    if not version.startswith("HTTP/1."):
        raise ValueError("not HTTP")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return int(code), headers, end + 4


def _body(headers: dict[str, str], data: bytearray) -> bytes | None:
    """Return the body; None where some of it is still to come.

    Raises:
        ValueError: It has no length.
    """
    if headers.get("transfer-encoding", "").lower() == "chunked":
        # The last chunk ends so: what comes before is read once, not at each piece of a long body.
        return _joined(bytes(data)) if data.endswith(b"\r\n\r\n") else None
    length = int(headers.get("content-length", -1))
    if length < 0:
        raise ValueError("a response without a length")
    return bytes(data) if len(data) >= length else None


def _joined(body: bytes) -> bytes | None:
    """Return the body that chunks have (RFC 9112, 7.1); None where some are still to come."""
    chunks: list[bytes] = []
    start = 0
    while (end := body.find(b"\r\n", start)) >= 0:
        size = int(body[start:end].partition(b";")[0], 16)
        if size < 0:
            raise ValueError("not a chunk")
        start = end + 2 + size + 2
        if len(body) < start:
            return None
        if not size:
            return b"".join(chunks)
        chunks.append(body[end + 2 : start - 2])
    return None
