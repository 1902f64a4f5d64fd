"""A background process for the next command: started beside this one, which does not wait for it."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time

from eicctl import settings
from eicctl.agent.start import here, start
from eicctl.agent.where import switched
from eicctl.errors import EicctlError

DELAY = 0.2
"""Seconds after which it is started: the first bytes of the connection go first."""


def start_soon() -> None:
    """Start the background process in a moment if none listens; what goes wrong is told by nobody.

    It is not started where the user does not want it (`agent = false` in config.toml, `EICCTL_AGENT=off`), nor in
    CI (the variable `CI`), where nobody connects again, unless `EICCTL_AGENT=on` asks for it.
    """
    if sys.platform != "win32" and _wanted():
        threading.Thread(target=_start, daemon=True).start()


def _wanted() -> bool:
    asked = switched(os.environ)
    if asked is None:
        return not os.environ.get("CI") and settings.config().agent
    return asked


def _start() -> None:
    time.sleep(DELAY)
    with contextlib.suppress(EicctlError, OSError):
        start(here(), wait=False)
