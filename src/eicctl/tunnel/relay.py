"""One websocket <-> one local byte stream, driven by events.

What frames mean is websockets' (its sans-I/O `ClientProtocol`, and `frames.py` for plain ones); this module moves the
bytes. Each direction holds at most what one read brought: while it is not written on, that direction is not read, so a
reader that stops makes the writer stop, and nothing else waits.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from websockets.frames import Close
from websockets.protocol import OPEN

from eicctl.core.errors import EicctlError, NetworkError, SilentTargetError
from eicctl.core.events import CloseInfo
from eicctl.tunnel import errors as failures
from eicctl.tunnel.dial import Link
from eicctl.tunnel.frames import Part, plain_frame
from eicctl.tunnel.keepalive import Keepalive
from eicctl.tunnel.local_streams import LocalEnd
from eicctl.tunnel.selector_loop import Reactor, Timer

FRAME = 65000
"""Most bytes in a frame that is sent, as in the AWS CLI (docs/explanation/protocol.md#data-plane)."""

BATCH = 4 * FRAME
"""Most bytes that one event reads: large enough to be cheap, small enough not to hold up the loop's others."""

MOST_UNSENT = 2 * BATCH
"""Most bytes that wait to be sent while more is read from the service: what the local end brings at once is less, so
the rest are answers (pongs, TLS key updates) to a service that asks without end and takes nothing."""

CLOSE_TIMEOUT = 0.5
"""Seconds to wait for the service's half of the closing handshake."""

PIPE_CLOSE_TIMEOUT = 0.05
"""The same where OpenSSH's pipes are carried: a ProxyCommand ends within 100 ms of EOF."""

STALL_TIMEOUT = 1.0
"""Seconds for which a tunnel that is being closed may make no progress with what is still to be sent."""

DISCARD_TIMEOUT = 5.0
"""Seconds for which a local client may go on sending after the tunnel's end. Its bytes go nowhere; closing its socket
while some are unread would make the kernel throw away what the client has not yet read of ours."""

FIRST_LOOK, LAST_LOOK = 0.01, 1.0
"""Seconds after which it is looked again whether a client is still there that has sent EOF; the pauses double. Nothing
tells of its close: the kernel has told of the EOF."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Linger:
    """How long a silent target is waited for after a client's EOF: it may have an answer to give.

    A client that has closed its connection is not waited for.

    Attributes:
        there: Seconds where the client is known to be there still: it has ended its sending half only.
        unknown: Seconds where that cannot be known.
        answered: Whether it is waited for also where the target has answered since the client's last byte.
    """

    there: float = 60.0
    unknown: float = 5.0
    answered: bool = True

    @classmethod
    def of(cls, seconds: float | None, default: Linger | None = None) -> Linger:
        """Return what the user specified, or the default where that is None."""
        return (default or SOCKETS) if seconds is None else cls(seconds, seconds)


SOCKETS = Linger()
"""For the clients of a listener."""

END_AT_EOF = Linger(0, 0)
"""What was read is sent, and the tunnel ends."""

PIPES = Linger(unknown=0, answered=False)
"""For a ProxyCommand's pipes. OpenSSH's close at once; a script may end its input with a question."""


class Relay:
    """Carries bytes between a link and a local end until one of them ends.

    Args:
        reactor: The event loop; every method is called on its thread.
        link: The open websocket. The relay closes it.
        local: The local end. The relay closes it.
        on_end: Called once when the tunnel has ended; the local end may still be taking what is left.
        on_done: Called once when the local end is closed too.
        linger: How long a silent target is waited for after the local side's EOF.
        close_timeout: Seconds to wait for the service's half of the closing handshake.
    """

    def __init__(
        self,
        reactor: Reactor,
        link: Link,
        local: LocalEnd,
        *,
        on_end: Callable[[CloseInfo], None],
        on_done: Callable[[], None] = lambda: None,
        linger: Linger,
        close_timeout: float = CLOSE_TIMEOUT,
    ) -> None:
        self._reactor = reactor
        self._link = link
        self._protocol = link.protocol
        self._frames = link.frames
        self._stream = link.stream
        self._link_fd = link.stream.fileno()
        self._local = local
        self._on_end = on_end
        self._on_done = on_done
        self._linger = linger
        self._close_timeout = close_timeout
        self._to_local = memoryview(b"")
        self._sending = False
        self._choked = False
        self._link_open = True
        self._local_open = True
        self._local_eof = False
        self._closing = False
        self._ending: tuple[str, EicctlError | None] | None = None
        self._timer: Timer | None = None
        self._answered = True  # the last bytes came from the target
        self._quiet_since = 0.0  # after the local EOF
        self._look_after = FIRST_LOOK
        self._keepalive = Keepalive(reactor, link, self)
        self.bytes_in = 0
        self.bytes_out = 0

    @property
    def expires(self) -> float:
        """When the service ends the tunnel, by `time.monotonic()`."""
        return self._link.opened + self._link.max_duration

    def start(self, read_already: bytes = b"") -> None:
        """Start relaying.

        Args:
            read_already: What was read from the local end before.
        """
        self._reactor.add_reader(self._link_fd, self._read_link)
        self._reactor.add_reader(self._local.read_fd, self._read_local)
        self._keepalive.start()
        early, self._link.early = self._link.early, b""
        if early:
            self._take(memoryview(early))
        if read_already and self._link_open and not self._closing:
            self._send(memoryview(read_already))

    def close(self, reason: str = "closed here") -> None:
        """End the tunnel: what was read from the local side is sent, then a close frame."""
        if self._link_open and not self._closing:
            self._ending = self._ending or (reason, None)
            self._send_close()

    def finish(self) -> None:
        """The local side has closed for good: when all that it has sent is read and sent on, end the tunnel."""
        self._linger = END_AT_EOF
        if self._local_eof:
            self.close("closed by the client")

    def interrupt(self) -> None:
        """End the tunnel without waiting: what the local side does not take within `STALL_TIMEOUT` is lost."""
        self.close("interrupted")
        self._reactor.call_later(STALL_TIMEOUT, self.abort)

    def abort(self) -> None:
        """Close both sides at once, whatever is still under way."""
        self._close_link()
        self._close_local()

    # For `Keepalive`

    @property
    def reads(self) -> bool:
        """Whether what the service sends is read at the moment."""
        return self._link_open and not self._to_local and not self._choked

    def ping(self) -> bool:
        """Send a ping, unless something else waits to be sent; return whether it was."""
        if self._sending or self._closing or self._protocol.state is not OPEN:
            return False
        self._protocol.send_ping(b"")
        self._flush_protocol()
        return True

    def gone(self, seconds: float) -> None:
        """The service has not answered for so long."""
        self._lost(TimeoutError(f"{failures.SILENT} for {seconds:.0f} s"))

    # From the service to the local end

    def _read_link(self) -> None:
        if self._to_local or not self._link_open:
            return
        try:
            data = self._stream.receive()
        except BlockingIOError:
            return
        except (OSError, EOFError) as error:
            self._lost(error)
            return
        if data:
            self._take(data)
        else:
            self._flush_protocol()

    def _watch_link(self) -> None:
        if self.reads:
            self._reactor.add_reader(self._link_fd, self._read_link)

    def _take(self, data: memoryview) -> None:
        """Act on what the service has sent."""
        frames = self._frames
        if parts := frames.receive(data):
            self._deliver(parts)
        if not self._closing:
            if frames.text is not None:
                text = frames.text.decode(errors="replace")[:500]
                self._fail(NetworkError(f"The endpoint sent text where only bytes are expected: {text}"))
            elif frames.broken and not frames.closed:
                self._fail(NetworkError(f"The endpoint sent no valid websocket data: {frames.broken}"))
        self._flush_protocol()
        if frames.closed:
            self._closed_by_service(frames.closed)

    def _deliver(self, parts: list[Part]) -> None:
        """Write payload to the local end; what it does not take now is kept, and meanwhile nothing more is read."""
        total = sum(map(len, parts))
        if not self.bytes_in:
            _log.debug("%s: first byte after %.0f ms", self._link.target.label, 1000 * self._lived())
        self.bytes_in += total
        self._answered = True
        if self._local_eof:
            self._quiet_since = time.monotonic()
        if not self._local_open:
            return
        try:
            taken = self._local.write(parts)
        except BlockingIOError:
            taken = 0
        except OSError:
            self._local_gone()
            return
        if taken < total:
            self._to_local = memoryview(b"".join(parts)[taken:])
            self._reactor.remove_reader(self._link_fd)
            self._reactor.add_writer(self._local.write_fd, self._local_writable)

    def _local_writable(self) -> None:
        self._write_local()
        if self._to_local:
            return
        self._reactor.remove_writer(self._local.write_fd)
        if self._link_open:
            self._watch_link()
        else:
            self._finish_local()

    def _write_local(self) -> None:
        try:
            while self._to_local:
                self._to_local = self._to_local[self._local.write([self._to_local]) :]
        except BlockingIOError:
            return
        except OSError:
            self._to_local = memoryview(b"")
            self._local_gone()

    # From the local end to the service

    def _read_local(self) -> None:
        try:
            data = self._local.read(BATCH)
        except BlockingIOError:
            return
        except OSError:
            self._local_gone()
            return
        if not data:
            self._end_of_local()
        elif self._link_open and not self._closing:
            self._send(data)

    def _send(self, data: memoryview) -> None:
        self.bytes_out += len(data)
        self._answered = False
        # Frame by frame: joined, they would be copied once more, and into memory that is fresh each time.
        for start in range(0, len(data), FRAME):
            self._transmit(plain_frame(data[start : start + FRAME]))

    def _end_of_local(self) -> None:
        """The local side has sent everything."""
        self._local_eof = True
        self._reactor.remove_reader(self._local.read_fd)
        if not self._link_open:
            if not self._to_local:
                self._close_local()
        elif not self._closing:
            if self._answered and not self._linger.answered:
                self._linger = END_AT_EOF
            self._quiet_since = time.monotonic()
            self._look_for_client()

    def _look_for_client(self) -> None:
        """After the local EOF: end the tunnel when the client is gone, or has waited for long enough."""
        there = self._local.client_there()
        seconds = self._linger.there if there else self._linger.unknown
        if self._to_local:  # it is the client who is slow
            self._quiet_since = time.monotonic()
        left = self._quiet_since + seconds - time.monotonic()
        if there is False or not seconds:
            self.close("closed by the client")
        elif left > 0:
            self._set_timer(min(left, self._look_after), self._look_for_client)
            self._look_after = min(2 * self._look_after, LAST_LOOK)
        elif there:
            self._local.reset()
            self._fail(
                SilentTargetError(
                    f"{self._link.target.label} sent nothing for {seconds:g} s after the client's EOF",
                    hint="--linger SECONDS waits longer for an answer",
                )
            )
        else:
            self.close(f"the client sent EOF, and {self._link.target.label} nothing for {seconds:g} s")

    def _local_gone(self) -> None:
        """The local side is gone for good: nothing can be delivered any more."""
        self._close_local()
        self.close("closed by the client")

    def _flush_protocol(self) -> None:
        """Send what the protocol has to send, and TLS by itself."""
        data = b"".join(self._protocol.data_to_send())
        if data or (self._stream.unsent and not self._sending):
            self._transmit((data,))

    def _transmit(self, pieces: Sequence[bytes]) -> None:
        """Send; stop reading the local end while the kernel does not take it."""
        if not self._link_open:
            return
        try:
            done = self._stream.send(*pieces)
        except OSError as error:
            self._lost(error)
            return
        if not done and not self._choked and self._stream.unsent > MOST_UNSENT:
            self._choked = True
            self._reactor.remove_reader(self._link_fd)
        if done or self._sending:
            return
        self._sending = True
        if not self._local_eof and self._local_open:
            self._reactor.remove_reader(self._local.read_fd)
        self._reactor.add_writer(self._link_fd, self._link_writable)

    def _link_writable(self) -> None:
        try:
            self._sending = not self._stream.flush()
        except OSError as error:
            self._lost(error)
            return
        if self._closing:
            self._await_close()
        if self._sending:
            return
        self._reactor.remove_writer(self._link_fd)
        if self._choked:
            self._choked = False
            self._watch_link()
        if not self._closing and not self._local_eof and self._local_open:
            self._reactor.add_reader(self._local.read_fd, self._read_local)

    # The end

    def _send_close(self) -> None:
        """Start the closing handshake; the service's answer, or a time-out, ends the link."""
        self._closing = True
        if self._protocol.state is OPEN:
            self._protocol.send_close(1000)
        self._flush_protocol()
        if self._link_open:
            self._await_close()

    def _await_close(self) -> None:
        self._set_timer(STALL_TIMEOUT if self._sending else self._close_timeout, self._close_link)

    def _fail(self, error: EicctlError) -> None:
        self._ending = (error.message, error)
        self._send_close()

    def _closed_by_service(self, close: Close) -> None:
        if not self._closing:
            self._explain(close.code, close.reason)
        self._close_link()

    def _lost(self, cause: OSError | EOFError) -> None:
        """The connection to the service broke, or was closed without a close frame."""
        if not self._closing:
            self._explain(1006, str(cause))
        self._close_link()

    def _explain(self, code: int, reason: str) -> None:
        error = failures.closing(
            code,
            reason,
            lived=self._lived(),
            limit=self._link.max_duration,
            answered=self.bytes_in > 0,
            target=self._link.target,
        )
        self._ending = (error.message if error else "closed by the target", error)

    def _close_link(self) -> None:
        if not self._link_open:
            return
        self._link_open = False
        self._set_timer(0, None)
        self._keepalive.stop()
        self._reactor.remove_reader(self._link_fd)
        self._reactor.remove_writer(self._link_fd)
        self._link.close()
        if self._local_open and not self._local_eof:
            # Reading may be paused; from now on it goes nowhere, but must not stop.
            self._reactor.add_reader(self._local.read_fd, self._read_local)
        reason, error = self._ending or ("closed here", None)
        lived, request_id = self._lived(), self._link.request_id
        _log.debug(
            "%s: ended after %.3f s: %s; %d bytes in, %d out, request ID %s",
            self._link.target.label,
            lived,
            reason,
            self.bytes_in,
            self.bytes_out,
            request_id or "none",
        )
        self._on_end(CloseInfo(reason, error, self.bytes_in, self.bytes_out, lived, request_id))
        if not self._local_open:
            self._on_done()
        elif not self._to_local:
            self._finish_local()

    def _finish_local(self) -> None:
        """Everything was handed to the local end: tell it so, and let it go."""
        if not self._local_open:
            return
        if self._local_eof or not self._local.end_writing():
            self._close_local()
        else:
            self._set_timer(DISCARD_TIMEOUT, self._close_local)

    def _close_local(self) -> None:
        if not self._local_open:
            return
        self._local_open = False
        self._to_local = memoryview(b"")
        self._reactor.remove_reader(self._local.read_fd)
        self._reactor.remove_writer(self._local.write_fd)
        self._local.close()
        if not self._link_open:
            self._set_timer(0, None)
            self._on_done()

    def _lived(self) -> float:
        """Seconds since the handshake."""
        return time.monotonic() - self._link.opened

    def _set_timer(self, delay: float, callback: Callable[[], None] | None) -> None:
        """Replace the one timer of this relay; its states have at most one deadline each."""
        if self._timer:
            self._timer.cancel()
        self._timer = self._reactor.call_later(delay, callback) if callback else None
