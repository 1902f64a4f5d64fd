"""Local ports for programs that have to be told one."""

from __future__ import annotations

import errno
import random
import socket

_BELOW_EPHEMERAL = range(20_000, 32_000)
"""Linux takes none of these for outgoing connections, of which the tests beside this one have many."""


def free_port() -> int:
    """Return a port that nobody has on loopback addresses, and that no outgoing connection takes meanwhile."""
    return next(port for port in random.sample(_BELOW_EPHEMERAL, k=1000) if not any(map(_taken, _addresses(port))))


def _addresses(port: int) -> list[tuple[int, tuple[str, int]]]:
    return [(socket.AF_INET, ("127.0.0.1", port)), (socket.AF_INET6, ("::1", port))]


def _taken(address: tuple[int, tuple[str, int]]) -> bool:
    family, where = address
    try:
        with socket.create_server(where, family=family):
            return False
    except OSError as error:
        return error.errno == errno.EADDRINUSE  # a machine may lack one of the addresses
