"""File descriptors: how many this process may have, and that there are none left."""

from __future__ import annotations

import contextlib
import errno

WANTED = 8192
"""File descriptors that a process which serves clients should be allowed; a shell's usual limit is 1,024."""


def allow_many() -> None:
    """Raise this process's own limit of file descriptors to `WANTED`, as far as the system's limit lets it."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WANTED if hard == resource.RLIM_INFINITY else min(WANTED, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def out_of_descriptors(error: BaseException) -> bool:
    """Whether an error, or its cause, is that the process or the machine has no file descriptors left."""
    return any(getattr(one, "errno", None) in (errno.EMFILE, errno.ENFILE) for one in (error, error.__cause__))
