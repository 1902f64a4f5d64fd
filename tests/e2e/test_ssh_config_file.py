"""`eicctl ssh-config`: plain ssh, scp, rsync, git and Ansible with what it writes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import Eicctl, Env, home_of_ssh, run_eicctl
from tests.processes import PROGRAM
from tests.waiting import wait_for

pytestmark = pytest.mark.needs("sshd")


def run(env: Env, *words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words, env=env, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=200, check=False
    )


@pytest.fixture
def installed(at_sshd: Eicctl, sshd_env: Env) -> Env:
    """An environment in which all instances are in ssh_config."""
    done = at_sshd("ssh-config", "--all", "--pattern", "--install")
    assert done.returncode == 0, done.stderr.decode()
    return sshd_env


def test_plain_ssh(installed: Env) -> None:
    first = run(installed, "ssh", "node-1.eic", "echo $USER")
    assert first.stdout == "ec2-user\n", first.stderr
    assert "Permanently added" not in first.stderr
    assert run(installed, "ssh", "app-1.eic", "echo $USER").stdout == "ubuntu\n"
    assert run(installed, "ssh", "node-2.us-east-1.eic", "echo $USER").stdout == "ec2-user\n"


def test_a_host_that_only_the_pattern_has(at_sshd: Eicctl, sshd_env: Env) -> None:
    assert at_sshd("ssh-config", "--pattern", "--install").returncode == 0
    assert run(sshd_env, "ssh", "node-3.eic", "echo $USER").stdout == "ec2-user\n"
    assert run(sshd_env, "ssh", "ubuntu@app-1.us-east-1.eic", "echo $USER").stdout == "ubuntu\n"


def test_a_profile_in_the_name(sshd_env: Env) -> None:
    keys = {"aws_access_key_id": "AWS_ACCESS_KEY_ID", "aws_secret_access_key": "AWS_SECRET_ACCESS_KEY"}
    lines = ["[prod]", *(f"{name} = {sshd_env[variable]}" for name, variable in keys.items()), ""]
    credentials = Path(sshd_env["HOME"], "credentials")
    credentials.write_text("\n".join(lines))
    env = sshd_env | {"AWS_SHARED_CREDENTIALS_FILE": str(credentials)}
    assert run_eicctl(env, "ssh-config", "--pattern", "--install").returncode == 0
    env = {name: value for name, value in sshd_env.items() if name not in keys.values() and name != "AWS_REGION"}
    del env["AWS_SHARED_CREDENTIALS_FILE"]  # what is written names the files
    env.pop("AWS_DEFAULT_REGION", None)
    done = run(env, "ssh", "node-3.prod.us-east-1.eic", "echo $USER")
    assert done.stdout == "ec2-user\n", done.stderr


def test_every_connection_has_a_key_pushed_and_none_is_left(installed: Env) -> None:
    keys = Path(installed["HOME"], ".ssh", "eicctl", "keys")
    for _ in range(3):
        assert run(installed, "ssh", "node-1.eic", "true").returncode == 0
    wait_for(lambda: not (keys / "ec2-user@node-1.eic").exists(), "the removal of the key")
    assert keys.stat().st_mode & 0o777 == 0o700


def test_connections_to_one_host_at_the_same_time(installed: Env) -> None:
    processes = [
        subprocess.Popen(
            ["ssh", "node-1.eic", f"sleep 0.{number}; echo {number}"],
            env=installed, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
        )
        for number in range(6)
    ]  # fmt: skip
    assert [process.communicate(timeout=60)[0] for process in processes] == [f"{number}\n" for number in range(6)]


def test_a_replaced_instance_brings_its_own_keys(installed: Env) -> None:
    assert run(installed, "ssh", "node-1.eic", "true").returncode == 0
    known = Path(installed["HOME"], ".ssh", "eicctl", "known_hosts")
    # As if the name had meant another instance so far.
    text = known.read_text().replace("# eicctl: node-1.eic i-", "# eicctl: node-1.eic i-0000")
    wrong = "AAAAC3NzaC1lZDI1NTE5AAAAIGtEEV8nMTVpZZWQvo9f3pLxkp1zxsj6oPxHhYtQXn0k"
    known.write_text(
        "\n".join(f"node-1.eic ssh-ed25519 {wrong}" if line[0] == "n" else line for line in text.splitlines())
    )
    done = run(installed, "ssh", "node-1.eic", "echo here")
    assert done.stdout == "here\n", done.stderr


def test_scp_and_rsync(installed: Env, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.write_bytes(os.urandom(2_000_000))
    assert run(installed, "scp", str(data), "node-1.eic:data").returncode == 0
    assert run(installed, "scp", "node-1.eic:data", str(tmp_path / "back")).returncode == 0
    assert (tmp_path / "back").read_bytes() == data.read_bytes()


@pytest.mark.needs("rsync")
def test_rsync_of_a_tree(installed: Env, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "deep").mkdir(parents=True)
    for number in range(30):
        (tree / "deep" / str(number)).write_bytes(os.urandom(10_000))
    sent = run(installed, "rsync", "-a", f"{tree}/", "node-2.eic:tree/")
    assert sent.returncode == 0, sent.stderr
    back = run(installed, "rsync", "-a", "node-2.eic:tree/", f"{tmp_path}/back/")
    assert back.returncode == 0, back.stderr
    for path in (tree / "deep").iterdir():
        assert (tmp_path / "back" / "deep" / path.name).read_bytes() == path.read_bytes()


@pytest.mark.needs("git")
def test_git_over_ssh(installed: Env, tmp_path: Path) -> None:
    home = run(installed, "ssh", "node-1.eic", "git init -q --bare repo.git && pwd")
    assert home.returncode == 0, home.stderr
    url = f"ssh://node-1.eic{home.stdout.strip()}/repo.git"
    identity = ["-c", "user.name=Ann", "-c", "user.email=ann@example.com"]
    assert run(installed, "git", "clone", "-q", url, str(tmp_path / "one")).returncode == 0
    (tmp_path / "one" / "file").write_text("content")
    for words in (["add", "file"], ["commit", "-qm", "A file"], ["push", "-q", "origin", "HEAD"]):
        done = run(installed, "git", *identity, *words, cwd=tmp_path / "one")
        assert done.returncode == 0, done.stderr
    assert run(installed, "git", "clone", "-q", url, str(tmp_path / "two")).returncode == 0
    assert (tmp_path / "two" / "file").read_text() == "content"


AWKWARD = "x y'q\"%h #é"
"""What a path may have in it, and what ssh_config, its shell, or glob(7) could take for something else."""


INSTALL = ["ssh-config", "--all", "--pattern", "--multiplex", "--install"]


@pytest.fixture
def awkward(sshd_aws: Env, tmp_path: Path) -> Iterator[Env]:
    """An environment in which every path has it: the home, eicctl's folder, the program and AWS's files."""
    with home_of_ssh(sshd_aws, tmp_path, AWKWARD) as env:
        home = Path(env["HOME"])
        (home / ".ssh").rmdir()
        (home / "bin").mkdir()
        (home / "bin" / "eicctl").symlink_to(PROGRAM)
        (home / "config").write_text("[default]\nregion = us-east-1\n")
        (home / "credentials").write_text(
            f"[default]\naws_access_key_id = {env['AWS_ACCESS_KEY_ID']}\n"
            f"aws_secret_access_key = {env['AWS_SECRET_ACCESS_KEY']}\n"
        )
        (home / "ca.pem").write_bytes(Path(env["AWS_CA_BUNDLE"]).read_bytes())
        kept = {name: value for name, value in env.items() if not name.startswith("AWS_") or "URL" in name}
        files = {"AWS_CONFIG_FILE": "config", "AWS_SHARED_CREDENTIALS_FILE": "credentials", "AWS_CA_BUNDLE": "ca.pem"}
        yield kept | {"EICCTL_HOME": str(home / "e")} | {name: str(home / file) for name, file in files.items()}


def in_another_shell(env: Env) -> Env:
    """The environment without what was set for AWS, but for where the local AWS is."""
    return {name: value for name, value in env.items() if not name.startswith("AWS_") or "URL" in name}


def test_any_path_in_the_files_of_ssh_config(awkward: Env) -> None:
    home = Path(awkward["HOME"])
    program = str(home / "bin" / "eicctl")
    done = run(awkward, program, *INSTALL)
    assert done.returncode == 0, done.stderr
    assert home.joinpath(".ssh").stat().st_mode & 0o777 == 0o700
    there = in_another_shell(awkward)
    for host in ("node-1.eic", "ec2-user@node-2.us-east-1.eic"):
        first = run(there, "ssh", host, "echo $USER")
        assert (first.stdout, first.stderr) == ("ec2-user\n", ""), first.stderr
    assert "Master running" in run(there, "ssh", "-O", "check", "node-1.eic").stderr
    for host in ("node-1.eic", "ec2-user@node-2.us-east-1.eic"):
        assert run(there, "ssh", "-O", "exit", host).returncode == 0
    known = home / ".ssh" / "eicctl" / "known_hosts"
    assert "node-1.eic ssh-ed25519" in known.read_text()
    assert "No changes" in run(awkward, program, *INSTALL).stderr
    assert run(awkward, program, "ssh-config", "--remove").returncode == 0
    assert (home / ".ssh" / "config").read_text() == ""


def test_any_path_in_a_printed_command(awkward: Env) -> None:
    program = str(Path(awkward["HOME"], "bin", "eicctl"))
    printed = run(awkward, program, "ssh", "--print-command", "node-1", "--", "echo $USER")
    assert printed.returncode == 0, printed.stderr
    pasted = run(in_another_shell(awkward), "sh", "-c", printed.stdout)
    assert pasted.stdout == "ec2-user\n", pasted.stderr


def test_any_path_of_the_key_and_of_what_runs_ssh(awkward: Env) -> None:
    home = Path(awkward["HOME"])
    assert run(awkward, str(home / "bin" / "eicctl"), "ssh", "node-1", "--", "echo $USER").stdout == "ec2-user\n"
    # A module has no script that could be called; its interpreter's path is as awkward.
    python = home / "venv" / "bin" / "python"
    run(awkward, sys.executable, "-m", "venv", "--without-pip", "--system-site-packages", str(home / "venv"))
    there = awkward | {"PYTHONPATH": ":".join(path for path in sys.path if path)}
    done = run(there, str(python), "-m", "eicctl", "ssh-config", "node-2", "--install")
    assert done.returncode == 0, done.stderr
    assert " -P -m eicctl proxy " in (home / ".ssh" / "eicctl" / "config").read_text()
    first = run(in_another_shell(there), "ssh", "node-2.eic", "echo $USER")
    assert first.stdout == "ec2-user\n", first.stderr


def test_an_own_key_is_the_only_one_that_is_offered(awkward: Env) -> None:
    key = Path(awkward["HOME"], "id")
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    shown = run(awkward, PROGRAM, "ssh-config", "node-1", "--private-key-file", str(key), "--install")
    assert shown.returncode == 0, shown.stderr
    config = str(Path(awkward["HOME"], ".ssh", "config"))
    settings = run(awkward, "ssh", "-G", "-F", config, "node-1.eic").stdout.splitlines()
    assert "identitiesonly yes" in settings
    assert f"identityfile {key}".replace("%", "%%") in settings


def test_profiles_and_their_hosts(sshd_env: Env) -> None:
    keys = (
        f"aws_access_key_id = {sshd_env['AWS_ACCESS_KEY_ID']}\n"
        f"aws_secret_access_key = {sshd_env['AWS_SECRET_ACCESS_KEY']}\n"
    )
    home = Path(sshd_env["HOME"])
    (home / "credentials").write_text(f"[a]\n{keys}[b]\n{keys}")
    (home / "config").write_text("[profile a]\nregion = us-east-1\n[profile b]\nregion = us-east-1\n")
    plain = {name: value for name, value in sshd_env.items() if name not in NOT_IN_FILES}
    plain |= {"AWS_SHARED_CREDENTIALS_FILE": f"{home}/credentials", "AWS_CONFIG_FILE": f"{home}/config"}
    own = home / ".ssh" / "eicctl" / "config"
    assert run(plain | {"AWS_PROFILE": "a"}, PROGRAM, "ssh-config", "--all", "--install").returncode == 0
    assert own.read_text().count(" --profile a ") == 12
    second = run(plain | {"AWS_PROFILE": "b"}, PROGRAM, "ssh-config", "--all", "--install")
    assert second.returncode == 0
    assert "Changed from 123456789012 us-east-1 a to 123456789012 us-east-1 b: app-1.eic" in second.stderr
    for name in ("a", "b"):
        done = run(in_another_shell(plain), "ssh", f"node-1.{name}.us-east-1.eic", "echo $USER")
        assert done.stdout == "ec2-user\n", done.stderr
        assert own.read_text().count(f" --profile {name} ") == 12
    # A host that is gone is named. Here another one takes its place in the file.
    own.write_text(own.read_text().replace("node-1.b.us-east-1.eic", "old-1.b.us-east-1.eic"))
    third = run(plain, PROGRAM, "ssh-config", "--all", "--install", "--profile", "b")
    assert "Removed (not running in 123456789012 us-east-1 b): old-1.b.us-east-1.eic\n" in third.stderr


NOT_IN_FILES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_DEFAULT_REGION")


def test_one_connection_for_many_sessions(at_sshd: Eicctl, sshd_env: Env) -> None:
    assert at_sshd("ssh-config", "node-1", "--multiplex", "--install").returncode == 0
    assert run(sshd_env, "ssh", "node-1.eic", "true").returncode == 0
    checked = run(sshd_env, "ssh", "-O", "check", "node-1.eic")
    assert "Master running" in checked.stderr
    assert run(sshd_env, "ssh", "node-1.eic", "echo second").stdout == "second\n"
    assert run(sshd_env, "ssh", "-O", "exit", "node-1.eic").returncode == 0


PLAYBOOK = """
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.command: printenv USER
      register: who
      changed_when: false
    - ansible.builtin.copy:
        content: "{{ who.stdout }} on {{ inventory_hostname }}"
        dest: ansible-was-here
    - ansible.builtin.slurp:
        src: ansible-was-here
      register: back
    - ansible.builtin.assert:
        that: (back.content | b64decode) == 'ec2-user on ' ~ inventory_hostname
"""


def test_ansible_with_ten_hosts_at_once(installed: Env, tmp_path: Path) -> None:
    hosts = [f"node-{number}.eic" for number in range(1, 11)]
    (tmp_path / "hosts").write_text(
        "\n".join([*hosts, "[all:vars]", f"ansible_python_interpreter={sys.executable}", ""])
    )
    (tmp_path / "play.yml").write_text(PLAYBOOK)
    env = installed | {"ANSIBLE_FORKS": "10", "ANSIBLE_HOST_KEY_CHECKING": "True", "LC_ALL": "C.UTF-8"}
    env["ANSIBLE_HOME"] = str(tmp_path / "ansible")
    tools = Path(sys.executable).parent
    pinged = run(env, str(tools / "ansible"), "-i", str(tmp_path / "hosts"), "all", "-m", "ping")
    assert pinged.stdout.count('"ping": "pong"') == 10, pinged.stdout + pinged.stderr
    played = run(env, str(tools / "ansible-playbook"), "-i", str(tmp_path / "hosts"), str(tmp_path / "play.yml"))
    assert played.returncode == 0, played.stdout + played.stderr
    assert played.stdout.count("failed=0") == 10


def test_installing_again_changes_nothing_and_removing_restores(at_sshd: Eicctl, sshd_env: Env) -> None:
    users = Path(sshd_env["HOME"], ".ssh", "config")
    users.write_text("Host mine\n  User ann\n")
    users.chmod(0o644)
    shown = at_sshd("ssh-config", "--all", "--install", "--dry-run").stdout.decode()
    assert "+Include" in shown
    assert "+Host app-1.eic" in shown
    assert users.read_text() == "Host mine\n  User ann\n"
    assert at_sshd("ssh-config", "--all", "--install").returncode == 0
    assert users.read_text().startswith("Include ")
    assert users.stat().st_mode & 0o777 == 0o644
    assert Path(f"{users}.before-eicctl").read_text() == "Host mine\n  User ann\n"
    again = at_sshd("ssh-config", "--all", "--install")
    assert b"No changes" in again.stderr
    assert users.read_text().count("Include") == 1
    assert at_sshd("ssh-config", "--remove").returncode == 0
    assert users.read_text() == "Host mine\n  User ann\n"


def test_named_hosts_and_printing(at_sshd: Eicctl, sshd_env: Env) -> None:
    shown = at_sshd("ssh-config", "node-1", "app-1", "--os-user", "ann").stdout.decode()
    assert shown.count("User ann") == 2
    assert not Path(sshd_env["HOME"], ".ssh", "eicctl").exists()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ([], 2, "No target specified"),
        (["node-1", "--all"], 2, "not both"),
        (["--install", "--remove"], 2, "mutually exclusive"),
        (["node-1", "--dry-run"], 2, "requires --install"),
        (["--remove", "node-1"], 2, "takes no targets"),
        (["nobody"], 3, 'No instance named "nobody"'),
    ],
)
def test_bad_words(at_sshd: Eicctl, words: list[str], code: int, said: str) -> None:
    done = at_sshd("ssh-config", *words)
    assert done.returncode == code
    assert said in done.stderr.decode()
