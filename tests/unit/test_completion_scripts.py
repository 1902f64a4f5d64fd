"""Completion scripts without a shell: what they know, where they are put, and the quoting of PowerShell's."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from eicctl.cli import COMMANDS, eicctl
from eicctl.cli.tree import tree_of
from eicctl.completion import answer, powershell
from eicctl.completion.scripts import install_script, script_for
from eicctl.completion.tree import Command, Option, Tree

SHELLS = ("bash", "zsh", "fish", "powershell")
TREE = tree_of(eicctl, ("eu-north-1",))
STATIC = {"", "file", "region"}


def test_every_kind_is_one_that_can_be_answered() -> None:
    kinds = {kind for kind, _ in (*TREE.by_kind(), *TREE.arguments())}
    assert {kind for kind in kinds if not kind.startswith("=")} <= STATIC | answer.KINDS.keys()


def test_every_command_and_option_is_in_the_tree() -> None:
    assert [one.path[0] for one in TREE.commands if len(one.path) == 1] == list(COMMANDS)
    ssh = next(one for one in TREE.commands if one.name == "ssh")
    kinds = {name: option.kind for option in ssh.options for name in option.names}
    assert kinds["--keep"] is None
    assert kinds["--wait"] is None, "its value is optional, and no word of its own"
    assert kinds["--private-key-file"] == "file"
    assert kinds["-L"] == ""
    assert ssh.arguments == ("login",)


@pytest.mark.parametrize("word", ["a'b", "$x", "a b;c", "`x`", "", "a\nb"])
def test_a_word_that_a_shell_would_read_is_no_name(word: str) -> None:
    with pytest.raises(ValueError, match="completion script"):
        Tree((Command((word,), ""),))
    with pytest.raises(ValueError, match="completion script"):
        Tree((Command((), "", (Option((word,), None),)),))


@pytest.mark.parametrize("shell", SHELLS)
def test_help_that_a_shell_would_read_is_quoted(shell: str) -> None:
    text = 'it\'s $(x) `y` "z" \\ \u2019'
    tree = Tree((Command((), ""), Command(("one",), text, (Option(("--two",), None, text),))))
    script = script_for(shell, tree)
    wanted = {
        "bash": None,
        "zsh": "it'\\''s $(x) `y` \"z\" \\ \u2019'",
        "fish": "it\\'s $(x) `y` \"z\" \\\\ \u2019'",
        "powershell": "it''s $(x) `y` \"z\" \\ \u2019\u2019'",
    }[shell]
    assert script.count(wanted) == 2 if wanted else "it" not in script.split("_eicctl_regions=")[1]


def test_powershell_takes_typographic_quotes_for_quotes() -> None:
    assert powershell.quoted("a'b\u2018c\u2019d\u201ae\u201b$f") == (
        "'a''b\u2018\u2018c\u2019\u2019d\u201a\u201ae\u201b\u201b$f'"
    )


def test_powershell_tells_short_options_apart() -> None:
    script = script_for("powershell", TREE)
    assert "$EicctlTakes['ssh -L'] = ''" in script or "$EicctlTakes['* -L'] = ''" in script
    assert "([StringComparer]::Ordinal)" in script


PLACES = {
    "bash": ".local/share/bash-completion/completions/eicctl",
    "zsh": ".local/share/zsh/site-functions/_eicctl",
    "fish": ".config/fish/completions/eicctl.fish",
    "powershell": ".local/share/eicctl/completion.ps1",
}
XDG_PLACES = {
    "bash": "data/bash-completion/completions/eicctl",
    "zsh": "data/zsh/site-functions/_eicctl",
    "fish": "config/fish/completions/eicctl.fish",
    "powershell": "data/eicctl/completion.ps1",
}


@pytest.mark.parametrize("shell", SHELLS)
def test_a_script_is_put_where_its_shell_looks(shell: str, tmp_path: Path) -> None:
    told = install_script(shell, "text\n", {"HOME": str(tmp_path)})
    path = tmp_path / PLACES[shell]
    assert path.read_text() == "text\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert told[0] == f"wrote {path}"
    assert f"to undo it: rm {path}" in told[-1]
    xdg = {"HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path / "data"), "XDG_CONFIG_HOME": str(tmp_path / "config")}
    install_script(shell, "text\n", xdg)
    assert (tmp_path / XDG_PLACES[shell]).exists()


@pytest.mark.parametrize("shell", SHELLS)
def test_installing_once_more_changes_nothing(shell: str, tmp_path: Path) -> None:
    install_script(shell, "text\n", {"HOME": str(tmp_path)})
    before = {path: path.stat().st_ino for path in tmp_path.rglob("*") if path.is_file()}
    told = install_script(shell, "text\n", {"HOME": str(tmp_path)})
    assert {path: path.stat().st_ino for path in tmp_path.rglob("*") if path.is_file()} == before
    assert told[0].endswith("is as it should be")


@pytest.mark.parametrize(("shell", "file"), [("zsh", ".zshrc"), ("powershell", ".config/powershell/profile.ps1")])
def test_a_file_of_the_users_gets_one_line_at_its_top(shell: str, file: str, tmp_path: Path) -> None:
    rc = tmp_path / file
    rc.parent.mkdir(parents=True, exist_ok=True)
    rc.write_text("autoload -Uz compinit\ncompinit\n")
    rc.chmod(0o600)
    environ = {"HOME": str(tmp_path)}
    told = install_script(shell, "text\n", environ)
    first, *others = rc.read_text().splitlines()
    assert first.endswith("# eicctl completion")
    assert others == ["autoload -Uz compinit", "compinit"]
    assert stat.S_IMODE(rc.stat().st_mode) == 0o600
    assert any(str(rc) in line and first in line for line in told)
    elsewhere = environ | {"XDG_DATA_HOME": str(tmp_path / "it's here")}
    install_script(shell, "text\n", elsewhere)
    changed, *others = rc.read_text().splitlines()
    assert changed != first
    assert others == ["autoload -Uz compinit", "compinit"], "the line is replaced, not added"
