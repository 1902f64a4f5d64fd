"""OpenSSH's command line, the user of an image, and the hints."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from eicctl.aws.session import Session
from eicctl.core.model import Target
from eicctl.core.request import ConnectRequest
from eicctl.ssh.known_hosts import by_instance
from eicctl.ssh.login import Login, explain
from eicctl.ssh.openssh_options import OpensshOptions, remote_path, ssh_command
from eicctl.ssh.os_user import OsUser, user_of

TARGET = Target("10.0.1.10", 22, "eice-1", "e.example.com", "us-east-1", instance_id="i-1", instance_name="web-1")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EICCTL_HOME", str(tmp_path / "a folder"))


def settled(strict: str = "yes", **more: Any) -> dict[str, str]:
    return OpensshOptions(ConnectRequest(**more)).in_session(Path("/a b/50%")).settings(by_instance(), strict=strict)


def test_the_users_options_come_first() -> None:
    words = ssh_command(TARGET, "ann", ["-o", "ServerAliveInterval=5", "-o", "ServerAliveInterval=30"], ["ls"])
    assert words[:3] == ["ssh", "-o", "ServerAliveInterval=5"]
    assert words[-7:] == ["-l", "ann", "-p", "22", "--", "i-1", "ls"]


def test_what_is_settled() -> None:
    settings = settled()
    assert settings["StrictHostKeyChecking"] == "yes"
    assert settings["IdentitiesOnly"] == "yes"
    assert settings["IdentityFile"] == '"/a b/50%%/%r@%n"'
    assert settings["UserKnownHostsFile"].startswith('"')
    assert settings["UserKnownHostsFile"].endswith('known_hosts"')
    words = shlex.split(settings["ProxyCommand"].replace("%%", "%"))
    assert words[words.index("--session-folder") + 1] == "/a b/50%"
    assert words[words.index("--ssh-login") + 1] == "%r@%n"


def test_without_a_key_openssh_chooses() -> None:
    settings = settled(send_key=False)
    assert not {"IdentityFile", "IdentitiesOnly"} & settings.keys()
    assert "--ssh-login" not in settings["ProxyCommand"]


def test_what_is_not_checked_is_not_kept() -> None:
    assert settled("no")["UserKnownHostsFile"] == "/dev/null"


def test_places_of_copies() -> None:
    assert remote_path(TARGET, "ann", "a b") == "ann@i-1:a b"
    assert remote_path(replace(TARGET, instance_id="", address="fd00::1"), "ann", "x") == "ann@[fd00::1]:x"


def test_the_proxy_command_survives_shell_and_percent() -> None:
    request = ConnectRequest(profile="50% off; rm -rf /", ca_bundle="/a b", max_tunnel_duration=60)
    line = OpensshOptions(request).settings(by_instance())["ProxyCommand"]
    words = shlex.split(line)
    assert words[words.index("--profile") + 1] == "50%% off; rm -rf /"
    assert words[words.index("--ca-bundle") + 1] == "/a b"
    assert words[words.index("--max-tunnel-duration") + 1] == "60"


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


@pytest.mark.parametrize(
    ("owner", "platform", "user"),
    [
        ("099720109477", "Linux/UNIX", "ubuntu"),
        ("136693071363", "Linux/UNIX", "admin"),
        ("792107900819", "", "rocky"),
        ("123456789012", "Red Hat Enterprise Linux", "ec2-user"),
        ("123456789012", "Ubuntu Pro Linux", "ubuntu"),
        ("123456789012", "Linux/UNIX", None),
    ],
)
def test_a_name_that_says_nothing_leaves_owner_and_platform(owner: str, platform: str, user: str | None) -> None:
    assert user_of("golden-2026", owner, platform) == user


def test_the_name_is_asked_before_the_owner() -> None:
    assert user_of("Rocky-9-EC2-Base", "099720109477") == "rocky"


DENIED = "ann@i-1: Permission denied (publickey)."


def login(user: OsUser, *, pushed: bool = True) -> Login:
    return Login(Session(), TARGET, user, pushed)


@pytest.mark.parametrize(
    ("user", "pushed", "words"),
    [
        (OsUser("ann", "specified"), True, "ann is not its OS user"),
        (OsUser("ann", "image"), True, "EC2 Instance Connect is not installed"),
        (OsUser("ann", "specified"), False, "does not accept this key"),
    ],
)
def test_hints_of_a_refused_login(user: OsUser, pushed: bool, words: str) -> None:
    hint = explain(255, DENIED, login(user, pushed=pushed))
    assert hint
    assert words in hint


@pytest.mark.parametrize(("code", "stderr"), [(1, DENIED), (255, "error: The endpoint cannot reach …"), (0, "")])
def test_no_hint_where_enough_was_said(code: int, stderr: str) -> None:
    assert explain(code, stderr, login(OsUser("ann", "specified"))) is None
