"""On a terminal, what keeps a command from its target ends in a question whose default is the fix."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import FillCache
from tests.e2e.conftest import Env, clean_env, local_world, run_eicctl
from tests.terminal import Shell, faults
from tests.worlds import AMAZON_LINUX, NETWORK

GROUP = """
[[vpc.group]]
name = "web"

[[vpc.instance]]
name = "{name}"
address = "10.0.1.20"
groups = ["web"]
state = "{state}"
"""

World = Callable[..., Env]


@pytest.fixture
def home(tmp_path: Path, fill_cache: FillCache) -> Env:
    """An environment with a short path to eicctl's files, and no `aws` on the path."""
    fill_cache(tmp_path / "eicctl")
    return clean_env(tmp_path)


@pytest.fixture
def world(home: Env, tmp_path: Path) -> Iterator[World]:
    """Start a local AWS with one instance."""
    running = []

    def start(state: str = "running", *, endpoint: bool = True) -> Env:
        file = tmp_path / "world.toml"
        group = (
            GROUP.replace('name = "web"\n', 'name = "web"\ningress = ["22 from 10.0.0.0/16"]\n', 1)
            if endpoint
            else GROUP
        )
        file.write_text(AMAZON_LINUX + NETWORK + group.format(name="web-1", state=state))
        found = local_world(home, "--world", str(file), endpoint=["--create-security-group"] if endpoint else None)
        running.append(found)
        return found.__enter__()

    yield start
    for each in running:
        each.__exit__(None, None, None)


def state_of(env: Env) -> str:
    rows = json.loads(run_eicctl(env, "instances", "--output", "json").stdout)
    return str(rows[0]["State"]["Name"] if isinstance(rows[0]["State"], dict) else rows[0]["State"])


@pytest.mark.parametrize("width", [80, 120])
def test_a_stopped_instance_is_started(world: World, tmp_path: Path, width: int) -> None:
    env = world("stopped")
    with Shell(env, tmp_path, width) as shell:
        declined = shell.run("eicctl ssh web-1 -- echo in", (r"Start it\? \[Y/n\]: ", "n\n"))
        assert declined.code == 5
        assert "hint: eicctl ssh --start web-1 --region us-east-1 -- echo in" in " ".join(declined.lines)
        assert state_of(env) == "stopped"
        shown = shell.run("eicctl ssh web-1 -- echo in", (r"Start it\? \[Y/n\]: ", "\n"))
        assert shown.code == 0
        assert "in" in shown.lines
        assert not faults([*declined.lines, *shown.lines], width)
    assert state_of(env) == "running"


def test_without_a_terminal_only_start_starts(world: World) -> None:
    env = world("stopped")
    refused = run_eicctl(env, "ssh", "web-1", "--", "true")
    assert refused.returncode == 5
    assert b"hint: eicctl ssh --start web-1 --region us-east-1 -- true" in refused.stderr
    assert state_of(env) == "stopped"
    assert run_eicctl(env, "ssh", "--start", "web-1", "--", "echo", "in").stdout == b"in\n"
    assert state_of(env) == "running"


@pytest.mark.parametrize("width", [80, 120])
def test_an_endpoint_is_created_and_the_login_goes_on(world: World, tmp_path: Path, width: int) -> None:
    env = world(endpoint=False)
    with Shell(env, tmp_path, width) as shell:
        declined = shell.run("eicctl ssh web-1 -- echo in", (r"\? \[Y/n\]: ", "n\n"))
        assert declined.code == 3
        assert any(line.startswith("hint: eicctl create-endpoint") for line in declined.lines)
        shown = shell.run("eicctl ssh web-1 -- echo in", (r"\(takes about 3 minutes\)\? \[Y/n\]: ", "\n"))
        assert shown.code == 0
        assert "in" in shown.lines
        assert any(line.startswith("Created eice-") for line in shown.lines)
        assert not faults([*declined.lines, *shown.lines], width)
    elsewhere = run_eicctl(env, "ssh", "web-9", "--", "true")
    assert elsewhere.returncode == 3
