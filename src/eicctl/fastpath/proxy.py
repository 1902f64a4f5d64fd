"""`eicctl proxy`: stdin and stdout as one tunnel, relayed by the background process where one listens, else here.

Nothing is imported that is not used: OpenSSH waits for the first byte. The arguments are read without Click, whose
import takes longer than a TLS handshake: only what is plain, every option in full, with a good value. Anything else is
Click's, which knows what to say about it.
"""

from __future__ import annotations

import os
import sys
import time

from eicctl.core.request import PROXY_OPTIONS, ConnectRequest
from eicctl.support import log
from eicctl.support.activity import COLUMNS, TARGET
from eicctl.support.bare import add_site_packages

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from eicctl.agent.protocol import Message
    from eicctl.aws.session import Session
    from eicctl.core.errors import EicctlError
    from eicctl.core.model import Target
    from eicctl.core.request import ConnectRequest

    class Printer(Protocol):
        """Prints on stderr."""

        def line(self, text: str) -> None:
            """Print what the user should know."""

        def announcement(self, text: str) -> None:
            """Print a line while OpenSSH has the terminal."""

        def failure(self, error: EicctlError, session: Session | None, target: Target | None) -> int:
            """Print an error, with its likely cause where session and target are known; return the exit code."""

    from collections.abc import Sequence

ENVIRONMENT = {
    "--aws-config-file": "AWS_CONFIG_FILE",
    "--aws-shared-credentials-file": "AWS_SHARED_CREDENTIALS_FILE",
}
"""Options that say what a variable would: each is that variable from then on."""


def read(arguments: Sequence[str]) -> ConnectRequest | None:
    """Return what the arguments after `proxy` ask for, or None where Click is to read them."""
    found: dict[str, object] = {"remote_port": 22}
    environment: dict[str, str] = {}
    rest = list(arguments)
    operands = []
    while rest:
        word = rest.pop(0)
        if word == "--":
            operands += rest
            break
        if not word.startswith("-"):
            operands.append(word)
            continue
        name, equals, value = word.partition("=")
        option = PROXY_OPTIONS.get({"-q": "--quiet", "-v": "--verbose"}.get(name, name))
        if option is None or (option.is_flag and equals):
            return None
        if option.is_flag:
            found[option.field] = True
            continue
        if not equals:
            if not rest:
                return None
            value = rest.pop(0)
        if option.choices and value not in option.choices:
            return None
        if option.limits:
            least, most = option.limits
            if not (value.isascii() and value.isdigit() and least <= int(value) <= most):
                return None
            found[option.field] = int(value)
        elif name in ENVIRONMENT:
            environment[ENVIRONMENT[name]] = value
        else:
            found[option.field] = value
    if len(operands) > 1:
        return None
    os.environ.update(environment)
    found["target"] = operands[0] if operands else ""
    return ConnectRequest.from_json(found)


SHOWN_AFTER = 1.0
"""Seconds after which a wait is shown."""

LINE_AFTER = 10.0
"""Seconds after which a wait is worth a plain line; the next ones come after twice the time each."""

_CLEAR = "\x1b[2K\r"
"""Ends with what ends a line for who reads the ProxyCommand's stderr, so that what follows begins one."""


class Reporter:
    """Reports to the user; a failure to the eicctl command that runs OpenSSH, where there is one.

    Args:
        request: What is to be opened.
        printer: Loads what prints on stderr.
    """

    def __init__(self, request: ConnectRequest, printer: Callable[[], Printer]) -> None:
        self._request = request
        self._printer = printer
        self._started = time.monotonic()
        self._next = LINE_AFTER
        self._drawn = False

    def line(self, text: str) -> None:
        """Print what the user should know."""
        if not self._request.quiet:
            printer = self._printer()  # which takes its time, in which a wait may be drawn
            self.clear()
            printer.line(text)

    def waiting(self) -> None:
        """The tunnel is still being opened: show that in a line that goes, where eicctl runs OpenSSH on a terminal. A
        plain line from time to time otherwise, because the terminal is OpenSSH's."""
        seconds = time.monotonic() - self._started
        if self._request.quiet or seconds < SHOWN_AFTER:
            return
        text = f"Connecting to {os.environ.get(TARGET) or self._request.target} ({seconds:.0f} s)"
        if columns := os.environ.get(COLUMNS):
            self._drawn = True
            _write(f"{_CLEAR}{text}"[: int(columns) + len(_CLEAR) - 1])
        elif seconds >= self._next:
            self._next = 2 * seconds
            self.line(text)

    def watch(self) -> Callable[[], None]:
        """Report the wait each second; return what ends that."""
        import threading

        over = threading.Event()

        def report() -> None:
            while not over.wait(1.0):
                self.waiting()

        def end() -> None:
            over.set()
            thread.join()

        thread = threading.Thread(target=report, daemon=True)
        thread.start()
        return end

    def clear(self) -> None:
        """The wait is over."""
        if self._drawn:
            self._drawn = False
            _write(_CLEAR)

    def opened(self, max_duration: float) -> None:
        """The tunnel is open, for so many seconds at most; announce its end where that is wanted."""
        self.clear()
        if self._request.verbose:
            how = "this process" if "eicctl.fastpath.direct" in sys.modules else "the background process"
            # At once: OpenSSH may end this process before the printer is loaded.
            _write(f"Tunnel opened by {how} in {time.monotonic() - self._started:.2f} s\n")
        before = self._request.announce_end
        if before and max_duration > before:
            import threading

            text = f"this connection ends in {before} s"
            timer = threading.Timer(max_duration - before, lambda: self._printer().announcement(text))
            timer.daemon = True
            timer.start()

    def failure(
        self, error: EicctlError, session: Session | None = None, target: Target | None = None, lived: float = 0.0
    ) -> int:
        """Report an error; return the exit code.

        Args:
            error: The error.
            session: Access to AWS, for the likely cause.
            target: Where the tunnel was to go, where that is known.
            lived: For how many seconds it was open.
        """
        self.clear()
        if folder := self._request.session_folder:
            from eicctl.ssh.process import Failure, add_failure

            try:
                add_failure(folder, Failure(self._request.target, error, lived))
            except OSError:  # the command has gone before OpenSSH, as with `ssh -f`
                pass
            else:
                return error.exit_code
        return self._printer().failure(error, session, target)


def _write(text: str) -> None:
    try:
        os.write(2, text.encode(errors="replace"))
    except OSError:  # nobody reads it
        return


def run(request: ConnectRequest, printer: Callable[[], Printer]) -> int:
    """Relay stdin and stdout until one side ends; return the exit code."""
    reporter = Reporter(request, printer)
    # What happens in another process is not in the log of this one.
    if not request.no_agent and not os.environ.get(log.VARIABLE):
        from eicctl.agent.delegate import delegate

        ended = delegate(request, reporter.line, reporter.opened, reporter.waiting)
        if ended is not None:
            return _delegated_failure(ended, request, reporter) if ended.get("Error") else 0
    add_site_packages()
    log.configure(command="proxy")
    from eicctl.fastpath.direct import relay

    return relay(request, reporter)


def _delegated_failure(message: Message, request: ConnectRequest, reporter: Reporter) -> int:
    """Report the error of a connection that the background process relayed; return the exit code."""
    from eicctl.aws.session import Session
    from eicctl.core.errors import from_json
    from eicctl.core.model import Target

    known = message.get("Target")
    target = Target(**known) if isinstance(known, dict) else None
    profile, region = message.get("Profile"), message.get("Region")
    session = Session(profile=profile, region=region, ca_bundle=request.ca_bundle, fips=request.fips)
    return reporter.failure(from_json(message), session, target, float(message.get("Lived") or 0))
