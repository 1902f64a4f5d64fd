"""What happens to a listener's connections, in lines for people."""

from __future__ import annotations

from collections.abc import Callable

from eicctl.errors import EicctlError
from eicctl.tunnel.channel import Ending


class ListenerLines:
    """A listener's observer that gives each event to `say` as a line."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.say = say

    def opened(self, number: int, client: str) -> None:
        self.say(f"[{number}] opened for {client}")

    def retrying(self, number: int, client: str, error: EicctlError) -> None:
        self.say(f"[{number}] trying again: {error.message}")

    def failed(self, number: int, client: str, error: EicctlError) -> None:
        self.say(f"[{number}] no tunnel for {client}: {error.message}")
        if error.hint:
            self.say(f"[{number}] hint: {error.hint}")

    def closed(self, number: int, client: str, ending: Ending) -> None:
        self.say(
            f"[{number}] closed: {ending.reason} ({ending.bytes_in:,} bytes in, {ending.bytes_out:,} out, "
            f"{ending.duration:.1f} s)"
        )
        if ending.error:
            if ending.request_id:
                self.say(f"[{number}] request ID: {ending.request_id}")
            if ending.error.hint:
                self.say(f"[{number}] hint: {ending.error.hint}")
