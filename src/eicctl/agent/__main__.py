"""`python -m eicctl.agent NAME LOCK DELAY`: a background process, started by `eicctl.agent.start`.

NAME is the fingerprint of its environment, LOCK a descriptor of a locked file, to which it writes `ready` or why it
cannot start before it lets the lock go, and DELAY the seconds that it waits first.
"""

from __future__ import annotations

import os
import signal
import sys
import time


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

    from eicctl.agent.lockfile import Hold
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
    from eicctl.tunnel.loops import new_loop

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
