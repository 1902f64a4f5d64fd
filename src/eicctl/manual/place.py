"""Manual pages on disk, and on the terminal by man(1)."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from eicctl.core.errors import LocalError
from eicctl.support.files import read_text, user_folder, write_whole

Sources = Mapping[str, str]
"""The pages' sources by their names."""

_READABLE = 0o644


def install_pages(sources: Sources, environ: Mapping[str, str] = os.environ) -> list[str]:
    """Write pages where man(1) finds them for this user.

    Returns:
        What was done, what else is needed, and how to undo it, in lines for the user.

    Raises:
        LocalError: They cannot be written.
    """
    home = user_folder("HOME", "", environ)
    folder = user_folder("XDG_DATA_HOME", ".local/share", environ) / "man/man1"
    written = write_pages(sources, folder)
    named = f"{shlex.quote(str(folder))}/eicctl*.1"
    return [
        f"wrote {written} of {len(sources)} pages into {folder}; the others are as they should be",
        f"man finds them there if {home / '.local/bin'} is on the PATH, or {folder.parent} on the MANPATH",
        f"to undo it: rm {named}",
    ]


def write_pages(sources: Sources, folder: Path) -> int:
    """Write pages into a folder, which is made; return how many were not there yet.

    Raises:
        LocalError: They cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LocalError(f"cannot make the folder {folder}: {error.strerror}") from error
    changed = {name: text for name, text in sources.items() if read_text(folder / f"{name}.1") != text}
    for name, text in changed.items():
        write_whole(folder / f"{name}.1", text, _READABLE)
    return len(changed)


def show(name: str, source: str) -> bool:
    """Show a page with man(1); False where there is none."""
    program = shutil.which("man")
    if not program:
        return False
    with tempfile.TemporaryDirectory(prefix="eicctl-man-") as folder:
        path = Path(folder) / f"{name}.1"
        path.write_text(source, encoding="utf-8")
        return subprocess.run([program, str(path)], check=False).returncode == 0
