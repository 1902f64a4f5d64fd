"""`eicctl run` on ten machines."""

from __future__ import annotations

import json
import signal
import subprocess
import time

import pytest

from tests.e2e.conftest import Eicctl, Env
from tests.processes import PROGRAM

pytestmark = pytest.mark.needs("sshd")


def test_ten_hosts_at_once(at_sshd: Eicctl) -> None:
    done = at_sshd("run", "--tag", "Role=node", "--output", "json", "--", "echo $USER; echo to-stderr >&2")
    assert done.returncode == 0, done.stderr.decode()
    rows = json.loads(done.stdout)
    assert sorted(row["Name"] for row in rows) == sorted(f"node-{n}" for n in range(1, 11))
    assert {row["Stdout"] for row in rows} == {"ec2-user\n"}
    assert {row["Stderr"] for row in rows} == {"to-stderr\n"}
    assert b"10 of 10 hosts succeeded" in done.stderr


def test_a_host_that_fails_does_not_stop_the_others(at_sshd: Eicctl) -> None:
    done = at_sshd("run", "--name-glob", "node-?", "--parallel", "3", "--", "true")
    assert done.returncode == 0
    done = at_sshd("run", "--target", "node-1", "--target", "bare", "--target", "app-1", "--", "[ $USER != ubuntu ]")
    assert done.returncode == 1
    said = done.stderr.decode()
    assert "1 of 3 hosts succeeded, 2 failed" in said
    assert "failed: bare" in said
    assert "Permission denied" in said
    assert said.count("hint: the instance did not accept the pushed key.") == 1
    assert "failed: app-1" in said


def test_grouped_and_prefixed(at_sshd: Eicctl) -> None:
    grouped = at_sshd("run", "--target", "node-1", "--target", "app-1", "--", "echo one; echo two").stdout.decode()
    assert grouped.count("one\ntwo\n") == 2
    assert grouped.count("── ") == 2
    lines = at_sshd("run", "--target", "node-1", "--target", "app-1", "--output", "lines", "--", "printf 'one\ntwo'")
    assert sorted(lines.stdout.decode().splitlines()) == [
        "app-1  | one",
        "app-1  | two",
        "node-1 | one",
        "node-1 | two",
    ]


def test_a_time_limit_holds_for_each_host(at_sshd: Eicctl) -> None:
    done = at_sshd("run", "--target", "node-1", "--timeout", "15", "--output", "json", "--", "echo begun; sleep 60")
    assert done.returncode == 1
    (row,) = json.loads(done.stdout)
    assert (row["ExitCode"], row["Failed"]) == (124, True)
    assert row["Stdout"] == "begun\n"


def test_more_hosts_than_the_endpoint_takes_at_once(at_sshd: Eicctl) -> None:
    done = at_sshd("run", "--all", "--parallel", "40", "--output", "json", "--os-user", "ec2-user", "--", "true")
    assert {row["Name"]: row["ExitCode"] for row in json.loads(done.stdout)}["node-10"] == 0
    assert b"refuses the connection" not in done.stderr


def test_a_dry_run_lists(at_sshd: Eicctl) -> None:
    done = at_sshd("run", "--tag", "Role=node", "--dry-run")
    assert done.returncode == 0
    assert done.stdout.decode().count("ec2-user") == 10


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--", "true"], 2, "No hosts selected"),
        (["--all"], 2, "No command specified"),
        (["--tag", "Role=none", "--", "true"], 3, "No running instance"),
        (["--target", "nobody", "--", "true"], 3, 'No running instance named "nobody"'),
    ],
)
def test_bad_words(at_sshd: Eicctl, words: list[str], code: int, said: str) -> None:
    done = at_sshd("run", *words)
    assert done.returncode == code
    assert said in done.stderr.decode()


def test_a_signal_ends_all_and_tells_what_was_not_done(sshd_env: Env) -> None:
    process = subprocess.Popen(
        [PROGRAM, "run", "--tag", "Role=node", "--parallel", "2", "--output", "lines", "--", "echo begun; sleep 60"],
        env=sshd_env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout
    process.stdout.readline()
    started = time.monotonic()
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert time.monotonic() - started < 10
    assert b"0 of 10 hosts succeeded" in said
