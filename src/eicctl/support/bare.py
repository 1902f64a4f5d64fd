"""What a warm login uses of `signal`, `socket` and `json`, from their halves in C.

Importing the modules themselves, which import `enum`, `re` and more, takes longer than all that such a login does
(benchmarks/RESULTS.md). They stand in where Python has no such halves.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    import socket
    from typing import Any
else:
    try:
        import _signal as signal
        import _socket as socket
    except ImportError:
        import signal
        import socket

__all__ = ["add_site_packages", "json_text", "parse_json", "signal", "socket"]


def add_site_packages() -> None:
    """Do what Python does at its start, where it was started without (`-S`, see `ssh.process.proxy_words`)."""
    if "site" not in sys.modules:
        import site

        site.main()


def json_text(value: Any) -> str:
    """Return a value as JSON, in ASCII, as `json.dumps` does."""
    try:
        from _json import encode_basestring_ascii, make_encoder

        make: Any = make_encoder
        return "".join(make({}, None, encode_basestring_ascii, None, ": ", ", ", False, False, True)(value, 0))
    except (ImportError, TypeError):
        import json

        return json.dumps(value)


class _Decoder:
    """What the scanner asks of `json.JSONDecoder`."""

    strict = True
    object_hook = object_pairs_hook = None
    parse_float = parse_constant = float
    parse_int = int


def parse_json(text: bytes | str) -> Any:
    """Return what a JSON document says.

    Raises:
        ValueError: It is not JSON, or nested too deeply.
    """
    try:
        from _json import make_scanner

        make: Any = make_scanner
        plain = (text.decode() if isinstance(text, bytes) else text).strip(" \t\n\r")
        value, end = make(_Decoder)(plain, 0)
        if end == len(plain):
            return value
    except (ImportError, StopIteration, ValueError):
        pass
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    import json  # which says where a text is wrong, and reads other encodings than UTF-8

    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
