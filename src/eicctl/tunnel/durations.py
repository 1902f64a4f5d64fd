"""The duration that a policy wants: found when the service refuses a tunnel without one, and remembered.

A policy with a condition on the duration, whatever its value, refuses a request that gives none
(docs/explanation/protocol.md#iam). The answer does not say which maximum it has, so a few are tried, once: the
file `durations.json` has the durations that were allowed.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from eicctl.core.errors import DeniedError, EicctlError, LocalError
from eicctl.support import jsonstore, paths

if TYPE_CHECKING:
    from eicctl.tunnel.dial import Link

SHORTEST = 60
"""Seconds that are tried first: where they are refused, the duration is not what the policy minds."""

LADDER = (3600, 2700, 1800, 1200, 900, 600, 300, 120)
"""Seconds that are tried then; the first that is let through is kept."""

_MOST_KEPT = 500
_log = logging.getLogger(__name__)

Dial = Callable[[int | None], "Link"]
"""Opens a link with a duration in seconds, or with none."""


def memory_file() -> Path:
    """The file that remembers durations."""
    return paths.state_dir() / "durations.json"


class Durations:
    """Opens links with the duration that the caller's policy wants. Safe to use from several threads.

    It is remembered in eicctl's state folder, for all processes. A file that cannot be used is as good as none.

    Args:
        caller: Stands for whose policy it is; only its hash is written.
        endpoint_id: Tells the endpoint, which may be another one after some time.
    """

    def __init__(self, caller: Callable[[], str], endpoint_id: Callable[[], str]) -> None:
        self._caller = caller
        self._endpoint_id = endpoint_id
        self._file: Path | None = None
        self._lock = threading.Lock()

    def open(self, dial: Dial) -> Link:
        """Return an open link.

        Raises:
            EicctlError: As `dial` does; a denial is that of the first attempt.
        """
        known = self._remembered()
        try:
            return dial(known)
        except DeniedError as refused:
            with self._lock:  # others wait for what the first one finds
                now = self._remembered()
                if now != known:
                    return dial(now)
                found = self._search(dial, known)
            if found is None:
                raise
            _log.debug("refused (%s); allowed with a duration of %s", refused.message, found.max_duration)
            return found

    def _search(self, dial: Dial, known: int | None) -> Link | None:
        if known is not None:
            self._remember(None)
            if link := _tried(dial, None):
                return link
        spare = _tried(dial, SHORTEST)
        if spare is None:
            return None
        try:
            for seconds in LADDER:
                if link := _tried(dial, seconds):
                    self._remember(seconds)
                    spare.stream.close()
                    return link
        except EicctlError as error:  # the network, a limit: the short one is open
            _log.debug("cannot find the longest allowed duration: %s", error.message)
            return spare
        self._remember(SHORTEST)
        return spare

    def _remembered(self) -> int | None:
        """The duration to send, in seconds, or None."""
        try:
            path = self._file = self._file or memory_file()
        except LocalError:  # a home in which nothing can be written
            return None
        if not path.exists():
            return None
        seconds = jsonstore.read(path).get(self._key())
        return seconds if isinstance(seconds, int) and 1 <= seconds <= LADDER[0] else None

    def _remember(self, seconds: int | None) -> None:
        """Remember a duration; None forgets it."""

        def changed(known: dict[str, object]) -> dict[str, object]:
            known.pop(self._key(), None)
            if seconds is not None:
                known[self._key()] = seconds
            return jsonstore.newest(known, _MOST_KEPT)

        try:
            jsonstore.update(memory_file(), changed)
        except LocalError as error:
            _log.debug("cannot save the duration: %s", error.message)

    def _key(self) -> str:
        import hashlib

        return f"{hashlib.sha256(self._caller().encode()).hexdigest()[:24]} {self._endpoint_id()}"


def _tried(dial: Dial, seconds: int | None) -> Link | None:
    try:
        return dial(seconds)
    except DeniedError:
        return None
