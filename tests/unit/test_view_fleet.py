"""What a run on many hosts reports: which failed and why, in few lines, and outputs that take no file descriptors."""

from __future__ import annotations

import json
from pathlib import Path

from eicctl.ssh.command_output import Output, Result
from eicctl.view.fleet import json_parts, summary


def descriptors() -> int:
    """How many this process has open; 0 where that cannot be seen."""
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.exists() else 0


def results(failed: int, succeeded: int = 1) -> list[Result]:
    """Hosts of which some could not be reached, each for the same reason."""
    found = [Result(f"web-{number}", f"i-{number:017x}", 0) for number in range(succeeded)]
    for number in range(1, failed + 1):
        error = f"the endpoint cannot reach 10.0.{number // 250}.{number % 250} port 22"
        found.append(Result(f"db-{number}", f"i-{number:017x}", 255, error))
    return found


def test_a_few_failures_have_a_line_each() -> None:
    lines = summary(results(2), width=80)
    assert lines[0] == "1 of 3 hosts succeeded, 2 failed"
    assert lines[1] == ("failed: db-1 (i-00000000000000001): exit 255: the endpoint cannot reach 10.0.0.1 port 22")
    assert len(lines) == 3


def test_many_failures_are_listed_by_reason() -> None:
    found = [*results(600), *(Result(f"app-{number}", "i-1", 3) for number in range(12))]
    assert summary(found, width=80) == [
        "1 of 613 hosts succeeded, 612 failed",
        "failed (600): exit 255: the endpoint cannot reach … port 22: db-1 … db-600",
        "failed (12): exit 3: app-0 … app-11",
    ]


def test_a_terminal_shows_the_most_frequent_reasons_and_a_pipe_all() -> None:
    found = [Result(f"web{number}x", "i-1", 1, f"reason {number % 20}") for number in range(200)]
    lines = summary(found, width=80)
    assert len(lines) <= 8
    assert lines[-1] == "failed (140): for 14 other reasons; --output json has all"
    assert all(len(line) < 200 for line in lines)
    everything = "\n".join(summary(found, width=0))
    assert all(f"web{number}x" in everything for number in range(200))


def test_json_is_written_host_by_host(tmp_path: Path) -> None:
    output = Output(tmp_path / "out")
    output.write(b"one\n\xff")
    found = [Result("web-1", "i-1", 0, stdout=output), Result("web-2", "i-2", error="interrupted")]
    parts = list(json_parts(found))
    assert len(parts) == 4
    rows = json.loads("".join(parts))
    assert [(row["Name"], row["ExitCode"], row["Stdout"]) for row in rows] == [
        ("web-1", 0, "one\n\ufffd"),
        ("web-2", None, ""),
    ]
    assert json.loads("".join(json_parts([]))) == []


def test_outputs_hold_no_descriptors_and_little_memory(tmp_path: Path) -> None:
    before = descriptors()
    outputs = [Output(tmp_path / str(number)) for number in range(300)]
    for output in outputs:
        for _ in range(3):
            output.write(b"x" * 30_000 + b"\n")
    output.write(b"the last line\n\n")
    assert descriptors() <= before
    assert sum(len(data) for data in output.read()) == 90_018
    assert output.last_line() == "the last line"
    assert len(list(tmp_path.iterdir())) == 300
    for output in outputs:
        output.drop()
    assert not list(tmp_path.iterdir())
    assert list(output.read()) == [b""]
