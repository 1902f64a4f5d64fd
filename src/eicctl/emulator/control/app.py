"""The control plane as a WSGI application: moto behind a check of each request's signature and permissions.

Pushing a key gives a shell as the user that runs the emulator, so other users of this machine must not get in.
"""

from __future__ import annotations

import io
import json
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import escape

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

from eicctl.emulator.control.actions import Actions
from eicctl.emulator.control.backends import LOCK, zones
from eicctl.emulator.control.cloudtrail import ORIGIN, record_denial
from eicctl.emulator.control.credentials import CALLER
from eicctl.emulator.control.endpoints import settle
from eicctl.emulator.control.permission import Origin, Permission, invalid, parse_call
from eicctl.emulator.signature import Rejected, Verifier
from eicctl.emulator.state import State

_log = logging.getLogger(__name__)

StartResponse = Callable[..., Any]
Wsgi = Callable[[dict[str, Any], StartResponse], Iterable[bytes]]


class Guard:
    """WSGI middleware that passes on requests with a valid signature and refuses others with 403.

    `CALLER` and `ORIGIN` tell the wrapped application who sent the request, and from where.

    Calls that policies deny are recorded as CloudTrail records them.

    Args:
        state: The emulator's memory.
        app: The guarded application.
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
        protocol, asked = _protocol(headers), parse_call(headers, body)
        try:
            caller = self._verifier.verify_header(environ["REQUEST_METHOD"], path, query, headers, body)
        except Rejected as why:
            if asked and asked.service == "ec2":
                return _refuse(start_response, _as_ec2(why), protocol, 401)
            return _refuse(start_response, why, protocol)
        origin = Origin(str(environ.get("REMOTE_ADDR", "")), headers.get("user-agent", ""))
        if asked and asked.service in ("ec2", "cloudtrail") and not zones(asked.region):
            # AWS has no such host; here all regions are one host, and moto would fail on it.
            return _refuse(
                start_response,
                Rejected("InvalidRegion.NotFound", f"There is no region {asked.region}."),
                protocol,
            )
        if asked and (denial := self._permission.denial(caller, asked, origin)):
            record_denial(self._state, asked, caller, origin, denial)
            return _refuse(start_response, denial, protocol)
        if asked and protocol == "xml" and (wrong := invalid(asked.service, asked.parameters)):
            return _refuse(start_response, wrong, protocol, 400)
        if asked and {asked.name, f"{asked.region}:{asked.name}"} & set(self._state.behavior.denied.split()):
            message = "You are not authorized to perform this operation. User is not authorized to perform: ec2:"
            return _refuse(start_response, Rejected("UnauthorizedOperation", message + asked.name), protocol)
        caller_token, origin_token = CALLER.set(caller), ORIGIN.set(origin)
        try:
            return self._app(environ, start_response)
        except NotImplementedError:  # moto has no such operation
            name = asked.name if asked else ""
            code = "UnknownOperationException" if protocol == "json" else "InvalidAction"
            unknown = Rejected(code, f"The action {name} is not one that the local AWS has.")
            return _refuse(start_response, unknown, protocol, 400)
        except Exception:
            _log.exception("%s failed", asked.name if asked else path)
            failed = Rejected("InternalFailure", "The local AWS failed; its log says how.")
            return _refuse(start_response, failed, protocol, 500)
        finally:
            ORIGIN.reset(origin_token)
            CALLER.reset(caller_token)


_PLAIN = {"CONTENT_TYPE": "content-type", "CONTENT_LENGTH": "content-length"}

# The services with an XML protocol call these by names of their own.
_XML_CODES = {"UnrecognizedClientException": "InvalidClientTokenId", "ExpiredTokenException": "ExpiredToken"}


def _protocol(headers: Mapping[str, str]) -> str:
    """Return the form of a service's errors: `json`, `s3` or `xml`."""
    if "x-amz-target" in headers:
        return "json"
    return "s3" if "/s3/" in headers.get("authorization", "") else "xml"


def _as_ec2(why: Rejected) -> Rejected:
    """EC2's own words for credentials that are not good: AuthFailure for all but expired ones."""
    if why.code == "MissingAuthenticationToken":
        return why
    if why.code == "ExpiredTokenException":
        return Rejected("RequestExpired", "Request has expired.")
    return Rejected("AuthFailure", "AWS was not able to validate the provided access credentials")


def _refuse(start_response: StartResponse, why: Rejected, protocol: str, status: int = 403) -> Iterable[bytes]:
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
    start_response(f"{status} {HTTPStatus(status).phrase}", [("Content-Type", kind)])
    return [body.encode()]


def create_app(state: State, verifier: Verifier, dns_name: Callable[[], str]) -> Wsgi:
    """Return moto's server with the operations that it lacks, behind a check of each request's signature.

    Args:
        state: The emulator's memory.
        verifier: Checks signatures.
        dns_name: Returns the DNS name of every endpoint: `HOST` or `HOST:PORT` of the data plane.
    """
    Actions(state, dns_name).install()
    return Guard(state, _serialized(state, DomainDispatcherApplication(_backend_app)), verifier, Permission(state))


def _backend_app(service: Any) -> Any:
    """moto's application for a service. Errors are raised instead of rendered as HTML."""
    app = create_backend_app(service)
    app.config["PROPAGATE_EXCEPTIONS"] = True
    return app


def _serialized(state: State, app: Wsgi) -> Wsgi:
    """Serve requests one at a time, each after the configured latency, with endpoint states brought up to date."""

    def serve(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        if latency := state.behavior.latency:
            time.sleep(latency)
        with LOCK:
            settle(state)
            return app(environ, start_response)

    return serve
