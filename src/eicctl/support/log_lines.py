"""The lines of the log: one for each record, without secrets and without control characters."""

from __future__ import annotations

import logging
from datetime import datetime

from eicctl.core.sanitize import printable
from eicctl.support.redact import redact

LONGEST = 8192
"""Most characters of a message; the rest is counted."""


class Lines(logging.Formatter):
    """`TIME PID LEVEL LOGGER: MESSAGE`, and a line of its own for each line of a traceback, after `|`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record's lines, without an end of line."""
        moment = datetime.fromtimestamp(record.created).astimezone().isoformat(timespec="milliseconds")
        head = f"{moment} {record.process} {record.levelname} {record.name}:"
        lines = [f"{head} {plain(record.getMessage())}"]
        if record.exc_info:
            # Redacted before it is split: a private key has several lines.
            traceback = redact(self.formatException(record.exc_info))
            shown = [line for line in traceback.splitlines() if line.strip(" ^~")]
            lines += [f"{head} | {_cut(printable(line, keep=''))}" for line in shown]
        return "\n".join(lines)


def plain(text: str) -> str:
    """Return a text as one line without secrets."""
    return _cut(printable(redact(text), keep="\t"))


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}… ({len(text) - LONGEST} more characters)"
