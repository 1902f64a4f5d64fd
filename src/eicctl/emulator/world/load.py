"""What is in the emulated account at the start: read from a TOML file (docs/reference/local-aws.md), made in moto."""

from __future__ import annotations

from pathlib import Path

from eicctl.core.errors import UsageError
from eicctl.emulator.control import backends
from eicctl.emulator.state import State
from eicctl.emulator.world.schema import WorldReader
from eicctl.emulator.world.seed import Seeder, check_places
from eicctl.support.documents import read_toml

_SHIPPED = Path(__file__).parent


def load_world(state: State, path: Path | None = None, dns_name: str = "localhost") -> None:
    """Make the world of the file at `path`, or the default one, instead of all that there is.

    Args:
        state: The emulator's memory.
        path: The file, or the name of a world that eicctl ships where there is no such file; None for the default one.
        dns_name: What every endpoint's DNS name is: `HOST` or `HOST:PORT` of the data plane.

    Raises:
        UsageError: The file cannot be read, or says something that cannot be; the message names the key.
    """
    name = str(path) if path else "the default world"
    try:
        _, content = read_toml(_shipped(path) or path or _SHIPPED / "default.toml")
    except OSError as error:
        raise UsageError(f"cannot read the world file {name}: {error}") from error
    except ValueError as error:
        raise UsageError(f"{name} is not TOML: {error}") from error
    world = WorldReader(name).read(content)
    check_places(world, name)
    with backends.LOCK:
        backends.reset()
        state.clear()
        Seeder(state, dns_name).make(world)


def _shipped(path: Path | None) -> Path | None:
    """The world that eicctl ships by this name, where there is no file of the name."""
    if path is None or path.suffix or path.exists():
        return None
    found = _SHIPPED / f"{path.name}.toml"
    return found if found.is_file() else None
