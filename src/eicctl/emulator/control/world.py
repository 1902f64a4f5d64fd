"""What is in the emulated account at the start: read from a TOML file (docs/emulator.md), made in moto."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from eicctl.emulator.control import backends
from eicctl.emulator.control.schema import WorldReader
from eicctl.emulator.control.seed import Seeder, check_places
from eicctl.emulator.state import State
from eicctl.errors import UsageError


def load_world(state: State, path: Path | None = None) -> None:
    """Make the world of the file at `path`, or the one that eicctl ships, instead of all that there is.

    Raises:
        UsageError: The file cannot be read, or says something that cannot be; the message names the key.
    """
    name = str(path) if path else "the default world"
    try:
        text = path.read_text(encoding="utf-8") if path else _default().read_text(encoding="utf-8")
        content: Mapping[str, Any] = tomllib.loads(text)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read the world file {name}: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{name} is not TOML: {error}") from error
    world = WorldReader(name).read(content)
    check_places(world, name)
    with backends.LOCK:
        backends.reset()
        state.clear()
        Seeder(state).make(world)


def _default() -> Any:
    return resources.files("eicctl.emulator").joinpath("worlds", "default.toml")
