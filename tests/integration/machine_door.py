"""An emulated machine without the way to it: its SSH server behind a loopback port, and OpenSSH's tools in front."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from eicctl.emulator.control.instances import host_key
from eicctl.emulator.state import Machine, State

Serve = Callable[[socket.socket], Awaitable[None]]


def linux_machine(*users: str) -> Machine:
    private, public = host_key()
    return Machine(
        "linux", "box", "10.0.0.9", "us-east-1", "vpc-1", "i-0123456789abcdef0",
        users=users, host_key=private, host_public_key=public,
    )  # fmt: skip


@contextmanager
def door(serve: Serve) -> Iterator[int]:
    """Hand every connection of a loopback port to `serve`; yields the port."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    listener = socket.create_server(("127.0.0.1", 0))
    tasks: list[asyncio.Task[None]] = []

    async def accept() -> None:
        listener.setblocking(False)
        while True:
            client, _ = await loop.sock_accept(listener)
            tasks.append(asyncio.ensure_future(serve(client)))

    async def end() -> None:
        accepting.cancel()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    accepting = asyncio.run_coroutine_threadsafe(accept(), loop)
    try:
        yield int(listener.getsockname()[1])
    finally:
        asyncio.run_coroutine_threadsafe(end(), loop).result(60)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)
        loop.close()
        listener.close()


@dataclass(frozen=True)
class OpenSsh:
    """OpenSSH's tools, as one user of one machine."""

    port: int
    user: str
    key: Path
    known_hosts: Path

    @property
    def options(self) -> list[str]:
        values = {
            "Port": self.port, "User": self.user, "IdentityFile": self.key, "IdentitiesOnly": "yes",
            "UserKnownHostsFile": self.known_hosts, "StrictHostKeyChecking": "yes", "HostKeyAlias": "box",
            "BatchMode": "yes", "LogLevel": "ERROR",
        }  # fmt: skip
        return ["-F", "none", *(word for name, value in values.items() for word in ("-o", f"{name}={value}"))]

    def run(self, *command: str, stdin: bytes = b"", extra: Sequence[str] = ()) -> subprocess.CompletedProcess[bytes]:
        return self.tool("ssh", *extra, "127.0.0.1", *command, stdin=stdin)

    def tool(self, program: str, *words: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        command = [program, *self.options, *words]
        return subprocess.run(command, input=stdin, capture_output=True, timeout=60, check=False)


def openssh(port: int, user: str, machine: Machine, folder: Path) -> tuple[OpenSsh, str]:
    """Return the tools with a new key, and the key's public line."""
    key = folder / "id"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    known = folder / "known_hosts"
    known.write_text(f"box {machine.host_public_key}\n")
    return OpenSsh(port, user, key, known), key.with_suffix(".pub").read_text().strip()


def pushed(state: State, machine: Machine, user: str, key: str) -> None:
    state.put_machine(machine)
    state.push_key(machine.instance_id, user, key)
