"""Sessions that definitions with the same profile and region share, with their clients and credentials."""

from __future__ import annotations

import threading

from eicctl.aws.session import Session
from eicctl.named.definition import Definition


class Sessions:
    """Access to AWS for many definitions. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[tuple[str, str, str], Session] = {}

    def of(self, definition: Definition) -> Session:
        """Return the session that a definition means."""
        key = (definition.profile, definition.region, definition.ca_bundle)
        with self._lock:
            if key not in self._known:
                profile, region, ca_bundle = (text or None for text in key)
                self._known[key] = Session(profile=profile, region=region, ca_bundle=ca_bundle)
            return self._known[key]
