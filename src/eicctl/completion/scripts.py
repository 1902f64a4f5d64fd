"""The script for a shell, and where a shell finds it."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

from eicctl.completion import bash, fish, powershell, zsh
from eicctl.completion.tree import Tree
from eicctl.core.errors import LocalError
from eicctl.support.files import locked, read_text, user_folder, write_whole

_SCRIPTS = {"bash": bash.script, "zsh": zsh.script, "fish": fish.script, "powershell": powershell.script}

_MARK = "# eicctl completion"
"""At the end of a line that `install_script` puts into a file of the user's."""

_READABLE = 0o644


def script_for(shell: str, tree: Tree) -> str:
    """Return the script for `bash`, `zsh`, `fish` or `powershell`."""
    return _SCRIPTS[shell](tree)


def install_script(shell: str, text: str, environ: Mapping[str, str] = os.environ) -> list[str]:
    """Write a script where its shell finds it; once more changes nothing.

    Returns:
        What was done, what else is needed, and how to undo it, in lines for the user.

    Raises:
        LocalError: A file cannot be written.
    """
    home = user_folder("HOME", "", environ)
    data = user_folder("XDG_DATA_HOME", ".local/share", environ)
    if shell == "bash":
        folder = Path(environ.get("BASH_COMPLETION_USER_DIR") or data / "bash-completion") / "completions"
        lines = [_put(folder / "eicctl", text), "bash finds it there by the package bash-completion, in a new shell"]
        return [*lines, f"to undo it: rm {shlex.quote(str(folder / 'eicctl'))}"]
    if shell == "fish":
        path = user_folder("XDG_CONFIG_HOME", ".config", environ) / "fish/completions/eicctl.fish"
        return [_put(path, text), "fish finds it there at once", f"to undo it: rm {shlex.quote(str(path))}"]
    if shell == "zsh":
        folder, rc = data / "zsh/site-functions", Path(environ.get("ZDOTDIR") or home) / ".zshrc"
        path, line = folder / "_eicctl", f"fpath=({shlex.quote(str(folder))} $fpath)"
        needed = "a new zsh finds it there if compinit runs: autoload -Uz compinit && compinit"
    else:
        path, rc = data / "eicctl/completion.ps1", _powershell_profile(home, environ)
        line = f". {powershell.quoted(str(path))}"
        needed = "a new PowerShell reads it"
    done = [_put(path, text), _put_line(rc, line), needed]
    return [*done, f"to undo it: rm {shlex.quote(str(path))}, and take the line that ends with {_MARK!r} out of {rc}"]


def _powershell_profile(home: Path, environ: Mapping[str, str]) -> Path:
    """`$PROFILE.CurrentUserAllHosts`."""
    if sys.platform == "win32":
        return home / "Documents/PowerShell/profile.ps1"
    return user_folder("XDG_CONFIG_HOME", ".config", environ) / "powershell/profile.ps1"


def _put(path: Path, text: str) -> str:
    if read_text(path) == text:
        return f"{path} is as it should be"
    _make_folder(path)
    write_whole(path, text, _READABLE)
    return f"wrote {path}"


def _put_line(path: Path, line: str) -> str:
    """Have a line of ours be the first of a file: what completes must be known before what makes use of it."""
    marked = f"{line}  {_MARK}"
    _make_folder(path)
    with locked(path):
        old = read_text(path)
        others = [one for one in old.splitlines(keepends=True) if not one.rstrip().endswith(_MARK)]
        new = f"{marked}\n{''.join(others)}"
        if new == old:
            return f"{path} has the line that it needs"
        write_whole(path, new, path.stat().st_mode & 0o777 if path.exists() else _READABLE)
    return f"put a line at the top of {path}: {marked}"


def _make_folder(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LocalError(f"cannot make the folder {path.parent}: {error.strerror}") from error
