"""What happens to a listener's connections, in lines for people."""

from __future__ import annotations

from collections.abc import Callable

from eicctl.core.errors import EicctlError
from eicctl.core.events import CloseInfo


class ListenerLines:
    """A listener's observer that gives each event to `say` as a line; `endpoint_id` is the endpoint's."""

    def __init__(self, say: Callable[[str], None], endpoint_id: str) -> None:
        self.say = say
        self._endpoint_id = endpoint_id

    def waiting(self, number: int, client: str, before: int) -> None:
        queue = f"{before} before it" if before else "the next one"
        self.say(f"[{number}] {client} waits for a place at {self._endpoint_id} ({queue})")

    def left(self, number: int, client: str) -> None:
        self.say(f"[{number}] {client} has left before its tunnel was open")

    def opened(self, number: int, client: str) -> None:
        self.say(f"[{number}] opened for {client}")

    def retrying(self, number: int, client: str, error: EicctlError) -> None:
        self.say(f"[{number}] trying again: {error.message}")

    def failed(self, number: int, client: str, error: EicctlError) -> None:
        self.say(f"[{number}] no tunnel for {client}: {error.message}")
        if error.hint:
            self.say(f"[{number}] hint: {error.hint}")

    def closed(self, number: int, client: str, ending: CloseInfo) -> None:
        self.say(
            f"[{number}] closed: {ending.reason} ({ending.bytes_in:,} bytes in, {ending.bytes_out:,} out, "
            f"{ending.duration:.1f} s)"
        )
        if ending.error:
            if ending.request_id:
                self.say(f"[{number}] request ID: {ending.request_id}")
            if ending.error.hint:
                self.say(f"[{number}] hint: {ending.error.hint}")
