"""Host keys: from the console, pinned by instance, and what is said when they differ."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest

from tests.e2e.conftest import Eicctl, Env

pytestmark = pytest.mark.needs("sshd")

OTHER = "AAAAC3NzaC1lZDI1NTE5AAAAIGtEEV8nMTVpZZWQvo9f3pLxkp1zxsj6oPxHhYtQXn0k"


def known(env: Env) -> Path:
    return Path(env["EICCTL_HOME"], "state", "known_hosts")


def test_the_console_s_key_is_pinned_before_the_first_connection(at_sshd: Eicctl, sshd_env: Env) -> None:
    first = at_sshd("ssh", "--verbose", "node-1", "--", "true")
    assert first.returncode == 0
    assert b"verified via EC2 console output" in first.stderr
    assert b"Permanently added" not in first.stderr
    assert b"console" not in at_sshd("ssh", "--verbose", "node-1", "--", "true").stderr


def test_accept_new_asks_no_console(at_sshd: Eicctl) -> None:
    done = at_sshd("ssh", "--host-key-check", "accept-new", "node-1", "--", "true")
    assert done.returncode == 0
    assert b"Permanently added" in done.stderr
    assert b"console" not in done.stderr


def test_strict_wants_a_known_key(at_sshd: Eicctl) -> None:
    refused = at_sshd("ssh", "--host-key-check", "strict", "node-1", "--", "true")
    assert refused.returncode == 2
    assert b"No host key of i-" in refused.stderr
    assert at_sshd("ssh", "node-1", "--", "true").returncode == 0
    assert at_sshd("ssh", "--host-key-check", "strict", "node-1", "--", "true").returncode == 0


def test_off_keeps_nothing_and_says_so(at_sshd: Eicctl, sshd_env: Env) -> None:
    done = at_sshd("ssh", "--host-key-check", "off", "node-1", "--", "true")
    assert done.returncode == 0
    assert b"are not checked" in done.stderr
    assert not known(sshd_env).exists()


def test_the_configured_check_counts(at_sshd: Eicctl, sshd_env: Env) -> None:
    config = Path(sshd_env["EICCTL_HOME"], "config", "config.toml")
    config.parent.mkdir(parents=True)
    config.write_text('host_key_check = "strict"\n')
    assert at_sshd("ssh", "node-1", "--", "true").returncode == 2
    config.write_text('host_key_check = "often"\n')
    for words in (("ssh", "node-1", "--", "true"), ("run", "--all", "--", "true")):
        assert b"host_key_check must be one of" in at_sshd(*words).stderr


def test_a_rebuilt_instance_is_told_from_something_worse(at_sshd: Eicctl, sshd_env: Env) -> None:
    assert at_sshd("ssh", "node-1", "--", "true").returncode == 0
    path = known(sshd_env)
    alias = path.read_text().split()[0]
    path.write_text(f"{alias} ssh-ed25519 {OTHER}\n")
    rebuilt = at_sshd("ssh", "node-1", "--", "true")
    assert rebuilt.returncode == 255
    hint = rebuilt.stderr.decode().partition("hint: ")[2].strip()
    assert "was rebuilt" in hint
    # The command that it gives mends it.
    command = hint.rpartition("again: ")[2]
    subprocess.run(shlex.split(command), check=True, capture_output=True)
    assert at_sshd("ssh", "node-1", "--", "true").returncode == 0


def test_two_hosts_are_checked_alike(at_sshd: Eicctl, sshd_env: Env, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("x")
    assert at_sshd("scp", str(tmp_path / "f"), "node-1:f").returncode == 0
    assert at_sshd("scp", "node-1:f", "node-2:f").returncode == 0
    assert len(known(sshd_env).read_text().splitlines()) == 2


def test_the_image_is_asked_once_for_an_instance(at_sshd: Eicctl, sshd_env: Env) -> None:
    assert b"OS user: ubuntu (from the AMI)" in at_sshd("ssh", "--verbose", "app-1", "--", "true").stderr
    remembered = Path(sshd_env["EICCTL_HOME"], "state", "os_users.json")
    text = remembered.read_text()
    assert "ubuntu" in text
    remembered.write_text(text.replace("ubuntu", "nobody-else"))
    refused = at_sshd("ssh", "app-1", "--", "true")
    assert refused.returncode == 255
    assert b"nobody-else is a guess from the AMI" in refused.stderr


def test_the_configured_user_counts(at_sshd: Eicctl, sshd_env: Env) -> None:
    config = Path(sshd_env["EICCTL_HOME"], "config", "config.toml")
    config.parent.mkdir(parents=True)
    config.write_text('os_user = "ubuntu"\n[host."web-*"]\nos_user = "nobody"\n')
    done = at_sshd("ssh", "--verbose", "app-1", "--", "echo $USER")
    assert done.stdout == b"ubuntu\n"
    assert b"(config.toml)" in done.stderr


def test_a_refused_key_is_explained(at_sshd: Eicctl) -> None:
    done = at_sshd("ssh", "bare", "--", "true")
    assert done.returncode == 255
    assert b"EC2 Instance Connect is not installed" in done.stderr
