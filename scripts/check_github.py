"""Check what GitHub reads, and the workflows in the pages: check_github.py [--copy-pages FOLDER]

Files are checked by the schemas that check-jsonschema brings. On top of them: actions are pinned by commit, jobs have
a time limit, and permissions are set. With --copy-pages, only write the pages' workflows into a folder, for actionlint.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
GITHUB = ROOT / ".github"
PAGES = (ROOT / "docs" / "how-to" / "ci.md",)


def copy_pages(folder: Path) -> list[Path]:
    """Write each workflow of the pages into a file of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    copies = []
    for page in PAGES:
        for number, block in enumerate(re.findall(r"```yaml\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)):
            copies.append(folder / f"{page.stem}-{number}.yml")
            copies[-1].write_text(block, encoding="utf-8")
    return copies


def problems(workflow: Path) -> Iterator[str]:
    """What a schema does not see."""
    text = workflow.read_text(encoding="utf-8")
    for used in re.findall(r"uses: (.+)", text):
        if not used.startswith("./") and not re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", used):
            yield f"{used}: pin it as NAME@COMMIT # vX.Y.Z"
    if not re.search(r"^permissions:", text, re.MULTILINE):
        yield "no permissions for the whole workflow"


def main() -> int:
    """Return 1 and print what is wrong, or 0."""
    if sys.argv[1:2] == ["--copy-pages"]:
        copy_pages(Path(sys.argv[2]))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        workflows = [*sorted((GITHUB / "workflows").glob("*.yml")), *copy_pages(Path(folder))]
        config = GITHUB / "ISSUE_TEMPLATE" / "config.yml"
        forms = [form for form in sorted(config.parent.glob("*.yml")) if form != config]
        checks = {
            "vendor.github-workflows": workflows,
            "custom.github-workflows-require-timeout": workflows,
            "vendor.dependabot": [GITHUB / "dependabot.yml"],
            "vendor.github-issue-forms": forms,
            "vendor.github-issue-config": [config],
        }
        failed = False
        for schema, files in checks.items():
            tool = Path(sys.executable).with_name("check-jsonschema")
            words: list[str | Path] = [tool, "--builtin-schema", schema, *files]
            done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
            if done.returncode:
                print(done.stdout, file=sys.stderr)
                failed = True
        for workflow in workflows:
            for problem in problems(workflow):
                print(f"{workflow.name}: {problem}", file=sys.stderr)
                failed = True
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
