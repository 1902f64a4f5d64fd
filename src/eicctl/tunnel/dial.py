"""From a target to an open websocket: credentials, signature, TCP, TLS, handshake.

Dialling blocks, and is done in a thread where other connections must go on meanwhile. An open `Link` does not block.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import logging
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidStatus
from websockets.http11 import Response
from websockets.protocol import OPEN
from websockets.uri import parse_uri

from eicctl.core.errors import EicctlError, LocalError, NetworkError, NotFoundError, ThrottledError, UnavailableError
from eicctl.core.model import MAX_TUNNEL_DURATION, CredentialsSource, Target
from eicctl.support import tls
from eicctl.support.activity import Activity
from eicctl.support.clock import Backoff, seconds_left
from eicctl.support.connect import CONNECT_TIMEOUT, connect, split_host
from eicctl.support.tls import SecureSocket
from eicctl.tunnel import errors, keepalive, preconnect
from eicctl.tunnel.durations import Durations
from eicctl.tunnel.frames import MAX_MESSAGE, IncomingFrames
from eicctl.tunnel.sign import presign, user_agent
from eicctl.tunnel.slots import NOTICE, QUEUE_TIMEOUT, SlotReservation, slots_of

_log = logging.getLogger(__name__)

RETRY_BUDGET = 15.0
"""Seconds after which a dial that failed for a passing reason is not begun again."""

LOOK_UP_EVERY = 10.0
"""Seconds between two look-ups of a target whose endpoint is not there."""

_END_OF_HEAD = b"\r\n\r\n"


# websockets logs requests at DEBUG, and the request line holds a presigned URL.
_silent = logging.Logger("eicctl.websockets", level=logging.CRITICAL + 1)


@dataclass(frozen=True, slots=True)
class Times:
    """How long the stages of a dial took, in seconds; `tcp` is with name resolution, or with the proxy's work."""

    tcp: float = 0.0
    tls: float = 0.0
    handshake: float = 0.0


@dataclass(slots=True)
class Link:
    """An open websocket to the service. The stream does not block.

    `frames` reads what the service sends, and `early` is what came of it together with the handshake's answer;
    `keepalive` is the seconds without traffic after which to ping, or 0; `reservation` is the slot that it takes.
    """

    stream: SecureSocket
    protocol: ClientProtocol
    frames: IncomingFrames
    target: Target
    request_id: str
    max_duration: int
    opened: float
    keepalive: float = 0.0
    early: bytes = b""
    reservation: SlotReservation | None = None
    times: Times = field(default_factory=Times)

    def close(self) -> None:
        """Close the connection, and give its slot to the next one."""
        self.stream.close()
        if self.reservation:
            self.reservation.release()


@dataclass
class Dialer:
    """Opens links to one target. Safe to use from several threads.

    Attributes:
        target: Where links go.
        credentials: Asked for each link, so that a renewed session is used without a restart.
        ca_bundle: CA certificates to trust (PEM file or folder), or None for the system's.
        max_tunnel_duration: Longest life of a link, in seconds (1 to 3600), or None to leave it to the service;
            where the caller's policy wants one, it is found and remembered.
        queue_timeout: Seconds for which a slot at the endpoint is waited for.
        durations: How a duration that the policy wants is found; None to leave it to the service.
        keepalive: Seconds without traffic after which an open link is pinged; 0 for never, None for what is configured.
        look_up: Finds the target again where its endpoint is not there any more, or None for a target that cannot be.
            Blocks.
    """

    target: Target
    credentials: CredentialsSource
    ca_bundle: str | None = None
    max_tunnel_duration: int | None = None
    queue_timeout: float = QUEUE_TIMEOUT
    durations: Durations | None = field(repr=False, init=False)
    look_up: Callable[[], Target] | None = field(default=None, repr=False)
    keepalive: float | None = None
    _looked_up: float = field(default=-math.inf, repr=False, init=False)
    _look_up_lock: threading.Lock = field(default_factory=threading.Lock, repr=False, init=False)
    _trust: tls.Trust | None = field(default=None, repr=False, init=False)

    def __post_init__(self) -> None:
        self.durations = Durations(self._caller, lambda: self.target.endpoint_id)
        if self.keepalive is None:
            self.keepalive = keepalive.interval()

    def claim(self) -> SlotReservation:
        """Return a slot at the target's endpoint, which may have to be waited for.

        Raises:
            ThrottledError: Too many wait already.
        """
        return slots_of(self.target.endpoint_id).claim(f"{self.target.label}:{self.target.remote_port}")

    def open(self, *, retry_budget: float = RETRY_BUDGET, waits: Callable[[str], object] | None = None) -> Link:
        """Return an open link. Waits for a slot at the endpoint; `open_link` does so without a thread.

        Args:
            retry_budget: See `dial`.
            waits: Called with what the user should know, once, when there has been no slot for `NOTICE` seconds.

        Raises:
            EicctlError: The last attempt's failure, which says where it went wrong.
        """
        reservation = self.claim()
        started = time.monotonic()
        deadline = started + self.queue_timeout
        refusal: ThrottledError | None = None
        with Activity("connect", self.target.label) as activity:
            try:
                while True:
                    until = deadline if activity.kind == "slot" else min(deadline, started + NOTICE)
                    try:
                        reservation.turn.result(max(0.0, until - time.monotonic()))
                    except TimeoutError:
                        if until == deadline:
                            raise reservation.timed_out(self.queue_timeout, refusal) from refusal
                        activity.kind, activity.where = "slot", reservation.note(self.queue_timeout, refusal)
                        if waits:
                            waits(activity.where)
                        continue
                    try:
                        return self.dial(reservation, retry_budget=retry_budget)
                    except ThrottledError as error:
                        refusal = error
                        reservation.refused()
            except BaseException:
                reservation.release()
                raise

    def dial(
        self,
        reservation: SlotReservation,
        *,
        retry_budget: float = RETRY_BUDGET,
        waiting: Callable[[EicctlError], None] | None = None,
    ) -> Link:
        """Return an open link at a slot whose turn it is; a passing failure is tried again with growing pauses.

        Args:
            reservation: The slot, which the link keeps. Where no link is returned, it is still the caller's.
            retry_budget: Seconds after which no new attempt begins; 0 for one attempt.
            waiting: Called with the error before each pause.

        Raises:
            ThrottledError: The endpoint has no slot; `reservation.refused` waits for one.
            EicctlError: The last attempt's failure, which says where it went wrong.
        """
        deadline = time.monotonic() + retry_budget
        backoff = Backoff(0.2, 5.0)
        while True:
            target = self.target
            try:
                link = self._open_allowed()
            except ThrottledError:
                raise
            except EicctlError as error:
                if self._moved(target, error):
                    continue
                wait = backoff.pause()
                if not error.transient or time.monotonic() + wait > deadline:
                    raise
                _log.debug("dial failed, again in %.1f s: %s", wait, error.message)
                if waiting:
                    waiting(error)
                time.sleep(wait)
            else:
                link.reservation = reservation
                reservation.opened()
                return link

    def _open_allowed(self) -> Link:
        try:
            if self.max_tunnel_duration is not None or self.durations is None:
                return self._open_once(self.max_tunnel_duration)
            return self.durations.open(self._open_once)
        except (OSError, EicctlError) as error:
            if not out_of_descriptors(error):
                raise
            preconnect.drop()
            raise LocalError(
                "This process has no file descriptors left",
                hint="raise the limit of open files: ulimit -n 4096",
                transient=True,
            ) from error

    def _moved(self, target: Target, error: EicctlError) -> bool:
        """Whether a dial failed because the endpoint is gone, and the target is reached through another one now.

        Raises:
            NotFoundError, UnavailableError: It is reached through none; the error says more than that of the dial.
        """
        gone = isinstance(error, (NotFoundError, UnavailableError, NetworkError)) and not error.transient
        if not gone or self.look_up is None:
            return False
        with self._look_up_lock:  # of several connections that fail, the first one looks
            if self.target == target and time.monotonic() - self._looked_up > LOOK_UP_EVERY:
                self._looked_up = time.monotonic()
                try:
                    self.target = self.look_up()
                except (NotFoundError, UnavailableError) as instead:
                    raise instead from error
                except EicctlError as why:
                    _log.debug("the target cannot be looked up again: %s", why.message)
            return self.target != target

    def _caller(self) -> str:
        credentials = self.credentials()
        return credentials.profile or credentials.access_key_id

    def _open_once(self, duration: int | None) -> Link:
        host, port = split_host(self.target.endpoint_dns_name)
        if self._trust is None:
            self._trust = tls.trust(self.ca_bundle)
        if stream := preconnect.take(host, port, self._trust):
            with contextlib.suppress(NetworkError):  # it was closed in this moment, and is as good as none
                return self._upgraded(stream, duration, Times())
        started = time.monotonic()
        stream, connected = preconnect.taken(host, port, self._trust), started
        if stream is None:
            sock = connect(host, port, CONNECT_TIMEOUT)
            connected = time.monotonic()
            stream = self._trust.secured(sock, host, port)
        return self._upgraded(stream, duration, Times(connected - started, time.monotonic() - connected))

    def _upgraded(self, stream: SecureSocket, duration: int | None, times: Times) -> Link:
        """Return the link that a TLS connection becomes, which is closed if that fails; `times` are those before."""
        started = time.monotonic()
        host, port = split_host(self.target.endpoint_dns_name)
        assert self._trust  # noqa: S101 - the connection has come of it
        try:
            link = self._handshake(stream, duration)
            self._trust.keep_session(stream, host, port)
        except BaseException:
            stream.close()
            raise
        link.times = replace(times, handshake=link.opened - started)
        preconnect.used(host, port, self._trust)
        _log.debug(
            "opened %s (TCP %.0f ms, TLS %.0f%s, handshake %.0f), request ID %s",
            self.target.label,
            1000 * times.tcp,
            1000 * times.tls,
            " resumed" if stream.resumed else "",
            1000 * link.times.handshake,
            link.request_id or "none",
        )
        return link

    def _handshake(self, stream: SecureSocket, duration: int | None) -> Link:
        # Signed here, when nothing but the request is left to do: a URL is good for a minute only.
        started = time.monotonic()
        url = presign(self.target, self.credentials(), max_tunnel_duration=duration)
        _log.debug("signed for %s in %.1f ms", self.target.endpoint_id, 1000 * (time.monotonic() - started))
        protocol = ClientProtocol(parse_uri(url), max_size=MAX_MESSAGE, logger=_silent)
        request = protocol.connect()
        request.headers["User-Agent"] = user_agent()
        protocol.send_request(request)
        try:
            stream.send(b"".join(protocol.data_to_send()))
            response, early = _answer(stream, protocol, CONNECT_TIMEOUT)
        except TimeoutError as error:
            raise NetworkError("The endpoint does not answer the websocket handshake", transient=True) from error
        except OSError as error:
            raise NetworkError(f"The connection broke in the handshake: {error}", transient=True) from error
        headers = {name.lower(): value for name, value in response.headers.raw_items()}
        if response.status_code == 408:  # the service has given up the connection, and not yet closed it
            raise NetworkError("The endpoint closed the connection in the handshake", transient=True)
        if isinstance(protocol.handshake_exc, InvalidStatus):
            raise errors.refusal(response.status_code, headers, bytes(response.body or b""), self.target)
        if protocol.handshake_exc:
            raise NetworkError(f"The endpoint's response is not a websocket handshake: {protocol.handshake_exc}")
        stream.settimeout(0)
        return Link(
            stream=stream,
            protocol=protocol,
            frames=IncomingFrames(protocol),
            target=self.target,
            request_id=headers.get("x-amzn-requestid", ""),
            max_duration=duration or MAX_TUNNEL_DURATION,
            opened=time.monotonic(),
            keepalive=self.keepalive or 0.0,
            early=early,
        )


def _answer(stream: SecureSocket, protocol: ClientProtocol, timeout: float) -> tuple[Response, bytes]:
    """Read until the server has answered the handshake; return the answer and the bytes that came after it.

    websockets bounds the number and size of header lines, and the body of a refusal.

    Raises:
        TimeoutError: It has not within `timeout` seconds.
    """
    seen = b""
    deadline = time.monotonic() + timeout
    while True:
        ended = False
        rest = b""
        stream.settimeout(seconds_left(deadline))
        try:
            data = bytes(stream.receive() or b"")
        except EOFError:
            ended = True
            protocol.receive_eof()
        else:
            seen += data
            end = seen.find(_END_OF_HEAD)
            size = len(data) if end < 0 else max(0, end + len(_END_OF_HEAD) - len(seen) + len(data))
            protocol.receive_data(data[:size])
            rest = data[size:]
            if rest and protocol.state is not OPEN:  # a refusal's body
                protocol.receive_data(rest)
        events = protocol.events_received()
        if events and isinstance(response := events[0], Response):
            return response, rest
        if ended:
            raise NetworkError("The endpoint closed the connection in the handshake", transient=True)
        if protocol.handshake_exc:
            raise NetworkError(f"The endpoint's response is not a websocket handshake: {protocol.handshake_exc}")


async def open_link(
    dialer: Dialer,
    *,
    retry_budget: float = RETRY_BUDGET,
    retrying: Callable[[EicctlError], None] | None = None,
    queued: Callable[[int], None] | None = None,
) -> Link:
    """Return an open link; the dial itself is made in a thread. Cancelling it gives the slot to the next one.

    Args:
        dialer: Opens the link.
        retry_budget: See `Dialer.dial`.
        retrying: Called on the loop with the error of a dial that is tried again, and with the first refusal.
        queued: Called once, if no slot is free at once, with the number of connections that are served before.

    Raises:
        EicctlError: No slot became free in time, or the dial failed.
    """
    import asyncio  # a ProxyCommand does without these

    from eicctl.support.threads import in_thread

    loop = asyncio.get_running_loop()
    reservation = dialer.claim()
    deadline = loop.time() + dialer.queue_timeout
    refusal: ThrottledError | None = None

    def tell(error: EicctlError) -> None:
        if retrying:
            loop.call_soon_threadsafe(retrying, error)

    dial = functools.partial(dialer.dial, reservation, retry_budget=retry_budget, waiting=tell)
    try:
        while True:
            if queued and not reservation.turn.done():
                queued(reservation.before)
                queued = None
            try:
                async with asyncio.timeout_at(deadline):
                    await asyncio.wrap_future(reservation.turn)
            except TimeoutError:
                raise reservation.timed_out(dialer.queue_timeout, refusal) from refusal
            try:
                return await in_thread(dial, Link.close)
            except ThrottledError as error:
                if retrying and not refusal:
                    retrying(error)
                refusal = error
                reservation.refused()
    except BaseException:
        reservation.release()
        raise


WANTED = 8192
"""File descriptors that a process which serves clients should be allowed; a shell's usual limit is 1,024."""


def allow_many() -> None:
    """Raise this process's own limit of file descriptors to `WANTED`, as far as the system's limit lets it."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WANTED if hard == resource.RLIM_INFINITY else min(WANTED, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def out_of_descriptors(error: BaseException) -> bool:
    """Whether an error, or its cause, is that the process or the machine has no file descriptors left."""
    return any(getattr(one, "errno", None) in (errno.EMFILE, errno.ENFILE) for one in (error, error.__cause__))
