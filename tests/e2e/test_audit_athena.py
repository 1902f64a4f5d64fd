"""`eicctl audit --athena` on a terminal of 80 and of 120 columns: progress, cost, Ctrl-C, resumption."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
from typing import Any

import boto3
import pytest

from eicctl.emulator.server import Emulator
from tests.athena_logs import BUCKET, store
from tests.e2e.conftest import run_eicctl
from tests.e2e.test_progress import look
from tests.integration.test_faults_network import Relay
from tests.terminal import exit_code, screen, terminal
from tests.trail_records import START, tunnel

WORDS = ("audit", "--athena", "--output-location", "s3://results/", "--since", "2026-11-01")


@pytest.fixture(params=[80, 120])
def width(request: pytest.FixtureRequest) -> int:
    """The terminal's, in columns."""
    return int(request.param)


@pytest.fixture
def slow_athena(emulator: Emulator) -> Emulator:
    """A table with two tunnels, and queries that take a while."""
    for bucket in (BUCKET, "results"):
        boto3.client("s3").create_bucket(Bucket=bucket)
    store([tunnel(START), tunnel(START, who="ops/eve", error="AccessDeniedException")])
    setup = ("audit", "--athena-setup", f"s3://{BUCKET}/", "--execute", "--output-location", "s3://results/")
    made = run_eicctl(dict(os.environ), *setup)
    assert made.returncode == 0, made.stderr.decode()
    assert b"Table eicctl.cloudtrail_logs has the log files of s3://trail/AWSLogs/" in made.stderr
    emulator.state.behave(athena_seconds=2.5)
    return emulator


def executions() -> list[Any]:
    """The queries of the account, without DDL."""
    athena = boto3.client("athena")
    ids = athena.list_query_executions()["QueryExecutionIds"]
    found = [athena.get_query_execution(QueryExecutionId=each)["QueryExecution"] for each in ids]
    return sorted(
        (each for each in found if each["StatementType"] == "DML"),
        key=lambda each: each["Status"]["SubmissionDateTime"],
    )


def resumed_by(written: str) -> list[str]:
    """The commands after `Resume:`, each a line that can be pasted."""
    lines = screen(written)
    assert not [line for line in lines if re.search(r"\(\d+ s\)", line)], written
    return [line.removeprefix("Resume: ") for line in lines if line.startswith("Resume: ")]


def test_the_state_and_the_cost_are_shown(slow_athena: Emulator, width: int) -> None:
    session = terminal(dict(os.environ), *WORDS, size=(40, width))
    assert exit_code(session) == 0, session.before
    written = str(session.before)
    look(written, width, r"Querying Athena: running, scanned [\d.]+ \w+, less than 0.01 USD \(\d+ s\)")
    lines = screen(written)
    assert all(len(line) <= width for line in lines), lines
    assert [
        line for line in lines if re.fullmatch(r"Athena query: scanned [\d.]+ \w+, less than 0.01 USD; rows: 2", line)
    ]
    assert [line for line in lines if re.search(r" tunnel +allowed +dev/ann", line)], lines
    assert [line for line in lines if re.search(r" tunnel +denied +ops/eve", line)], lines


@pytest.mark.parametrize(
    ("width", "how"), [(80, "Ctrl-C"), (120, "Ctrl-C"), (80, "SIGTERM"), (120, "SIGHUP")], indirect=["width"]
)
def test_an_interruption_stops_the_query(slow_athena: Emulator, width: int, how: str) -> None:
    slow_athena.state.behave(athena_seconds=60.0)
    session = terminal(dict(os.environ), *WORDS, size=(40, width))
    session.expect("Querying Athena: running")
    if how == "Ctrl-C":
        session.sendintr()
    else:
        session.kill(getattr(signal, how))
    assert exit_code(session) == 130
    said = "\n".join(screen(str(session.before)))
    assert re.search(r"Stopped the query; it had scanned [\d.]+ \w+, less than 0.01 USD", said), said
    assert "Traceback" not in said
    (stopped,) = executions()
    assert stopped["Status"]["State"] == "CANCELLED"


def test_a_command_that_loses_athena_prints_how_to_resume(slow_athena: Emulator, width: int) -> None:
    """Athena continues; the printed command, pasted, reads the result with the filters of the query."""
    env = dict(os.environ)
    relay = Relay(env["AWS_ENDPOINT_URL"].removeprefix("http://"))
    through = {**env, "AWS_ENDPOINT_URL_ATHENA": f"http://{relay.name}"}
    session = terminal(through, *WORDS, "--denied", "--output", "json", size=(40, width))
    session.expect("Querying Athena: running")
    relay.close()
    assert exit_code(session) == 5, session.before
    written = " ".join(screen(str(session.before)))
    found = re.search(
        r"Resume: (eicctl audit --athena --output json --query-id [0-9a-f-]+ --region us-east-1)", written
    )
    assert found, written
    again = run_eicctl(env, *shlex.split(found[1])[1:])
    assert again.returncode == 0, again.stderr.decode()
    (row,) = json.loads(again.stdout)
    assert (row["Principal"], row["Outcome"]) == ("ops/eve", "denied")
    assert len(executions()) == 1


def test_ctrl_c_while_the_result_is_read_keeps_it(slow_athena: Emulator, width: int) -> None:
    env = dict(os.environ)
    relay = Relay(env["AWS_ENDPOINT_URL"].removeprefix("http://"))
    session = terminal({**env, "AWS_ENDPOINT_URL_S3": f"http://{relay.name}"}, *WORDS, size=(40, width))
    session.expect("Querying Athena: running")
    relay.freeze()
    session.expect("Reading the query's result")
    session.sendintr()
    assert exit_code(session) == 130
    relay.close()
    (command,) = resumed_by(str(session.before))
    again = run_eicctl(env, *shlex.split(command)[1:], "--output", "csv")
    assert len(again.stdout.splitlines()) == 3, again.stderr.decode()
    assert [each["Status"]["State"] for each in executions()] == ["SUCCEEDED"]
