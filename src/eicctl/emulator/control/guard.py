"""Only signed requests get in.

Whoever may push a key gets a shell as the user that runs the emulator, so other users of this machine must not.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import escape

from eicctl.emulator.control.credentials import CALLER
from eicctl.emulator.control.recorded import ORIGIN, Origin
from eicctl.emulator.signature import Rejected, Verifier

StartResponse = Callable[..., Any]
Wsgi = Callable[[dict[str, Any], StartResponse], Iterable[bytes]]


class Guard:
    """A WSGI application that passes on what carries a good signature and refuses the rest with 403.

    What it passes on can tell who asks from `CALLER`, and where they are from `ORIGIN`.

    Args:
        app: What is guarded.
        verifier: Checks the signature.
    """

    def __init__(self, app: Wsgi, verifier: Verifier) -> None:
        self._app = app
        self._verifier = verifier

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        headers = {name[5:].replace("_", "-").lower(): value for name, value in environ.items() if name[:5] == "HTTP_"}
        headers |= {name: environ[key] for key, name in _PLAIN.items() if environ.get(key)}
        # WSGI has the path unquoted, each byte as a character of Latin-1 (PEP 3333).
        path = quote(environ.get("PATH_INFO", "/").encode("latin-1"))
        query = environ.get("QUERY_STRING", "")
        try:
            caller = self._verifier.verify_header(environ["REQUEST_METHOD"], path, query, headers, body)
        except Rejected as why:
            kind = (
                "json" if "x-amz-target" in headers else "s3" if "/s3/" in headers.get("authorization", "") else "xml"
            )
            return _refuse(start_response, why, kind)
        token = CALLER.set(caller)
        origin = ORIGIN.set(Origin(environ.get("REMOTE_ADDR", ""), headers.get("user-agent", "")))
        try:
            return self._app(environ, start_response)
        finally:
            ORIGIN.reset(origin)
            CALLER.reset(token)


_PLAIN = {"CONTENT_TYPE": "content-type", "CONTENT_LENGTH": "content-length"}

# The services with an XML protocol call these by names of their own.
_XML_CODES = {"UnrecognizedClientException": "InvalidClientTokenId", "ExpiredTokenException": "ExpiredToken"}


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
