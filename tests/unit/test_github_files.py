"""The files for GitHub, and the workflow in a page, are ones that GitHub takes."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import check_github
import yaml

ROOT = Path(__file__).parents[2]


def check(root: Path) -> subprocess.CompletedProcess[str]:
    script = root / "scripts" / "check_github.py"
    return subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)


def test_the_files_are_taken() -> None:
    done = check(ROOT)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_what_is_wrong_in_a_page_is_reported(tmp_path: Path) -> None:
    for name in (".github", "scripts", "docs/how-to"):
        shutil.copytree(ROOT / name, tmp_path / name)
    page = tmp_path / "docs" / "how-to" / "ci.md"
    text = page.read_text(encoding="utf-8")
    for good, bad in (
        ("run: pipx install eicctl", "rum: pipx install eicctl"),
        ("timeout-minutes: 15\n", "\n"),
        (" # v7.0.1", ""),
        ("permissions:\n  contents: read\n  id-token: write\n", ""),
    ):
        assert good in text
        text = text.replace(good, bad, 1)
    page.write_text(text, encoding="utf-8")
    done = check(tmp_path)
    assert done.returncode == 1
    for message in ("rum", "timeout-minutes", "pin it as NAME@COMMIT", "no permissions"):
        assert message in done.stderr


def test_each_workflow_runs_targets_that_exist() -> None:
    targets = set(re.findall(r"^([\w.-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for workflow in (ROOT / ".github" / "workflows").glob("*.yml"):
        text = workflow.read_text(encoding="utf-8")
        assert set(re.findall(r"\bmake ([a-z-]+)", text)) <= targets
        for script in re.findall(r"\bscripts/[\w.-]+", text):
            assert (ROOT / script).exists()


def test_one_home() -> None:
    """The repository's address is the same wherever it is written."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    home = project["urls"]["Homepage"]
    owner, name = home.removeprefix("https://github.com/").split("/")
    assert project["urls"]["Documentation"] == f"https://{owner}.github.io/{name}/"
    files = ["CHANGELOG.md", "RELEASING.md", ".github/ISSUE_TEMPLATE/config.yml", "pyproject.toml"]
    for file in files:
        found = re.findall(r"https://github\.com/[\w-]+/[\w-]+", (ROOT / file).read_text(encoding="utf-8"))
        assert found, file
        assert set(found) == {home}, file
    assert f"@{owner}/" in (ROOT / ".github" / "CODEOWNERS").read_text(encoding="utf-8")


def test_hooks_run_what_exists() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"][0]["hooks"]
    for hook in hooks:
        program, *words = hook["entry"].split()
        assert shutil.which(Path(program).name, path=Path(sys.executable).parent)
        assert all((ROOT / word).exists() for word in words if word.startswith("scripts/"))


def test_pages_have_workflows(tmp_path: Path) -> None:
    assert [copy.name for copy in check_github.copy_pages(tmp_path)] == ["ci-0.yml"]
