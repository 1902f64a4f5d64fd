"""How the code is divided: files and lines by room, the imports between rooms, and files that only one other imports.

    python scripts/structure.py            # Markdown, for docs/explanation/architecture.md
    python scripts/structure.py --dot      # the import graph of the rooms, for Graphviz: `make picture`
    python scripts/structure.py --single   # each file with one importer, and the importer

Another checkout is measured by its path as the last argument.
"""

from __future__ import annotations

import ast
import statistics
import sys
from collections import defaultdict
from pathlib import Path


def modules_of(root: Path) -> dict[str, Path]:
    """Return each module's dotted name, without `eicctl.`, and its file."""
    found = {}
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports_of(path: Path, modules: dict[str, Path]) -> set[str]:
    """Return the modules of eicctl that a file imports, also inside functions and for types."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                names.add(inner if inner.removeprefix("eicctl.") in modules else node.module)
    return {name.removeprefix("eicctl.") for name in names if name.startswith("eicctl.")} & modules.keys()


def room_of(module: str) -> str:
    """Return the first folder of a module, or "." for the files at the top."""
    first, dot, _ = module.partition(".")
    return first if dot else "."


def reduced(arrows: set[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the arrows that are not implied by a chain of others, as the drawing shows them."""

    def reached(room: str) -> set[str]:
        direct = {b for a, b in arrows if a == room}
        return direct.union(*map(reached, direct))

    return sorted((a, b) for a, b in arrows if not any(b in reached(c) for x, c in arrows if x == a))


def main() -> None:
    words = [word for word in sys.argv[1:] if not word.startswith("--")]
    root = Path(words[0] if words else ".") / "src" / "eicctl"
    modules = modules_of(root)
    imports = {module: imports_of(path, modules) - {module} for module, path in modules.items()}
    importers = defaultdict(set)
    for module, used in imports.items():
        for other in used:
            importers[other].add(module)
    rooms = {module: module if path.name == "__init__.py" else room_of(module) for module, path in modules.items()}
    rooms = {module: room.partition(".")[0] or "." for module, room in rooms.items()}
    arrows = {(rooms[a], rooms[b]) for a, used in imports.items() for b in used if rooms[a] != rooms[b]}
    if "--dot" in sys.argv:
        inner = {arrow for arrow in arrows if "." not in arrow}
        mutual = {(a, b) for a, b in inner if (b, a) in inner}
        drawn = [f'  "{a}" -> "{b}";' for a, b in reduced(inner - mutual)]
        drawn += [f'  "{a}" -> "{b}" [dir=both];' for a, b in sorted(mutual) if a < b]
        print('digraph rooms {\n  node [shape=box fontname="sans-serif"];', *drawn, "}", sep="\n")
        return
    single = {module: next(iter(used)) for module, used in sorted(importers.items()) if len(used) == 1}
    if "--single" in sys.argv:
        for module, importer in single.items():
            print(f"{module:40} {importer}")
        return
    lines = {module: len(path.read_text(encoding="utf-8").splitlines()) for module, path in modules.items()}
    print("| room | files | lines | imports |\n| --- | ---: | ---: | --- |")
    for room in sorted(set(rooms.values())):
        inside = [module for module in modules if rooms[module] == room]
        down = ", ".join(f"`{b}`" for a, b in sorted(arrows) if a == room and b != ".")
        print(f"| `{room}` | {len(inside)} | {sum(lines[module] for module in inside)} | {down} |")
    files = f"{len(modules)} (median {statistics.median(lines.values()):.0f} lines)"
    print(f"| all | {files} | {sum(lines.values())} | with one importer: {len(single)} |")


if __name__ == "__main__":
    main()
