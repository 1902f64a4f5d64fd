"""The emulator's own HTTP API, for tests and for `eicctl local`: faults, behavior, status.

docs/reference/local-aws.md has it.
"""

from __future__ import annotations

import dataclasses
import hmac
import json
from collections.abc import Callable, Iterable
from typing import Any

from eicctl.core.errors import UsageError
from eicctl.emulator.control import cloudtrail, credentials
from eicctl.emulator.control.permission import UNWRITABLE
from eicctl.emulator.data import faults
from eicctl.emulator.state import Behavior, State
from eicctl.support.documents import parse_json

PREFIX = "/_eicctl/"
StartResponse = Callable[..., Any]


class ControlApi:
    """A WSGI application for the paths below `/_eicctl/`; everything else goes to `app`.

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
        path = str(environ.get("PATH_INFO", ""))
        if not path.startswith(PREFIX):
            return self._app(environ, start_response)
        given = str(environ.get("HTTP_AUTHORIZATION", ""))
        if not hmac.compare_digest(given.encode(), f"Bearer {self._token}".encode()):
            return _answer(start_response, "401 Unauthorized", {"error": "a bearer token is needed"})
        try:
            result = self._act(environ["REQUEST_METHOD"], path.removeprefix(PREFIX), environ)
        except (ValueError, TypeError, UsageError) as error:
            return _answer(start_response, "400 Bad Request", {"error": str(error)})
        except LookupError:
            return _answer(start_response, "404 Not Found", {"error": "no such resource"})
        return _answer(start_response, "200 OK", result)

    def _act(self, method: str, resource: str, environ: dict[str, Any]) -> Any:
        actions: dict[tuple[str, str], Callable[[], Any]] = {
            ("GET", "status"): self._status,
            ("GET", "connections"): self._connections,
            ("GET", "events"): self._state.events,
            ("POST", "events"): lambda: self._add_events(_body(environ)),
            ("GET", "mfa"): lambda: credentials.own_code(self._state.now()),
            ("GET", "faults"): lambda: [faults.fault_row(fault) for fault in self._state.faults()],
            ("POST", "faults"): lambda: self._add_fault(_body(environ)),
            ("DELETE", "faults"): self._state.clear_faults,
            ("POST", "settings"): lambda: self._behave(_body(environ)),
            ("POST", "reset"): self._reset,
        }
        result = actions[method, resource]()
        return {} if result is None else result

    def _status(self) -> dict[str, Any]:
        return {
            "behavior": dataclasses.asdict(self._state.behavior),
            "endpoints": {endpoint.id: endpoint.state for endpoint in self._state.endpoints()},
            "machines": [
                {"name": m.name, "kind": m.kind, "address": m.address, "instance_id": m.instance_id, "vpc_id": m.vpc_id}
                for m in self._state.machines()
            ],
        }

    def _add_fault(self, content: dict[str, Any]) -> dict[str, Any]:
        fault = faults.parse_fault(content)
        self._state.add_fault(fault)
        return faults.fault_row(fault)

    def _add_events(self, content: dict[str, Any]) -> dict[str, Any]:
        records = [cloudtrail.completed(record, self._state.now()) for record in content.get("Records", [])]
        for record in records:
            self._state.record(record)
        return {"Records": records}

    def _behave(self, content: dict[str, Any]) -> dict[str, Any]:
        known = {field.name: type(field.default) for field in dataclasses.fields(Behavior)}
        for name, value in content.items():
            if name not in known:
                raise ValueError(f"{name} is not a setting; those are {', '.join(known)}")
            wanted = known[name]
            if not isinstance(value, (int, float) if wanted is float else wanted) or isinstance(value, bool):
                raise ValueError(f"{name} must be of type {wanted.__name__}")
            if isinstance(value, str) and UNWRITABLE.search(value):
                raise ValueError(f"{name} has characters that no answer could hold")
        return dataclasses.asdict(self._state.behave(**content))


def _body(environ: dict[str, Any]) -> dict[str, Any]:
    content = parse_json(environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)) or b"{}")
    if not isinstance(content, dict):
        raise ValueError("the body must be a JSON object")
    return content


def _answer(start_response: StartResponse, status: str, result: Any) -> Iterable[bytes]:
    start_response(status, [("Content-Type", "application/json")])
    return [json.dumps(result, default=str).encode()]
