"""The source of eicctl, for what reads it: each file is parsed once."""

from __future__ import annotations

import ast
import functools
from pathlib import Path

import eicctl

ROOT = Path(eicctl.__file__).parent

FILES = sorted(ROOT.rglob("*.py"))


def name_of(path: Path) -> str:
    """Return a file's path below `ROOT`."""
    return path.relative_to(ROOT).as_posix()


@functools.cache
def nodes(path: Path) -> tuple[ast.AST, ...]:
    """Return all nodes of a file in the order of `ast.walk`: the first is the module."""
    return tuple(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
