"""CloudTrail's LookupEvents, at the rate that the service allows: two requests a second, for an account and region."""

from __future__ import annotations

import io
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Protocol

from eicctl.aws.errors import translated
from eicctl.aws.session import Session
from eicctl.core.errors import EicctlError, ThrottledError
from eicctl.support.bare import parse_json
from eicctl.support.clock import Backoff
from eicctl.support.threads import Pool

if TYPE_CHECKING:
    from mypy_boto3_cloudtrail import CloudTrailClient
    from mypy_boto3_cloudtrail.type_defs import EventTypeDef, LookupEventsRequestTypeDef, LookupEventsResponseTypeDef


_log = logging.getLogger(__name__)


class Pace:
    """Lets calls go one by one, with a pause between two. Threads share it.

    Args:
        interval: Seconds between two calls, at the least.
        clock: Tells the time in seconds.
        sleep: Waits for some seconds.
    """

    def __init__(
        self,
        interval: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.interval = interval
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._next = float("-inf")

    def wait(self) -> None:
        """Return when it is the caller's turn."""
        with self._lock:
            turn = max(self._next, self._clock())
            self._next = turn + self.interval
        while (left := turn - self._clock()) > 0:
            self._sleep(left)

    def hold(self, seconds: float) -> None:
        """Let nobody go for some seconds."""
        with self._lock:
            self._next = max(self._next, self._clock() + seconds)


INTERVAL = 0.52
"""Seconds between two requests of a region (docs/explanation/protocol.md#cloudtrail: two a second)."""

PAGE = 50
"""Events of a page, the most that the service gives."""

ATTEMPTS = 8
"""How often a page is asked for while the service throttles, each time with botocore's own attempts. Others may use the
account's two requests a second up."""

LONGEST_PAUSE = 30.0

Attribute = tuple[Literal["EventName", "EventSource", "ResourceName", "Username"], str]
"""An attribute of LookupEvents and its value; one a call is allowed."""

_paces: dict[tuple[str | None, str], Pace] = {}
_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class Page:
    """One answer of LookupEvents, newest first. `oldest` is the time of its last event, None if it is empty."""

    records: list[object]
    oldest: datetime | None


def look_up(
    session: Session,
    region: str,
    attribute: Attribute,
    since: datetime,
    until: datetime,
    *,
    throttled: Callable[[float], None] = lambda _seconds: None,
) -> Iterator[Page]:
    """Yield the events with an attribute in a span of time, newest first, page by page.

    Args:
        session: Access to AWS.
        region: The region.
        attribute: What events must have.
        since: From this time on; the service knows 90 days.
        until: Up to this time.
        throttled: Takes the seconds of a pause after the service has throttled.

    Raises:
        EicctlError: The service refuses, or throttles for too long.
    """
    client = session.client("cloudtrail", region)
    pace = _pace(session, region)
    # Before each attempt, so that those which botocore makes by itself keep to the pace too.
    client.meta.events.register(
        "before-send.cloudtrail.LookupEvents", lambda **_: pace.wait(), unique_id="eicctl-pace-of-lookups"
    )
    request: LookupEventsRequestTypeDef = {
        "LookupAttributes": [{"AttributeKey": attribute[0], "AttributeValue": attribute[1]}],
        "StartTime": since,
        "EndTime": until,
        "MaxResults": PAGE,
    }
    while True:
        answer = _patiently(client, request, pace, throttled)
        rows = answer.get("Events", [])
        yield Page([_record(row) for row in rows], min((row["EventTime"] for row in rows), default=None))
        if not answer.get("NextToken"):
            return
        request["NextToken"] = answer["NextToken"]


def _pace(session: Session, region: str) -> Pace:
    with _lock:
        return _paces.setdefault((session.profile, region), Pace(INTERVAL))


def _patiently(
    client: CloudTrailClient, request: LookupEventsRequestTypeDef, pace: Pace, throttled: Callable[[float], None]
) -> LookupEventsResponseTypeDef:
    backoff = Backoff(2.0, LONGEST_PAUSE, jitter=0)
    for attempt in range(ATTEMPTS):
        try:
            with translated("look up CloudTrail's events"):
                return client.lookup_events(**request)
        except ThrottledError:
            if attempt == ATTEMPTS - 1:
                raise
            pause = backoff.pause()
            _log.debug("throttled; a pause of %s s", pause)
            throttled(pause)
            pace.hold(pause)
    raise AssertionError("unreachable")


def _record(row: EventTypeDef) -> object:
    try:
        return parse_json(row.get("CloudTrailEvent") or "null")
    except ValueError:
        return None


AHEAD = 8
"""Objects that are fetched ahead."""

SMALL = 4 * 2**20
"""Bytes up to which an object is small; CloudTrail's files mostly are. `AHEAD` times this bounds the memory."""


class Readable(Protocol):
    """Something to read bytes from."""

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes; none at the end."""


@dataclass(frozen=True, slots=True)
class Object:
    """An object, and its size in bytes."""

    key: str
    size: int


def list_objects(session: Session, bucket: str, prefix: str) -> Iterator[Object]:
    """Yield the objects below a prefix, in the order of their keys.

    Raises:
        EicctlError: The bucket cannot be listed.
    """
    with translated(f"list s3://{bucket}/{prefix}"):
        pages = session.client("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        for page in pages:
            for row in page.get("Contents", []):
                yield Object(row["Key"], row["Size"])


def open_objects(
    session: Session, bucket: str, objects: Iterator[Object]
) -> Iterator[tuple[Object, Readable | EicctlError]]:
    """Yield each object with what to read it from, or with why it cannot be read."""
    waiting: deque[tuple[Object, Future[Readable | EicctlError]]] = deque()
    with Pool(AHEAD) as pool:
        for found in objects:
            waiting.append((found, pool.submit(partial(_opened, session, bucket, found))))
            if len(waiting) >= AHEAD:
                first, result = waiting.popleft()
                yield first, result.result()
        while waiting:
            first, result = waiting.popleft()
            yield first, result.result()


def _opened(session: Session, bucket: str, found: Object) -> Readable | EicctlError:
    action = f"read s3://{bucket}/{found.key}"
    try:
        with translated(action):
            body = session.client("s3").get_object(Bucket=bucket, Key=found.key)["Body"]
            return io.BytesIO(body.read()) if found.size <= SMALL else _Body(body, action)
    except EicctlError as error:
        return error


class _Body:
    """The body of a large object, as it comes."""

    def __init__(self, body: Any, action: str) -> None:
        self._body = body
        self._action = action

    def read(self, size: int, /) -> bytes:
        with translated(self._action):
            return bytes(self._body.read(size))
