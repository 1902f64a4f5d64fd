"""Records from a CloudTrail log file, one after the other, however large the file is. Pure; no I/O of its own.

A log file is `{"Records": […]}`; what `aws cloudtrail lookup-events` prints is `{"Events": […]}`, with each record as a
text in `CloudTrailEvent`. Both are read, gzipped or not. One record is in memory at a time, and a piece of text around
it.
"""

from __future__ import annotations

import codecs
import json
import re
import zlib
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from eicctl.support.documents import parse_json

PIECE = 256 * 1024
"""Bytes that are read at a time."""

LONGEST_RECORD = 16 * 2**20
"""Characters of a record from which on the file is taken for damaged; CloudTrail's largest are some 256 KiB."""

_START = re.compile(r'"(?:Records|Events)"\s*:\s*\[')
_BETWEEN = re.compile(r"[\s,]*")
_LONGEST_HEAD = 64 * 1024


class Source(Protocol):
    """Something to read bytes from."""

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes; none at the end."""


class DamagedError(Exception):
    """A log file that ends too early or makes no sense; what came before has been given out."""


def records_in(source: Source) -> Iterator[Any]:
    """Yield the records of a log file.

    Raises:
        DamagedError: The file is cut off, or is no log file. The records before that have been yielded.
    """
    text = _Text(_decoded(source))
    if not text.find(_START, _LONGEST_HEAD):
        if text.whole().strip() in ("", "{}", "[]"):
            return
        raise DamagedError('it has no "Records"')
    decoder = json.JSONDecoder()
    while True:
        text.skip(_BETWEEN)
        if text.at("]"):
            return
        yield _unpacked(text.value(decoder))


def _unpacked(item: Any) -> Any:
    """The record in an item of LookupEvents; any other item as it is."""
    inner = item.get("CloudTrailEvent") if isinstance(item, dict) else None
    if not isinstance(inner, str):
        return item
    try:
        return parse_json(inner)
    except ValueError:
        return None


class _Text:
    """A window on a text that comes in pieces; it holds what has not been used yet."""

    def __init__(self, pieces: Iterator[str]) -> None:
        self._pieces = pieces
        self._window = ""
        self._at = 0

    def find(self, pattern: re.Pattern[str], limit: int) -> bool:
        """Go behind the first match, which must begin within `limit` characters."""
        while True:
            if match := pattern.search(self._window):
                self._at = match.end()
                return True
            if len(self._window) > limit or not self._more():
                return False

    def whole(self) -> str:
        """What there is."""
        return self._window

    def skip(self, pattern: re.Pattern[str]) -> None:
        """Go behind a match that may go on in the next piece, to a character that is there.

        Raises:
            DamagedError: The text ends before.
        """
        while True:
            match = pattern.match(self._window, self._at)
            self._at = match.end() if match else self._at
            if self._at < len(self._window):
                return
            if not self._more():
                raise DamagedError("it is cut off")

    def at(self, character: str) -> bool:
        """Whether the next character is this one."""
        return self._window[self._at] == character

    def value(self, decoder: json.JSONDecoder) -> Any:
        """Take the JSON value that begins here.

        Raises:
            DamagedError: There is none, or not all of it.
        """
        while True:
            try:
                value, end = decoder.raw_decode(self._window, self._at)
            except RecursionError:
                raise DamagedError("a record is nested too deeply") from None
            except ValueError as error:
                if len(self._window) - self._at > LONGEST_RECORD:
                    raise DamagedError(f"a record makes no sense: {error}") from None
                if not self._more():
                    raise DamagedError("it is cut off, or a record makes no sense") from None
                continue
            # A number or a word at the end of the window may go on; records are objects, which do not.
            self._at = end
            return value

    def _more(self) -> bool:
        """Add as much as there is again, so that a long record is tried a few times only; False at the end."""
        kept = self._window[self._at :]
        added: list[str] = []
        wanted = max(len(kept), 1)
        while wanted > 0 and (piece := next(self._pieces, "")):
            added.append(piece)
            wanted -= len(piece)
        self._window, self._at = kept + "".join(added), 0
        return bool(added)


def _decoded(source: Source) -> Iterator[str]:
    """The text of a source, unpacked where it is gzipped, in pieces that are not empty."""
    first = source.read(PIECE)
    if len(first) == 1:  # too little to tell
        first += source.read(PIECE)
    unpack: Callable[[bytes], Iterator[bytes]] = _Gzip() if first[:2] == b"\x1f\x8b" else lambda data: iter((data,))
    decoder = codecs.getincrementaldecoder("utf-8-sig")(errors="replace")
    data = first
    while data:
        for plain in unpack(data):
            if text := decoder.decode(plain):
                yield text
        data = source.read(PIECE)
    if isinstance(unpack, _Gzip) and not unpack.complete:
        raise DamagedError("it is cut off")
    if text := decoder.decode(b"", final=True):
        yield text


class _Gzip:
    """Unpacks gzip members, one after the other, with no more than `PIECE` bytes of output at a time."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(zlib.MAX_WBITS | 16)
        self.complete = False

    def __call__(self, data: bytes) -> Iterator[bytes]:
        try:
            while data:
                if self._member.eof:
                    self._member = zlib.decompressobj(zlib.MAX_WBITS | 16)
                yield self._member.decompress(data, PIECE)
                data = self._member.unused_data if self._member.eof else self._member.unconsumed_tail
                self.complete = self._member.eof
        except zlib.error as error:
            raise DamagedError(f"it is no good gzip file: {error}") from None
