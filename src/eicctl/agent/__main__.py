"""`python -m eicctl.agent NAME LOCK DELAY`: a background process, started by `eicctl.agent.start`.

NAME is the fingerprint of its environment, LOCK a descriptor of a locked file, to which it writes `ready` or why it
cannot start before it lets the lock go, and DELAY the seconds that it waits first.

The lock that a background process holds as long as it lives, however it ends.
"""

from __future__ import annotations

import os
import signal
import sys
import time

from eicctl.agent.paths import Place
from eicctl.core.errors import ConflictError, LocalError

PATIENCE = 5.0
"""Seconds for which a new process waits for the end of an old one, which may have tunnels to close."""


class Hold:
    """The lock of a place.

    Raises:
        ConflictError: Another process holds it.
        LocalError: The file cannot be opened.
    """

    def __init__(self, place: Place) -> None:
        try:
            self._descriptor = os.open(place.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise LocalError(f"cannot open {place.lock}: {error.strerror}") from error
        deadline = time.monotonic() + PATIENCE
        while not self._taken():
            if time.monotonic() > deadline:
                os.close(self._descriptor)
                pid = (place.read_record() or {}).get("Pid")
                raise ConflictError(f"another background process (PID {pid}) does not respond")
            time.sleep(0.05)

    def _taken(self) -> bool:
        import fcntl  # not on Windows, where there is no background process

        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def release(self) -> None:
        """Give it up."""
        os.close(self._descriptor)


def main() -> None:
    """Run until the end."""
    os.setsid()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    time.sleep(float(sys.argv[3]))
    os.chdir("/")  # so that no folder is held that somebody wants to unmount
    _serve(sys.argv[1], int(sys.argv[2]))


def _serve(name: str, lock: int) -> None:
    import asyncio
    import threading

    from eicctl.agent.paths import Place
    from eicctl.agent.server import Server
    from eicctl.agent.start import IDLE, READY
    from eicctl.agent.tunnels import make_room
    from eicctl.aws import credential_process
    from eicctl.core.errors import EicctlError
    from eicctl.support.logging_setup import background
    from eicctl.tunnel import preconnect
    from eicctl.tunnel.bind import bind_unix
    from eicctl.tunnel.descriptors import allow_many
    from eicctl.tunnel.selector_loop import new_loop

    place = Place(name)
    allow_many()
    credential_process.in_background()
    try:
        hold = Hold(place)
        background(place.log)
        listening = bind_unix(place.socket)
        place.write_record([], os.getpid())
    except EicctlError as error:
        os.write(lock, error.message.encode(errors="replace"))
        raise SystemExit(1) from error

    async def serve() -> None:
        preconnect.enable()
        server = Server(place, listening, idle=float(os.environ.get("EICCTL_AGENT_IDLE") or IDLE))
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, server.stop)
        os.write(lock, READY)
        os.close(lock)
        threading.Thread(target=make_room, args=(place,), daemon=True).start()
        await server.serve()

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(serve())
    place.forget()
    hold.release()


if __name__ == "__main__":
    main()
