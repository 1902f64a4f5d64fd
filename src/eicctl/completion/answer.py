"""What a shell's completion asks: names and IDs that this machine knows. It asks AWS nothing.

Loads neither Click nor botocore: a person waits with a finger on Tab.
"""

from __future__ import annotations

import os
import sys

from eicctl.aws import completion_cache

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Asked = tuple[str | None, str]
    Values = Iterator[tuple[str, str]]

_PLAIN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")


def main(words: list[str]) -> int:
    """Print the values of a kind that begin with a word, one a line, each with a tab and what it is.

    Args:
        words: The kind, and as far as they are on the line: profile, region, the word so far. Without any, they are
            read from stdin, one a line, as old PowerShells cannot give all words as arguments.
    """
    words = words or sys.stdin.read().splitlines()
    kind, profile, region, word = [*words, "", "", "", ""][:4]
    out = []
    for value, what in values(kind, profile or None, region or None, word):
        if value.startswith(word) and value.isprintable() and value[:1] != "-":
            out.append(f"{value}\t{what if what.isprintable() else ''}\n")
    sys.stdout.buffer.write("".join(out).encode(errors="ignore"))
    sys.stdout.buffer.flush()
    return 0


def values(kind: str, profile: str | None, region: str | None, word: str = "") -> Values:
    """Yield the values of a kind, each with what it is. A kind that is not known has none.

    What has a character that does not print (a newline, an escape) is left out by `main`: a name is what anybody may
    have chosen who can tag, and it goes to a terminal and into a command line.
    """
    if asked := KINDS.get(kind):
        user, at, _ = word.rpartition("@") if kind in ("login", "copy") else ("", "", "")
        for value, what in asked((profile, completion_cache.region_of(profile, region))):
            yield user + at + value, what


def _instances(asked: Asked) -> Values:
    """Names first: they are what is typed."""
    found = completion_cache.recall(completion_cache.INSTANCES, *asked)
    names: dict[str, str] = {}
    for key, name in found.items():
        if name:
            names[name] = f"{len([n for n in found.values() if n == name])} instances" if name in names else key
    yield from sorted(names.items())
    yield from found.items()


def _ids(kind: str) -> Callable[[Asked], Values]:
    return lambda asked: iter(completion_cache.recall(kind, *asked).items())


def _copies(asked: Asked) -> Values:
    for value, what in _instances(asked):
        yield f"{value}:", what


def _hosts(asked: Asked) -> Values:
    """What ssh_config calls instances, too."""
    for value, what in _instances(asked):
        yield value, what
        if _PLAIN.issuperset(value) and value[:1] not in "._-":
            yield f"{value}.eic", what


def _endpoints(asked: Asked) -> Values:
    for key, name in completion_cache.recall(completion_cache.ENDPOINTS, *asked).items():
        yield key, name
        if name:
            yield name, key


def _databases(asked: Asked) -> Values:
    found = completion_cache.recall(completion_cache.DATABASES, *asked)
    yield from ((key, "database") for key in found)
    yield from ((f"rds:{key}", "database") for key in found)


def _profiles(_asked: Asked) -> Values:
    for name in completion_cache.sections():
        if not name.startswith(("sso-session ", "services ")):
            yield name, "profile"


def _tunnels(_asked: Asked) -> Values:
    seen: set[str] = set()
    for name, what in (*_defined(), *_open()):
        if name not in seen:
            seen.add(name)
            yield name, what


def _defined() -> Values:
    """Those of the nearest eicctl.toml here or above."""
    folder = os.getcwd()  # noqa: PTH109
    while not os.path.isfile(f"{folder}/eicctl.toml"):  # noqa: PTH113
        above = os.path.dirname(folder)  # noqa: PTH120
        if above == folder:
            return
        folder = above
    from pathlib import Path

    from eicctl.support.documents import read_toml

    try:
        _, content = read_toml(Path(folder, "eicctl.toml"))
    except (OSError, ValueError):
        return
    if isinstance(found := content.get("tunnel"), dict):
        for name, table in found.items():
            target = table.get("target") if isinstance(table, dict) else None
            yield name, target if isinstance(target, str) else "tunnel"


def _open() -> Values:
    """Those that a background process holds, as its record says."""
    from eicctl.agent.paths import PREFIX, usual_folder
    from eicctl.support.documents import parse_json

    folder = usual_folder(os.environ)
    try:
        names = os.listdir(folder) if folder else []  # noqa: PTH208
    except OSError:
        return
    for name in names:
        if name.startswith(PREFIX) and name.endswith(".json"):
            try:
                with open(f"{folder}/{name}", "rb") as file:  # noqa: PTH123
                    rows = parse_json(file.read())["Tunnels"]
                yield from ((str(row["name"]), "open") for row in rows)
            except (OSError, ValueError, KeyError, TypeError):
                continue


KINDS = {
    "instance": _instances,
    "instance-id": _ids(completion_cache.INSTANCES),
    "login": _instances,
    "copy": _copies,
    "forward": _copies,
    "host": _hosts,
    "endpoint": _endpoints,
    "endpoint-id": _ids(completion_cache.ENDPOINTS),
    "database": _databases,
    "profile": _profiles,
    "tunnel": _tunnels,
}
"""What can be asked."""
