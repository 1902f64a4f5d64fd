"""Draw docs/images/run.svg: a real run of eicctl on the local AWS, on a real terminal (tmux)."""

from __future__ import annotations

import io
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

PICTURE = Path(__file__).parent.parent / "docs" / "images" / "run.svg"
WIDTH = 104
"""Columns of the picture. The terminal is wider, so that lines are as they are without a wrap."""
LEFT_OUT = Text("…", style="dim")


@dataclass(frozen=True)
class Shot:
    """A command of the picture; `only` or `without` are patterns of the lines that are shown, or left out."""

    command: str
    only: str = ""
    without: str = "^$^"

    def shown(self, printed: list[Text]) -> Iterator[Text]:
        """The lines that the picture has, with an ellipsis where some are left out."""
        gap = False
        for line in printed:
            if re.search(self.only, line.plain) and not re.search(self.without, line.plain):
                if gap:
                    yield LEFT_OUT
                gap = False
                yield line
            else:
                gap = True
        if gap:
            yield LEFT_OUT


SHOTS = (
    Shot("eicctl ssh good-linux -- uname -sm"),
    Shot("eicctl ssh no-ingress -- uname -sm", without="^(kex_|Connection closed|using|host keys)"),
    Shot("eicctl doctor no-ingress --fix --yes", only="✗ Ingress|^Proposed fix|^Added|All checks passed"),
    Shot("eicctl ssh no-ingress -- uname -sm"),
)


@contextmanager
def local_aws(folder: Path) -> Iterator[dict[str, str]]:
    """A local AWS in which most machines cannot be reached; gives the environment that leads to it."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("AWS_") and name != "TMUX"}
    env |= {
        "PATH": f"{Path(sys.executable).parent}:{env['PATH']}",
        "EICCTL_HOME": str(folder),
        "EICCTL_AGENT": "off",  # nothing shall outlive the picture
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "TERM": "xterm-256color",
        "LC_ALL": "C.UTF-8",
    }
    subprocess.run(["eicctl", "local", "up", "--detach", "--world", "broken"], env=env, check=True, capture_output=True)
    try:
        told = subprocess.run(["eicctl", "local", "env"], env=env, check=True, capture_output=True, text=True).stdout
        for line in told.splitlines():
            kind, _, rest = line.partition(" ")
            name, _, value = rest.partition("=")
            if kind == "export":
                env[name] = shlex.split(value)[0]
        yield env
    finally:
        subprocess.run(["eicctl", "local", "down"], env=env, check=True, capture_output=True)


def run(command: str, env: dict[str, str], folder: Path) -> list[Text]:
    """Run a command on a terminal of its own, and return the screen that it leaves."""
    tmux = ["tmux", "-S", str(folder / "tmux"), "-f", os.devnull]
    job = f"{command}; tmux -S {folder / 'tmux'} wait-for -S over; sleep 60"
    subprocess.run([*tmux, "new-session", "-d", "-x", "300", "-y", "150", job], env=env, check=True)
    try:
        subprocess.run([*tmux, "wait-for", "over"], env=env, check=True, timeout=60)
        screen = subprocess.run(
            [*tmux, "capture-pane", "-e", "-p"], env=env, check=True, capture_output=True, text=True
        )
    finally:
        subprocess.run([*tmux, "kill-server"], env=env, check=False)
    return [Text.from_ansi(line.rstrip()) for line in screen.stdout.rstrip().splitlines()]


def main() -> None:
    console = Console(width=WIDTH, record=True, file=io.StringIO())
    with tempfile.TemporaryDirectory(prefix="eic-") as name, local_aws(Path(name)) as env:
        for number, shot in enumerate(SHOTS):
            if number:
                console.print()
            console.print(Text.assemble(("$ ", "bold green"), (shot.command, "bold")))
            for line in shot.shown(run(shot.command, env, Path(name))):
                console.print(line)
    console.print()
    # The fonts of rich's template would be loaded from elsewhere; a picture loads nothing.
    template = re.sub(r"@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    template = template.replace("Fira Code", "ui-monospace").replace(
        "<!-- Generated with Rich https://www.textualize.io -->", ""
    )
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_text(
        console.export_svg(title="eicctl", theme=MONOKAI, code_format=template, unique_id="eicctl"), encoding="utf-8"
    )


if __name__ == "__main__":
    main()
