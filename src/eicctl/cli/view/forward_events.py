"""What commands that forward through SSH say: lines for people, or JSON objects."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from typing import Protocol

from eicctl.cli.view import messages
from eicctl.core.errors import EicctlError
from eicctl.ssh.forward.forwarder import Finished, Observer
from eicctl.ssh.forward.lines import ForwardLines
from eicctl.tunnel.bind import local_addresses


class Events(Observer, Protocol):
    """A forwarder's observer that is also told of its listeners."""

    def listening(self, sockets: Sequence[socket.socket], remote: str, label: str) -> None:
        """Clients can connect."""


def events_for(output: str, *, verbose: bool) -> Events:
    """Return the events in the form `text` or `json`; `verbose` text has a line for each forwarded connection."""
    return JsonEvents() if output == "json" else TextEvents(verbose)


class TextEvents(ForwardLines, Events):
    """Local addresses on stdout, or where `echo` puts them, everything else on stderr."""

    def __init__(self, verbose: bool, echo: Callable[[str], None] = messages.out) -> None:
        super().__init__(messages.line, verbose=verbose)
        self._echo = echo

    def listening(self, sockets: Sequence[socket.socket], remote: str, label: str) -> None:
        where = " and ".join(local_addresses(sockets))
        self._echo(f"Listening on {where} for {remote} (through {label})")


class JsonEvents(Events):
    """One JSON object a line on stdout, with `Event` as its kind. The first one is `listening`."""

    def __init__(self) -> None:
        self._early: list[tuple[str, dict[str, object]]] | None = []  # until clients can connect

    def say(self, event: str, **fields: object) -> None:
        """Print an event; what comes before clients can connect is printed after they can."""
        early = self._early
        if early is not None and event != "listening":
            early.append((event, fields))
            return
        self._early = None
        messages.event(event, **fields)
        for name, values in early or ():
            messages.event(name, **values)

    def listening(self, sockets: Sequence[socket.socket], remote: str, label: str) -> None:
        name = sockets[0].getsockname()
        self.say(
            "listening",
            LocalAddresses=local_addresses(sockets),
            LocalPort=name[1] if isinstance(name, tuple) else None,
            Remote=remote,
            Via=label,
        )

    def noted(self, label: str, text: str) -> None:
        self.say("note", Via=label, Text=text)

    def renewed(self, label: str, staying: int, seconds: float) -> None:
        self.say("renewed", Via=label, DrainingConnections=staying, OldEndsInSeconds=round(seconds, 1))

    def expired(self, label: str, cut: int) -> None:
        self.say("expired", Via=label, ConnectionsCut=cut)

    def lost(self, label: str, why: str, cut: int) -> None:
        self.say("lost", Via=label, Reason=why, ConnectionsCut=cut)

    def retrying(self, label: str, error: EicctlError, pause: float) -> None:
        self.say("retrying", Via=label, Error=error.message, Hint=error.hint, AgainInSeconds=round(pause, 1))

    def recovered(self, label: str, seconds: float) -> None:
        self.say("recovered", Via=label, Seconds=round(seconds, 1))

    def opened(self, number: int, client: str, remote: str) -> None:
        self.say("opened", Connection=number, Client=client, Remote=remote)

    def failed(self, number: int, client: str, remote: str, error: EicctlError) -> None:
        self.say("failed", Connection=number, Client=client, Remote=remote, Error=error.message, Hint=error.hint)

    def closed(self, number: int, client: str, remote: str, finished: Finished) -> None:
        self.say(
            "closed",
            Connection=number,
            Client=client,
            Remote=remote,
            Error=finished.error,
            BytesIn=finished.bytes_in,
            BytesOut=finished.bytes_out,
            Seconds=round(finished.duration, 3),
        )
