"""websockets without `importlib.metadata`, which a release of it imports and does not use.

That import, with email and zipfile below it, takes longer than a TLS handshake (benchmarks/RESULTS.md).
"""

from __future__ import annotations

import contextlib
import sys
from types import ModuleType

_UNUSED = "importlib.metadata"


def load_websockets() -> None:
    """Import websockets' version, which is all of it that names the module; who needs the module imports it later."""
    if _UNUSED in sys.modules:
        return
    sys.modules[_UNUSED] = ModuleType(_UNUSED)
    try:
        # A development version does use it, fails here, and is imported in full by the next one who asks.
        with contextlib.suppress(AttributeError, ImportError):
            import websockets.version  # noqa: F401
    finally:
        del sys.modules[_UNUSED]
