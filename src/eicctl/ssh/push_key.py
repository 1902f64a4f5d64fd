"""SendSSHPublicKey by one signed request: a login waits for it, and importing boto3 takes longer than all the rest.

Only the common case is handled here: credentials that are read without botocore, a regional endpoint, and success.
boto3 (`aws.instance_connect`) handles anything else, with retries and errors.
"""

from __future__ import annotations

import hashlib
import json
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
from eicctl.support.connect import CONNECT_TIMEOUT, connect
from eicctl.support.proxies import proxy_url
from eicctl.support.tls import trust
from eicctl.tunnel.sign import ALGORITHM, SERVICE, signature

if TYPE_CHECKING:
    from collections.abc import Callable

    from eicctl.aws.session import Session
    from eicctl.core.model import Credentials

IDLE = 15.0
"""Seconds after its last response within which a connection is used again."""

_TARGET = "AWSEC2InstanceConnectService.SendSSHPublicKey"
_TYPE = "application/x-amz-json-1.1"
_USUAL_REGION = re.compile(r"(us|eu|ap|sa|ca|me|af|il|mx)-\w+-\d+")
_LONGEST = 2**16

_log = logging.getLogger("eicctl.aws.clients")
_idle: dict[tuple[str, str | None], tuple[_Connection, float]] = {}
_lock = threading.Lock()


def push_key(session: Session, instance_id: str, os_user: str, public_key: str, availability_zone: str) -> None:
    """Push a public key (a line of OpenSSH's form) for an OS user of an instance, for 60 seconds.

    Raises:
        EicctlError: By the service's error, with what to do about it.
    """
    body = {"InstanceId": instance_id, "InstanceOSUser": os_user, "SSHPublicKey": public_key}
    if availability_zone:
        body["AvailabilityZone"] = availability_zone
    if session.plain and (url := _endpoint(session)) and _sent(session, url, json.dumps(body).encode()):
        return
    from eicctl.aws.instance_connect import send_ssh_public_key

    send_ssh_public_key(
        session, instance_id=instance_id, os_user=os_user, public_key=public_key, availability_zone=availability_zone
    )


def _endpoint(session: Session) -> str | None:
    """Return the URL of the service, or None if only botocore can determine it."""
    configured = os.environ.get("AWS_ENDPOINT_URL_EC2_INSTANCE_CONNECT") or os.environ.get("AWS_ENDPOINT_URL")
    if os.environ.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS") or session.fips or session.dualstack:
        return None
    if configured:
        return configured.rstrip("/")
    region = session.region
    return f"https://{SERVICE}.{region}.amazonaws.com" if _USUAL_REGION.fullmatch(region) else None


def _sent(session: Session, url: str, body: bytes) -> bool:
    """Send the request; return whether the service has accepted the key."""
    started = time.monotonic()
    try:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.path or parts.query or parts.username:
            return False
        if parts.scheme == "http" and proxy_url(parts.hostname, parts.port or 80, "http"):
            return False
        signed = request(parts.netloc.lower(), session.region, session.credentials(), body)
        status, request_id = _answered((url, session.ca_bundle), signed)
    except (EicctlError, OSError, EOFError, ValueError) as error:
        _log.debug("%s SendSSHPublicKey: %s; boto3 tries again", SERVICE, error)
        return False
    took = 1000 * (time.monotonic() - started)
    text = "%s SendSSHPublicKey in %s: HTTP %d after %.0f ms, request ID %s"
    _log.debug(text, SERVICE, session.region, status, took, request_id)
    return status == 200


def request(host: str, region: str, credentials: Credentials, body: bytes, now: datetime | None = None) -> bytes:
    """Return the HTTP request, signed by SigV4 with an `Authorization` header."""
    moment = (now or datetime.now(UTC)).strftime("%Y%m%dT%H%M%SZ")
    headers = {"content-type": _TYPE, "host": host, "x-amz-date": moment}
    if credentials.session_token:
        headers["x-amz-security-token"] = credentials.session_token
    headers["x-amz-target"] = _TARGET
    signed = ";".join(headers)
    lines = [f"{name}:{value}" for name, value in headers.items()]
    canonical = "\n".join(("POST", "/", "", *lines, "", signed, hashlib.sha256(body).hexdigest()))
    scope = f"{moment[:8]}/{region}/{SERVICE}/aws4_request"
    signature_ = signature(credentials, moment, scope, canonical)
    headers["authorization"] = (
        f"{ALGORITHM} Credential={credentials.access_key_id}/{scope}, SignedHeaders={signed}, Signature={signature_}"
    )
    headers |= {"user-agent": f"eicctl/{__version__}", "content-length": str(len(body))}
    if any("\r" in value or "\n" in value for value in headers.values()):
        raise ValueError("a header would have more than one line")
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST / HTTP/1.1\r\n{head}\r\n".encode() + body


def _answered(server: tuple[str, str | None], signed: bytes) -> tuple[int, str]:
    """Return the status and the request ID of the response, by an idle connection if one still works.

    Raises:
        EicctlError, OSError, EOFError, ValueError: No response came, or it is not HTTP.
    """
    with _lock:
        idle, since = _idle.pop(server, (None, 0.0))
    if idle:
        try:
            if time.monotonic() - since < IDLE:
                return _asked(idle, server, signed)
        except (OSError, EOFError):  # the service has closed it; pushing a key twice does no harm
            pass
        idle.close()
    connection = _Connection(*server)
    try:
        return _asked(connection, server, signed)
    except BaseException:
        connection.close()
        raise


def _asked(connection: _Connection, server: tuple[str, str | None], signed: bytes) -> tuple[int, str]:
    status, headers = connection.ask(signed)
    if headers.get("connection", "").lower() == "close":
        connection.close()
    else:
        with _lock:
            _idle[server] = connection, time.monotonic()
    return status, headers.get("x-amzn-requestid", "none")


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
            stream = trust(ca_bundle).secured(connect(host, port, CONNECT_TIMEOUT), host, port)
            self._send, self._receive, self.close = stream.send, stream.receive, stream.close
        else:
            sock = socket.create_connection((host, port), CONNECT_TIMEOUT)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._send, self._receive, self.close = sock.sendall, lambda: sock.recv(65536), sock.close

    def ask(self, request: bytes) -> tuple[int, dict[str, str]]:
        """Send a request; return the status and the headers of the response, whose body has been read.

        Raises:
            OSError, EOFError: The connection broke.
            ValueError: It is not an HTTP response with a length.
        """
        self._send(request)
        data = b""
        while not (found := _response(data)):
            if not (more := self._receive()):
                raise EOFError("the connection has ended")
            data += more
        return found


def _response(data: bytes) -> tuple[int, dict[str, str]] | None:
    """Return the status and the headers of a response; None where some of it is still to come.

    Raises:
        ValueError: It is not an HTTP response with a length.
    """
    head, blank_line, body = data.partition(b"\r\n\r\n")
    if len(data) > 2 * _LONGEST:
        raise ValueError("response too long")
    if not blank_line:
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    version, code, *_ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    length = int(headers.get("content-length", -1))
    if not version.startswith("HTTP/1.") or not 0 <= length < _LONGEST:
        raise ValueError("not an HTTP response with a length")
    return (int(code), headers) if len(body) >= length else None
