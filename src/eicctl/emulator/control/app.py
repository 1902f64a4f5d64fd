"""The WSGI application of the control plane."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

from eicctl.emulator.control import guard
from eicctl.emulator.control.actions import Actions
from eicctl.emulator.control.backends import LOCK
from eicctl.emulator.control.endpoints import settle
from eicctl.emulator.control.guard import Guard
from eicctl.emulator.control.permission import Permission
from eicctl.emulator.signature import Verifier
from eicctl.emulator.state import State

StartResponse = Callable[..., Any]
Wsgi = Callable[[dict[str, Any], StartResponse], Iterable[bytes]]


def create_app(state: State, verifier: Verifier, dns_name: Callable[[], str]) -> Wsgi:
    """Return moto's server with the operations that it lacks, behind a check of each request's signature.

    Args:
        state: The emulator's memory.
        verifier: Checks signatures.
        dns_name: Tells the DNS name of every endpoint: `HOST` or `HOST:PORT` of the data plane.
    """
    Actions(state, dns_name).install()
    return Guard(state, _orderly(state, DomainDispatcherApplication(_backend_app)), verifier, Permission(state))


def _backend_app(service: Any) -> Any:
    """moto's application for a service. What goes wrong in it comes out as an exception, and not as a page of HTML."""
    app = create_backend_app(service)
    app.config["PROPAGATE_EXCEPTIONS"] = True
    return app


def _orderly(state: State, app: Wsgi) -> Wsgi:
    """One request after another, each after the time that it takes, in a world that is as late as the clock."""

    def serve(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        if latency := state.behaviour.latency:
            time.sleep(latency)
        with LOCK:
            settle(state)
            if action := guard.denied_action(state.behaviour.denied, environ):
                return guard.refuse(start_response, action)
            return app(environ, start_response)

    return serve
