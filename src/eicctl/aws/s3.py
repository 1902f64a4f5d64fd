"""Objects in S3, to be read one after the other. Small ones are fetched ahead: waiting for each would take longest."""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from eicctl.aws.errors import translated
from eicctl.aws.session import Session
from eicctl.core.errors import EicctlError
from eicctl.support.threads import Pool

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
