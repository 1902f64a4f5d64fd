"""`eicctl audit` as installed: Ctrl-C in a look-up, while following, and while reading log files; progress."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Env, clean_env, local_world, run_eicctl
from tests.processes import PROGRAM
from tests.terminal import exit_code, screen, terminal
from tests.trail_records import START, tunnel
from tests.waiting import wait_for


@pytest.fixture(scope="module")
def trail_aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Env]:
    """A local AWS with 250 past tunnels."""
    yesterday = datetime.now(UTC) - timedelta(hours=20)
    records = [tunnel(yesterday + timedelta(minutes=n), who="dev/ann") for n in range(250)]
    with local_world(clean_env(tmp_path_factory.mktemp("audit")), endpoint=None) as found:
        control(found, "events", {"Records": records})
        yield found


def control(env: Env, resource: str, content: Any) -> None:
    """Ask the local AWS itself for something."""
    record = json.loads((Path(env["EICCTL_HOME"]) / "state" / "local" / "running.json").read_text())
    request = urllib.request.Request(
        f"{record['url']}/_eicctl/{resource}",
        data=json.dumps(content).encode(),
        headers={"Authorization": f"Bearer {record['token']}"},
    )
    urllib.request.urlopen(request, timeout=10).close()


def start(env: Env, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [PROGRAM, "audit", *words], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1
    )


def stored(home: Path) -> int:
    """How many events a lookup has stored so far."""
    return sum(map(stored_in, (home / "state").glob("audit-*.sqlite")))


def stored_in(file: Path) -> int:
    """How many events a store has so far."""
    with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=30)) as db:
        try:
            return int(db.execute("SELECT count(*) FROM events").fetchone()[0])
        except sqlite3.OperationalError:  # it has no table yet
            return 0


def wait_until_said(process: subprocess.Popen[str], words: str) -> None:
    """Read what the command says until it says this."""
    assert process.stderr
    said = []
    for line in process.stderr:
        said.append(line)
        if words in line:
            return
    pytest.fail(f"it has not said {words!r}: {said}")


def interrupt(process: subprocess.Popen[str]) -> tuple[str, str]:
    """Press Ctrl-C; return the rest of the output."""
    process.send_signal(signal.SIGINT)
    return process.communicate(timeout=60)


def test_ctrl_c_and_on(trail_aws: Env, tmp_path: Path) -> None:
    env = trail_aws | {"HOME": str(tmp_path), "EICCTL_HOME": str(tmp_path / "eicctl")}
    control(trail_aws, "settings", {"latency": 0.7})
    try:
        process = start(env)
        wait_for(lambda: stored(tmp_path / "eicctl"), "the first page")
        out, err = interrupt(process)
    finally:
        control(trail_aws, "settings", {"latency": 0.0})
    assert process.returncode == 130, err
    assert "repeat the command within a day to resume" in err
    assert not out
    kept = list((tmp_path / "eicctl" / "state").glob("audit-*.sqlite"))
    assert [file.stat().st_mode & 0o777 for file in kept] == [0o600]
    again = run_eicctl(env, "audit", "--output", "json", "--query", "length(@)")
    assert again.returncode == 0
    assert "Resuming an interrupted lookup" in again.stderr.decode()
    assert json.loads(again.stdout) == 250
    assert not list((tmp_path / "eicctl" / "state").glob("audit-*.sqlite"))


def test_following(trail_aws: Env, tmp_path: Path) -> None:
    env = trail_aws | {"HOME": str(tmp_path), "EICCTL_HOME": str(tmp_path / "eicctl")}
    process = start(env, "--follow", "--interval", "1", "--since", "1m", "--output", "json")
    assert process.stdout
    wait_until_said(process, "Waiting for new events")
    control(trail_aws, "events", {"Records": [tunnel(datetime.now(UTC), who="ops/eve", error="AccessDeniedException")]})
    row = json.loads(process.stdout.readline())
    assert (row["Principal"], row["Outcome"]) == ("ops/eve", "denied")
    out, err = interrupt(process)
    assert process.returncode == 130, err
    assert not out


def part_of_a_log(count: int) -> str:
    """A log file that is not complete yet."""
    return json.dumps({"Records": [tunnel(START + timedelta(seconds=n)) for n in range(count)]})[:-2]


def test_ctrl_c_while_reading_log_files(tmp_path: Path) -> None:
    log = tmp_path / "slow.json"
    os.mkfifo(log)
    process = start(clean_env(tmp_path), "--from", str(log), "--output", "csv")
    with log.open("w") as file:
        file.write(part_of_a_log(2_000))
        file.flush()
        out, err = interrupt(process)
    assert process.returncode == 130, err
    assert not out
    assert "Traceback" not in err
    assert "truncated" not in err


@pytest.mark.parametrize("width", [80, 120])
def test_progress_of_log_files(tmp_path: Path, width: int) -> None:
    """The line is gone when the file that is cut off is named."""
    log, report = tmp_path / "slow.json", tmp_path / "report.html"
    os.mkfifo(log)
    session = terminal(clean_env(tmp_path), "audit", "--from", str(log), "--report", str(report), size=(40, width))
    with log.open("w") as file:
        file.write(part_of_a_log(20_000))
        file.flush()
        session.expect(r"Reading log files: files: 1; records: [12]0,000 \(\d+ s\)")
    assert exit_code(session) == 1
    shown = screen(str(session.before))
    assert not [line for line in shown if re.search(r"\(\d+ s\)", line)], shown
    text = " ".join(" ".join(shown).split())
    assert "slow.json: it is cut off; using the records before the error" in text
    assert "log files: 1; records: 20,000" in text
    assert "tunnels: 20,000" in text
    assert "is truncated or malformed" in report.read_text()


STAGING = "222233334444"
BY_ROLE = ("--accounts", "all", "--role", "OrganizationAccountAccessRole")


@pytest.fixture(scope="module")
def accounts_aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Env]:
    """A local AWS with an organization, and 60 past tunnels in the account `staging`."""
    yesterday = datetime.now(UTC) - timedelta(hours=20)
    records = [tunnel(yesterday + timedelta(minutes=n), who="dev/ann") for n in range(60)]
    home = tmp_path_factory.mktemp("accounts")
    with local_world(clean_env(home), "--world", "accounts", endpoint=None) as found:
        control(found, "events", {"Records": [record | {"recipientAccountId": STAGING} for record in records]})
        yield found


def test_ctrl_c_and_on_with_several_accounts(accounts_aws: Env, tmp_path: Path) -> None:
    env = accounts_aws | {"HOME": str(tmp_path), "EICCTL_HOME": str(tmp_path / "eicctl")}
    control(accounts_aws, "settings", {"latency": 0.7})
    try:
        process = start(env, *BY_ROLE)
        wait_for(lambda: stored(tmp_path / "eicctl"), "the first page")
        out, err = interrupt(process)
    finally:
        control(accounts_aws, "settings", {"latency": 0.0})
    assert process.returncode == 130, err
    assert "repeat the command within a day to resume" in err
    assert not out
    again = run_eicctl(env, "audit", *BY_ROLE, "--output", "json", "--query", "[].AccountName")
    assert again.returncode == 0
    assert "Resuming an interrupted lookup" in again.stderr.decode()
    assert json.loads(again.stdout) == ["staging"] * 60
    assert not list((tmp_path / "eicctl" / "state").glob("audit-*.sqlite"))


def test_following_several_accounts(accounts_aws: Env, tmp_path: Path) -> None:
    env = accounts_aws | {"HOME": str(tmp_path), "EICCTL_HOME": str(tmp_path / "eicctl")}
    process = start(env, *BY_ROLE, "--follow", "--interval", "1", "--since", "1m", "--output", "json")
    assert process.stdout
    wait_until_said(process, "Waiting for new events")
    for account, name in ((STAGING, "staging"), ("123456789012", "management")):
        record = tunnel(datetime.now(UTC), who="ops/eve") | {"recipientAccountId": account}
        control(accounts_aws, "events", {"Records": [record]})
        row = json.loads(process.stdout.readline())
        assert (row["AccountId"], row["AccountName"], row["Principal"]) == (account, name, "ops/eve")
    out, err = interrupt(process)
    assert process.returncode == 130, err
    assert not out
