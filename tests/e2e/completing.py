"""A shell at a terminal, with eicctl's completion, and what it makes of a line and a Tab."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import pexpect

_START = {
    "bash": "PS1='ready> '; PS2=; bind 'set enable-bracketed-paste off'; bind 'set show-all-if-ambiguous on';"
    " bind 'set completion-query-items 0'; bind 'set page-completions off'; . {script}\r",
    "zsh": "PROMPT='ready> '; PROMPT2=; unsetopt zle_bracketed_paste prompt_sp 2>/dev/null; autoload -Uz compinit; "
    "compinit -u -D; LISTMAX=0; setopt no_list_beep; . {script}\r",
    "fish": "function fish_prompt; printf 'ready> '; end; function fish_right_prompt; end; source {script}\r",
}
_ARGUMENTS = {"bash": ["--norc", "--noprofile", "-i"], "zsh": ["-f", "-i"], "fish": ["--no-config", "-i"]}


class Shell:
    """An interactive shell.

    Args:
        name: `bash`, `zsh` or `fish`.
        script: The completion script.
        folder: Where it is, and where it leaves what a line has given.
    """

    def __init__(self, name: str, script: Path, folder: Path) -> None:
        self.name = name
        self._told = folder / "told"
        self._told.unlink(missing_ok=True)
        show = folder / "show"
        show.write_text(
            f"#!{sys.executable}\nimport json, sys\njson.dump(sys.argv[1:], open({str(self._told)!r}, 'w'))\n"
        )
        show.chmod(0o755)
        environ = {k: v for k, v in os.environ.items() if k not in ("PS1", "PROMPT_COMMAND", "ENV", "BASH_ENV")}
        environ |= {"TERM": "xterm", "PATH": f"{Path(sys.executable).parent}:{environ['PATH']}", "LC_ALL": "C.UTF-8"}
        environ |= {"HISTFILE": "/dev/null", "fish_features": "no-query-term"}
        self._child = pexpect.spawn(
            name, _ARGUMENTS[name], cwd=folder, env=environ, encoding="utf-8", dimensions=(60, 250), timeout=40
        )
        self._child.delaybeforesend = None
        self._run(_START[name].format(script=shlex.quote(str(script))))

    def __enter__(self) -> Shell:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._child.close(force=True)

    def words(self, line: str, *keys: str) -> list[str]:
        """Type the beginning of a line of eicctl, press Tab, and return the words that eicctl would be run with."""
        self._told.unlink(missing_ok=True)
        self._child.send(line)
        for key in keys or ("\t",):
            self._child.send(key)
        # The beginning of the line: another program is run, with the same words.
        self._child.send("\x01./show \r")
        self._ready()
        return list(json.loads(self._told.read_text())[1:])

    def listed(self, line: str) -> str:
        """Type the beginning of a line, press Tab twice, and return what the shell shows then."""
        mark = uuid.uuid4().hex
        self._child.send(line + "\t\t")
        self._child.send(f"\x01\x0becho {mark[:9]}''{mark[9:]}\r")
        self._child.expect(mark)
        shown = self._child.before
        self._child.expect("ready> ")
        return re.sub(r"\x1b(\[[0-9;?]*[a-zA-Z]|[()].|[=>])", "", shown or "")

    def _run(self, line: str) -> None:
        self._child.send(line)
        self._ready()

    def _ready(self) -> None:
        mark = uuid.uuid4().hex
        self._child.send(f"echo {mark[:9]}''{mark[9:]}\r")
        self._child.expect(mark)
        self._child.expect("ready> ")


@contextlib.contextmanager
def shell(name: str, script: Path, folder: Path) -> Iterator[Shell]:
    """A shell that ends with the block."""
    with Shell(name, script, folder) as found:
        yield found
