"""`python -m eicctl.agent NAME READY`: a background process, started by `eicctl.agent.start`.

NAME is the fingerprint of its environment, and READY a descriptor to which it writes `ready`, or why it cannot start.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading

from eicctl.agent.hold import Hold
from eicctl.agent.place import Place
from eicctl.agent.server import Server
from eicctl.agent.start import IDLE, READY
from eicctl.aws import credential_process
from eicctl.aws.session import preload
from eicctl.errors import EicctlError
from eicctl.logs.start import background
from eicctl.tunnel import spare
from eicctl.tunnel.bind import bind_unix
from eicctl.tunnel.descriptors import allow_many
from eicctl.tunnel.loops import new_loop


def main() -> None:
    """Run until the end."""
    place, ready = Place(sys.argv[1]), int(sys.argv[2])
    allow_many()
    credential_process.in_background()
    os.chdir("/")  # so that no folder is held that somebody wants to unmount
    try:
        hold = Hold(place)
        background(place.log)
        listening = bind_unix(place.socket)
        place.write_record([], os.getpid())
    except EicctlError as error:
        os.write(ready, error.message.encode(errors="replace"))
        raise SystemExit(1) from error

    async def serve() -> None:
        spare.enable()
        server = Server(place, listening, idle=float(os.environ.get("EICCTL_AGENT_IDLE") or IDLE))
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, server.stop)
        os.write(ready, READY)
        os.close(ready)
        threading.Thread(target=preload, daemon=True).start()
        await server.serve()

    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(serve())
    place.forget()
    hold.release()


if __name__ == "__main__":
    main()
