"""What other platforms lack is left out here, as far as that can be done on one that has it."""

from __future__ import annotations

import asyncio
import selectors
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from eicctl.core.errors import LocalError
from eicctl.support import bind
from eicctl.support.bind import bind_tcp, local_addresses
from eicctl.tunnel.listener import Listener
from eicctl.tunnel.relay import Linger
from tests.integration.listening import Told, connect
from tests.waiting import wait_for

if TYPE_CHECKING:
    from tests.integration.conftest import Handler, Service

GONE = ("192.0.2.1", "2001:db8::1")
"""Addresses of no machine (RFC 5737, RFC 3849)."""

Serve = Callable[["Handler"], "Service"]


def echo(client: socket.socket) -> None:
    while data := client.recv(65536):
        client.sendall(data)


@pytest.mark.parametrize("name", ["SelectSelector", "PollSelector", "KqueueSelector"])
def test_a_listener_on_another_selector(serve: Serve, name: str) -> None:
    """Windows has `select` only, macOS kqueue."""
    if not hasattr(selectors, name):
        pytest.skip(f"{name} is not here")
    service = serve(echo)
    sockets = bind_tcp(0)
    port = sockets[0].getsockname()[1]
    told = Told()
    stop = asyncio.Event()
    loop = asyncio.SelectorEventLoop(getattr(selectors, name)())
    listener = Listener(service.dialer, sockets, told, linger=Linger.of(0.1))
    thread = threading.Thread(target=lambda: loop.run_until_complete(listener.serve(stop)))
    thread.start()
    try:
        data = bytes(range(256)) * 2000
        with connect(port) as client:
            threading.Thread(target=client.sendall, args=(data,), daemon=True).start()
            got = bytearray()
            while len(got) < len(data):
                got += client.recv(65536)
            assert bytes(got) == data
        wait_for(lambda: told.endings)
        assert told.endings[0].error is None
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        loop.close()


_WITHOUT = """
import builtins, pkgutil, importlib, socket
MISSING = {"fcntl", "pwd", "grp", "pty", "tty", "termios", "resource"}
real = builtins.__import__

def imported(name, globals=None, *rest, **named):
    if name.split(".")[0] in MISSING and (globals or {}).get("__name__", "").startswith("eicctl"):
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    return real(name, globals, *rest, **named)

builtins.__import__ = imported
import eicctl, eicctl.cli
for module in pkgutil.walk_packages(eicctl.__path__, "eicctl."):
    if module.name != "eicctl.__main__" and not module.name.startswith("eicctl.emulator."):
        importlib.import_module(module.name)
del socket.AF_UNIX
"""


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", _WITHOUT + code], capture_output=True, text=True, check=False)


@pytest.mark.usefixtures("home")
def test_modules_of_posix_alone_are_not_needed() -> None:
    """Each module is imported where those are missing, as on Windows; the local AWS alone needs them."""
    done = run("print(*sorted(eicctl.__all__))")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.usefixtures("home")
def test_no_unix_sockets_is_told() -> None:
    words = ["tunnel", "web-1", "--remote-port", "22", "--local-socket", "x"]
    done = run(f"raise SystemExit(eicctl.cli.main({words!r}))")
    assert done.returncode == 2
    assert done.stderr.startswith("error: This platform has no Unix sockets\nhint: specify a local port")


@pytest.mark.usefixtures("home")
def test_no_local_aws_is_told() -> None:
    done = run("raise SystemExit(eicctl.cli.main(['local', 'up', '--port', '0']))")
    assert done.returncode == 2
    assert "The local AWS runs on Linux and macOS only" in done.stderr


@pytest.mark.parametrize("there", ["127.0.0.1", "::1"])
def test_one_loopback_address_will_do(there: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = [
        (family, host if host == there else gone) for (family, host), gone in zip(bind._LOOPBACK, GONE, strict=True)
    ]
    monkeypatch.setattr(bind, "_LOOPBACK", tuple(pairs))
    (sock,) = bind_tcp(0)
    with sock:
        assert sock.getsockname()[0] == there
        assert local_addresses([sock])[0].startswith("[::1]:" if there == "::1" else "127.0.0.1:")
        with pytest.raises(LocalError, match="is in use"):
            bind_tcp(sock.getsockname()[1])
    monkeypatch.setattr(bind, "_LOOPBACK", tuple(zip((family for family, _ in bind._LOOPBACK), GONE, strict=True)))
    with pytest.raises(LocalError, match="neither"):
        bind_tcp(0)
