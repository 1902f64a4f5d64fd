"""`--debug` and `--log-file` of the installed command: which stages are told, where, and that nothing breaks by it."""

from __future__ import annotations

import re
import stat
from pathlib import Path

import pytest

from tests.e2e.conftest import Eicctl, Env, run_eicctl

LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d \d+ [A-Z]+ [a-z0-9._]+: .*")

STAGES = (
    r"INFO eicctl: eicctl 0\.\S+, Python 3\.\S+, \w+: ssh begins",
    r"eicctl\.aws\.clients: ec2 DescribeInstances in us-east-1: HTTP 200 after \d+ ms, request ID \S+",
    r"eicctl\.aws\.targets: resolved web-1 in \d+ ms: i-[0-9a-f]+, 10\.0\.1\.10 port 22, through eice-",
    r"eicctl\.support\.connect: resolved \S+ in \d+ ms \(addresses: \d+\), TCP to \S+ in \d+ ms",
    r"eicctl\.tunnel\.dial: signed for eice-\w+ in [\d.]+ ms",
    r"eicctl\.tunnel\.dial: opened web-1 \(TCP \d+ ms, TLS \d+, handshake \d+\), request ID \S+",
    r"eicctl\.tunnel\.relay: web-1: first byte after \d+ ms",
    r"eicctl\.tunnel\.relay: web-1: ended after [\d.]+ s: .*; \d\d+ bytes in, \d+ out, request ID \S+",
    r"INFO eicctl: ends with exit code 0 after [\d.]+ s",
)


def test_the_stages_of_a_connection(eicctl: Eicctl, tmp_path: Path) -> None:
    path = tmp_path / "log"
    run = eicctl("--log-file", str(path), "ssh", "web-1", "--", "true")
    assert run.returncode == 0, run.stderr
    assert b"DEBUG" not in run.stderr
    text = path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert all(LINE.fullmatch(line) for line in text.splitlines())
    for stage in STAGES:
        assert re.search(stage, text), stage
    assert "ec2-instance-connect SendSSHPublicKey" in text


def test_debug_says_the_same_on_stderr(eicctl: Eicctl) -> None:
    run = eicctl("--debug", "instances")
    lines = run.stderr.decode().splitlines()
    assert all(LINE.fullmatch(line) for line in lines)
    assert re.search(r"begins.*DescribeInstances.*exit code 0", " ".join(lines))
    assert "web-1" in run.stdout.decode()


def test_an_error_is_logged_with_its_traceback(eicctl: Eicctl, tmp_path: Path) -> None:
    path = tmp_path / "log"
    run = eicctl("show-endpoint", "eice-0123456789abcdef0", "--log-file", str(path))
    assert run.returncode == 3
    assert b"Traceback" not in run.stderr
    text = path.read_text()
    assert all(LINE.fullmatch(line) for line in text.splitlines())
    assert re.search(r"HTTP 400 InvalidInstanceConnectEndpointId.NotFound", text)
    assert re.search(r"\| eicctl\.core\.errors\.NotFoundError: ", text)
    assert re.search(r"ends with exit code 3", text)


@pytest.mark.parametrize("by", ["variable", "config"])
def test_a_file_for_every_command(env: Env, tmp_path: Path, by: str) -> None:
    path = tmp_path / "log"
    if by == "variable":
        env = env | {"EICCTL_LOG_FILE": str(path)}
    else:
        config = Path(env["EICCTL_HOME"]) / "config" / "config.toml"
        config.parent.mkdir(parents=True)
        config.write_text(f'log_file = "{path}"\n')
    assert run_eicctl(env, "ps").returncode == 0
    assert run_eicctl(env, "proxy", "web-1", stdin=b"").returncode == 0
    text = path.read_text()
    assert "ps begins" in text
    assert "proxy begins" in text
    assert "web-1: ended" in text


def test_an_option_comes_before_the_variable(env: Env, tmp_path: Path) -> None:
    run_eicctl(env | {"EICCTL_LOG_FILE": str(tmp_path / "one")}, "--log-file", str(tmp_path / "two"), "ps")
    assert not (tmp_path / "one").exists()
    assert "ps begins" in (tmp_path / "two").read_text()


def test_a_path_that_depends_on_the_folder_is_refused_in_the_config(env: Env) -> None:
    config = Path(env["EICCTL_HOME"]) / "config" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text('log_file = "eicctl.log"\n')
    run = run_eicctl(env, "ssh", "web-1", "--", "true")
    assert run.returncode == 2
    assert b"log_file must be an absolute path" in run.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_a_full_disk_does_not_break_the_command(eicctl: Eicctl) -> None:
    run = eicctl("--log-file", "/dev/full", "instances")
    assert run.returncode == 0
    assert run.stderr.decode().splitlines() == [
        "warning: cannot write to the log file /dev/full: No space left on device; continuing without"
    ]
    assert b"web-1" in run.stdout
