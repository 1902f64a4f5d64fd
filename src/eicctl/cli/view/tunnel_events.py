"""What `eicctl tunnel` says: lines for people, or JSON objects."""

from __future__ import annotations

import socket
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import asdict
from typing import Protocol

from eicctl.cli.view import messages
from eicctl.core.errors import EicctlError
from eicctl.core.events import CloseInfo
from eicctl.core.model import Target
from eicctl.doctor.likely_cause import in_background
from eicctl.tunnel.bind import local_addresses
from eicctl.tunnel.listener import Observer
from eicctl.tunnel.listener_lines import ListenerLines
from eicctl.tunnel.probe import Probe


class Events(Observer, Protocol):
    """A listener's observer that is also told how the listener came up."""

    @abstractmethod
    def checked(self, found: Probe) -> None:
        """The endpoint lets us in."""

    @abstractmethod
    def listening(self, sockets: Sequence[socket.socket]) -> None:
        """Clients can connect."""


def events_for(output: str, target: Target) -> Events:
    """Return the events in the form `text` or `json`."""
    return _JsonEvents(target) if output == "json" else _TextEvents(target)


class _TextEvents(ListenerLines, Events):
    """The local address on stdout, everything else on stderr."""

    def __init__(self, target: Target) -> None:
        super().__init__(messages.line, target.endpoint_id)
        self._target = target

    def checked(self, found: Probe) -> None:
        if found.banner:
            first = found.banner.splitlines()[0][:60].decode(errors="replace")
            messages.line(f"checked: {self._target.label} answers ({first})")
        else:
            messages.line(
                f"checked: {self._target.endpoint_id} lets us in; {self._target.label} answers a client, or it does not"
            )

    def listening(self, sockets: Sequence[socket.socket]) -> None:
        target = self._target
        where = " and ".join(local_addresses(sockets))
        messages.out(
            f"Listening on {where} for {target.label} ({target.address} port {target.remote_port}, "
            f"through {target.endpoint_id})"
        )

    def closed(self, number: int, client: str, ending: CloseInfo) -> None:
        super().closed(number, client, ending)
        if ending.error:
            in_background(
                ending.error,
                lambda likely: messages.line(
                    f"[{number}] likely cause: {likely.summary}"
                    + (f"; {likely.remediation}" if likely.remediation else "")
                ),
            )


class _JsonEvents(Events):
    """One JSON object a line on stdout, with `Event` as its kind."""

    def __init__(self, target: Target) -> None:
        self._target = target

    def checked(self, found: Probe) -> None:
        messages.event("checked", TargetAnswers=bool(found.banner), RequestId=found.request_id)

    def listening(self, sockets: Sequence[socket.socket]) -> None:
        name = sockets[0].getsockname()
        target = {
            "".join(part.title() for part in key.split("_")): value for key, value in asdict(self._target).items()
        }
        messages.event(
            "listening",
            LocalAddresses=local_addresses(sockets),
            LocalPort=name[1] if isinstance(name, tuple) else None,
            Target=target,
        )

    def waiting(self, number: int, client: str, before: int) -> None:
        messages.event("waiting", Connection=number, Client=client, Before=before)

    def left(self, number: int, client: str) -> None:
        messages.event("disconnected", Connection=number, Client=client)

    def opened(self, number: int, client: str) -> None:
        messages.event("opened", Connection=number, Client=client)

    def retrying(self, number: int, client: str, error: EicctlError) -> None:
        messages.event("retrying", Connection=number, Client=client, Error=error.message)

    def failed(self, number: int, client: str, error: EicctlError) -> None:
        messages.event(
            "failed", Connection=number, Client=client, Error=error.message, Hint=error.hint, RequestId=error.request_id
        )

    def closed(self, number: int, client: str, ending: CloseInfo) -> None:
        messages.event(
            "closed",
            Connection=number,
            Client=client,
            Reason=ending.reason,
            Error=bool(ending.error),
            BytesIn=ending.bytes_in,
            BytesOut=ending.bytes_out,
            Seconds=round(ending.duration, 3),
            RequestId=ending.request_id,
        )
        if ending.error:
            in_background(
                ending.error,
                lambda likely: messages.event(
                    "likely-cause", Connection=number, LikelyCause=likely.summary, Hint=likely.remediation or None
                ),
            )
