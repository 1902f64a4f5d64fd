"""The SSH server of an emulated Linux instance: asyncssh in front, this computer's own shell behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import struct
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import asyncssh
from asyncssh.stream import SSHTCPStreamSession

from eicctl.emulator.machines import sshd
from eicctl.emulator.state import Machine, State

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
    shell = sshd.login_shell()
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


Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Connect = Callable[[str, int], Awaitable[Streams | None]]


async def open_forward(connect: Connect, host: str, port: int) -> asyncssh.SSHTCPSession[bytes]:
    """Connect to the target and return the session that relays its bytes.

    asyncssh has a forwarder of its own. It leaves a channel open for good when the target ends before the client does,
    and OpenSSH's `-W` then never returns.

    Raises:
        ChannelOpenError: Nothing answers there.
    """
    streams = await connect(host, port)
    if streams is None:
        raise asyncssh.ChannelOpenError(asyncssh.OPEN_CONNECT_FAILED, "Connection refused")
    return _joined(streams)


async def open_unix_forward(path: str) -> asyncssh.SSHTCPSession[bytes]:
    """Connect to a Unix socket of this computer, as `open_forward` does to a port.

    Raises:
        ChannelOpenError: Nothing answers there.
    """
    try:
        return _joined(await asyncio.open_unix_connection(path))
    except OSError as error:
        raise asyncssh.ChannelOpenError(asyncssh.OPEN_CONNECT_FAILED, error.strerror or str(error)) from error


def _joined(streams: Streams) -> asyncssh.SSHTCPSession[bytes]:
    """Return the session that relays between a channel and the streams."""

    async def handler(reader: asyncssh.SSHReader[bytes], writer: asyncssh.SSHWriter[bytes]) -> None:
        await _join(reader, writer, *streams)

    return SSHTCPStreamSession(handler)


async def _join(
    from_client: asyncssh.SSHReader[bytes],
    to_client: asyncssh.SSHWriter[bytes],
    from_target: asyncio.StreamReader,
    to_target: asyncio.StreamWriter,
) -> None:
    """Relay in both directions, each until its own end; an error ends both."""
    with contextlib.suppress(OSError, asyncssh.Error):
        await asyncio.gather(_copy(from_client, to_target), _copy(from_target, to_client))
    to_client.close()
    to_target.close()


async def _copy(
    source: asyncio.StreamReader | asyncssh.SSHReader[bytes], sink: asyncio.StreamWriter | asyncssh.SSHWriter[bytes]
) -> None:
    while data := await source.read(CHUNK):
        sink.write(data)
        await sink.drain()
    sink.write_eof()


class SshMachine:
    """Serves SSH for one machine. What clients run is run as the user that runs the emulator.

    Args:
        state: Has the keys that are accepted now.
        machine: The machine.
        home: The folder that stands for its users' home.
        connect: Opens connections that clients want forwarded, as from the machine.
    """

    def __init__(self, state: State, machine: Machine, home: Path, connect: Connect) -> None:
        self._state = state
        self._connect = connect
        self._machine = machine
        self._home = home
        self._key = asyncssh.import_private_key(machine.host_key)

    async def serve(self, sock: socket.socket) -> None:
        """Serve one connection on a connected socket until it ends."""
        self._home.mkdir(mode=0o700, parents=True, exist_ok=True)
        if os.path.expanduser("~") == "~":  # noqa: PTH111 - without any home asyncssh serves nobody
            os.environ["HOME"] = os.devnull
        with contextlib.suppress(OSError, asyncssh.Error, TimeoutError):
            connection = await asyncssh.run_server(
                sock,
                server_factory=lambda: _Server(self._state, self._machine, self._connect),
                server_host_keys=[self._key],
                server_version="eicctl_local",
                process_factory=lambda process: run(process, self._home),
                sftp_factory=lambda channel: _Sftp(channel, self._home),
                allow_scp=True,
                encoding=None,
                agent_forwarding=False,
                compression_algs=None,
                login_timeout=30,
                window=2**21,
            )
            await connection.wait_closed()


class _Server(asyncssh.SSHServer):
    """Who may log in, and where forwarded connections go."""

    def __init__(self, state: State, machine: Machine, connect: Connect) -> None:
        self._state = state
        self._machine = machine
        self._connect = connect

    def begin_auth(self, username: str) -> bool:
        return True

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        if username not in self._machine.users:
            return False
        accepted = [*self._machine.authorized_keys, *self._state.keys(self._machine.instance_id, username)]
        return any(_is(key, line) for line in accepted)

    def connection_requested(self, dest_host: str, dest_port: int, orig_host: str, orig_port: int) -> Any:
        return open_forward(self._connect, dest_host, dest_port)

    def unix_connection_requested(self, dest_path: str) -> Any:
        return open_unix_forward(dest_path)

    def server_requested(self, listen_host: str, listen_port: int) -> bool:
        return listen_host in ("", "localhost", "127.0.0.1", "::1")


def _is(key: asyncssh.SSHKey, line: str) -> bool:
    with contextlib.suppress(asyncssh.KeyImportError):
        return asyncssh.import_public_key(line) == key
    return False


class _Sftp(asyncssh.SFTPServer):
    """Files of this computer, relative names from the machine's home."""

    def __init__(self, channel: asyncssh.SSHServerChannel[bytes], home: Path) -> None:
        super().__init__(channel)
        self._session = channel
        self._home = str(home).encode()

    def exit(self) -> None:
        """Report success at the end: OpenSSH's scp wants an exit status, which asyncssh leaves out."""
        with contextlib.suppress(OSError):
            self._session.exit(0)

    def map_path(self, path: bytes) -> bytes:
        return path if path.startswith(b"/") else self._home + b"/" + path
