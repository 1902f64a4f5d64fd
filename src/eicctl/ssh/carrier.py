"""Tunnels for OpenSSH processes, carried by this process: no second Python for each connection.

OpenSSH talks to a ProxyCommand over two pipes. Here the ProxyCommand is a shell that writes its process number into a
FIFO and waits. This process opens the shell's two pipes (`/proc/PID/fd`), ends the shell, and from then on carries the
bytes of the pipes itself. OpenSSH could also take a descriptor from a ProxyCommand (ProxyUseFdpass, ssh_config(5)), but
no program that every system has can send one.
"""

from __future__ import annotations

import contextlib
import os
import select
import shlex
import signal
import stat
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from eicctl.errors import EicctlError
from eicctl.ssh.doors import Elsewhere, NotCarriedError, Tunnel
from eicctl.tunnel.ending import Ending
from eicctl.tunnel.reactor import SelectorReactor

Opener = Callable[[], Tunnel]
"""Opens one tunnel. May block: it is called in a thread of its own."""

SETTLE = 0.3
"""Seconds to wait for what another process says of a tunnel's end."""

Ended = Callable[[Ending], None]
"""Is told how a tunnel has ended."""


if TYPE_CHECKING:
    from eicctl.tunnel.channel import Channel
    from eicctl.tunnel.dial import Link


class Carrier:
    """Carries the connections of OpenSSH processes, all in one thread. A context manager; the end closes all.

    Args:
        folder: A folder of this user alone.
        on_open: Called in some thread with each tunnel that has been opened.

    Attributes:
        endings: How the tunnels have ended, in order.
        failures: Why tunnels could not be opened, in order.
    """

    def __init__(self, folder: Path, on_open: Callable[[Tunnel], None] = lambda _tunnel: None) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="doors-", dir=folder))
        self._on_open = on_open
        self._reactor = SelectorReactor()
        self._channels: dict[Channel, int] = {}
        self._elsewhere: dict[Elsewhere, threading.Thread] = {}
        self._doors: list[int] = []
        self._thread: threading.Thread | None = None
        self.endings: list[Ending] = []
        self.failures: list[EicctlError] = []
        os.mkfifo(self._folder / "wait", 0o600)

    def __enter__(self) -> Carrier:
        self._resume()
        return self

    def __exit__(self, *_: object) -> None:
        self._on_thread(self._close_all)
        self._pause()
        for door in self._doors:
            os.close(door)
        for channel in list(self._channels):
            channel.abort()
        self._reactor.close()

    def serve(self, name: str, opener: Opener, ended: Ended = lambda _ending: None) -> str:
        """Serve connections to one host; return the ProxyCommand, in which `%n` stands for the host's name.

        Args:
            name: The host as it is on OpenSSH's command line; a file name.
            opener: Opens a tunnel for each connection.
            ended: Called with how each has ended, in the thread that carries, before OpenSSH sees the end.
        """
        path = self._folder / f"door-{name}"
        os.mkfifo(path, 0o600)
        # Open for writing as well, so that it does not end when a shell closes it.
        door = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self._doors.append(door)
        self._on_thread(lambda: self._reactor.add_reader(door, lambda: self._announced(door, opener, ended)))
        return self.proxy_command

    @property
    def proxy_command(self) -> str:
        """OpenSSH's ProxyCommand for every host that is served."""
        folder = str(self._folder).replace("%", "%%")
        door, wait = shlex.quote(f"{folder}/door-"), shlex.quote(f"{folder}/wait")
        # The pipes are at 3 and 4 for good; echo has stdout elsewhere while it writes.
        return "sh -c " + shlex.quote(f"exec 3<&0 4>&1; echo $$ >{door}%n; read x <{wait}")

    def in_use(self) -> bool:
        """Whether an OpenSSH process still has its end of a tunnel, as one in the background does."""
        return bool(self._elsewhere) or any(_has_writer(fd) for fd in list(self._channels.values()))

    def settle(self) -> None:
        """Wait a moment for what other processes say of tunnels that have ended."""
        for thread in list(self._elsewhere.values()):
            thread.join(SETTLE)

    def stay_behind(self) -> None:
        """Let a copy of this process carry what is in use until it ends; the copy does not return.

        For `ssh -f` and ControlPersist, where OpenSSH goes on in the background after its command has ended.
        """
        for tunnel in list(self._elsewhere):
            tunnel.leave()
        if not self._channels:
            return
        self._pause()
        if os.fork():
            self._channels.clear()  # they are the copy's
            return
        os.setsid()
        nothing = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(nothing, fd)
        self._reactor.call_soon(self._stop_if_unused)
        self._reactor.run()
        os._exit(0)

    def _close_all(self) -> None:
        """Send the close frames; the service's are not waited for."""
        for channel in list(self._channels):
            channel.close()

    def _stop_if_unused(self) -> None:
        if not self._channels:
            self._reactor.stop()

    def _resume(self) -> None:
        self._thread = threading.Thread(target=self._reactor.run, name="tunnels", daemon=True)
        self._thread.start()

    def _pause(self) -> None:
        if self._thread:
            self._on_thread(self._reactor.stop)
            self._thread.join()
            self._thread = None

    def _on_thread(self, call: Callable[[], None]) -> None:
        self._reactor.call_soon_threadsafe(call)

    def _announced(self, door: int, opener: Opener, ended: Ended) -> None:
        for number in os.read(door, 4096).split():
            if not number.isdigit():
                continue
            if pipes := _take_pipes(int(number)):
                threading.Thread(target=self._open, args=(pipes, opener, ended), daemon=True).start()

    def _open(self, pipes: tuple[int, int], opener: Opener, ended: Ended) -> None:
        try:
            tunnel = opener()
        except (EicctlError, NotCarriedError) as error:
            if isinstance(error, EicctlError):
                self.failures.append(error)
            for fd in pipes:  # OpenSSH sees the end
                os.close(fd)
            return
        self._on_open(tunnel)
        if not isinstance(tunnel, Elsewhere):
            link = tunnel
            self._on_thread(lambda: self._carry(link, pipes, ended))
            return
        self._elsewhere[tunnel] = threading.current_thread()
        ending = tunnel.carry(pipes)
        self.endings.append(ending)
        ended(ending)
        del self._elsewhere[tunnel]

    def _carry(self, link: Link, pipes: tuple[int, int], ended: Ended) -> None:
        from eicctl.tunnel.channel import END_AT_EOF, PIPE_CLOSE_TIMEOUT, Channel
        from eicctl.tunnel.ends import DescriptorEnd

        def at_end(ending: Ending) -> None:
            self.endings.append(ending)
            ended(ending)

        channel = Channel(
            self._reactor,
            link,
            DescriptorEnd(*pipes, owned=True),
            on_end=at_end,
            on_done=lambda: self._done(channel),
            linger=END_AT_EOF,
            close_timeout=PIPE_CLOSE_TIMEOUT,
        )
        self._channels[channel] = pipes[0]
        channel.start()

    def _done(self, channel: Channel) -> None:
        self._channels.pop(channel, None)
        if self._thread is None:  # left behind: nothing new comes
            self._stop_if_unused()


def _take_pipes(pid: int) -> tuple[int, int] | None:
    """Open a waiting shell's pipes, and end the shell; None where it is none, or is gone."""
    opened: list[int] = []
    try:
        for fd, flags in ((3, os.O_RDONLY), (4, os.O_WRONLY)):
            opened.append(os.open(f"/proc/{pid}/fd/{fd}", flags | os.O_NONBLOCK | os.O_CLOEXEC))
            if not stat.S_ISFIFO(os.fstat(opened[-1]).st_mode):
                raise OSError("not a pipe")
    except OSError:
        for fd in opened:
            os.close(fd)
        return None
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    return opened[0], opened[1]


def _has_writer(fd: int) -> bool:
    """Whether somebody has the writing end of a pipe."""
    poll = select.poll()
    poll.register(fd, 0)
    return not any(event & select.POLLHUP for _, event in poll.poll(0))
