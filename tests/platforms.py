"""Which test files a platform can run: decided by what they, and the helpers that they import, need.

`EICCTL_TESTS_PLATFORM=win32` selects the files for Windows, and hides what Python lacks there (`make test-portable`).
"""

from __future__ import annotations

import ast
import builtins
import functools
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).parents[1]

PLATFORM = os.environ.get("EICCTL_TESTS_PLATFORM", sys.platform)

POSIX_MODULES = frozenset({"fcntl", "grp", "pty", "pwd", "resource", "termios", "tty"})
"""Modules that Python does not have on Windows."""

NOT_ON_WINDOWS = POSIX_MODULES | {"pexpect", "eicctl.emulator"}

LINUX = re.compile(r"/proc/|\bprctl\b|\bAF_NETLINK\b|\bSO_PEERCRED\b|\bunshare\b|\bEpollSelector\b|/dev/full")
"""What only Linux has."""

POSIX = re.compile(
    r"\b(?:st_mode|chmod|getuid|geteuid|mkfifo|symlink_to|preexec_fn|AF_UNIX|SIGHUP|SIGKILL|SIGSTOP|os\.fork|local_socket)\b"
    r"|/(?:bin|tmp|etc|home)/|0o[67]00"
)
"""What Windows does not have, beside modules: modes of files, users, signals, Unix sockets, and paths."""

BRANCHING = frozenset(ROOT / "tests" / name for name in ("platforms.py", "processes.py", "terminal.py", "waiting.py"))
"""Helpers that know what other platforms have instead."""


def _imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{name.name}" for name in node.names)
        else:
            yield from _imports(node)


@functools.cache
def _read(path: Path) -> tuple[frozenset[str], str, str]:
    """What a file imports; and what it has that only Linux, and that not Windows has."""
    text = path.read_text(encoding="utf-8")
    imports = frozenset(_imports(ast.parse(text)))
    if path in BRANCHING:
        return imports, "", ""
    linux, posix = LINUX.search(text), POSIX.search(text)
    return imports, linux.group() if linux else "", posix.group() if posix else ""


def _files(path: Path) -> set[Path]:
    """A test file, the conftest.py of its folder, and the helpers that they import, whole chains of them.

    That of tests/ itself is left out: what not every platform has is imported inside its fixtures.
    """
    found = {ROOT / "tests" / "conftest.py"}
    ahead = [path, (path if path.is_dir() else path.parent) / "conftest.py"]
    while ahead:
        file = ahead.pop()
        if file in found or not file.is_file():
            continue
        found.add(file)
        ahead += [ROOT / f"{name.replace('.', '/')}.py" for name in _read(file)[0] if name.startswith("tests.")]
    return found - {ROOT / "tests" / "conftest.py"}


def reason_to_skip(path: Path, platform: str = PLATFORM) -> str:
    """Return why a test file or folder cannot run on a platform (a value of `sys.platform`), or an empty text."""
    if platform == "linux":
        return ""
    for file in sorted(_files(path)):
        imports, linux, posix = _read(file)
        name = file.relative_to(ROOT).as_posix()
        if linux:
            return f"{name} needs Linux: {linux}"
        lacking = {lacked for lacked in NOT_ON_WINDOWS for each in imports if f"{each}.".startswith(f"{lacked}.")}
        if platform == "win32" and lacking:
            return f"{name} imports {min(lacking)}"
        if platform == "win32" and posix:
            return f"{name} needs POSIX: {posix}"
    return ""


def hide_posix_modules() -> None:
    """Let no module of eicctl and of the tests import what Windows lacks."""
    real = builtins.__import__

    def imported(name: str, into: dict[str, Any] | None = None, *rest: Any, **named: Any) -> ModuleType:
        importer = str((into or {}).get("__name__")).partition(".")[0]
        if name.partition(".")[0] in POSIX_MODULES and importer in ("eicctl", "tests"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, into, *rest, **named)

    setattr(builtins, "__import__", imported)  # noqa: B010 - its type says more than an import statement needs
