"""The pages that are followed line by line: their commands are run, and print what the page shows."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from eicctl.emulator.machines import sshd
from tests.e2e.conftest import Env, clean_env, home_of_ssh, run_eicctl
from tests.ports import free_port

DOCS = Path(__file__).parents[2] / "docs"
TUTORIAL = DOCS / "tutorial.md"
BLOG = DOCS / "how-to" / "aws-blog.md"
KOREAN_BLOG = DOCS / "ko" / "aws-blog.md"


@dataclass(frozen=True)
class Step:
    """A command of a page, and the lines that the page shows below it."""

    command: str
    shown: tuple[str, ...]

    @property
    def fails(self) -> bool:
        return any(line.startswith("error:") for line in self.shown)


def steps(page: Path) -> list[Step]:
    """The commands of a page's console blocks, in order; `> ` goes on with the command before."""
    found: list[Step] = []
    for block in re.findall(r"```console\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append(Step(line[2:], ()))
            elif re.match(r"> ?", line):
                found[-1] = Step(f"{found[-1].command}\n{line[2:]}", ())
            else:
                found[-1] = Step(found[-1].command, (*found[-1].shown, line))
    return found


def plain(line: str, home: str = "") -> str:
    """A line without what differs from run to run: IDs, numbers, the home folder, the width of columns."""
    line = line.replace(home, "/home/ann") if home else line
    line = re.sub(r"\b(i|eice|sg|subnet|vpc)-[0-9a-f]{17}\b", r"\1-ID", line)
    return " ".join(re.sub(r"\d+(\.\d+)*", "0", line).split())


def script(of: list[Step]) -> str:
    """A script for bash that runs the steps, each with its output in a file, and ends at the first that goes wrong."""
    lines = []
    for number, step in enumerate(of):
        out = f"out-{number}"
        if step.command.endswith("&"):
            # Who follows the page goes on when the command says that it listens.
            lines.append(
                f"{step.command[:-1].strip()} >{out} 2>&1 &\n"
                f"until grep -q Listening {out}; do kill -0 $! || exit 1; sleep 0.05; done"
            )
        else:
            wanted = "-ne" if step.fails else "-eq"
            lines.append(
                f"{{ {step.command}\n}} >{out} 2>&1 </dev/null\n"
                f'code=$?; [ $code {wanted} 0 ] || {{ echo "step {number}: exit code $code"; exit 1; }}'
            )
    return "\n".join(lines)


@pytest.fixture
def env(tmp_path: Path) -> Iterator[Env]:
    """A clean environment, whose home is OpenSSH's, too; a local AWS that the page leaves behind is ended."""
    if not sshd.find_wrapper():
        if os.environ.get("CI"):
            pytest.fail("libnss-wrapper is not installed")
        pytest.skip("libnss-wrapper is not installed")
    with home_of_ssh(clean_env(tmp_path), tmp_path, "h-") as found:
        found |= {"EICCTL_HOME": f"{found['HOME']}/eicctl", "LC_ALL": "C.UTF-8"}
        yield found
        run_eicctl(found, "down", "--all")
        run_eicctl(found, "local", "down")


@pytest.mark.parametrize("page", [TUTORIAL, BLOG], ids=lambda page: "-".join(page.parts[-2:]))
def test_the_commands_do_what_the_page_shows(page: Path, env: Env, tmp_path: Path) -> None:
    found = steps(page)
    assert len(found) > 5
    text = script(found)
    # What a reader waits for, and what may be taken on this machine, is not what the page is about.
    text = text.replace("local up --detach", "local up --detach --transition 0.1")
    for port in ("13389", "15432"):
        text = text.replace(port, str(free_port()))
    done = subprocess.run(
        ["bash", "-c", text], env=env, cwd=tmp_path, capture_output=True, timeout=280, check=False, text=True
    )
    outputs = [
        path.read_text() if (path := tmp_path / f"out-{number}").exists() else "" for number in range(len(found))
    ]
    assert done.returncode == 0, f"{done.stdout}{done.stderr}\n{list(zip(found, outputs, strict=True))}"
    for step, output in zip(found, outputs, strict=True):
        printed = [plain(line, env["HOME"]) for line in output.splitlines()]  # hosts may answer in another order
        for line in step.shown:
            assert line == "…" or plain(line) in printed, f"{step.command} does not print: {line}\nbut: {output}"


def test_the_korean_page_has_the_same_commands() -> None:
    blocks = re.compile(r"```(?:sh|console)\n.*?```", re.DOTALL)
    english, korean = (blocks.findall(page.read_text(encoding="utf-8")) for page in (BLOG, KOREAN_BLOG))
    assert english == korean
