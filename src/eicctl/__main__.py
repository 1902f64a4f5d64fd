"""The entry point of `eicctl` and of `python -m eicctl`."""

from __future__ import annotations

from typing import NoReturn


def main() -> NoReturn:
    """Run the command line and exit with its code."""
    from eicctl.streams import open_closed

    open_closed()
    try:
        from eicctl.cli import main as run
    except KeyboardInterrupt:  # Ctrl-C while the first modules are loaded
        raise SystemExit(130) from None

    raise SystemExit(run())


if __name__ == "__main__":
    main()
