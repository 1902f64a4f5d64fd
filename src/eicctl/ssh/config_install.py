"""The files of ssh_config(5) that eicctl changes: its own, and the user's, which includes it."""

from __future__ import annotations

import difflib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from eicctl.core.errors import LocalError
from eicctl.ssh.config_file import Block, Merged, Section, merged, with_include, without_include
from eicctl.ssh.openssh_options import folder
from eicctl.support import files


def own_file() -> Path:
    """The file that eicctl writes."""
    return folder() / "config"


def users_file() -> Path:
    """The user's ssh_config."""
    return files.expanded("~") / ".ssh" / "config"


@dataclass(frozen=True, slots=True)
class Change:
    """What a file has, and what it is to have."""

    path: Path
    before: str
    after: str

    def diff(self) -> str:
        """Return the difference in the unified form; empty where there is none."""
        before, after = (text.splitlines(keepends=True) for text in (self.before, self.after))
        return "".join(difflib.unified_diff(before, after, str(self.path), str(self.path)))

    def make(self) -> None:
        """Write the file, if it changes. What a file of the user's had is kept beside it, with `.before-eicctl`.

        Raises:
            LocalError: It cannot be written.
        """
        if self.before == self.after:
            return
        try:
            files.make_private(self.path.parent)
            mode = self.path.stat().st_mode & 0o777 if self.path.exists() else 0o600
            if self.path == users_file() and self.path.exists():
                shutil.copy2(self.path, self.path.with_name(f"{self.path.name}.before-eicctl"))
        except OSError as error:
            raise LocalError(f"cannot change {self.path}: {error.strerror}") from error
        files.write_whole(self.path, self.after, mode)


def installation(section: Section, blocks: Sequence[Block], *, whole: bool) -> tuple[list[Change], Merged]:
    """Return the changes that put blocks into eicctl's file, and an Include of it into the user's; and what they do."""
    own, users = files.read_text(own_file()), files.read_text(users_file())
    result = merged(own, section, blocks, whole=whole)
    return [
        Change(own_file(), own, result.text),
        Change(users_file(), users, with_include(users, str(own_file()))),
    ], result


def removal() -> list[Change]:
    """Return the changes that take both away; the files stay, and so do the user's own lines."""
    own, users = files.read_text(own_file()), files.read_text(users_file())
    return [
        Change(users_file(), users, without_include(users, str(own_file()))),
        Change(own_file(), own, ""),
    ]


def mux_folder() -> Path:
    """The folder of ControlMaster's sockets."""
    return folder() / "mux"


def make_mux_folder() -> Path:
    """Make that folder (0700) and return it.

    Raises:
        LocalError: It cannot be made.
    """
    path = mux_folder()
    try:
        files.make_private(path)
    except OSError as error:
        raise LocalError(f"cannot make the folder {path}: {error.strerror}") from error
    return path
