"""The part of the environment that decides what a background process can do for a command.

A process has one environment, and botocore, proxies and TLS read theirs from it. So commands that differ in these
variables have background processes of their own: no command gets a tunnel with the credentials of another.
"""

from __future__ import annotations

import os

from eicctl.support import log
from eicctl.support.pins import PROFILE_VARIABLES, REGION_VARIABLES, environment_profile, environment_region

try:
    from _blake2 import blake2b  # hashlib loads OpenSSL, which takes some milliseconds
except ImportError:  # a Python that was built without it
    from hashlib import blake2b

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_NAMES = frozenset({"HOME", "SSH_AUTH_SOCK", "SSL_CERT_FILE", "SSL_CERT_DIR"})
_STARTS = ("AWS_", "EICCTL_")
_NOT = frozenset({"EICCTL_AGENT", log.VARIABLE})
_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


def for_process(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment of a background process: without what requests say in words (`pins`), so that commands for
    several profiles and regions share a process."""
    found = os.environ if environ is None else environ
    told = (
        *(PROFILE_VARIABLES if environment_profile(found) else ()),
        *(REGION_VARIABLES if environment_region(found) else ()),
    )
    return {name: value for name, value in found.items() if name not in told}


def fingerprint(environ: Mapping[str, str] | None = None) -> str:
    """Return a short name for the variables that matter; it does not tell their values."""
    relevant = {name: value for name, value in for_process(environ).items() if _matters(name)}
    text = "\0".join(f"{name}={value}" for name, value in sorted(relevant.items()))
    return blake2b(text.encode(errors="surrogateescape"), digest_size=8, person=b"eicctl-agent").hexdigest()


def _matters(name: str) -> bool:
    if name in _NOT:
        return False
    return name in _NAMES or name.startswith(_STARTS) or name.lower() in _PROXIES
