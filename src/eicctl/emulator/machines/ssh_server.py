"""The SSH server of an emulated Linux instance: asyncssh in front, this computer's own shell behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import asyncssh
from asyncssh.stream import SSHTCPStreamSession

from eicctl.emulator.machines import sshd
from eicctl.emulator.state import Machine, State

if sys.platform != "win32":
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
    # A client without TERM asks for a terminal of no type, which is a terminal all the same.
    start = _start_on_pipes if process.term_type is None else _start_on_terminal
    try:
        child, stdin, output, terminal = await start(process, argv, env, home)
    except OSError as error:
        process.stderr.write(f"{error}\n".encode())
        process.exit(126)
        return
    tasks = [
        asyncio.create_task(work) for work in (_feed(process, child.pid, stdin, terminal), _hang_up(process, child))
    ]
    try:
        with contextlib.suppress(OSError, asyncssh.Error):  # the client may be gone
            await output
        status = await child.wait()
        with contextlib.suppress(OSError, asyncssh.Error):
            if status < 0:
                process.exit_with_signal(signal.Signals(-status).name.removeprefix("SIG"))
            else:
                process.exit(status)
    finally:
        for task in tasks:
            task.cancel()
        stdin.close()
        if child.returncode is None:
            _kill(child, signal.SIGKILL)
            await child.wait()


Started = tuple[asyncio.subprocess.Process, asyncio.StreamWriter, Awaitable[Any], int | None]
"""A child process, its input, the passing on of its output, and the descriptor of its terminal if it has one."""


async def _start_on_pipes(process: Process, argv: Sequence[str], env: dict[str, str], home: Path) -> Started:
    pipe = asyncio.subprocess.PIPE
    child = await asyncio.create_subprocess_exec(
        *argv, stdin=pipe, stdout=pipe, stderr=pipe, env=env, cwd=home, start_new_session=True
    )
    assert child.stdin and child.stdout and child.stderr  # noqa: S101, PT018 - they are pipes
    output = asyncio.gather(_copy(child.stdout, process.stdout), _copy(child.stderr, process.stderr))
    return child, child.stdin, output, None


async def _start_on_terminal(process: Process, argv: Sequence[str], env: dict[str, str], home: Path) -> Started:
    master, slave = pty.openpty()
    try:
        width, height, *_ = process.term_size
        termios.tcsetwinsize(slave, (height, width))
        child = await asyncio.create_subprocess_exec(
            "/bin/sh", "-c", _ON_TERMINAL, os.ttyname(slave), *argv,
            stdin=slave, stdout=slave, stderr=slave, cwd=home, start_new_session=True,
            env={**env, "TERM": process.term_type or "dumb"},
        )  # fmt: skip
    except BaseException:
        os.close(master)
        raise
    finally:
        os.close(slave)
    loop = asyncio.get_running_loop()
    file = os.fdopen(os.dup(master), "wb", buffering=0)
    transport, protocol = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, file)
    await process.redirect(stdout=master, send_eof=False)
    return child, asyncio.StreamWriter(transport, protocol, None, loop), process.stdout.drain(), file.fileno()


async def _feed(process: Process, pid: int, sink: asyncio.StreamWriter, terminal: int | None) -> None:
    """Pass on what the client sends: input, signals, and the size of its window."""
    with contextlib.suppress(OSError):
        while True:
            try:
                data = await process.stdin.read(CHUNK)
            except asyncssh.TerminalSizeChanged as change:
                if terminal is not None:
                    termios.tcsetwinsize(terminal, (change.height, change.width))
            except asyncssh.BreakReceived:
                continue
            except asyncssh.SignalReceived as received:
                with contextlib.suppress(OSError, KeyError):
                    os.killpg(pid, signal.Signals["SIG" + received.signal])
            except asyncssh.Error:
                return
            else:
                if not data:
                    break
                sink.write(data)
                await sink.drain()
        if terminal is None:
            sink.close()
        else:
            sink.write(b"\x04")  # end of file, as a terminal types it


async def _hang_up(process: Process, child: asyncio.subprocess.Process) -> None:
    """Hang up on the child when the client goes away."""
    await process.channel.wait_closed()
    _kill(child, signal.SIGHUP)


def _kill(child: asyncio.subprocess.Process, number: signal.Signals) -> None:
    with contextlib.suppress(OSError):
        os.killpg(child.pid, number)


Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Connect = Callable[[str, int], Awaitable[Streams | None]]


async def open_forward(connecting: Awaitable[Streams | None]) -> asyncssh.SSHTCPSession[bytes]:
    """Return the session that relays the bytes of a forwarded connection to the target's streams.

    asyncssh has a forwarder of its own. It leaves a channel open for good when the target ends before the client does,
    and OpenSSH's `-W` then never returns.

    Raises:
        ChannelOpenError: The target does not accept the connection.
    """
    try:
        streams = await connecting
    except OSError as error:
        raise asyncssh.ChannelOpenError(asyncssh.OPEN_CONNECT_FAILED, error.strerror or str(error)) from error
    if streams is None:
        raise asyncssh.ChannelOpenError(asyncssh.OPEN_CONNECT_FAILED, "Connection refused")
    from_target, to_target = streams

    async def relay(from_client: asyncssh.SSHReader[bytes], to_client: asyncssh.SSHWriter[bytes]) -> None:
        """Relay in both directions, each until its own end; an error ends both."""
        with contextlib.suppress(OSError, asyncssh.Error):
            await asyncio.gather(_copy(from_client, to_target, end=True), _copy(from_target, to_client, end=True))
        to_client.close()
        to_target.close()

    return SSHTCPStreamSession(relay)


async def _copy(
    source: asyncio.StreamReader | asyncssh.SSHReader[bytes],
    sink: asyncio.StreamWriter | asyncssh.SSHWriter[bytes],
    *,
    end: bool = False,
) -> None:
    """Pass on bytes, and the end too if `end`."""
    while data := await source.read(CHUNK):
        sink.write(data)
        await sink.drain()
    if end:
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
        commands: set[asyncio.Task[None]] = set()

        async def run_command(process: Process) -> None:
            task = asyncio.create_task(run(process, self._home))
            commands.add(task)
            task.add_done_callback(commands.discard)
            await task

        try:
            with contextlib.suppress(OSError, asyncssh.Error, TimeoutError):
                connection = await asyncssh.run_server(
                    sock,
                    server_factory=lambda: _Server(self._state, self._machine, self._connect),
                    server_host_keys=[self._key],
                    server_version="eicctl_local",
                    process_factory=run_command,
                    sftp_factory=lambda channel: _Sftp(channel, self._home),
                    allow_scp=True,
                    encoding=None,
                    agent_forwarding=False,
                    compression_algs=None,
                    login_timeout=120,  # OpenSSH's LoginGraceTime by default
                    window=2**21,
                )
                await connection.wait_closed()
                await asyncio.gather(*commands)
        finally:
            for task in commands:
                task.cancel()
            await asyncio.gather(*commands, return_exceptions=True)


class _Server(asyncssh.SSHServer):
    """Authentication, and the destinations of forwarded connections."""

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
        return open_forward(self._connect(dest_host, dest_port))

    def unix_connection_requested(self, dest_path: str) -> Any:
        return open_forward(asyncio.open_unix_connection(dest_path))

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
