"""Targets that were found some minutes ago, so that a ProxyCommand asks AWS nothing before it dials.

One JSON file in the cache folder, of this user alone, holds names, addresses and endpoints; no secret. What a target is
remembered under says who asked (profile, access key, the AWS configuration's files), where, and for what.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from eicctl.aws.session import Session, configuration_signature
from eicctl.core.errors import LocalError
from eicctl.core.model import Target
from eicctl.core.request import ConnectRequest
from eicctl.support import jsonstore, paths
from eicctl.support.pins import named_profile, named_region

LIFETIME = 300.0
"""Seconds for which a target is remembered."""

_MOST = 200
_ENDPOINTS = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_EC2")

_log = logging.getLogger(__name__)


class TargetCache:
    """What one session has found.

    Args:
        session: Who asks.
        now: The clock, in seconds since the epoch.
    """

    def __init__(self, session: Session, now: float | None = None) -> None:
        self._session = session
        self._now = time.time() if now is None else now
        self._file: Path | None = None
        with contextlib.suppress(LocalError):
            self._file = paths.cache_dir() / "targets.json"

    def get(self, request: ConnectRequest) -> Target | None:
        """Return the target of an equal request, or None where none is known or it is too old."""
        found = jsonstore.read(self._file).get(self._key(request), {})
        try:
            age = self._now - found["at"]
            target = Target(**found["target"])
        except (TypeError, KeyError):
            return None
        if not 0 <= age < LIFETIME:
            return None
        _log.debug("the target was found %.0f s ago: %s through %s", age, target.address, target.endpoint_id)
        return target

    def put(self, target: Target, *requests: ConnectRequest) -> None:
        """Remember the target of some requests. A cache that cannot be written is none."""
        row = {"at": self._now, "target": asdict(target)}
        self._change({self._key(request): row for request in requests})

    def forget(self, request: ConnectRequest) -> None:
        """Forget the target of a request."""
        self._change({self._key(request): None})

    def _key(self, request: ConnectRequest) -> str:
        session = self._session
        # The same whether an option or the environment says it: the background process is told by options.
        profile, region = named_profile(session.profile), named_region(session.given_region)
        who = [profile, region, session.fips, session.dualstack, session.credentials().access_key_id]
        where = [os.environ.get(name) for name in _ENDPOINTS]
        words = json.dumps([who, where, configuration_signature(), request.destination])
        return hashlib.sha256(words.encode()).hexdigest()

    def _change(self, rows: dict[str, dict[str, Any] | None]) -> None:
        def changed(known: dict[str, Any]) -> dict[str, Any]:
            kept = {name: row for name, row in known.items() if name not in rows and self._fresh(row)}
            return jsonstore.newest(kept | {name: row for name, row in rows.items() if row}, _MOST)

        if self._file:
            with contextlib.suppress(LocalError):
                jsonstore.update(self._file, changed)

    def _fresh(self, row: Any) -> bool:
        return isinstance(row, dict) and isinstance(row.get("at"), float) and 0 <= self._now - row["at"] < LIFETIME
