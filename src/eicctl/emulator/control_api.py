"""The emulator's own HTTP API, for tests and for `eicctl local`: faults, behavior, status.

docs/reference/local-aws.md has it.
"""

from __future__ import annotations

import dataclasses
import hmac
import json
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
from werkzeug.wrappers import Request, Response

from eicctl.core.errors import UsageError
from eicctl.emulator.control import cloudtrail, credentials
from eicctl.emulator.control.permission import UNWRITABLE
from eicctl.emulator.data import faults
from eicctl.emulator.state import Behavior, State
from eicctl.support.bare import parse_json

PREFIX = "/_eicctl/"
StartResponse = Callable[..., Any]


class ControlApi:
    """A WSGI application for the paths below `/_eicctl/`; all other requests are passed to `app`.

    Args:
        state: The emulator's memory.
        token: The bearer token that a caller must have.
        reset: Puts the world back as it was at the start.
        connections: Lists the open connections.
        app: The AWS API.
    """

    def __init__(
        self,
        state: State,
        token: str,
        reset: Callable[[], None],
        connections: Callable[[], list[dict[str, Any]]],
        app: Callable[..., Iterable[bytes]],
    ) -> None:
        self._state = state
        self._token = token
        self._reset = reset
        self._connections = connections
        self._app = app

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        request = Request(environ, populate_request=False)
        if not request.path.startswith(PREFIX):
            return self._app(environ, start_response)
        given, expected = request.headers.get("Authorization", ""), f"Bearer {self._token}"
        if not hmac.compare_digest(given.encode(), expected.encode()):
            return _answer(401, {"error": "a bearer token is required"})(environ, start_response)
        try:
            result = self._act(request.method, request.path.removeprefix(PREFIX), request)
            answer = _answer(200, {} if result is None else result)
        except (ValueError, TypeError, UsageError) as error:
            answer = _answer(400, {"error": str(error)})
        except LookupError:
            answer = _answer(404, {"error": "no such resource"})
        return answer(environ, start_response)

    def _act(self, method: str, resource: str, request: Request) -> Any:
        actions: dict[tuple[str, str], Callable[[], Any]] = {
            ("GET", "status"): self._status,
            ("GET", "connections"): self._connections,
            ("GET", "events"): self._state.events,
            ("POST", "events"): lambda: self._add_events(_body(request)),
            ("GET", "calls"): lambda: msgspec.to_builtins(self._state.calls()),
            ("DELETE", "calls"): self._state.clear_calls,
            ("GET", "mfa"): lambda: credentials.own_code(self._state.now()),
            ("GET", "faults"): lambda: msgspec.to_builtins(self._state.faults()),
            ("POST", "faults"): lambda: self._add_fault(_body(request)),
            ("DELETE", "faults"): self._state.clear_faults,
            ("POST", "settings"): lambda: self._behave(_body(request)),
            ("POST", "reset"): self._reset,
        }
        return actions[method, resource]()

    def _status(self) -> dict[str, Any]:
        return {
            "behavior": dataclasses.asdict(self._state.behavior),
            "endpoints": {endpoint.id: endpoint.state for endpoint in self._state.endpoints()},
            "machines": [
                {"name": m.name, "kind": m.kind, "address": m.address, "instance_id": m.instance_id, "vpc_id": m.vpc_id}
                for m in self._state.machines()
            ],
        }

    def _add_fault(self, content: dict[str, Any]) -> Any:
        fault = faults.parse_fault(content)
        self._state.add_fault(fault)
        return msgspec.to_builtins(fault)

    def _add_events(self, content: dict[str, Any]) -> dict[str, Any]:
        records = [cloudtrail.completed(record, self._state.now()) for record in content.get("Records", [])]
        for record in records:
            self._state.record(record)
        return {"Records": records}

    def _behave(self, content: dict[str, Any]) -> dict[str, Any]:
        known = [field.name for field in dataclasses.fields(Behavior)]
        for name, value in content.items():
            if name not in known:
                raise ValueError(f"unknown setting {name}; known: {', '.join(known)}")
            if isinstance(value, str) and UNWRITABLE.search(value):
                raise ValueError(f"{name} has characters that a response cannot contain")
        msgspec.convert(dataclasses.asdict(self._state.behavior) | content, Behavior)
        return dataclasses.asdict(self._state.behave(**content))


def _body(request: Request) -> dict[str, Any]:
    content = parse_json(request.get_data() or b"{}")
    if not isinstance(content, dict):
        raise ValueError("the body must be a JSON object")
    return content


def _answer(status: int, result: Any) -> Response:
    return Response(json.dumps(result, default=str), status, content_type="application/json")
