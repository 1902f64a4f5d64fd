"""What an SSH client asks to run, run on this computer: on pipes, or on a terminal."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import struct
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import asyncssh

from eicctl.emulator.machines import accounts

if sys.platform != "win32":
    import fcntl
    import pty
    import termios

Process = asyncssh.SSHServerProcess[bytes]

CHUNK = 65536

# A session leader without a terminal gets the first one that it opens as its controlling terminal.
_ON_TERMINAL = 'exec <"$0" >"$0" 2>&1; exec "$@"'


async def run(process: Process, home: Path) -> None:
    """Run the client's command, or a login shell, with `home` as home and working folder; report its exit status."""
    shell = accounts.shell()
    argv = [shell, "-c", process.command] if process.command else [shell, "-l"]
    user = str(process.get_extra_info("username"))
    env = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG", "LC_ALL", "TMPDIR")}
    env |= {str(name): str(value) for name, value in process.env.items()}
    env |= {"HOME": str(home), "USER": user, "LOGNAME": user, "SHELL": shell}
    try:
        # A client without TERM asks for a terminal of no type, which is a terminal all the same.
        if process.term_type is not None:
            status = await _on_terminal(process, argv, {**env, "TERM": process.term_type or "dumb"}, home)
        else:
            status = await _on_pipes(process, argv, env, home)
    except OSError as error:
        process.stderr.write(f"{error}\n".encode())
        process.exit(126)
        return
    with contextlib.suppress(OSError, asyncssh.Error):  # the client may be gone
        if status < 0:
            process.exit_with_signal(signal.Signals(-status).name.removeprefix("SIG"))
        else:
            process.exit(status)


async def _on_pipes(process: Process, argv: Sequence[str], env: dict[str, str], home: Path) -> int:
    pipe = asyncio.subprocess.PIPE
    child = await asyncio.create_subprocess_exec(
        *argv, stdin=pipe, stdout=pipe, stderr=pipe, env=env, cwd=home, start_new_session=True
    )
    assert child.stdin and child.stdout and child.stderr  # noqa: S101, PT018 - they are pipes
    async with _while_connected(process, child):
        feeding = asyncio.create_task(_feed_pipe(process, child, child.stdin))
        await asyncio.gather(_drain(child.stdout, process.stdout), _drain(child.stderr, process.stderr))
        status = await child.wait()
        feeding.cancel()
    return status


async def _feed_pipe(process: Process, child: asyncio.subprocess.Process, pipe: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        async for data in _input(process, child.pid, None):
            pipe.write(data)
            await pipe.drain()
    pipe.close()


async def _drain(source: asyncio.StreamReader, sink: asyncssh.SSHWriter[bytes]) -> None:
    with contextlib.suppress(OSError, asyncssh.Error):
        while data := await source.read(CHUNK):
            sink.write(data)
            await sink.drain()


async def _on_terminal(process: Process, argv: Sequence[str], env: dict[str, str], home: Path) -> int:
    master, slave = pty.openpty()
    try:
        os.set_blocking(master, False)
        _resize(master, *process.term_size)
        none = asyncio.subprocess.DEVNULL
        child = await asyncio.create_subprocess_exec(
            "/bin/sh", "-c", _ON_TERMINAL, os.ttyname(slave), *argv,
            stdin=none, stdout=none, stderr=none, env=env, cwd=home, start_new_session=True,
        )  # fmt: skip
        async with _while_connected(process, child):
            showing = asyncio.create_task(_show(master, process.stdout))
            feeding = asyncio.create_task(_feed_terminal(process, child, master))
            status = await child.wait()
            feeding.cancel()
            # The slave is still open here, so the master never ends: take what is there.
            await asyncio.sleep(0)
            showing.cancel()
            with contextlib.suppress(OSError):
                while data := os.read(master, CHUNK):
                    process.stdout.write(data)
        return status
    finally:
        os.close(slave)
        os.close(master)


async def _show(master: int, sink: asyncssh.SSHWriter[bytes]) -> None:
    with contextlib.suppress(asyncssh.Error):
        while True:
            await _ready(master, writing=False)
            try:
                sink.write(os.read(master, CHUNK))
            except BlockingIOError:
                continue
            except OSError:
                return
            await sink.drain()


async def _feed_terminal(process: Process, child: asyncio.subprocess.Process, master: int) -> None:
    async for data in _input(process, child.pid, master):
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(master, view) :]
            except BlockingIOError:
                await _ready(master, writing=True)
    os.write(master, b"\x04")  # the client has no more to say: end of file, as a terminal types it


async def _input(process: Process, pid: int, terminal: int | None) -> AsyncIterator[bytes]:
    """What the client sends; signals and changes of the window's size are acted on."""
    while True:
        try:
            data = await process.stdin.read(CHUNK)
        except asyncssh.TerminalSizeChanged as change:
            if terminal is not None:
                _resize(terminal, change.width, change.height, change.pixwidth, change.pixheight)
        except asyncssh.BreakReceived:
            continue
        except asyncssh.SignalReceived as received:
            with contextlib.suppress(OSError, KeyError):
                os.killpg(pid, signal.Signals["SIG" + received.signal])
        except asyncssh.Error:
            return
        else:
            if not data:
                return
            yield data


async def _ready(fd: int, *, writing: bool) -> None:
    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()
    add, remove = (loop.add_writer, loop.remove_writer) if writing else (loop.add_reader, loop.remove_reader)

    def ready() -> None:
        if not future.done():
            future.set_result(None)

    add(fd, ready)
    try:
        await future
    finally:
        remove(fd)


def _resize(fd: int, width: int, height: int, pixel_width: int, pixel_height: int) -> None:
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, pixel_height, pixel_width))


@contextlib.asynccontextmanager
async def _while_connected(process: Process, child: asyncio.subprocess.Process) -> AsyncIterator[Any]:
    """Hang up on the child when the client goes away."""

    async def hang_up() -> None:
        await process.channel.wait_closed()
        with contextlib.suppress(OSError):
            os.killpg(child.pid, signal.SIGHUP)

    watching = asyncio.create_task(hang_up())
    try:
        yield
    finally:
        watching.cancel()
        if child.returncode is None:
            with contextlib.suppress(OSError):
                os.killpg(child.pid, signal.SIGKILL)
