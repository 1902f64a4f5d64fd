"""`eicctl doctor` as a person uses it: a broken group, the rule that fixes it, and the way back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import FillCache
from tests.e2e.conftest import Env, boto3_client, clean_env, local_world, run_eicctl
from tests.terminal import exit_code, interrupt, terminal


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Env]:
    """A local AWS with an endpoint, in which the group of the Linux machines lets nobody in."""
    env = clean_env(tmp_path_factory.mktemp("doctor"))
    with local_world(env, endpoint=["--create-security-group", "--name", "office"]) as found:
        client = boto3_client(found, "ec2")
        (group,) = client.describe_security_groups(GroupNames=["targets"])["SecurityGroups"]
        client.revoke_security_group_ingress(GroupId=group["GroupId"], IpPermissions=group["IpPermissions"])
        yield found


@pytest.fixture
def env(aws: Env, tmp_path: Path, fill_cache: FillCache) -> Env:
    """The environment of one test: its own home."""
    fill_cache(tmp_path / "eicctl")
    return aws | {"HOME": str(tmp_path), "EICCTL_HOME": str(tmp_path / "eicctl")}


def test_broken_fixed_and_broken_again(env: Env) -> None:
    login = run_eicctl(env, "ssh", "web-1", "--", "echo", "hello")
    assert login.returncode == 255
    said = login.stderr.decode()
    assert "likely cause: the security groups of web-1 do not allow the endpoint" in said
    assert "eicctl doctor web-1 --fix" in said

    many = run_eicctl(env, "run", "--target", "web-1", "--", "true")
    said = many.stderr.decode()
    assert "failed: web-1" in said
    assert "exit 255: The endpoint cannot reach 10.0.1.10 port 22" in said
    assert "likely cause at web-1: the security groups of web-1 do not allow the endpoint" in said
    assert "hint: eicctl doctor web-1 --fix" in said

    fixed = run_eicctl(env, "doctor", "web-1", "--fix", "--yes")
    assert fixed.returncode == 0, fixed.stderr.decode()
    assert b"All checks passed: web-1 is reachable" in fixed.stdout
    assert run_eicctl(env, "ssh", "web-1", "--", "echo", "hello").stdout == b"hello\n"
    assert run_eicctl(env, "doctor", "web-1").returncode == 0

    assert run_eicctl(env, "doctor", "web-1", "--undo", "--yes").returncode == 0
    assert run_eicctl(env, "ssh", "web-1", "--", "echo", "hello").returncode == 255


def test_on_a_terminal_it_asks_and_shows_how_it_goes(env: Env) -> None:
    session = terminal(env, "doctor", "app-1", "--fix", size=(50, 120))
    session.expect("The security groups of app-1 do not allow the endpoint")
    assert session.before
    assert "\x1b[32m✓" in session.before
    assert any(spinner in session.before for spinner in "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏")
    session.expect("blocked here")
    session.expect(r"aws ec2 authorize-security-group-ingress --group-id sg-[0-9a-f]+ .*Add this rule\? \[y/N\]")
    session.sendline("y")
    session.expect("All checks passed: app-1 is reachable")
    assert exit_code(session) == 0

    session = terminal(env, "doctor", "app-1", "--undo", size=(50, 120))
    session.expect(r"Remove this rule\? \[y/N\]")
    session.sendline("n")
    session.expect("Canceled")
    assert exit_code(session) == 1
    assert run_eicctl(env, "doctor", "app-1", "--undo", "--yes").returncode == 0


def test_ctrl_c_ends_it(env: Env) -> None:
    session = terminal(env, "doctor", "app-1", "--fix", size=(50, 120))
    session.expect(r"Add this rule\? \[y/N\]")
    interrupt(session)
    session.expect("interrupted")
    assert exit_code(session) == 130


def test_a_terminal_without_unicode_and_colours(env: Env) -> None:
    session = terminal(
        env | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii", "NO_COLOR": "1"}, "doctor", size=(50, 120)
    )
    session.expect("no target")
    listed = f"{session.before}"
    session.send("no target\r")
    assert exit_code(session) == 0
    assert session.before
    assert (listed + session.before).isascii()


def test_a_low_terminal_shows_all_in_the_end(env: Env) -> None:
    session = terminal(env, "doctor", "web-1", size=(10, 80))
    assert exit_code(session) == 5
    assert session.before
    last = session.before[session.before.rindex("Credentials") :]
    assert all(title in last for title in ("Clock", "Endpoint", "Ingress", "Tunnel test", "blocked here"))


@pytest.mark.parametrize("width", [80, 120])
def test_windows_has_no_os_user_on_a_terminal(env: Env, width: int) -> None:
    """It is in the list at first, as it is not known yet that the target is Windows."""
    session = terminal(env, "doctor", "win-1", size=(50, width))
    assert exit_code(session) == 5
    assert session.before
    last = session.before[session.before.rindex("Credentials") :]
    assert "port 3389 response" in last
    assert "TCP 3389 from" in " ".join(last.split())
    assert not any(word in last for word in ("OS user", "SendSSHPublicKey", "Instance Connect  ", "ec2-user"))


def test_json_is_alone_on_stdout(env: Env) -> None:
    run = run_eicctl(env, "doctor", "web-1", "--output", "json")
    assert json.loads(run.stdout)["Cause"]["Check"] == "ingress"
    assert run.stderr == b""
