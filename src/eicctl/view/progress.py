"""What a command waits for: one line on stderr, the only one that eicctl draws.

On a terminal it appears after a second, is updated, and goes when the wait is over. Elsewhere a wait of ten seconds is
worth a plain line. The thread that draws starts with the first activity: a command that waits for nothing has none.
"""

from __future__ import annotations

import sys
import threading
import time
from typing import Self

from eicctl.support import activity
from eicctl.support.activity import Activity
from eicctl.view import messages

SHOWN_AFTER = 1.0
"""Seconds after which a terminal shows a wait."""

LINE_AFTER = 10.0
"""Seconds after which a wait is worth a plain line; the next ones come after twice the time each."""

_GAP = 0.5
"""Seconds between two activities that still are one wait."""

_UPDATE = 0.5

_DOING = {
    "AssumeRole": "Assuming the role",
    "CreateInstanceConnectEndpoint": "Creating the endpoint",
    "CreateSecurityGroup": "Creating the security group",
    "DeleteInstanceConnectEndpoint": "Deleting the endpoint",
    "DeleteSecurityGroup": "Deleting the security group",
    "DescribeDBClusters": "Looking up databases",
    "DescribeDBInstances": "Looking up databases",
    "DescribeImages": "Looking up the image",
    "DescribeInstanceConnectEndpoints": "Looking up endpoints",
    "DescribeInstances": "Looking up instances",
    "DescribeNetworkAcls": "Reading network ACLs",
    "DescribeNetworkInterfaces": "Looking up network interfaces",
    "DescribeRegions": "Listing regions",
    "DescribeRouteTables": "Reading route tables",
    "DescribeSecurityGroups": "Reading security groups",
    "DescribeSubnets": "Looking up subnets",
    "DescribeVpcs": "Looking up VPCs",
    "GetCallerIdentity": "Checking the credentials",
    "GetConsoleOutput": "Reading host keys from the console",
    "GetPasswordData": "Fetching the password",
    "GetSessionToken": "Getting a session",
    "GetTableMetadata": "Reading the table's partition keys",
    "ListObjectsV2": "Listing the trail's accounts and regions",
    "ModifyInstanceConnectEndpoint": "Modifying the endpoint",
    "SendSSHPublicKey": "Pushing the key",
    "StartQueryExecution": "Starting the query",
    "connect": "Connecting",
    "credentials": "Getting credentials",
}
"""What is done, by the activity's kind."""


class Line:
    """The line of this process; an `activity.Watcher`."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._current: list[Activity] = []
        self._started = self._ended = self._shown_at = 0.0
        self._hidden = 0
        self._thread: threading.Thread | None = None
        self._over = False
        self._live = messages.terminal_width(sys.stderr) > 0

    def begin(self, activity: Activity) -> None:
        """An activity begins. With what follows within `_GAP` it is one wait."""
        with self._changed:
            if not self._current:
                now = time.monotonic()
                if now - self._ended > _GAP:
                    self._started, self._shown_at = now, 0.0
                self._changed.notify()
            self._current.append(activity)
            if not self._thread:
                self._thread = threading.Thread(target=self._draw, daemon=True)
                self._thread.start()

    def end(self, activity: Activity) -> None:
        """An activity has ended. After the last one the line is gone."""
        with self._changed:
            if activity in self._current:
                self._current.remove(activity)
                if not self._current:
                    self._ended = time.monotonic()
                    self._clear()

    def hide(self) -> None:
        """Draw nothing until `unhide`."""
        with self._changed:
            self._hidden += 1
            self._clear()

    def stop(self) -> None:
        """Draw nothing any more."""
        self.hide()
        with self._changed:
            self._over = True
            self._changed.notify()

    def unhide(self) -> None:
        """Draw again; a question that was answered begins a new wait."""
        with self._changed:
            self._hidden -= 1
            self._started, self._shown_at = time.monotonic(), 0.0
            self._changed.notify()

    def update(self) -> None:
        """Show a new state."""
        with self._changed:
            self._changed.notify()

    def _clear(self) -> None:
        if self._live:
            messages.live("")

    def _draw(self) -> None:
        with self._changed:
            while not self._over:
                if not self._current or self._hidden:
                    self._changed.wait()
                    continue
                elapsed = time.monotonic() - self._started
                first = SHOWN_AFTER if self._live else max(LINE_AFTER, 2 * self._shown_at)
                if elapsed < first:
                    self._changed.wait(first - elapsed)
                    continue
                throttled = ", throttled by AWS" if any(one.throttled for one in self._current) else ""
                text = f"{self._text()}{throttled} ({int(elapsed)} s)"
                if self._live:
                    messages.live(text)
                    self._changed.wait(_UPDATE)
                else:
                    self._shown_at = elapsed
                    messages.line(text, pin=False)

    def _text(self) -> str:
        """What is waited for: the innermost named wait, else the last call, with those of its kind."""
        for one in reversed(self._current):
            if isinstance(one, Waiting):
                return f"{one.kind}: {one.where}" if one.where else one.kind
        last = self._current[-1]
        where = list(dict.fromkeys(one.where for one in self._current if one.kind == last.kind and one.where))
        doing = _DOING.get(last.kind) or f"Waiting for {last.kind}"
        if last.kind == "slot":
            return last.where
        if last.kind == "connect":
            return f"{doing} to {', '.join(where)}"
        return f"{doing} in {where[0] if len(where) == 1 else f'{len(where)} regions'}" if where else doing


class Waiting(Activity):
    """A wait that has a name.

    Args:
        what: What is waited for.
        interrupted: Printed when the user interrupts the wait.
    """

    def __init__(self, what: str, *, interrupted: str = "") -> None:
        super().__init__(what)
        self._interrupted = interrupted

    def __enter__(self) -> Self:
        install()
        return super().__enter__()

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        if self._interrupted and error[0] is KeyboardInterrupt:
            messages.line(self._interrupted)

    def show(self, state: str) -> None:
        """Show the current state."""
        self.where = state
        if isinstance(activity.watcher, Line):
            activity.watcher.update()


def install() -> None:
    """Show the activities of this process from now on."""
    if activity.watcher is None:
        activity.watcher = Line()


def uninstall() -> None:
    """Show none any more: the command has ended, or serves clients."""
    if line := activity.watcher:
        line.stop()
        activity.watcher = None
