"""Looking for secrets: in the command lines of processes while something runs, in files and outputs after it."""

from __future__ import annotations

import base64
import contextlib
import os
import re
import socket
import stat
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

from tests.integration.test_tunnel_proxies import connect_proxy

PATTERNS = {
    "a presigned URL": rb"X-Amz-Signature(?:=|%3D)[0-9a-f]{16}",
    "a session token in a URL": rb"X-Amz-Security-Token(?:=|%3D)[^*\s]{8}",
    "a private key": rb"BEGIN [A-Z ]*PRIVATE KEY-----[^*]",
    "a session token": rb"(?:IQoJ|FwoG|FQoG)[A-Za-z0-9+/=%]{60}",
}
"""What a secret looks like whose value the test does not know."""


def found_in(data: bytes, secrets: Mapping[str, str]) -> set[str]:
    """The names of the secrets that some bytes hold, in whatever spelling."""
    found = {name for name, pattern in PATTERNS.items() if re.search(pattern, data)}
    for name, secret in secrets.items():
        if secret.isdigit():
            spellings = [rf"(?<!\d){secret}(?!\d)".encode()]
        else:
            encoded = base64.b64encode(secret.encode()).decode().rstrip("=")
            spellings = [re.escape(form.encode()) for form in (secret, quote(secret, safe=""), quote(secret), encoded)]
        if any(re.search(spelling, data) for spelling in spellings):
            found.add(name)
    return found


def found_below(folder: Path, secrets: Mapping[str, str]) -> dict[str, set[str]]:
    """The secrets in the files below a folder, by the file's path in it."""
    found = {}
    for path in files_below(folder):
        if names := found_in(path.read_bytes(), secrets):
            found[str(path.relative_to(folder))] = names
    return found


def files_below(folder: Path) -> list[Path]:
    """The regular files below a folder."""
    return [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink()]


def open_to_others(folder: Path) -> list[str]:
    """What below a folder, with it, others than the user may read or write."""
    return [
        f"{path} {stat.S_IMODE(path.lstat().st_mode):o}"
        for path in (folder, *folder.rglob("*"))
        if not path.is_symlink() and path.lstat().st_mode & 0o077
    ]


class Sampled:
    """The command lines of processes that have been seen."""

    def __init__(self) -> None:
        self.lines: set[bytes] = set()
        self._before = {path.name for path in Path("/proc").glob("[0-9]*")}
        self._over = threading.Event()

    def look(self) -> None:
        """Look at every process of this user that has begun since."""
        for entry in os.scandir("/proc"):
            if entry.name.isdigit() and entry.name not in self._before:
                with contextlib.suppress(OSError):
                    self.lines.add(Path(entry.path, "cmdline").read_bytes())

    def go_on(self) -> None:
        """Look again and again."""
        while not self._over.wait(0.02):
            self.look()

    def end(self) -> None:
        """No longer."""
        self._over.set()


@contextlib.contextmanager
def sampled() -> Iterator[Sampled]:
    """Look at the processes while something runs."""
    found = Sampled()
    thread = threading.Thread(target=found.go_on)
    thread.start()
    try:
        yield found
    finally:
        found.end()
        thread.join()


@contextlib.contextmanager
def password_proxy(user: str, password: str) -> Iterator[tuple[int, list[str]]]:
    """An HTTP proxy that wants a password; give its port, and the requests that it has seen."""
    seen: list[str] = []
    handle = connect_proxy(f"{user}:{password}", seen)

    def serve(client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            handle(client)

    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    threading.Thread(target=serve, args=(client,), daemon=True).start()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield listener.getsockname()[1], seen
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(5)
