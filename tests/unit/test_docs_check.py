"""scripts/check_docs.py finds what is wrong in the documentation."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of what is checked."""
    for name in ("docs", "scripts"):
        shutil.copytree(ROOT / name, tmp_path / name)
    (tmp_path / "benchmarks").mkdir()
    for page in (*ROOT.glob("*.md"), ROOT / "benchmarks" / "RESULTS.md"):
        shutil.copyfile(page, tmp_path / page.relative_to(ROOT))
    return tmp_path


def test_what_is_wrong_is_told(copy: Path) -> None:
    wrong = {
        "[a](missing.md)": "link to missing.md: no such file",
        "[b](../tutorial.md#nowhere)": "link to ../tutorial.md#nowhere: no such heading",
        "[c](#nor-here)": "link to #nor-here: no such heading",
        "[d](http://example.com/)": "link to http://example.com/: not a link to the outside that is https",
        "[e][f]\n\n[f]: gone.md": "link to gone.md: no such file",
        "[g](../../scripts/check_docs.py)": "link to ../../scripts/check_docs.py: the site has pages and pictures only",
        "`eicctl shh web-1`": "eicctl shh: no such command",
        "`eicctl ssh web-1 --keeep`": "eicctl ssh --keeep: no such option",
        '```console\n$ eicctl tunnel "$(eicctl instances --qurey x)"\n```': "eicctl instances --qurey: no such option",
    }
    good = "\n\n`eicctl ssh web-1 --keep -- ls --all`\n\n[h](../tutorial.md#4-a-shell) [i](https://example.com/)\n"
    (copy / "docs" / "how-to" / "extra.md").write_text("# Extra\n\n" + "\n\n".join(wrong) + good)
    reference = copy / "docs" / "reference" / "commands.md"
    reference.write_text(reference.read_text() + "more\n")
    done = subprocess.run(
        [sys.executable, "scripts/check_docs.py"], cwd=copy, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert sorted(done.stderr.splitlines()) == sorted(
        [
            *(f"docs/how-to/extra.md: {problem}" for problem in wrong.values()),
            "docs/how-to/extra.md: docs/README.md does not link to it",
            "docs/reference/commands.md is stale: make docs",
        ]
    )
