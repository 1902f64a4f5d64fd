"""`eicctl completion`, and the completion requests of shells: Click's `shell_completion` with scripts of our own.

Anybody who can tag an instance chooses its name. Click's script for bash inserts values unquoted, so that the shell
would run a name as code; its script for fish cuts values at a comma; and none of them completes `--option=value`.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem, ShellComplete, add_completion_class, shell_complete

from eicctl.cli.options import separate_wait
from eicctl.view import messages

VARIABLE = "_EICCTL_COMPLETE"
"""The environment variable by which a shell asks: `bash_complete`."""

_BASH = r"""# bash completion for eicctl. Made by `eicctl completion bash`.
_eicctl() {
    local type value
    COMPREPLY=()
    while IFS=, read -r type value; do
        case $type in
            file) compopt -o default -o bashdefault ;;
            dir) compopt -o dirnames ;;
            nospace) compopt -o nospace && COMPREPLY+=("$value") ;;
            plain) COMPREPLY+=("$value") ;;
        esac
    done < <(_EICCTL_COMPLETE=bash_complete COMP_LINE=${COMP_LINE:0:COMP_POINT} COMP_WORD=$2 command eicctl 2>/dev/null)
}
# Names in natural order; bash before 4.4 sorts them.
complete -o nosort -F _eicctl eicctl 2>/dev/null || complete -F _eicctl eicctl
"""

_ZSH = r"""#compdef eicctl
# zsh completion for eicctl. Made by `eicctl completion zsh`.
_eicctl() {
    local line type
    local -a values shown suffix
    for line in "${(@f)$(_EICCTL_COMPLETE=zsh_complete COMP_LINE=${(j: :)words[1,CURRENT]} command eicctl 2>/dev/null)}"
    do
        type=${line%%,*} line=${line#*,}
        case $type in
            file | dir)
                [[ $PREFIX == --*=* ]] && compset -P 1 '*='
                _files ${${(M)type:#dir}:+-/}
                ;;
            nospace | plain)
                [[ $type == nospace ]] && suffix=(-S '')
                values+=("${line%%$'\t'*}")
                shown+=("${line/$'\t'/  }")
                ;;
        esac
    done
    (( $#values )) && compadd "${(@)suffix}" -V eicctl -l -d shown -- "${(@)values}"
}
if [[ ${funcstack[1]-} == _eicctl ]]; then
    _eicctl "$@"
else
    compdef _eicctl eicctl
fi
"""

_FISH = r"""# fish completion for eicctl. Made by `eicctl completion fish`.
function __eicctl_complete
    set -l line (commandline -cp | string collect)
    for item in (_EICCTL_COMPLETE=fish_complete COMP_LINE=$line command eicctl 2>/dev/null)
        set -l part (string split -m 1 , -- $item)
        set -l option (string match -r '^--[^=]*=' -- $part[2])
        set -l word (string sub -s (math 1 + (string length -- "$option")) -- $part[2])
        switch $part[1]
            case file
                printf "$option%s\n" (__fish_complete_path $word)
            case dir
                printf "$option%s\n" (__fish_complete_directories $word)
            case '*'
                printf '%s\n' $part[2]
        end
    end
end
complete -c eicctl -k -f -a '(__eicctl_complete)'
"""


class _Shell(ShellComplete):
    """Reads the line up to the cursor, and expands nothing."""

    def source(self) -> str:
        return self.source_template

    def get_completion_args(self) -> tuple[list[str], str]:
        words, self.quote = _words(os.environ.get("COMP_LINE", ""))
        start = next((at for at, word in enumerate(words[:-1]) if word.rpartition("/")[2] == "eicctl"), 0)
        return separate_wait(words[start + 1 : -1]), words[-1]

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem[Any]]:
        """Return values for the whole word. Omits those with characters that do not print (a newline, an escape)."""
        option = re.match("--[^=]*=|", incomplete)[0]  # type: ignore[index]
        found = super().get_completions(args, incomplete)
        for item in found:
            item.value = option + item.value
            item.help = item.help if item.help and item.help.isprintable() else ""
        return [item for item in found if item.value.isprintable()]

    def format_completion(self, item: CompletionItem[Any]) -> str:
        return f"{item.type},{item.value}\t{item.help}".rstrip("\t")


class _Bash(_Shell):
    name = "bash"
    source_template = _BASH

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem[Any]]:
        """Return values without what readline keeps of the word, escaped for the quotes that are open at the cursor.
        Omits what bash cannot have between them."""
        part = _words(self.quote + os.environ.get("COMP_WORD", ""))[0][-1]
        without = {"'": "'", '"': "!"}.get(self.quote)
        special = r'[\\"$`]' if self.quote else r"[^\w@%+=:,./-]"
        found = []
        for item in super().get_completions(args, incomplete):
            rest = item.value[len(incomplete) - len(part) :]
            if not without or without not in rest:
                item.value = rest if self.quote == "'" else re.sub(special, r"\\\g<0>", rest)
                found.append(item)
        return found

    def format_completion(self, item: CompletionItem[Any]) -> str:
        return f"{item.type},{item.value}"


class _Zsh(_Shell):
    name = "zsh"
    source_template = _ZSH

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem[Any]]:
        """Return values whose descriptions begin in one column; zsh and its script do not align them."""
        found = super().get_completions(args, incomplete)
        width = max((len(item.value) for item in found), default=0)
        for item in found:
            if item.help:
                item.help = " " * (width - len(item.value)) + item.help
        return found


class _Fish(_Shell):
    name = "fish"
    source_template = _FISH


SHELLS = {each.name: add_completion_class(each) for each in (_Bash, _Zsh, _Fish)}
"""The shells; `source_template` is a shell's script."""


def _words(line: str) -> tuple[list[str], str]:
    """Return the words of a line without their quotes, and the quote that is open at its end.

    The last word is the one of the cursor, and empty if a word would begin.
    """
    lexer = shlex.shlex(line + "_", posix=True)  # whatever the cursor's word is, this is its last character
    lexer.whitespace_split = True
    lexer.commenters = ""
    words: list[str] = []
    quote = ""
    try:
        words += lexer
    except ValueError:
        words.append(lexer.token)
        quote = lexer.state or ""  # type: ignore[attr-defined]
    return [*words[:-1], words[-1][:-1]], quote


def complete() -> int:
    """Answer a shell that asks by `VARIABLE`."""
    from eicctl.cli import eicctl

    return shell_complete(eicctl, {}, "eicctl", VARIABLE, os.environ[VARIABLE])


@click.command
@click.argument("shell", type=click.Choice(list(SHELLS)))
@click.option("--install", is_flag=True, help="Install the script where the shell finds it, and print how to undo it.")
def command(*, shell: str, install: bool) -> None:
    """Print or install a shell completion script.

    Names and IDs are completed from the cache of the last 30 days; no AWS API is called.

    \b
    Examples:
      eicctl completion bash --install
      eicctl completion zsh > ~/.zfunc/_eicctl
      eicctl completion fish | source
    """
    text = SHELLS[shell].source_template
    if not install:
        click.echo(text, nl=False)
        return
    for line in install_script(shell, text):
        messages.line(line)


_MARK = "# eicctl completion"
"""Marks the line that `install_script` adds to zsh's start-up file."""


def install_script(shell: str, text: str, environ: Mapping[str, str] = os.environ) -> list[str]:
    """Write a script where its shell finds it. Idempotent.

    Returns:
        Lines for the user: what was done, what else is needed, and how to undo it.

    Raises:
        LocalError: A file cannot be written.
    """
    from eicctl.support.files import user_folder

    home = user_folder("HOME", "", environ)
    data = user_folder("XDG_DATA_HOME", ".local/share", environ)
    if shell == "bash":
        folder = Path(environ.get("BASH_COMPLETION_USER_DIR") or data / "bash-completion") / "completions"
        lines = [_put(folder / "eicctl", text), "Start a new shell; bash needs the package bash-completion"]
        return [*lines, f"Undo: rm {shlex.quote(str(folder / 'eicctl'))}"]
    if shell == "fish":
        path = user_folder("XDG_CONFIG_HOME", ".config", environ) / "fish/completions/eicctl.fish"
        return [_put(path, text), "fish loads it automatically", f"Undo: rm {shlex.quote(str(path))}"]
    folder, rc = data / "zsh/site-functions", Path(environ.get("ZDOTDIR") or home) / ".zshrc"
    path = folder / "_eicctl"
    done = [_put(path, text), _put_line(rc, f"fpath=({shlex.quote(str(folder))} $fpath)")]
    done.append("Start a new shell; zsh needs: autoload -Uz compinit && compinit")
    return [*done, f"Undo: rm {shlex.quote(str(path))}, and remove the line that ends with {_MARK!r} from {rc}"]


def _put(path: Path, text: str) -> str:
    from eicctl.support.files import install

    return f"Wrote {path}" if install(path, text) else f"{path} is up to date"


def _put_line(path: Path, line: str) -> str:
    """Make a line of ours the first of zsh's start-up file: `fpath` must be set before `compinit` runs."""
    from eicctl.support.files import install, locked, make_parents, read_text

    marked = f"{line}  {_MARK}"
    make_parents(path)
    with locked(path):
        others = [one for one in read_text(path).splitlines(keepends=True) if not one.rstrip().endswith(_MARK)]
        mode = path.stat().st_mode & 0o777 if path.exists() else 0o644
        changed = install(path, f"{marked}\n{''.join(others)}", mode)
    return f"Added at the top of {path}: {marked}" if changed else f"{path} is up to date"
