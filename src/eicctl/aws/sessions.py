"""Sessions that are shared by all who ask for the same, with their clients and credentials."""

from __future__ import annotations

import threading

from eicctl.aws.session import Session

_MOST = 50


class Sessions:
    """Access to AWS for many. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[tuple[object, ...], Session] = {}

    def of(self, profile: str | None, region: str | None, ca_bundle: str | None, *, fips: bool = False) -> Session:
        """Return the session for these; empty texts are as good as None. See `Session`."""
        key = (profile or None, region or None, ca_bundle or None, fips)
        with self._lock:
            if key not in self._known:
                while len(self._known) >= _MOST:
                    self._known.pop(next(iter(self._known)))
                self._known[key] = Session(profile=key[0], region=key[1], ca_bundle=key[2], fips=fips)
            return self._known[key]
