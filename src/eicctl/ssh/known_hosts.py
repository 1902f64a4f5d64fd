"""eicctl's own known_hosts files (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from eicctl import files, settings

_MARK = "# eicctl: "


def by_instance() -> KnownHosts:
    """Return the file of host keys by instance ID: private addresses and names are used again, IDs are not."""
    return KnownHosts(settings.state_dir() / "known_hosts")


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
        for line in files.read_text(self.path).splitlines():
            words = line.split()
            if len(words) >= 3 and name in words[0].split(","):
                found.append(f"{words[1]} {words[2]}")
        return tuple(found)

    def pin(self, name: str, keys: Sequence[str]) -> None:
        """Let these be the keys of a name, and no others."""
        with files.locked(self.path):
            lines = self._without(name)
            files.write_whole(self.path, _text([*lines, *(f"{name} {key}" for key in keys)]))

    def forget(self, name: str) -> bool:
        """Remove the keys of a name; return whether there were any."""
        with files.locked(self.path):
            before = files.read_text(self.path).splitlines()
            after = self._without(name)
            if len(after) == len(before):
                return False
            files.write_whole(self.path, _text(after))
            return True

    def follow(self, name: str, instance_id: str, keys: Sequence[str]) -> None:
        """Let a name that instances come and go under have the keys of the instance that it means now.

        Where it meant another instance before, that one's keys are gone. Without keys OpenSSH will take the first that
        it sees.
        """
        with files.locked(self.path):
            mark = f"{_MARK}{name} {instance_id}"
            lines = files.read_text(self.path).splitlines()
            if mark in lines:
                return
            kept = [line for line in self._without(name) if not line.startswith(f"{_MARK}{name} ")]
            files.write_whole(self.path, _text([*kept, mark, *(f"{name} {key}" for key in keys)]))

    def _without(self, name: str) -> list[str]:
        return [
            line
            for line in files.read_text(self.path).splitlines()
            if line.startswith("#") or name not in (line.split() or [""])[0].split(",")
        ]


def _text(lines: Sequence[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
