"""The control plane as a WSGI application: moto behind a check of each request's signature and permissions.

Pushing a key gives a shell as the user that runs the emulator, so other users of this machine must not have access.
"""

from __future__ import annotations

import io
import json
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import escape

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.wrappers import Request, Response

from eicctl.emulator.control.actions import Actions
from eicctl.emulator.control.backends import LOCK, zones
from eicctl.emulator.control.cloudtrail import RECORDED, new_id, record_call
from eicctl.emulator.control.credentials import CALLER
from eicctl.emulator.control.endpoints import apply_transitions
from eicctl.emulator.control.permission import CALL, ApiCall, Permission, invalid, parse_call
from eicctl.emulator.control.throttling import Throttling
from eicctl.emulator.signature import AccessKey, Rejected, Verifier
from eicctl.emulator.state import State

_log = logging.getLogger(__name__)

StartResponse = Callable[..., Any]
Wsgi = Callable[[dict[str, Any], StartResponse], Iterable[bytes]]


class Guard:
    """WSGI middleware that passes on requests that are signed, allowed and well-formed, and refuses others.

    `CALLER` and `CALL` give the wrapped application who sent the request, and what it is. Calls that policies deny are
    recorded as CloudTrail records them.

    Args:
        state: The emulator's memory.
        app: The guarded application.
        verifier: Checks the signature.
    """

    def __init__(self, state: State, app: Wsgi, verifier: Verifier) -> None:
        self._state = state
        self._app = app
        self._verifier = verifier
        self._permission = Permission(state)
        self._throttling = Throttling(state)

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        request = Request(environ, populate_request=False)
        body = request.get_data()
        environ["wsgi.input"] = io.BytesIO(body)
        headers = {name.lower(): value for name, value in request.headers}
        call = parse_call(headers, body, request.remote_addr or "")
        protocol = _protocol(headers)
        # WSGI has the path unquoted, each byte as a character of Latin-1 (PEP 3333).
        path = quote(environ.get("PATH_INFO", "/").encode("latin-1"))
        try:
            try:
                query = environ.get("QUERY_STRING", "")
                caller = self._verifier.verify_header(request.method, path, query, headers, body)
            except Rejected as error:
                raise _as_ec2(error) if call.service == "ec2" else error from None
            self._check(caller, call, protocol)
            environ["HTTP_X_MOTO_ACCOUNT_ID"] = caller.account
            caller_token, call_token = CALLER.set(caller), CALL.set(call)
            try:
                return self._app(environ, start_response)
            except NotImplementedError:  # moto has no such operation
                code = "UnknownOperationException" if protocol == "json" else "InvalidAction"
                raise Rejected(code, f"The local AWS does not support the action {call.name}.", 400) from None
            except Exception:
                _log.exception("%s failed", call.name or path)
                raise Rejected("InternalFailure", "The local AWS failed; see its log.", 500) from None
            finally:
                CALL.reset(call_token)
                CALLER.reset(caller_token)
        except Rejected as error:
            return _error_response(error, protocol)(environ, start_response)

    def _check(self, caller: AccessKey, call: ApiCall, protocol: str) -> None:
        """Raise the error of a call that moto must not get."""
        if call.service in ("ec2", "cloudtrail") and not zones(call.region):
            # AWS has no such host; here all regions share one, and moto would fail.
            raise Rejected("InvalidRegion.NotFound", f"The region {call.region} does not exist.")
        self._throttling.check(call, caller.account)
        if denial := self._permission.denial(caller, call):
            if call.name in RECORDED:
                record_call(self._state, call, caller, error=(denial.code, denial.message))
            raise denial
        if protocol == "xml" and (error := invalid(call)):
            raise error
        if {call.name, f"{call.region}:{call.name}", f"{caller.account}:{call.name}"} & set(
            self._state.behavior.denied.split()
        ):
            message = "You are not authorized to perform this operation. User is not authorized to perform: ec2:"
            raise Rejected("UnauthorizedOperation", message + call.name)


# The services with an XML protocol call these by names of their own.
_XML_CODES = {"UnrecognizedClientException": "InvalidClientTokenId", "ExpiredTokenException": "ExpiredToken"}


def _protocol(headers: Mapping[str, str]) -> str:
    """Return the form of a service's errors: `json`, `s3` or `xml`."""
    if "x-amz-target" in headers:
        return "json"
    return "s3" if "/s3/" in headers.get("authorization", "") else "xml"


def _as_ec2(error: Rejected) -> Rejected:
    """EC2's own form of credentials that are not valid: AuthFailure for all but expired ones."""
    if error.code == "MissingAuthenticationToken":
        return Rejected(error.code, error.message, 401)
    if error.code == "ExpiredTokenException":
        return Rejected("RequestExpired", "Request has expired.", 401)
    return Rejected("AuthFailure", "AWS was not able to validate the provided access credentials", 401)


def _error_response(error: Rejected, protocol: str) -> Response:
    """Answer in the error form of the service's protocol; of the others, the query protocol's serves."""
    if protocol == "json":
        body = json.dumps({"__type": error.code, "message": error.message})
        return Response(body, error.status, content_type="application/x-amz-json-1.1")
    code, message = _XML_CODES.get(error.code, error.code), escape(error.message)
    body = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    if protocol == "xml":
        body = f"<Response><Errors>{body}</Errors><RequestID>{new_id()}</RequestID></Response>"
    return Response(body, error.status, content_type="text/xml")


def create_app(state: State, verifier: Verifier, dns_name: Callable[[], str]) -> Wsgi:
    """Return moto's server with the operations that it lacks, behind a check of each request's signature.

    Args:
        state: The emulator's memory.
        verifier: Checks signatures.
        dns_name: Returns the DNS name of every endpoint: `HOST` or `HOST:PORT` of the data plane.
    """
    Actions(state, dns_name).install()
    return Guard(state, _serialized(state, DomainDispatcherApplication(_backend_app)), verifier)


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
            apply_transitions(state)
            return app(environ, start_response)

    return serve
