"""What eicctl says: errors, hints, notes and help texts, collected from the source, and a page that lists them."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sources import FILES, name_of, nodes

HOLE = "\0"
"""What stands in a text for a part that is known at run time only."""

NOT_PROSE = ("cli/commands/version.py", "audit/page.py", "ssh/config_file.py")
"""Modules whose strings are no messages, but for their errors."""

_COMMAND = re.compile(r"[\w.]*(command|group)\(")
"""Decorators that make a function a command."""

HEAD = """# Messages

Made from the source by `make docs`, for reviewers; `make check` fails when it is stale. By file, in the order of the
source: errors (with their class), hints, help texts, log lines, and all other strings of more than one word. `…` stands
for a part that is known at run time only.
"""


@dataclass(frozen=True)
class Message:
    """A text and what it is: the name of an error's class, `hint`, `help`, `log`, or empty for any other string."""

    kind: str
    text: str


@functools.cache
def constants(path: Path) -> dict[str, str]:
    """Return the texts that a module gives a name."""
    module = nodes(path)[0]
    assert isinstance(module, ast.Module)
    return {
        node.targets[0].id: node.value.value
        for node in module.body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    }


def text_of(node: ast.AST, names: dict[str, str]) -> str:
    """Return the text of a string with holes; of a condition both sides; an empty text for anything else."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    if isinstance(node, ast.JoinedStr):
        return re.sub(f"{HOLE}+", HOLE, "".join(text_of(part, names) or HOLE for part in node.values))
    if isinstance(node, ast.FormattedValue):
        return names.get(node.value.id, "") if isinstance(node.value, ast.Name) else ""
    if isinstance(node, ast.BinOp):
        return text_of(node.left, names) + text_of(node.right, names)
    if isinstance(node, ast.IfExp):
        return f"{text_of(node.body, names)} {text_of(node.orelse, names)}"
    return ""


def sides(node: ast.AST) -> Iterator[ast.AST]:
    """Yield both sides of a condition, or the node itself."""
    if isinstance(node, ast.IfExp):
        yield from sides(node.body)
        yield from sides(node.orelse)
    else:
        yield node


def strings(path: Path) -> Iterator[tuple[ast.expr, str]]:
    """Yield each string of a file with its node. Docstrings, and the parts of a string that is joined, are none."""
    found = nodes(path)
    joined = [node for node in found if isinstance(node, ast.JoinedStr | ast.BinOp)]
    ignored = {id(node.value) for node in found if isinstance(node, ast.Expr)}
    ignored |= {id(part) for node in joined for part in ast.walk(node) if part is not node}
    for node in found:
        if isinstance(node, ast.Constant | ast.JoinedStr | ast.BinOp) and id(node) not in ignored:
            yield node, text_of(node, constants(path))


def errors(path: Path) -> Iterator[tuple[str, ast.AST, str]]:
    """Yield the class, the node and the text of each error that is made in a file."""
    for node in nodes(path):
        made: list[tuple[str, ast.Call]] = []
        if isinstance(node, ast.ClassDef) and node.name.endswith("Error"):
            calls = [call for call in ast.walk(node) if isinstance(call, ast.Call)]
            made = [(node.name, call) for call in calls if ast.unparse(call.func) == "super().__init__"]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id.endswith("Error"):
            made = [(node.func.id, node)]
        for name, call in made:
            for side in sides(call.args[0]) if call.args else ():
                yield name, side, text_of(side, constants(path))


def help_texts(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the line and the text of each docstring that is the help of a command."""
    for node in nodes(path) if name_of(path).startswith("cli/") else ():
        if isinstance(node, ast.FunctionDef) and any(_COMMAND.match(ast.unparse(by)) for by in node.decorator_list):
            yield node.lineno, (ast.get_docstring(node) or "").partition("\f")[0].replace("\b\n", "").strip()


def _kinds(path: Path) -> dict[int, tuple[str, str]]:
    """Return the kind of each string that has one, and what stands before it, by the ID of its node."""
    kinds = {id(node): (name, "") for name, node, _ in errors(path)}
    for node in nodes(path):
        if not isinstance(node, ast.Call):
            continue
        for keyword in node.keywords:
            if keyword.arg == "hint":
                kinds |= {id(side): ("hint", "") for side in sides(keyword.value)}
            elif keyword.arg in ("help", "epilog"):
                option = next((f"{word}: " for arg in node.args if (word := text_of(arg, {})).startswith("--")), "")
                kinds |= {id(side): ("help", option) for side in sides(keyword.value)}
        if isinstance(node.func, ast.Attribute) and ast.unparse(node.func.value) == "_log":
            kinds |= {id(word): ("log", "") for word in node.args}
    return kinds


def messages(path: Path) -> list[Message]:
    """Return what a file says, in its order, each text once."""
    kinds = _kinds(path)
    found = [(line, Message("help", text)) for line, text in help_texts(path)]
    for node, text in strings(path):
        kind, before = kinds.get(id(node), ("", ""))
        if re.search(r"[a-z]", text) if kind else _is_prose(text) and not name_of(path).startswith(NOT_PROSE):
            found.append((node.lineno, Message(kind, before + text)))
    return list(dict.fromkeys(message for _, message in sorted(found, key=lambda row: row[0])))


def _is_prose(text: str) -> bool:
    """Whether a string has two words, one after the other, outside of what a browser, a shell or SQLite reads."""
    plain = re.sub(r"<[^>]*>|^\s*<.*|^[A-Z]{6,} .*", "", text)
    return bool(re.search(r"[a-z]{2,},? [\w\0]|[\w\0],? [a-z]{2,}", plain)) and not re.search(
        r"[;{}]\s*\n|\nend\n|\{\0", text
    )


def page() -> str:
    """Return the whole page."""
    parts = [HEAD]
    for path in FILES:
        lines = []
        for message in messages(path):
            text = message.text.replace(HOLE, "…").strip("\n")
            lines.append((f"{message.kind}: " if message.kind else "") + text.replace("\n", "\n    "))
        if lines:
            fence = "````" if any("```" in line for line in lines) else "```"
            parts.append(f"## {name_of(path)}\n\n{fence}text\n" + "\n".join(lines) + f"\n{fence}\n")
    return re.sub(r"[ \t]+$", "", "\n".join(parts), flags=re.MULTILINE)
