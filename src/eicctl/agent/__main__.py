"""`python -m eicctl.agent NAME LOCK DELAY`: a background process, started by `eicctl.agent.client`.

NAME is the fingerprint of its environment, LOCK a descriptor of a locked file, to which it writes `ready` or why it
cannot start before it unlocks it, and DELAY the seconds that it waits first.
"""

from __future__ import annotations

import os
import signal
import sys
import time

from eicctl.agent.paths import AgentPaths, lock_file
from eicctl.core.errors import ConflictError, EicctlError

OLD_TIMEOUT = 5.0
"""Seconds for which a new process waits for the end of an old one, which may have tunnels to close."""


def main() -> None:
    """Run until the end."""
    os.setsid()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    time.sleep(float(sys.argv[3]))
    os.chdir("/")  # so that no folder is held that somebody wants to unmount
    _serve(sys.argv[1], int(sys.argv[2]))


def _serve(name: str, report: int) -> None:
    import asyncio
    import threading

    from eicctl.agent.client import IDLE, READY
    from eicctl.agent.server import Server
    from eicctl.agent.tunnels import make_room
    from eicctl.aws import credentials
    from eicctl.support.bind import bind_unix
    from eicctl.support.logging_setup import background
    from eicctl.tunnel import preconnect
    from eicctl.tunnel.dial import allow_many
    from eicctl.tunnel.selector_loop import new_loop

    paths = AgentPaths(name)
    allow_many()
    credentials.in_background()
    try:
        held = lock_file(paths.lock, time.monotonic() + OLD_TIMEOUT)
        if not held:
            pid = paths.read_record().get("Pid")
            raise ConflictError(f"Another background process (PID {pid}) does not respond")
        background(paths.log)
        listening = bind_unix(paths.socket)
        paths.write_record([], os.getpid())
    except EicctlError as error:
        os.write(report, error.message.encode(errors="replace"))
        raise SystemExit(1) from error

    async def serve() -> None:
        preconnect.enable()
        server = Server(paths, listening, idle=float(os.environ.get("EICCTL_AGENT_IDLE") or IDLE))
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, server.stop)
        os.write(report, READY)
        os.close(report)
        threading.Thread(target=make_room, args=(paths,), daemon=True).start()
        await server.serve()

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(serve())
    held.close()
    paths.remove()


if __name__ == "__main__":
    main()
