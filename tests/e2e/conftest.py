"""The installed command, and a local AWS in a process of its own."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

Env = dict[str, str]
Eicctl = Callable[..., "subprocess.CompletedProcess[bytes]"]

PROGRAM = str(Path(sys.executable).with_name("eicctl"))


def clean_env(folder: Path) -> Env:
    """This process's environment without AWS, proxies and the user's files."""
    env = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("AWS_") and not name.lower().endswith("_proxy")
    }
    return env | {
        "HOME": str(folder),
        "EICCTL_HOME": str(folder / "eicctl"),
        "AWS_CONFIG_FILE": str(folder / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(folder / "credentials"),
        "PATH": f"{Path(PROGRAM).parent}:{os.environ['PATH']}",
    }


def run_eicctl(
    env: Env, *words: str, stdin: bytes | None = None, timeout: float = 60
) -> subprocess.CompletedProcess[bytes]:
    """Run the installed command."""
    source: dict[str, Any] = {"input": stdin} if stdin is not None else {"stdin": subprocess.DEVNULL}
    return subprocess.run([PROGRAM, *words], env=env, capture_output=True, timeout=timeout, check=False, **source)


def start_local(env: Env, *options: str) -> Env:
    """Start a local AWS; return the environment that leads to it."""
    up = run_eicctl(env, "local", "up", "--detach", "--transition", "0.1", *options)
    assert up.returncode == 0, up.stderr.decode()
    told = run_eicctl(env, "local", "env").stdout.decode()
    found = dict(env)
    for line in told.splitlines():
        kind, _, rest = line.partition(" ")
        name, _, value = rest.partition("=")
        if kind == "export":
            found[name] = shlex.split(value)[0]
    return found


@pytest.fixture(scope="session")
def local_aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Env]:
    """A local AWS with an endpoint; tests change nothing in it that others would notice."""
    env = clean_env(tmp_path_factory.mktemp("local"))
    found = start_local(env)
    made = run_eicctl(found, "create-endpoint", "--create-security-group", "--wait", "--name", "office")
    assert made.returncode == 0, made.stderr.decode()
    yield found
    run_eicctl(env, "local", "down")


@pytest.fixture
def env(local_aws: Env, tmp_path: Path) -> Env:
    """The environment of one test: its own home, the common local AWS."""
    return local_aws | {"HOME": str(tmp_path), "EICCTL_HOME": str(tmp_path / "eicctl")}


@pytest.fixture
def eicctl(env: Env) -> Eicctl:
    """Run the installed command in the environment of the test."""

    def run(*words: str, stdin: bytes | None = None, timeout: float = 60) -> subprocess.CompletedProcess[bytes]:
        return run_eicctl(env, *words, stdin=stdin, timeout=timeout)

    return run
