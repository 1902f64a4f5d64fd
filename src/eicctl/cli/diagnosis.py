"""The likely cause of a target that cannot be reached, told after the error: by all commands that connect."""

from __future__ import annotations

import contextlib
import logging
import os
import stat
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from eicctl.core.errors import EicctlError, TargetUnreachableError

if TYPE_CHECKING:
    from eicctl.aws.session import Session
    from eicctl.core.model import Target
    from eicctl.doctor.quick import Likely

LIMIT = 3.0
"""Seconds that the user is kept for the likely cause."""

_log = logging.getLogger(__name__)
_known: dict[str, tuple[Session, Target]] = {}
_told: dict[str, Likely | None] = {}
_lock = threading.Lock()


def remember(session: Session, target: Target) -> None:
    """Remember by whom and through what a target is reached, for the case that it cannot be."""
    _known[target.address] = (session, target)


def likely_cause(error: EicctlError) -> Likely | None:
    """Return the likely cause of an error, or None where it is not known within `LIMIT` seconds. Never raises.

    A target is looked at once in the life of the process.
    """
    if not isinstance(error, TargetUnreachableError) or error.address not in _known or not _wanted():
        return None
    from eicctl.support.parallel import begin

    with _lock:
        if error.address not in _told:
            session, target = _known[error.address]
            with contextlib.suppress(TimeoutError, KeyboardInterrupt):
                _told[error.address] = begin(lambda: _look(session, target)).result(LIMIT)
    return _told.get(error.address)


def in_background(error: EicctlError, tell: Callable[[Likely], None]) -> None:
    """Find the likely cause of an error in a thread of its own, and give it to `tell` there, if it is found."""
    if not isinstance(error, TargetUnreachableError):
        return

    def work() -> None:
        if likely := likely_cause(error):
            tell(likely)

    threading.Thread(target=work, daemon=True).start()


def _look(session: Session, target: Target) -> Likely | None:
    from eicctl.doctor.quick import likely_cause as look

    try:
        return look(session, target)
    except Exception as why:  # whatever it is, the user has the error itself
        _log.debug("no likely cause: %s", why)
        return None


def _wanted() -> bool:
    """Whether somebody may read it, and the user has not switched it off."""
    from eicctl.support import settings

    try:
        return settings.config().diagnose and not _hidden()
    except EicctlError:
        return False


def _hidden() -> bool:
    """Whether stderr leads nowhere."""
    try:
        status = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError):
        return False
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == Path(os.devnull).stat().st_rdev
