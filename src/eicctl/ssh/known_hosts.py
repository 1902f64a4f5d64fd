"""eicctl's own known_hosts files (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from eicctl.core.errors import UsageError
from eicctl.support import files, paths

_MARK = "# eicctl: "


def by_instance() -> KnownHosts:
    """Return the file of host keys by instance ID: private addresses and names are used again, IDs are not."""
    return KnownHosts(paths.state_dir() / "known_hosts")


class KnownHosts:
    """A known_hosts file that OpenSSH reads and adds to.

    Args:
        path: The file; it need not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def keys(self, name: str) -> tuple[str, ...]:
        """Return the keys that are pinned under a name, each as `TYPE BASE64`."""
        found = []
        for line in _lines(files.read_text(self.path)):
            words = line.split() if name in line else []  # files with thousands of lines are read for each host
            if len(words) >= 3 and name in words[0].split(","):
                found.append(f"{words[1]} {words[2]}")
        return tuple(found)

    def pin(self, name: str, keys: Sequence[str]) -> None:
        """Make these the only keys of a name.

        Raises:
            UsageError: OpenSSH would not take it for one name.
        """
        _check(name)
        with files.locked(self.path):
            lines = self._without(name)
            files.write_whole(self.path, _text([*lines, *(f"{name} {key}" for key in keys)]))

    def follow(self, name: str, instance_id: str, keys: Sequence[str]) -> None:
        """Give a name, which may move from instance to instance, the keys of the instance that has it now.

        Keys of another instance that had it before are removed. Without keys OpenSSH accepts the first that it sees.

        Raises:
            UsageError: OpenSSH would not take it for one name.
        """
        _check(name)
        files.make_private(self.path.parent)  # blocks that were only printed work where nothing was installed
        with files.locked(self.path):
            mark = f"{_MARK}{name} {instance_id}"
            lines = _lines(files.read_text(self.path))
            if mark in lines:
                return
            kept = [line for line in self._without(name) if not line.startswith(f"{_MARK}{name} ")]
            files.write_whole(self.path, _text([*kept, mark, *(f"{name} {key}" for key in keys)]))

    def _without(self, name: str) -> list[str]:
        return [
            line
            for line in _lines(files.read_text(self.path))
            if line.startswith("#") or name not in line or name not in (line.split() or [""])[0].split(",")
        ]


def _check(name: str) -> None:
    """Raise if a name would be a pattern, several names, or more than one line."""
    if (
        not name
        or name[0] in "#@|"
        or any(char in '*?!,"' or char.isspace() or not char.isprintable() for char in name)
    ):
        raise UsageError(f"Cannot store host keys for {name!r}: not a host name")


def _lines(text: str) -> list[str]:
    """The lines as OpenSSH sees them: Python's `splitlines` knows more line ends."""
    return text.removesuffix("\n").split("\n") if text else []


def _text(lines: Sequence[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
