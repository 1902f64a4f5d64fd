"""Write docs/reference/commands.md."""

from __future__ import annotations

from pathlib import Path

from reference import reference

Path(__file__).parent.parent.joinpath("docs", "reference", "commands.md").write_text(reference(), encoding="utf-8")
