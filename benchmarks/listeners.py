"""As many connections as there may be: a process that listens on a port for each of many endpoints, each for its 20.

python -m benchmarks.listeners ENDPOINT_HOST:PORT FIRST_PORT ENDPOINTS
"""

from __future__ import annotations

import contextlib
import sys
import threading

from eicctl import Target, open_tunnel

PLACES = 20
"""Connections of an endpoint (docs/explanation/protocol.md#limits)."""


def main() -> None:
    """Listen until the end."""
    host, first, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    with contextlib.ExitStack() as stack:
        for number in range(count):
            target = Target("10.0.0.1", 22, f"eice-{number:017x}", host, "us-east-1")
            stack.enter_context(open_tunnel(target, local_port=first + number))
        print("listening", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
