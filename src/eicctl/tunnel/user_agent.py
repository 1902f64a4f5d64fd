"""The `User-Agent` of tunnels, which CloudTrail shows: formed as botocore forms its own, without importing it."""

from __future__ import annotations

import functools
import os
import platform
import string

from eicctl import __version__

_ALLOWED = frozenset(string.ascii_letters + string.digits + "!$%&'*+-.^_`|~,")
_SYSTEMS = {"linux": "linux", "windows": "windows", "darwin": "macos"}


@functools.cache
def user_agent() -> str:
    """Return `eicctl/VERSION ua/2.1 os/… md/arch#… lang/python#… md/pyimpl#…`, with the execution environment and the
    application ID that AWS's variables name."""
    system, release = platform.system(), platform.release()
    parts = [_part("eicctl", __version__), "ua/2.1"]
    if family := _SYSTEMS.get(system.lower()):
        parts.append(_part("os", family, release))
    else:
        parts += ["os/other", _part("md", system, release)]
    if machine := platform.machine().lower():
        parts.append(_part("md", "arch", machine))
    parts.append(_part("lang", "python", platform.python_version()))
    parts.append(_part("md", "pyimpl", platform.python_implementation()))
    if environment := os.environ.get("AWS_EXECUTION_ENV"):
        parts.append(_part("exec-env", environment))
    if application := os.environ.get("AWS_SDK_UA_APP_ID"):
        parts.append(f"app/{_clean(application, '#')}")
    return " ".join(parts)


def _part(prefix: str, name: str, value: str = "") -> str:
    return f"{prefix}/{_clean(name)}#{_clean(value, '#')}" if value else f"{prefix}/{_clean(name)}"


def _clean(text: str, also: str = "") -> str:
    return "".join(char if char in _ALLOWED or char in also else "-" for char in text)
