"""Defaults from files, as commands take them, and `eicctl config` on a terminal."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.e2e.conftest import Eicctl, Env
from tests.ports import free_port
from tests.processes import PROGRAM
from tests.terminal import Shell, exit_code, faults, terminal

Config = Path


@pytest.fixture
def config(env: Env) -> Config:
    """The user's file; the environment has no region and no keys, but a profile that has."""
    path = Path(env["EICCTL_HOME"]) / "config" / "config.toml"
    path.parent.mkdir(parents=True)
    return path


@pytest.fixture
def bare(env: Env, tmp_path: Path) -> Env:
    """An environment whose keys are in the profile `work`, which has no region."""
    text = f"[work]\naws_access_key_id = {env['AWS_ACCESS_KEY_ID']}\n"
    (tmp_path / "credentials").write_text(f"{text}aws_secret_access_key = {env['AWS_SECRET_ACCESS_KEY']}\n")
    gone = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_DEFAULT_REGION")
    own = {name: value for name, value in env.items() if name not in gone}
    return own | {"AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"), "AWS_EC2_METADATA_DISABLED": "true"}


def test_profile_and_region_of_the_file_are_in_force_and_pinned(bare: Env, config: Config, tmp_path: Path) -> None:
    config.write_text('profile = "work"\nregion = "us-east-1"\n[alias]\nw = "web-1"\n')
    with Shell(bare, tmp_path, 200) as shell:
        shown = shell.run("eicctl ssh --print-command w")
        assert shown.code == 0
        line = " ".join(shown.lines)
        assert "--profile work" in line
        assert "--region us-east-1" in line
        missing = shell.run("eicctl ssh web-9")
        assert "hint: eicctl ssh web-1 --profile work --region us-east-1" in missing.lines
        assert "Host web-1.eic" in "\n".join(
            shell.run("eicctl ssh-config web-1 | grep -e --profile.work -e ^Host").lines
        )
    with subprocess.Popen([PROGRAM, "proxy", "w"], env=bare, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as proxy:
        assert proxy.stdout
        assert proxy.stdout.read(8) == b"SSH-2.0-"


def test_a_section_chooses_profile_and_user(bare: Env, config: Config, tmp_path: Path) -> None:
    config.write_text(
        'region = "us-east-1"\n[host."web-*"]\nprofile = "work"\nos_user = "deploy"\nforward = "18080:localhost:80"\n'
    )
    with Shell(bare, tmp_path, 200) as shell:
        line = " ".join(shell.run("eicctl ssh --print-command web-1").lines)
        assert "--profile work" in line
        assert "-L 18080:localhost:80" in line
        assert "-l deploy" in line
        assert "-l ann" in " ".join(shell.run("eicctl ssh --print-command ann@web-1").lines)
        other = shell.run("eicctl ssh --print-command app-1", (r"found\. Use profile work, .*\[Y/n\]: ", "n\n"))
        assert other.code == 4
        assert "No AWS credentials found" in " ".join(other.lines)


def test_a_section_counts_for_the_last_target(env: Env, config: Config, tmp_path: Path) -> None:
    forward = f"{free_port()}:localhost:80"
    config.write_text(f'[host."web-*"]\nforward = "{forward}"\n')
    with Shell(env, tmp_path, 200) as shell:
        assert shell.run("eicctl ssh web-1 -- true").code == 0
        assert f"-L {forward}" in " ".join(shell.run("eicctl ssh --print-command -").lines)


def test_a_wrong_file_is_reported_by_every_command(env: Env, config: Config, tmp_path: Path) -> None:
    config.write_text('# mine\nregoin = "us-east-1"\n')
    with Shell(env, tmp_path, 200) as shell:
        for command in (
            "eicctl ssh web-1",
            "eicctl instances",
            "eicctl proxy web-1 < /dev/null | cat",
            "eicctl config list",
        ):
            shown = shell.run(command)
            assert f"error: {config}:2: regoin is not a known key" in shown.lines
            assert any(line.startswith("hint: did you mean region?") for line in shown.lines)


@pytest.mark.parametrize("width", [80, 120])
def test_config_on_a_terminal(env: Env, tmp_path: Path, width: int) -> None:
    with Shell(env | {"EDITOR": "true"}, tmp_path, width) as shell:
        commands = {
            "eicctl config list": 0,
            "eicctl config set profil x": 2,
            "eicctl config set keepalive never": 2,
            "eicctl config set region eu-west-1": 0,
            "eicctl config set 'host.prod-*.os_user' deploy": 0,
            "eicctl config set alias.db1 rds:orders-prod --project": 0,
            "eicctl config get region": 0,
            "eicctl config get endpoint": 3,
            "eicctl config edit": 0,
            "eicctl config path": 0,
            "eicctl config list ": 0,
        }
        shown = {command: shell.run(command) for command in commands}
    assert {command: found.code for command, found in shown.items()} == commands
    assert not [fault for found in shown.values() for fault in faults(found.lines, width)]
    assert "did you mean profile?" in " ".join(shown["eicctl config set profil x"].lines)
    listed = "\n".join(shown["eicctl config list "].lines)
    assert "AWS_REGION" in listed  # the environment's comes first
    assert "~/eicctl/config/config.toml:4" in listed
    assert "~/eicctl.toml:2" in listed


def test_set_keeps_comments_and_order(eicctl: Eicctl, config: Config) -> None:
    config.write_text('# mine\nregion = "a"  # here\n\n[alias]\n# databases\ndb1 = "x"\n\n[host."b-*"]\nkeep = true\n')
    for words in (("region", "b"), ("alias.db2", "y"), ("os_user", "ann"), ("host.b-*.forward", "1:a:2", "3:b:4")):
        assert eicctl("config", "set", *words).returncode == 0
    assert config.read_text() == (
        '# mine\nregion = "b"  # here\nos_user = "ann"\n\n[alias]\n# databases\ndb1 = "x"\ndb2 = "y"\n\n'
        '[host."b-*"]\nkeep = true\nforward = ["1:a:2", "3:b:4"]\n'
    )
    refused = eicctl("config", "set", "host_key_check", "never")
    assert refused.returncode == 2
    rows = json.loads(eicctl("config", "list", "--output", "json").stdout)
    assert {row["Key"]: row["Source"] for row in rows}["alias.db2"] == "user"


def test_edit_checks_what_was_written(env: Env, config: Config, tmp_path: Path) -> None:
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\necho "regoin = 1" > "$1"\n')
    editor.chmod(0o755)
    session = terminal(env | {"EDITOR": str(editor)}, "config", "edit", program=PROGRAM)
    session.expect(r"config.toml:1:\s+regoin\s+is")
    assert exit_code(session) == 2
