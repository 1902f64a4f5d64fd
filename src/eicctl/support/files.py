"""Files that must never be half-written, and that several processes change."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from eicctl.core.errors import EicctlError, LocalError


def make_private(folder: Path) -> None:
    """Create a folder for this user alone (0700), with the missing folders above it.

    Raises:
        OSError: It cannot be created.
    """
    for path in (*reversed(folder.parents), folder):  # `mkdir(parents=True)` makes those above 0755
        if not path.is_dir():
            path.mkdir(mode=0o700, exist_ok=True)


def expanded(path: str) -> Path:
    """Return a path whose `~` is the user's home: `HOME`, or what the password database says where that is no folder's
    path.

    Raises:
        LocalError: The user has none.
    """
    if not path.startswith("~"):
        return Path(path)
    first, slash, rest = path.partition("/")
    if os.name == "posix" and first == "~" and not os.environ.get("HOME", "").startswith("/"):
        import pwd

        with contextlib.suppress(KeyError):
            first = pwd.getpwuid(os.getuid()).pw_dir
    else:
        first = os.path.expanduser(first)  # noqa: PTH111 - whom nobody knows stays
    if first.startswith("~"):
        raise LocalError(f"Cannot expand {path}: the home folder is unknown", hint="export HOME=FOLDER")
    return Path(first + slash + rest)


def user_folder(variable: str, usual: str, environ: Mapping[str, str] = os.environ) -> Path:
    """Return a base folder of the user: what a variable says, if that is an absolute path, or one below the home.

    Raises:
        LocalError: The user has no home.
    """
    specified = Path(environ.get(variable, ""))
    if specified.is_absolute():
        return specified
    home = Path(environ.get("HOME", ""))
    return (home if home.is_absolute() else expanded("~")) / usual


def write_whole(path: Path, text: str, mode: int = 0o600, *, durable: bool = True) -> None:
    """Write a file atomically: readers see the old text or the new one. A symlink's target is replaced.

    Args:
        path: The file.
        text: What is to be in it.
        mode: Its permissions.
        durable: Whether it must outlive a crash of the machine, for which a disk takes some 10 ms.

    Raises:
        LocalError: It cannot be written; the old file is as it was.
    """
    with _beside(path, text, mode, durable=durable) as (name, real):
        name.replace(real)


def check_writable(path: Path, text: str) -> None:
    """Check that `write_whole` could write a file, and that there is room for its text; nothing changes.

    Raises:
        LocalError: It cannot be written.
    """
    with _beside(path, text, 0o600, durable=True) as (name, real):
        if real.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        name.unlink()


@contextlib.contextmanager
def _beside(path: Path, text: str, mode: int, *, durable: bool) -> Iterator[tuple[Path, Path]]:
    """Write a text into a new file beside that which a path leads to; give both. The new one is gone after an error."""
    real = Path(os.path.realpath(path))
    name = ""
    try:
        import tempfile

        descriptor, name = tempfile.mkstemp(dir=real.parent, prefix=f".{real.name}.")
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
            file.write(text)
            file.flush()
            if hasattr(os, "fchmod"):  # by its name it could be another file by now
                os.fchmod(descriptor, mode)
            if durable:
                os.fsync(descriptor)
        if not hasattr(os, "fchmod"):
            Path(name).chmod(mode)
        yield Path(name), real
    except OSError as error:
        if name:
            Path(name).unlink(missing_ok=True)
        raise LocalError(f"Cannot write {path}: {error.strerror}") from error


def read_text(path: Path) -> str:
    """Return a file's text, bytes that are not UTF-8 included; empty if it does not exist.

    Raises:
        LocalError: It cannot be read.
    """
    try:
        with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
            return file.read()
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise LocalError(f"Cannot read {path}: {error.strerror}") from error


def install(path: Path, text: str, mode: int = 0o644) -> bool:
    """Write a file that others may read, with the folders above it; return whether it was changed.

    Raises:
        LocalError: It cannot be written.
    """
    if read_text(path) == text:
        return False
    make_parents(path)
    write_whole(path, text, mode)
    return True


def make_parents(path: Path) -> None:
    """Create the folders above a file.

    Raises:
        LocalError: They cannot be created.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LocalError(f"Cannot create the folder {path.parent}: {error.strerror}") from error


def flock(descriptor: int, *, shared: bool = False, timeout: float | None = None) -> bool:
    """Lock an open file until it is closed, which its process's end does, too. Return whether it is locked.

    Args:
        descriptor: The file.
        shared: Whether others may have such a lock as well.
        timeout: Seconds to wait for other locks; None without end. Where the platform has no flock(2), none is had.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        return False
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    if timeout is None:
        fcntl.flock(descriptor, kind)
        return True
    deadline = time.monotonic() + timeout
    while True:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.02)
        else:
            return True


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock that other processes of eicctl wait for: that of `path`, in a file beside it.

    It ends with the process, however that ends. Where the platform has no flock(2), there is none.

    Raises:
        LocalError: The file of the lock cannot be opened.
    """
    if os.name != "posix":
        yield
        return
    try:
        descriptor = os.open(
            path.with_name(f".{path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
        )
    except OSError as error:
        raise LocalError(f"Cannot lock {path}: {error.strerror}") from error
    try:
        flock(descriptor)
        yield
    finally:
        os.close(descriptor)


RENEWED_EVERY = 600.0
"""Seconds after which `kept_fresh` replaces a file: well before the 15 minutes of a database token are over."""

TRIED_EVERY = 30.0
"""Seconds after which replacing it is tried again."""


@contextlib.contextmanager
def kept_fresh(path: Path, content: Callable[[], str], failed: Callable[[EicctlError], None]) -> Iterator[None]:
    """Keep a file (0600) with what `content` returns as long as the block lasts.

    Later failures are passed to `failed`, in a thread of its own.

    Raises:
        EicctlError: The first content cannot be had, or not written.
    """
    import threading

    write_whole(path, content())
    over = threading.Event()
    writing = threading.Lock()

    def renew() -> None:
        pause = RENEWED_EVERY
        while not over.wait(pause):
            try:
                text = content()
                with writing:
                    if not over.is_set():  # else the file would stay behind
                        write_whole(path, text)
                pause = RENEWED_EVERY
            except EicctlError as error:
                failed(error)
                pause = TRIED_EVERY

    threading.Thread(target=renew, daemon=True).start()
    try:
        yield
    finally:
        over.set()
        with writing:
            path.unlink(missing_ok=True)
