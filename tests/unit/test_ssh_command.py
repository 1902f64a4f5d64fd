"""OpenSSH's command line, the user of an image, and the hints."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from eicctl.model import Target
from eicctl.ssh.command import Access, proxy_command, ssh_command
from eicctl.ssh.explain import Login, explain
from eicctl.ssh.users import user_of

TARGET = Target("10.0.1.10", 22, "eice-1", "e.example.com", "us-east-1", instance_id="i-1", instance_name="web-1")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EICCTL_HOME", str(tmp_path / "a folder"))


def test_the_users_options_come_first() -> None:
    words = ssh_command(
        TARGET, user="ann", proxy="p", key=Path("/k"), options=["-o", "ServerAliveInterval=5"], command=["ls"]
    )
    assert words[:3] == ["ssh", "-o", "ServerAliveInterval=5"]
    assert words[-7:] == ["-l", "ann", "-p", "22", "--", "i-1", "ls"]
    assert "HostKeyAlias=i-1" in words
    assert "IdentitiesOnly=yes" in words
    assert any(word.startswith('UserKnownHostsFile="') and word.endswith('known_hosts"') for word in words)


def test_without_a_key_openssh_chooses() -> None:
    words = ssh_command(TARGET, user="ann", proxy="p", key=None, options=[], command=[])
    assert "-i" not in words
    assert "IdentitiesOnly=yes" not in words


def test_the_proxy_command_survives_shell_and_percent() -> None:
    line = proxy_command(TARGET, Access(profile="50% off; rm -rf /", ca_bundle="/a b", max_tunnel_duration=60))
    words = shlex.split(line.replace("%%", "%"))
    assert words[words.index("--profile") + 1] == "50% off; rm -rf /"
    assert words[words.index("--ca-bundle") + 1] == "/a b"
    assert words[words.index("--max-tunnel-duration") + 1] == "60"
    assert "%" not in line.replace("%%", "")


@pytest.mark.parametrize(
    ("image", "user"),
    [
        ("al2023-ami-2023.9.20260301.0-kernel-6.1-x86_64", "ec2-user"),
        ("amzn2-ami-kernel-5.10-hvm-2.0.20260301.0-x86_64-gp2", "ec2-user"),
        ("ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64-server-20260301", "ubuntu"),
        ("debian-12-amd64-20260301-1234", "admin"),
        ("Rocky-9-EC2-Base-9.5.x86_64", "rocky"),
        ("RHEL-9.5.0_HVM-20260301-x86_64", "ec2-user"),
        ("Fedora-Cloud-Base-AmazonEC2.x86_64-41", "fedora"),
        ("suse-sles-15-sp6-v20260301-hvm-ssd-x86_64", "ec2-user"),
        ("our-golden-image", None),
    ],
)
def test_the_user_of_an_image(image: str, user: str | None) -> None:
    assert user_of(image) == user


DENIED = "ann@i-1: Permission denied (publickey)."


@pytest.mark.parametrize(
    ("code", "stderr", "login", "words"),
    [
        (255, DENIED, Login(TARGET, "ann", "ec2-user", True), "--os-user ec2-user"),
        (255, DENIED, Login(TARGET, "ec2-user", "ec2-user", True), "EC2 Instance Connect package"),
        (255, DENIED, Login(TARGET, "ann", None, True), "is ann its OS user"),
        (255, DENIED, Login(TARGET, "ann", None, False), "does not accept this key"),
        (255, "REMOTE HOST IDENTIFICATION HAS CHANGED!", Login(TARGET, "ann", None, True), "ssh-keygen -R i-1"),
    ],
)
def test_hints(code: int, stderr: str, login: Login, words: str) -> None:
    hint = explain(code, stderr, login)
    assert hint
    assert words in hint


@pytest.mark.parametrize(("code", "stderr"), [(1, DENIED), (255, "error: the endpoint cannot reach …"), (0, "")])
def test_no_hint_where_enough_was_said(code: int, stderr: str) -> None:
    assert explain(code, stderr, Login(TARGET, "ann", None, True)) is None
