"""The entry point of `eicctl` and of `python -m eicctl`."""

from __future__ import annotations

from typing import NoReturn


def main() -> NoReturn:
    """Run the command line and exit with its code."""
    from eicctl.cli import main as run

    raise SystemExit(run())


if __name__ == "__main__":
    main()
