"""The emulator as a whole: control plane, data plane and machines in one process."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import shutil
import socket
import tempfile
import threading
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from eicctl.emulator.control.app import create_app
from eicctl.emulator.control.credentials import OWN_ARN, add_device, key_lookup
from eicctl.emulator.control_api import ControlApi
from eicctl.emulator.data.connect_proxy import ConnectProxy
from eicctl.emulator.data.gateway import Gateway
from eicctl.emulator.data.sockets import loopback_sockets, make_context, url_host, with_system_cas
from eicctl.emulator.machines import Machines
from eicctl.emulator.signature import AccessKey, Verifier
from eicctl.emulator.state import Fault, State
from eicctl.emulator.world import load_world

REGION = "us-east-1"


@dataclass(frozen=True, slots=True)
class Options:
    """How to start an emulator.

    Attributes:
        port: Port of the control plane (HTTP); 0 for a free one.
        data_port: Port of the data plane (TLS); 0 for a free one.
        data_host: The host in every endpoint's DNS name; it must lead to loopback.
        world: World file, or the name of a world that eicctl ships; None for the default one.
        sshd: Whether Linux machines are OpenSSH's sshd instead of the embedded server.
        folder: A private folder for the CA's certificate and the machines' files; None for a temporary one. It is
            removed at the end.
    """

    port: int = 0
    data_port: int = 0
    data_host: str = "localhost"
    world: Path | None = None
    sshd: bool = False
    folder: Path | None = None


class Emulator:
    """A local AWS. A context manager; moto's memory is global, so only one can run at a time."""

    def __init__(self, options: Options | None = None, **behavior: Any) -> None:
        self._options = options or Options()
        self.state = State()
        self.state.behave(**behavior)
        self.token = secrets.token_urlsafe(24)
        self._own = AccessKey(
            access_key_id="AKIA" + "".join(secrets.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") for _ in range(16)),
            secret_access_key=secrets.token_urlsafe(30),
            arn=OWN_ARN,
            kind="IAMUser",
        )
        self._cleanup = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """The control plane's URL."""
        return f"http://{self._host}:{self.port}"

    @property
    def env(self) -> dict[str, str]:
        """The environment with which any AWS client uses this emulator; an empty value stands for an unset variable."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_CA_BUNDLE": str(self.ca_file),
            "AWS_ACCESS_KEY_ID": self._own.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self._own.secret_access_key,
            "AWS_SESSION_TOKEN": "",
            "AWS_PROFILE": "",
            "AWS_DEFAULT_PROFILE": "",
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    @property
    def aws_cli_env(self) -> dict[str, str]:
        """What the AWS CLI v2 needs besides `env` for its tunnels; an empty value stands for an unset variable.

        It always dials port 443, hence the proxy, and trusts SSL_CERT_FILE instead of AWS_CA_BUNDLE.
        """
        found = {"SSL_CERT_FILE": str(self._trusted_file)}
        if self.data_port == 443:
            return found
        unset = ("HTTP_PROXY", "http_proxy", "https_proxy", "ALL_PROXY", "all_proxy", "no_proxy")
        own = str(self.url).partition("//")[2].rpartition(":")[0]
        return found | dict.fromkeys(unset, "") | {"HTTPS_PROXY": self._proxy_url, "NO_PROXY": own}

    def start(self) -> None:
        """Bind, load the world, and serve.

        Raises:
            LocalError: A port is busy, or sshd is missing.
            UsageError: The world file is not valid.
        """
        with contextlib.ExitStack() as undo:
            self.folder = self._options.folder or Path(tempfile.mkdtemp(prefix="eicctl-local-"))
            undo.callback(shutil.rmtree, self.folder, ignore_errors=True)
            machines = Machines(self.state, self.folder, sshd=self._options.sshd)
            context, self.ca_file = make_context(self.folder, self._options.data_host)
            self._trusted_file = with_system_cas(self.ca_file)
            verifier = Verifier(self.state, key_lookup(self._own))
            self._gateway = Gateway(self.state, verifier, machines)
            sockets = loopback_sockets(self._options.data_port, self.state)
            fips_sockets = loopback_sockets(0, self.state)
            for sock in (*sockets, *fips_sockets):
                undo.callback(sock.close)
            self.data_port = int(sockets[0].getsockname()[1])
            self.state.fips_port = int(fips_sockets[0].getsockname()[1])
            self._data_host = self._options.data_host
            if self._data_host == "localhost":
                if sockets[0].family == socket.AF_INET6:  # the name may have no such address
                    self._data_host = "[::1]"
                self.state.dualstack_host = url_host(sockets[-1])
            self.reset()
            self._start_control(verifier, undo)
            self._start_loop(undo)
            self._call(self._gateway.start([*sockets, *fips_sockets], context))
            undo.callback(lambda: self._call(self._gateway.stop()))
            self._start_proxy(sockets[0], undo)
            self._cleanup = undo.pop_all()

    def stop(self) -> None:
        """Stop serving and remove every file."""
        self._cleanup.close()

    def reset(self) -> None:
        """Restore the world's initial state; behavior stays."""
        load_world(self.state, self._options.world, self.dns_name())
        add_device()

    def add_fault(self, kind: str, **parameters: Any) -> Fault:
        """Add a fault; docs/reference/local-aws.md has the parameters; also `times`, `endpoint_id`, `address`."""
        from eicctl.emulator.data.faults import parse_fault

        fault = parse_fault({"kind": kind, **parameters})
        self.state.add_fault(fault)
        return fault

    def connections(self) -> dict[str, int]:
        """The number of open connections of each endpoint."""
        return self._gateway.open_connections()

    def dns_name(self) -> str:
        """The DNS name of every endpoint, with the port of the data plane where that is not 443."""
        host = self._data_host
        return host if self.data_port == 443 else f"{host}:{self.data_port}"

    def _start_control(self, verifier: Verifier, undo: contextlib.ExitStack) -> None:
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        aws = create_app(self.state, verifier, self.dns_name)
        app = ControlApi(self.state, self.token, self.reset, self._gateway.open_tunnels, aws)
        (sock,) = loopback_sockets(self._options.port, limit=1)
        undo.callback(sock.close)
        handler = _handler_by_the_clock_of(self.state)
        server: BaseWSGIServer = make_server(
            str(sock.getsockname()[0]), 0, app, threaded=True, fd=sock.fileno(), request_handler=handler
        )
        self.port = int(sock.getsockname()[1])
        self._host = url_host(sock)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        undo.callback(server.server_close)
        undo.callback(thread.join)
        undo.callback(server.shutdown)

    def _start_loop(self, undo: contextlib.ExitStack) -> None:
        self._loop = asyncio.new_event_loop()
        thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        thread.start()
        undo.callback(self._loop.close)
        undo.callback(thread.join)
        undo.callback(self._loop.call_soon_threadsafe, self._loop.stop)
        undo.callback(lambda: self._call(self._loop.shutdown_default_executor()))

    def _start_proxy(self, data_socket: socket.socket, undo: contextlib.ExitStack) -> None:
        (sock,) = loopback_sockets(0, limit=1)
        undo.callback(sock.close)
        address = str(data_socket.getsockname()[0])
        proxy = ConnectProxy(self._data_host, (address, self.data_port), (self.data_port, self.state.fips_port))
        self._call(proxy.start(sock))
        undo.callback(lambda: self._call(proxy.stop()))
        self._proxy_url = f"http://{url_host(sock)}:{sock.getsockname()[1]}"

    def _call(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)


def _handler_by_the_clock_of(state: State) -> type[WSGIRequestHandler]:
    """Return a handler of HTTP requests whose answers have the emulator's time as their date."""

    class Handler(WSGIRequestHandler):
        def date_time_string(self, timestamp: float | None = None) -> str:
            return super().date_time_string(state.now().timestamp() if timestamp is None else timestamp)

    return Handler
