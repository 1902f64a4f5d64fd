"""Logs each request to AWS: operation, status, duration and request ID; notes its region in the answer, for errors.

botocore's own log has this too, with signatures, session tokens and whole answers between (`support/logging_setup.py`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any

_log = logging.getLogger(__name__)

_STARTED = "eicctl_started"

ASKED = "EicctlAsked"
"""The key of an answer's `ResponseMetadata` that has the region and the profile of `watch`."""


def watch(client: Any, region: str, profile: str | None) -> None:
    """Log the requests of a client of botocore, and note in their answers where they were asked.

    Args:
        client: The client.
        region: Its region.
        profile: The profile that an option names, or None.
    """

    def locate(parsed: Any, **_rest: Any) -> None:
        parsed.setdefault("ResponseMetadata", {})[ASKED] = (region, profile)

    service = client.meta.service_model.service_id.hyphenize()
    client.meta.events.register_first(f"request-created.{service}", _created)
    client.meta.events.register_last(f"response-received.{service}", _answered)
    client.meta.events.register_first(f"after-call.{service}", locate)


def _created(request: Any, **_rest: Any) -> None:
    """An attempt begins; a request that is tried again is created anew."""
    request.context[_STARTED] = time.monotonic()


def _answered(
    event_name: str,
    context: Mapping[str, Any],
    parsed_response: Mapping[str, Any] | None = None,
    exception: Exception | None = None,
    **_rest: Any,
) -> None:
    if not _log.isEnabledFor(logging.DEBUG):
        return
    _, service, operation = event_name.split(".", 2)
    took = 1000 * (time.monotonic() - context.get(_STARTED, time.monotonic()))
    where = context.get("client_region", "")
    if parsed_response is None:
        _log.debug("%s %s in %s: %s after %.0f ms", service, operation, where, exception or "no answer", took)
        return
    told = parsed_response.get("ResponseMetadata", {})
    code = parsed_response.get("Error", {}).get("Code", "")
    _log.debug(
        "%s %s in %s: HTTP %s%s after %.0f ms, request ID %s",
        service,
        operation,
        where,
        told.get("HTTPStatusCode", "?"),
        f" {code}" if code else "",
        took,
        told.get("RequestId", "none"),
    )
