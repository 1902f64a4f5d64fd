"""What programs do with eicctl, against the emulator."""

from __future__ import annotations

import asyncio
import gc
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import eicctl
from eicctl.emulator.server import Emulator
from eicctl.tunnel.slots import slots_of
from tests.waiting import wait_for

if TYPE_CHECKING:
    from tests.integration.conftest import Handler, Service

Serve = Callable[["Handler"], "Service"]

DOCS = Path(__file__).parents[2] / "docs"
BLOCKS = re.findall(r"```python\n(.*?)```", (DOCS / "how-to" / "library.md").read_text(), re.DOTALL)


def echo(client: socket.socket) -> None:
    while data := client.recv(65536):
        client.sendall(data)


def carriers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "eicctl tunnels"]


@pytest.fixture(autouse=True)
def nothing_stays() -> Iterator[None]:
    """After each test the thread that carries is gone."""
    yield
    wait_for(lambda: not carriers())


@pytest.mark.parametrize("block", BLOCKS, ids=[block.split("\n")[0] + f" {n}" for n, block in enumerate(BLOCKS)])
def test_the_pages_examples(emulator: Emulator, endpoint: object, block: str) -> None:
    exec(compile(block, "library.md", "exec"), {"__name__": "example"})


def test_the_page_has_examples() -> None:
    assert len(BLOCKS) >= 6


def test_the_reference_has_every_public_name() -> None:
    page = (DOCS / "reference" / "library.md").read_text()
    assert sorted(re.findall(r"^\.\. auto\w+:: eicctl\.(\w+)$", page, re.MULTILINE)) == sorted(eicctl.__all__)


def test_tunnels_share_a_thread(serve: Serve) -> None:
    target = serve(echo).target
    with eicctl.open_tunnel(target) as first, eicctl.open_tunnel(target, bind="127.0.0.1") as second:
        assert len(carriers()) == 1
        for tunnel in (first, second):
            with socket.create_connection((tunnel.local_address, tunnel.local_port), timeout=60) as client:
                client.sendall(b"hello")
                assert client.recv(10) == b"hello"
                assert tunnel.connections == 1
    assert first.closed
    assert not carriers()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((first.local_address, first.local_port), timeout=60)


def test_nothing_leaks(serve: Serve, emulator: Emulator) -> None:
    target = serve(echo).target

    def use() -> None:
        with eicctl.open_tunnel(target) as tunnel:
            socket.create_connection((tunnel.local_address, tunnel.local_port), timeout=60).close()
            with eicctl.connect(target) as sock:
                sock.sendall(b"x")
                assert sock.recv(1) == b"x"
        wait_for(lambda: not carriers())
        wait_for(lambda: not emulator.connections())

    def open_files() -> int:
        gc.collect()
        return len(os.listdir("/proc/self/fd")) if sys.platform == "linux" else 0  # noqa: PTH208

    use()
    wait_for(lambda: slots_of(target.endpoint_id).used == 0)
    threads, files = threading.active_count(), open_files()
    for _ in range(5):
        use()
    wait_for(lambda: threading.active_count() <= threads)
    wait_for(lambda: open_files() <= files + 2)  # the service's side may lag behind
    assert slots_of(target.endpoint_id).used == 0


def test_an_interrupt_in_the_body_closes(serve: Serve) -> None:
    target = serve(echo).target
    with pytest.raises(KeyboardInterrupt), eicctl.open_tunnel(target) as tunnel:
        raise KeyboardInterrupt
    assert tunnel.closed
    assert not carriers()


def test_what_was_sent_before_the_close_arrives(serve: Serve) -> None:
    data = os.urandom(1_000_000)
    got = bytearray()
    done = threading.Event()

    def collect(client: socket.socket) -> None:
        while more := client.recv(65536):
            got.extend(more)
        done.set()

    sock = eicctl.connect(serve(collect).target)
    sock.sendall(data)
    sock.close()
    assert done.wait(60)
    assert bytes(got) == data
    wait_for(lambda: sock.ending)
    assert sock.ending
    assert (sock.ending.bytes_out, sock.error) == (len(data), None)


def test_a_half_closed_socket_still_gets_the_answer(serve: Serve) -> None:
    def answer(client: socket.socket) -> None:
        client.recv(100)
        client.sendall(b"answer")

    with eicctl.connect(serve(answer).target) as sock:
        sock.sendall(b"question")
        sock.shutdown(socket.SHUT_WR)
        assert sock.recv(100) == b"answer"


def test_a_target_that_is_not_there_is_told_afterwards(emulator: Emulator, serve: Serve) -> None:
    emulator.add_fault("close", code=1011, reason="Unable to connect to target", times=2, after_seconds=0)
    target = serve(echo).target
    with eicctl.connect(target) as sock:
        assert sock.recv(10) == b""
        assert isinstance(sock.error, eicctl.TargetUnreachableError)
    with eicctl.open_tunnel(target) as tunnel:
        with socket.create_connection((tunnel.local_address, tunnel.local_port), timeout=60) as client:
            assert client.recv(10) == b""
        wait_for(lambda: tunnel.last_error)
        assert isinstance(tunnel.last_error, eicctl.TargetUnreachableError)


def test_inside_a_running_loop(serve: Serve) -> None:
    target = serve(echo).target

    async def main() -> None:
        async with eicctl.open_tunnel_async(target) as tunnel:
            reader, writer = await asyncio.open_connection(tunnel.local_address, tunnel.local_port)
            writer.write(b"a")
            assert await reader.readexactly(1) == b"a"
            writer.close()
        with eicctl.open_tunnel(target):  # blocks the loop, but works
            pass
        sock = await eicctl.connect_async(target)
        reader, writer = await asyncio.open_connection(sock=sock)
        writer.write(b"b")
        assert await reader.readexactly(1) == b"b"
        writer.close()
        await writer.wait_closed()

    asyncio.run(main())


def test_a_cancelled_opening_leaves_nothing(serve: Serve) -> None:
    target = serve(echo).target

    async def main() -> None:
        opening = asyncio.ensure_future(eicctl.connect_async(target))
        await asyncio.sleep(0)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening

    asyncio.run(main())
    wait_for(lambda: slots_of(target.endpoint_id).used == 0)


def test_many_threads_at_once(serve: Serve) -> None:
    target = serve(echo).target
    failures: list[BaseException] = []

    def use(number: int) -> None:
        try:
            for _ in range(3):
                with eicctl.connect(target) as sock:
                    word = f"thread {number}".encode()
                    sock.sendall(word)
                    assert sock.recv(100) == word
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=use, args=(number,)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not failures


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="the platform has no Unix sockets")
def test_a_unix_socket(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "s"
    with eicctl.open_tunnel(serve(echo).target, local_socket=path) as tunnel:
        assert (tunnel.local_address, tunnel.local_port) == (str(path), 0)
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            client.sendall(b"x")
            assert client.recv(1) == b"x"
    assert not path.exists()


def test_wrong_arguments(emulator: Emulator) -> None:
    wrong: Any = {"remote_prot": 22}
    with pytest.raises(TypeError, match="remote_prot"):
        eicctl.open_tunnel("web-1", **wrong)
    with pytest.raises(eicctl.UsageError, match="session cannot be combined with region"):
        eicctl.connect("web-1", session=eicctl.Session(), region="us-east-1")
    with pytest.raises(eicctl.UsageError, match="cannot be combined with local_port or bind"):
        eicctl.open_tunnel("web-1", local_socket=Path("x"), local_port=1)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = eicctl.nothing  # type: ignore[attr-defined]


def test_the_import_is_light() -> None:
    code = "import sys, eicctl; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not set(run.stdout.split()) & {"boto3", "botocore", "asyncio", "websockets", "ssl", "asyncssh", "socket"}


def test_a_users_program_is_typed(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import eicctl\n"
        "\n"
        "def port() -> int:\n"
        '    with eicctl.open_tunnel("web-1", remote_port=22, wait=60.0) as tunnel:\n'
        "        return tunnel.local_port\n"
        "\n"
        "async def name() -> str:\n"
        '    async with eicctl.open_tunnel_async("web-1", region="eu-west-1") as tunnel:\n'
        "        return tunnel.target.instance_name\n"
        "\n"
        "def error() -> eicctl.EicctlError | None:\n"
        '    return eicctl.connect("web-1").error\n'
        "\n"
        'wrong: int = eicctl.connect("web-1", remote_prot=22)\n'
    )
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), str(program)]
    run = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    errors = [line for line in run.stdout.splitlines() if "error:" in line]
    assert len(errors) == 2, run.stdout
    assert all("program.py:14:" in line for line in errors)
    assert "remote_prot" in run.stdout
    assert "TunnelSocket" in run.stdout
