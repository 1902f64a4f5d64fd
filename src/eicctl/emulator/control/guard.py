"""Only signed requests get in.

Whoever may push a key gets a shell as the user that runs the emulator, so other users of this machine must not.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import escape

from eicctl.emulator.control.backends import zones
from eicctl.emulator.control.credentials import CALLER
from eicctl.emulator.control.permission import Permission, asked_of
from eicctl.emulator.control.recorded import ORIGIN, Origin, record_denial
from eicctl.emulator.signature import Rejected, Verifier
from eicctl.emulator.state import State

StartResponse = Callable[..., Any]
Wsgi = Callable[[dict[str, Any], StartResponse], Iterable[bytes]]


class Guard:
    """A WSGI application that passes on what carries a good signature and refuses the rest with 403.

    What it passes on can tell who asks from `CALLER`, and where they are from `ORIGIN`.

    A call that policies do not allow is recorded as CloudTrail does it.

    Args:
        state: The emulator's memory.
        app: What is guarded.
        verifier: Checks the signature.
        permission: Checks that the caller's policies allow the call.
    """

    def __init__(self, state: State, app: Wsgi, verifier: Verifier, permission: Permission) -> None:
        self._state = state
        self._app = app
        self._verifier = verifier
        self._permission = permission

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        headers = {name[5:].replace("_", "-").lower(): value for name, value in environ.items() if name[:5] == "HTTP_"}
        headers |= {name: environ[key] for key, name in _PLAIN.items() if environ.get(key)}
        # WSGI has the path unquoted, each byte as a character of Latin-1 (PEP 3333).
        path = quote(environ.get("PATH_INFO", "/").encode("latin-1"))
        query = environ.get("QUERY_STRING", "")
        protocol = _protocol(headers)
        source_ip = str(environ.get("REMOTE_ADDR", ""))
        try:
            caller = self._verifier.verify_header(environ["REQUEST_METHOD"], path, query, headers, body)
        except Rejected as why:
            return _refuse(start_response, why, protocol)
        origin = Origin(source_ip, headers.get("user-agent", ""))
        asked = asked_of(headers, body)
        if asked and asked.service in ("ec2", "cloudtrail") and not zones(asked.region):
            # AWS has no such host; here all regions are one host, and moto would fail on it.
            return _refuse(
                start_response, Rejected("InvalidRegion.NotFound", f"There is no region {asked.region}."), protocol
            )
        if asked and (denial := self._permission.denial(caller, asked, source_ip)):
            record_denial(self._state, asked, caller, origin, denial)
            return _refuse(start_response, denial, protocol)
        caller_token, origin_token = CALLER.set(caller), ORIGIN.set(origin)
        try:
            return self._app(environ, start_response)
        finally:
            ORIGIN.reset(origin_token)
            CALLER.reset(caller_token)


_PLAIN = {"CONTENT_TYPE": "content-type", "CONTENT_LENGTH": "content-length"}

# The services with an XML protocol call these by names of their own.
_XML_CODES = {"UnrecognizedClientException": "InvalidClientTokenId", "ExpiredTokenException": "ExpiredToken"}


def _protocol(headers: Mapping[str, str]) -> str:
    """Return the form in which the service of a request tells errors: `json`, `s3` or `xml`."""
    if "x-amz-target" in headers:
        return "json"
    return "s3" if "/s3/" in headers.get("authorization", "") else "xml"


def _refuse(start_response: StartResponse, why: Rejected, protocol: str) -> Iterable[bytes]:
    """Answer in the error form of the service's protocol; of the others, the query protocol's serves."""
    if protocol == "json":
        kind = "application/x-amz-json-1.1"
        body = json.dumps({"__type": why.code, "message": why.message})
    else:
        kind = "text/xml"
        code, message = _XML_CODES.get(why.code, why.code), escape(why.message)
        body = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
        if protocol == "xml":
            body = f"<Response><Errors>{body}</Errors><RequestID>refused</RequestID></Response>"
    start_response("403 Forbidden", [("Content-Type", kind)])
    return [body.encode()]
