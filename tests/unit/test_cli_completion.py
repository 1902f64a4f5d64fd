"""Completion without a shell: what is offered, what bash gets of it, and where scripts are put."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import botocore.session
import click
import pytest
from reference import contexts, path_of

from eicctl.aws import caches
from eicctl.aws.session import Session
from eicctl.cli import COMMANDS, eicctl, param_types
from eicctl.cli.commands.completion import VARIABLE, complete, install_script
from tests.unit.test_aws_caches import REGION, home, note

__all__ = ["home"]

Offered = Callable[..., list[str]]

SHELLS = ("bash", "zsh", "fish")


@pytest.fixture
def offered(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Offered:
    """What a shell gets for a line: `VALUE`, or `TYPE,VALUE` of other types than `plain`."""

    def ask(line: str, *, shell: str = "fish", word: str = "") -> list[str]:
        for name, value in {VARIABLE: f"{shell}_complete", "COMP_LINE": line, "COMP_WORD": word}.items():
            monkeypatch.setenv(name, value)
        assert complete() == 0
        shown = capfd.readouterr()
        assert not shown.err
        return [row.partition("\t")[0].removeprefix("plain,") for row in shown.out.splitlines() if row]

    return ask


def test_values_by_their_kind(offered: Offered) -> None:
    session = Session()
    note({"i-1": "web-1", "i-2": "", "i-3": "web-1"})
    caches.note_names(session, caches.ENDPOINTS, {"eice-1": "office"}, region=REGION)
    caches.note_names(session, caches.DATABASES, {"demo-db": ""}, region=REGION)
    assert offered("eicctl tunnel ") == ["web-1", "i-3", "i-2", "i-1"]
    assert offered("eicctl ssh --instance-id i-2") == ["i-2"]
    assert offered("eicctl ssh me@we") == ["me@web-1"]
    assert offered("eicctl sftp we") == ["web-1"]
    assert offered("eicctl scp we") == ["nospace,web-1:", "file,we"]
    assert offered("eicctl scp a me@we") == ["nospace,me@web-1:", "file,me@we"]
    assert offered("eicctl forward we") == ["nospace,web-1:"]
    assert offered("eicctl proxy we") == ["web-1", "web-1.eic"]
    assert offered("eicctl show-endpoint ") == ["eice-1", "office"]
    assert offered("eicctl ssh --instance-connect-endpoint-id=") == ["--instance-connect-endpoint-id=eice-1"]
    assert offered("eicctl db ") == ["demo-db", "rds:demo-db"]
    assert offered("eicctl --region eu-north-1 ssh ") == []
    assert offered("eicctl ssh --region eu-north-1 ") == []
    assert offered("eicctl ssh --output js") == []
    assert offered("eicctl list-endpoints --output js") == ["json"]


def test_the_grammar_of_openssh_counts(offered: Offered) -> None:
    note({"i-1": "web-1"})
    assert offered("eicctl ssh -v -L 1:a:2 we") == ["web-1"]
    assert offered("eicctl ssh -i we") == ["file,we"]
    assert offered("eicctl ssh web-1 we") == offered("eicctl ssh web-1 uptime --sess") == []
    assert offered("eicctl ssh web-1 --sess") == ["--session"]
    assert offered("eicctl ssh --wait we") == offered("eicctl ssh --wait=60 we") == ["web-1"]
    assert offered("eicctl ssh -Y? we") == ["file,we"], "an option that ssh does not have"


def test_names_that_do_not_print_or_look_like_options_are_left_out(offered: Offered) -> None:
    hostile = ["a\nb", "a\x1b[31m", "a\u202eb", "a\tb", "-oProxyCommand=x", "a\x00b", "\udcff"]
    note({f"i-{number}": name for number, name in enumerate(hostile)})
    assert offered("eicctl tunnel ") == [f"i-{number}" for number in reversed(range(len(hostile)))]
    assert offered("eicctl proxy a") == []


def test_profiles_are_those_of_both_files(home: Path, offered: Offered) -> None:
    (home / "config").write_text("[default]\n# [profile no]\n[profile dev]\n[sso-session corp]\n[services local]\n")
    (home / "credentials").write_text("[work]\n[dev]\n")
    assert offered("eicctl --profile ") == ["default", "dev", "work"]


def test_tunnels_are_the_projects_and_those_open(
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    offered: Offered,
) -> None:
    from eicctl.agent.paths import AgentPaths

    (home / "eicctl.toml").write_text('[tunnel.db]\ntarget = "db-1"\n[tunnel]\nweb = {target = "web-1"}\n')
    (home / "below").mkdir()
    monkeypatch.chdir(home / "below")
    AgentPaths("0123").write_record([{"name": "db"}, {"name": "cache"}], os.getpid())
    assert offered("eicctl up ") == ["db", "web", "cache"]
    (home / "eicctl.toml").write_text("[[")
    assert offered("eicctl up ") == ["db", "cache"]


def test_regions_are_those_of_botocore(offered: Offered) -> None:
    assert set(botocore.session.Session().get_available_regions("ec2")) <= caches.known_regions().keys()
    assert offered("eicctl ssh --region eu-n") == ["eu-north-1"]
    assert not any("global" in name for name in caches.known_regions())


def test_every_command_and_long_option_is_offered(offered: Offered) -> None:
    assert offered("eicctl ") == list(COMMANDS)
    for context in contexts(eicctl):
        line = " ".join(("eicctl", *path_of(context), "--"))
        params = [param for param in context.command.get_params(context) if isinstance(param, click.Option)]
        names = {name for param in params if not param.hidden for name in (*param.opts, *param.secondary_opts)}
        assert set(offered(line)) == {name for name in names if name.startswith("--")}, line


COMPLETED = {
    "profile": param_types.PROFILE,
    "region": param_types.REGION,
    "instance_id": param_types.INSTANCE_ID,
    "via": param_types.INSTANCE,
    "instance_connect_endpoint_id": param_types.ENDPOINT_ID,
    "endpoint": param_types.ENDPOINT,
    "database": param_types.DATABASE,
    "names": param_types.TUNNEL,
    "forwards": param_types.FORWARD,
}
FILES = {"ca_bundle", "log_file", "report", "private_key_file", "local_socket", "file"}


def test_every_parameter_of_a_kind_completes() -> None:
    for context in contexts(eicctl):
        command = " ".join(path_of(context))
        for param in context.command.params:
            if wanted := COMPLETED.get(param.name or ""):
                assert param.type is wanted, (command, param.name)
            if param.name in ("target", "targets"):
                assert param.type is (param_types.HOST if command == "proxy" else param_types.INSTANCE), command
            if param.name in FILES:
                assert isinstance(param.type, click.Path), (command, param.name)


def test_what_the_line_says_is_not_done(home: Path, monkeypatch: pytest.MonkeyPatch, offered: Offered) -> None:
    from eicctl.support import log

    monkeypatch.setattr(log, "configure", lambda **_: pytest.fail("logs"))
    (home / "home").mkdir()
    (home / "home/config.toml").write_text("[[")
    before = dict(os.environ)
    assert offered(f"eicctl --debug --log-file {home}/log ssh --debug --log-file {home}/log --keepalive 1 --prof")
    assert offered(f"eicctl tunnel --allow-other-users --ca-bundle {home}/none --local-port x --no-such --prof")
    assert offered(f"eicctl proxy --aws-config-file {home}/other --prof")
    assert offered("eicctl --version --help --prof")
    assert offered("eicctl nothing ssh ") == list(COMMANDS), "not more than where a command is wanted"
    assert os.environ["AWS_CONFIG_FILE"] == before["AWS_CONFIG_FILE"]
    assert sorted(path.name for path in home.iterdir()) == ["home"]


@pytest.mark.parametrize(
    ("name", "line", "word", "wanted"),
    [
        ("a b$(c)", "a", "a", r"a\ b\$\(c\)"),
        ("a b$(c)", '"a', "a", r"a b\$(c)"),
        ("a b$(c)", '"a b', "a b", r"a b\$(c)"),
        ("a b$(c)", "'a", "a", "a b$(c)"),
        ("a b$(c)", r"a\ ", r"a\ ", r"a\ b\$\(c\)"),
        ("a b$(c)", "me@a", "@a", r"@a\ b\$\(c\)"),
        ("a b$(c)", "me@a", "a", r"a\ b\$\(c\)"),
        ("a b$(c)", "--instance-id=x me@", "me@", r"me@a\ b\$\(c\)"),
        ("a'b", "'a", "a", None),
        ("a!b", '"a', "a", None),
        ("a!b", "a", "a", r"a\!b"),
        ("*", "", "", r"\*"),
        ("~root", "", "", r"\~root"),
        ("a\u2019\xe9;", "", "", "a\\\u2019\xe9\\;"),
    ],
)
def test_bash_gets_the_rest_of_a_word_escaped(
    name: str, line: str, word: str, wanted: str | None, offered: Offered
) -> None:
    note({"i-1": name})
    found = offered(f"AWS_REGION=x /bin/eicctl ssh {line}", shell="bash", word=word)
    assert found[:1] == ([] if wanted is None else [wanted])


def test_bash_gets_what_follows_a_break_of_a_word(offered: Offered) -> None:
    assert offered("eicctl ssh --region=eu-n", shell="bash", word="eu-n") == ["eu-north-1"]
    assert offered("eicctl ssh --region=eu-n", shell="bash", word="--region=eu-n") == ["--region=eu-north-1"]
    assert offered("eicctl ssh --region=", shell="bash", word="") == list(caches.known_regions())


PLACES = {
    "bash": ".local/share/bash-completion/completions/eicctl",
    "zsh": ".local/share/zsh/site-functions/_eicctl",
    "fish": ".config/fish/completions/eicctl.fish",
}
XDG_PLACES = {
    "bash": "data/bash-completion/completions/eicctl",
    "zsh": "data/zsh/site-functions/_eicctl",
    "fish": "config/fish/completions/eicctl.fish",
}


@pytest.mark.parametrize("shell", SHELLS)
def test_a_script_is_put_where_its_shell_looks(shell: str, tmp_path: Path) -> None:
    told = install_script(shell, "text\n", {"HOME": str(tmp_path)})
    path = tmp_path / PLACES[shell]
    assert path.read_text() == "text\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert told[0] == f"Wrote {path}"
    assert f"Undo: rm {path}" in told[-1]
    xdg = {"HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path / "data"), "XDG_CONFIG_HOME": str(tmp_path / "config")}
    install_script(shell, "text\n", xdg)
    assert (tmp_path / XDG_PLACES[shell]).exists()


@pytest.mark.parametrize("shell", SHELLS)
def test_installing_once_more_changes_nothing(shell: str, tmp_path: Path) -> None:
    install_script(shell, "text\n", {"HOME": str(tmp_path)})
    before = {path: path.stat().st_ino for path in tmp_path.rglob("*") if path.is_file()}
    told = install_script(shell, "text\n", {"HOME": str(tmp_path)})
    assert {path: path.stat().st_ino for path in tmp_path.rglob("*") if path.is_file()} == before
    assert told[0].endswith("is up to date")


def test_zshs_start_up_file_gets_one_line_at_its_top(tmp_path: Path) -> None:
    rc = tmp_path / ".zshrc"
    rc.write_text("autoload -Uz compinit\ncompinit\n")
    rc.chmod(0o600)
    environ = {"HOME": str(tmp_path)}
    told = install_script("zsh", "text\n", environ)
    first, *others = rc.read_text().splitlines()
    assert first.endswith("# eicctl completion")
    assert others == ["autoload -Uz compinit", "compinit"]
    assert stat.S_IMODE(rc.stat().st_mode) == 0o600
    assert any(str(rc) in line and first in line for line in told)
    elsewhere = environ | {"XDG_DATA_HOME": str(tmp_path / "it's here")}
    install_script("zsh", "text\n", elsewhere)
    changed, *others = rc.read_text().splitlines()
    assert changed != first
    assert others == ["autoload -Uz compinit", "compinit"], "the line is replaced, not added"


def test_descriptions_are_aligned(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    for name, value in {VARIABLE: "zsh_complete", "COMP_LINE": "eicctl s", "COMP_WORD": ""}.items():
        monkeypatch.setenv(name, value)
    assert complete() == 0
    rows = [row.removeprefix("plain,").replace("\t", "  ") for row in capfd.readouterr().out.splitlines()]
    assert len(rows) > 3
    assert len({len(row) - len(row.partition(" ")[2].lstrip()) for row in rows}) == 1


def test_help_names_commands_and_its_page(offered: Offered) -> None:
    assert "options" in offered("eicctl help ")
    assert offered("eicctl help ss") == ["ssh", "ssh-config"]
    assert offered("eicctl help policy li") == ["lint"]
