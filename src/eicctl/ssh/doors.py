"""The ways in which an OpenSSH process gets a tunnel that no ProxyCommand of its own opens."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from eicctl.tunnel.dial import Link
    from eicctl.tunnel.ending import Ending


def available() -> bool:
    """Whether this platform has what a `Carrier` needs."""
    return sys.platform == "linux" and Path("/proc/self/fd").is_dir()


class Elsewhere(ABC):
    """A tunnel that another process has opened, and carries.

    Attributes:
        max_duration: Longest life of the tunnel, in seconds.
    """

    max_duration: float

    @abstractmethod
    def carry(self, pipes: tuple[int, int]) -> Ending:
        """Hand the pipes over, to read and to write, and return how the tunnel has ended. Blocks until then."""

    @abstractmethod
    def leave(self) -> None:
        """Let it go on when this process has ended."""


class NotCarriedError(Exception):
    """Another process has left a tunnel to this one."""


Tunnel: TypeAlias = "Link | Elsewhere"
"""One of this process, or one of another."""
