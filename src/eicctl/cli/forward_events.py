"""What commands that forward through SSH say: lines for people, or JSON objects."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Sequence
from typing import Protocol

import click

from eicctl.cli import report
from eicctl.cli.tunnel_events import local_addresses
from eicctl.errors import EicctlError
from eicctl.ssh.forwarding import Finished, Observer


class Events(Observer, Protocol):
    """A forwarder's observer that is also told of its listeners."""

    def listening(self, sockets: Sequence[socket.socket], remote: str, label: str) -> None:
        """Clients can connect."""


def events_for(output: str, *, verbose: bool) -> Events:
    """Return the events in the form `text` or `json`; `verbose` text has a line for each forwarded connection."""
    return JsonEvents() if output == "json" else TextEvents(verbose)


class TextEvents(Events):
    """Local addresses on stdout, or where `echo` puts them, everything else on stderr."""

    def __init__(self, verbose: bool, echo: Callable[[str], None] = click.echo) -> None:
        self._verbose = verbose
        self._echo = echo

    def listening(self, sockets: Sequence[socket.socket], remote: str, label: str) -> None:
        where = " and ".join(local_addresses(sockets))
        self._echo(report.printable(f"Listening on {where} for {remote} (through {label})"))

    def noted(self, label: str, text: str) -> None:
        report.line(f"{label}: {text}")

    def renewed(self, label: str, staying: int, seconds: float) -> None:
        stay = f"; {_count(staying)} on the old one, which ends in {_time(seconds)}" if staying else ""
        report.line(f"{label}: a fresh SSH connection takes new connections{stay}")

    def expired(self, label: str, cut: int) -> None:
        report.line(f"{label}: an old SSH connection has ended with its hour, and {_count(cut)} with it")

    def lost(self, label: str, why: str, cut: int) -> None:
        ended = f" ({_count(cut)} with it)" if cut else ""
        report.line(f"{label}: SSH connection lost{ended}: {why}; connecting again, new connections wait")

    def retrying(self, label: str, error: EicctlError, pause: float) -> None:
        hint = f" ({error.hint})" if error.hint else ""
        report.line(f"{label}: no fresh SSH connection: {error.message}{hint}; again in {pause:.1f} s")

    def recovered(self, label: str, seconds: float) -> None:
        report.line(f"{label}: connected again after {seconds:.1f} s")

    def opened(self, number: int, client: str, remote: str) -> None:
        if self._verbose:
            report.line(f"[{number}] {client} to {remote}")

    def failed(self, number: int, client: str, remote: str, error: EicctlError) -> None:
        report.line(f"[{number}] {client} not connected: {error.message}")
        if error.hint:
            report.line(f"[{number}] hint: {error.hint}")

    def closed(self, number: int, client: str, remote: str, finished: Finished) -> None:
        if self._verbose:
            why = f": {finished.error}" if finished.error else ""
            report.line(
                f"[{number}] closed{why} ({finished.bytes_in:,} bytes in, {finished.bytes_out:,} out, "
                f"{finished.duration:.1f} s)"
            )


class JsonEvents(Events):
    """One JSON object a line on stdout, with `Event` as its kind."""

    def say(self, event: str, **fields: object) -> None:
        """Print an event."""
        click.echo(json.dumps({"Event": event, **fields}))

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
        self.say("renewed", Via=label, ConnectionsOnTheOld=staying, OldEndsInSeconds=round(seconds, 1))

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


def _count(number: int) -> str:
    return f"{number} connection{'' if number == 1 else 's'}"


def _time(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 120 else f"{seconds:.0f} s"
