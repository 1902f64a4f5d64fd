"""What happens to forwarded connections and to the SSH connections below them, in lines for people."""

from __future__ import annotations

from collections.abc import Callable

from eicctl.core.errors import EicctlError
from eicctl.ssh.forward.forwarder import Finished


class ForwardLines:
    """A forwarder's observer that gives each event to `say` as a line; single connections only if `verbose`."""

    def __init__(self, say: Callable[[str], None], *, verbose: bool) -> None:
        self.say = say
        self._verbose = verbose

    def noted(self, label: str, text: str) -> None:
        self.say(f"{label}: {text}")

    def renewed(self, label: str, staying: int, seconds: float) -> None:
        stay = f"; {_count(staying)} on the old one, which ends in {_time(seconds)}" if staying else ""
        self.say(f"{label}: a fresh SSH connection takes new connections{stay}")

    def expired(self, label: str, cut: int) -> None:
        self.say(f"{label}: an old SSH connection has ended with its hour, and {_count(cut)} with it")

    def lost(self, label: str, why: str, cut: int) -> None:
        ended = f" ({_count(cut)} with it)" if cut else ""
        self.say(f"{label}: SSH connection lost{ended}: {why}; connecting again, new connections wait")

    def retrying(self, label: str, error: EicctlError, pause: float) -> None:
        hint = f" ({error.hint})" if error.hint else ""
        self.say(f"{label}: no fresh SSH connection: {error.message}{hint}; again in {pause:.1f} s")

    def recovered(self, label: str, seconds: float) -> None:
        self.say(f"{label}: connected again after {seconds:.1f} s")

    def opened(self, number: int, client: str, remote: str) -> None:
        if self._verbose:
            self.say(f"[{number}] {client} to {remote}")

    def failed(self, number: int, client: str, remote: str, error: EicctlError) -> None:
        self.say(f"[{number}] {client} not connected: {error.message}")
        if error.hint:
            self.say(f"[{number}] hint: {error.hint}")

    def closed(self, number: int, client: str, remote: str, finished: Finished) -> None:
        if self._verbose:
            why = f": {finished.error}" if finished.error else ""
            self.say(
                f"[{number}] closed{why} ({finished.bytes_in:,} bytes in, {finished.bytes_out:,} out, "
                f"{finished.duration:.1f} s)"
            )


def _count(number: int) -> str:
    return f"{number} connection{'' if number == 1 else 's'}"


def _time(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 120 else f"{seconds:.0f} s"
