"""Completion in real shells at a terminal: what a Tab makes of a line, and that a hostile name is only ever a word."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from eicctl.aws import caches
from eicctl.aws.session import Session
from eicctl.cli.commands.completion import SHELLS as COMPLETIONS
from eicctl.cli.commands.completion import VARIABLE
from tests.e2e.completing import Shell, shell
from tests.processes import PROGRAM

SHELLS = [pytest.param(name, marks=pytest.mark.needs(name)) for name in ("bash", "zsh", "fish")]

HOSTILE = [
    "a b$(touch PWNED)",
    "c`touch PWNED`",
    "d;touch PWNED",
    "e'f\"g",
    "E'f\"g",
    "h\\i",
    "j!k",
    "l&m|n>PWNED",
    "o ${p:=q}",
    "r#s t",
    "v%n%B%(?.x.y)",
    "z\u2019; touch PWNED; \u2019",
    "u*?[v]{w,x}",
    "y <(touch PWNED)",
]
"""Names that anybody may give an instance, each with a first letter of its own."""

UNPRINTABLE = ["xx\ntouch PWNED\n", "xx\x1b]0;PWNED\x07", "xx\r\ttouch PWNED"]


@pytest.fixture
def folder(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a project, a file, and an eicctl that knows some names."""
    for name, value in {"AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "A", "AWS_SECRET_ACCESS_KEY": "x"}.items():
        monkeypatch.setenv(name, value)
    (home / "config").write_text("[profile dev]\nregion = eu-north-1\n")
    (tmp_path / "eicctl.toml").write_text('[tunnel.queue]\ntarget = "web-1"\n')
    (tmp_path / "policy.json").write_text("{}")
    names = ["web-1", *HOSTILE, *UNPRINTABLE]
    rows = {f"i-{number:017x}": name for number, name in enumerate(names)}
    caches.note_names(Session(), caches.INSTANCES, rows, region="eu-west-1")
    caches.note_names(Session(), caches.INSTANCES, {"i-0dev": "dev-1"}, region="us-east-1")
    caches.note_names(Session(profile="dev"), caches.INSTANCES, {"i-0far": "far-1"}, region="eu-north-1")
    caches.note_names(
        Session(),
        caches.ENDPOINTS,
        {"eice-0123456789abcdef0": "office", "eice-1": "front, rear: a"},
        region="eu-west-1",
    )
    caches.note_names(Session(), caches.DATABASES, {"demo-db": ""}, region="eu-west-1")
    return tmp_path


@pytest.fixture
def typed(request: pytest.FixtureRequest, folder: Path) -> Iterator[Shell]:
    """A shell with the completion."""
    name = request.param
    script = folder / f"completion.{name}"
    script.write_text(COMPLETIONS[name].source_template)
    with shell(name, script, folder) as found:
        yield found


COMPLETED = {
    "pol": ["policy"],
    "policy li": ["policy", "lint"],
    "--reg": ["--region"],
    "ssh --sess": ["ssh", "--session"],
    "ssh --host-key-check con": ["ssh", "--host-key-check", "console"],
    "ssh --host-key-check=con": ["ssh", "--host-key-check=console"],
    "ssh --region eu-n": ["ssh", "--region", "eu-north-1"],
    "ssh --region=eu-n": ["ssh", "--region=eu-north-1"],
    "ssh --profile d": ["ssh", "--profile", "dev"],
    "--profile=d": ["--profile=dev"],
    "ssh we": ["ssh", "web-1"],
    "ssh me@we": ["ssh", "me@web-1"],
    "ssh web-1 --sess": ["ssh", "web-1", "--session"],
    "ssh --instance-connect-endpoint-id eice-0": ["ssh", "--instance-connect-endpoint-id", "eice-0123456789abcdef0"],
    "--region us-east-1 ssh de": ["--region", "us-east-1", "ssh", "dev-1"],
    "ssh --profile dev --region=eu-north-1 fa": ["ssh", "--profile", "dev", "--region=eu-north-1", "far-1"],
    "ssh fa": ["ssh", "fa"],
    "scp we": ["scp", "web-1:"],
    "scp pol": ["scp", "policy.json"],
    "policy lint pol": ["policy", "lint", "policy.json"],
    "policy lint ./pol": ["policy", "lint", "./policy.json"],
    "ssh --private-key-file pol": ["ssh", "--private-key-file", "policy.json"],
    "ssh --private-key-file=./pol": ["ssh", "--private-key-file=./policy.json"],
    "ssh -i pol": ["ssh", "-i", "policy.json"],
    "ssh --wait we": ["ssh", "--wait", "web-1"],
    "ssh web-1 uptime we": ["ssh", "web-1", "uptime", "we"],
    "tunnel --wait --debug --log-file new.log we": ["tunnel", "--wait", "--debug", "--log-file", "new.log", "web-1"],
    "show-endpoint front": ["show-endpoint", "front, rear: a"],
    "no-such we": ["no-such", "we"],
    "show-endpoint off": ["show-endpoint", "office"],
    "db dem": ["db", "demo-db"],
    "db rds:": ["db", "rds:demo-db"],
    "up que": ["up", "queue"],
    "proxy web-1.e": ["proxy", "web-1.eic"],
    "ssh xx": ["ssh", "xx"],
}


@pytest.mark.parametrize("typed", SHELLS, indirect=True)
def test_a_tab_completes(typed: Shell, folder: Path) -> None:
    assert {line: typed.words(f"eicctl {line}") for line in COMPLETED} == COMPLETED
    assert not (folder / "new.log").exists(), "what the line says is not done"


@pytest.mark.parametrize("typed", SHELLS, indirect=True)
def test_a_hostile_name_is_a_word(typed: Shell, folder: Path) -> None:
    for number, name in enumerate(HOSTILE):
        for quote in ("", "\"'"[number % 2]):
            refused = typed.name == "bash" and ((quote == "'" and "'" in name) or (quote == '"' and "!" in name))
            # What cannot be between these quotes is not offered there: the quote is still open.
            words = typed.words(f"eicctl ssh {quote}{name[0]}", "\t", quote if refused else "")
            assert words == ["ssh", name[0] if refused else name], (quote, name)
    assert not (folder / "PWNED").exists()


@pytest.mark.parametrize("typed", SHELLS, indirect=True)
def test_a_list_shows_no_name_that_does_not_print(typed: Shell, folder: Path) -> None:
    shown = typed.listed("eicctl ssh ")
    assert "web-1" in shown
    assert "v%n%B%(?.x.y)" in shown.replace("\\", ""), "a list is no prompt"
    assert "i-00000000000000010" in shown, "the ID of such a name is offered"
    assert "xx" not in shown
    assert not (folder / "PWNED").exists()


def test_an_answer_takes_less_than_150_ms(folder: Path) -> None:
    """Of processor time, which does not depend on what else the machine does."""
    times = []
    environ = os.environ | {VARIABLE: "zsh_complete", "COMP_LINE": "eicctl ssh we"}
    for _ in range(10):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        run = subprocess.run([PROGRAM], env=environ, capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        assert run.stdout == b"plain,web-1\ti-00000000000000000\n"
    assert min(times) < 0.15


FOUND = {
    "bash": (
        ["bash", "-c"],
        "if . /usr/share/bash-completion/bash_completion 2>/dev/null; then _completion_loader eicctl; "
        'else . "$HOME/.local/share/bash-completion/completions/eicctl"; fi; complete -p eicctl',
        "_eicctl eicctl",
    ),
    "zsh": (
        ["zsh", "-f", "-c"],
        '. "$HOME/.zshrc"; autoload -Uz compinit; compinit -u -D; print $_comps[eicctl]',
        "_eicctl",
    ),
    "fish": (["fish", "-c"], "complete -C 'eicctl pol'", "policy\tGenerate"),
}
"""What each shell does with the first Tab, asked without a terminal, and what it says then."""


@pytest.mark.parametrize("name", SHELLS)
def test_an_installed_completion_is_found_by_a_new_shell(name: str, folder: Path) -> None:
    environ = os.environ | {"PATH": f"{Path(PROGRAM).parent}:{os.environ['PATH']}"}
    for gone in ("XDG_DATA_HOME", "XDG_CONFIG_HOME", "ZDOTDIR", "BASH_COMPLETION_USER_DIR"):
        environ.pop(gone, None)
    run = subprocess.run([PROGRAM, "completion", name, "--install"], env=environ, capture_output=True, check=True)
    assert b"Undo: rm " in run.stderr
    words, asked, told = FOUND[name]
    shown = subprocess.run([*words, asked], env=environ, capture_output=True, text=True, check=False).stdout
    assert told in shown
