"""What happens to tunnels, for people and for programs: the text and the JSON of `TunnelEvent`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import datetime

from eicctl.core.errors import UnreachableError
from eicctl.core.events import CloseInfo, Emit, TunnelEvent
from eicctl.core.names import counted
from eicctl.doctor.likely_cause import in_background
from eicctl.view import messages, progress


def renderer(output: str, *, verbose: bool = True, out: Callable[[str], None] = messages.out) -> Emit:
    """Return what prints events in the form `text` or `json`.

    Args:
        output: The form. The first JSON object is `listening`, after `checked` if that is emitted.
        verbose: Whether text has a line for each connection that is opened, and for each that ends well.
        out: Where text has the local addresses; everything else is on stderr.
    """
    if output == "json":
        return _Json()

    def show(event: TunnelEvent) -> None:
        if not verbose and not _matters(event):
            return
        failed = bool(event.error or (event.close_info and event.close_info.error))
        for line in lines(event):
            out(line) if event.kind == "listening" else messages.line(line, problem=failed)
        if event.kind == "listening":
            progress.uninstall()
        _explain(event, show)

    return show


def lines(event: TunnelEvent) -> list[str]:
    """Return an event in lines for people; a command in them is for the profile and region that it names."""
    said = [_sentence(event)]
    info = event.close_info
    if info and info.error and info.request_id:
        said.append(f"request ID: {info.request_id}")
    error = event.error or (info.error if info else None)
    if error and error.hint and (event.kind != "retrying" or not event.connection):
        said.append(f"hint: {error.hint}")
    who = f"[{event.connection}] " if event.connection else f"{event.via}: " if event.via and not event.local else ""
    return [who + line for line in said]


def stamped(event: TunnelEvent) -> list[str]:
    """Return an event in lines for people, each with the time."""
    moment = f"{datetime.fromtimestamp(event.time).astimezone():%Y-%m-%d %H:%M:%S}"
    return [f"{moment} {line}" for line in lines(event)]


def _matters(event: TunnelEvent) -> bool:
    """Whether an event is more than the usual course of a connection."""
    lost = event.close_info and isinstance(event.close_info.error, UnreachableError)
    return event.kind != "opened" and (event.kind != "closed" or bool(lost))


def _sentence(event: TunnelEvent) -> str:
    message = event.error.message if event.error else ""
    match event.kind:
        case "checked":
            return _checked(event)
        case "listening":
            return f"Listening on {' and '.join(event.local)} for {_destination(event)}"
        case "waiting":
            ahead = f"{event.count} ahead" if event.count else "next in line"
            return f"{event.client} queued ({event.limit}-connection limit, {ahead})"
        case "disconnected":
            return f"{event.client}: client disconnected before the tunnel opened"
        case "opened":
            return f"opened for {event.client}" + (f" to {event.remote}" if event.remote else "")
        case "failed":
            return f"{event.client} not connected: {message}"
        case "closed" if event.close_info:
            return _closed(event.close_info)
        case "likely-cause":
            return f"likely cause: {event.text}" + (f"; {event.hint}" if event.hint else "")
        case "retrying" if event.connection or not event.seconds:
            return f"retrying: {message}"
        case "retrying":
            what = "no new SSH connection" if event.via else "error"
            return f"{what}: {message}; retrying in {event.seconds:.1f} s"
        case "renewed":
            stay = f"; {_count(event)} on the old one, which ends in {_time(event.seconds)}" if event.count else ""
            return f"new connections use a fresh SSH connection{stay}"
        case "expired":
            return f"an SSH connection reached its maximum duration, which closed {_count(event)}"
        case "lost":
            closed = f" ({_count(event)} closed)" if event.count else ""
            return f"SSH connection lost{closed}: {event.text}; reconnecting, new connections wait"
        case "recovered":
            return f"reconnected after {event.seconds:.1f} s"
        case _:
            return event.text


def _checked(event: TunnelEvent) -> str:
    target = event.target
    if not target or event.text:
        return f"checked: {target.label if target else event.remote} answers ({event.text})"
    service = "RDP" if target.remote_port == 3389 else f"port {target.remote_port}"
    return (
        f"checked: endpoint {target.endpoint_id} accepted the tunnel; whether {target.label} accepts {service} "
        "shows when a client connects"
    )


def _destination(event: TunnelEvent) -> str:
    if target := event.target:
        return f"{target.label} ({target.address} port {target.remote_port}, through {target.endpoint_id})"
    return f"{event.remote} (through {event.via})"


def _closed(info: CloseInfo) -> str:
    reason = info.reason if not info.reason.startswith("Tunnel closed: ") else info.reason[len("Tunnel closed: ") :]
    why = f": {reason}" if reason else ""
    return f"closed{why} ({counted(info.bytes_in, 'byte')} in, {info.bytes_out:,} out, {info.duration:.1f} s)"


def _count(event: TunnelEvent) -> str:
    return counted(event.count, "connection")


def _time(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 120 else f"{seconds:.0f} s"


def _explain(event: TunnelEvent, show: Emit) -> None:
    """Show the likely cause of a connection's failure as soon as it is found."""
    if event.close_info and (error := event.close_info.error):
        cause = replace(event, kind="likely-cause", close_info=None)
        in_background(error, lambda likely: show(replace(cause, text=likely.summary, hint=likely.remediation)))


class _Json:
    """One JSON object a line on stdout. What comes before clients can connect is printed after they can."""

    def __init__(self) -> None:
        self._early: list[TunnelEvent] | None = []

    def __call__(self, event: TunnelEvent) -> None:
        if self._early is not None and event.kind not in ("checked", "listening"):
            self._early.append(event)
            return
        messages.event(event.kind, **_fields(event))
        if event.kind == "listening":
            progress.uninstall()
            early, self._early = self._early, None
            for one in early or ():
                self(one)
        _explain(event, self)


def _fields(event: TunnelEvent) -> dict[str, object]:
    """Return the keys of an event's JSON object."""
    who = {"Connection": event.connection, "Client": event.client, "Remote": event.remote, "Via": event.via}
    known: dict[str, object] = {key: value for key, value in who.items() if value}
    error, info = event.error, event.close_info
    match event.kind:
        case "checked":
            return {"TargetAnswers": bool(event.text), "RequestId": event.request_id}
        case "listening":
            _, colon, port = event.local[0].rpartition(":")
            local = {"LocalAddresses": event.local, "LocalPort": int(port) if colon and port.isdigit() else None}
            target = asdict(event.target) if event.target else {}
            names = {"".join(part.title() for part in key.split("_")): value for key, value in target.items()}
            return {**local, **({"Target": names} if names else known)}
        case "waiting":
            return {**known, "Before": event.count}
        case "retrying" if event.connection and error:
            return {**known, "Error": error.message}
        case "retrying" if error:
            return {**known, "Error": error.message, "Hint": error.hint, "AgainInSeconds": round(event.seconds, 1)}
        case "failed" if error:
            return {**known, "Error": error.message, "Hint": error.hint, "RequestId": error.request_id}
        case "closed" if info:
            counts = {"BytesIn": info.bytes_in, "BytesOut": info.bytes_out, "Seconds": round(info.duration, 3)}
            # A tunnel of its own has the text in Reason.
            failure = (info.error and info.error.message) if event.remote else bool(info.error)
            return {**known, "Reason": info.reason, "Error": failure, **counts, "RequestId": info.request_id}
        case "likely-cause":
            return {**known, "LikelyCause": event.text, "Hint": event.hint or None}
        case "renewed":
            return {**known, "DrainingConnections": event.count, "OldEndsInSeconds": round(event.seconds, 1)}
        case "expired":
            return {**known, "ConnectionsCut": event.count}
        case "lost":
            return {**known, "Reason": event.text, "ConnectionsCut": event.count}
        case "recovered":
            return {**known, "Seconds": round(event.seconds, 1)}
        case "note":
            return {**known, "Text": event.text}
        case _:
            return known
