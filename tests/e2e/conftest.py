"""The installed command, and a local AWS in a process of its own."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import boto3
import pytest

from eicctl.emulator.machines import sshd
from tests.conftest import FillCache
from tests.processes import PROGRAM
from tests.worlds import AMAZON_LINUX, NETWORK, UBUNTU, WINDOWS

Env = dict[str, str]
Eicctl = Callable[..., "subprocess.CompletedProcess[bytes]"]


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
        "EICCTL_AGENT": "off",
        "EICCTL_SPARE": "off",
        "AWS_CONFIG_FILE": str(folder / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(folder / "credentials"),
        "PATH": f"{Path(PROGRAM).parent}:{os.environ['PATH']}",
    }


def run_eicctl(
    env: Env, *words: str, stdin: bytes | None = None, timeout: float = 200
) -> subprocess.CompletedProcess[bytes]:
    """Run the installed command."""
    source: dict[str, Any] = {"input": stdin} if stdin is not None else {"stdin": subprocess.DEVNULL}
    return subprocess.run([PROGRAM, *words], env=env, capture_output=True, timeout=timeout, check=False, **source)


def start_local(env: Env, *options: str) -> Env:
    """Start a local AWS; return the environment that leads to it."""
    up = run_eicctl(env, "local", "up", "--detach", "--transition", "0.1", *options)
    assert up.returncode == 0, up.stderr.decode()
    return to_local(env)


def to_local(env: Env) -> Env:
    """Return the environment that leads to the local AWS that runs."""
    told = run_eicctl(env, "local", "env").stdout.decode()
    found = dict(env)
    for line in told.splitlines():
        kind, _, rest = line.partition(" ")
        name, _, value = rest.partition("=")
        if kind == "export":
            found[name] = shlex.split(value)[0]
    return found


@contextlib.contextmanager
def local_world(env: Env, *options: str, endpoint: Sequence[str] | None = ()) -> Iterator[Env]:
    """Run a local AWS as long as the block lasts, and give the environment that leads to it.

    Args:
        env: The environment to start it in.
        options: Those of `eicctl local up`.
        endpoint: Options of `eicctl create-endpoint`; None for no endpoint.
    """
    found = start_local(env, *options)
    try:
        if endpoint is not None:
            made = run_eicctl(found, "create-endpoint", "--wait", *endpoint)
            assert made.returncode == 0, made.stderr.decode()
        yield found
    finally:
        run_eicctl(env, "local", "down")


def boto3_client(env: Env, service: str) -> Any:
    """A client of boto3's for a local AWS."""
    keys = boto3.Session(env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"], region_name=env["AWS_REGION"])
    return keys.client(service, endpoint_url=env["AWS_ENDPOINT_URL"])  # type: ignore[call-overload]


@pytest.fixture(scope="session")
def local_aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Env]:
    """A local AWS with an endpoint; tests change nothing in it that others would notice."""
    env = clean_env(tmp_path_factory.mktemp("local"))
    with local_world(env, endpoint=["--create-security-group", "--name", "office"]) as found:
        yield found


WORLD = (
    AMAZON_LINUX
    + UBUNTU
    + WINDOWS
    + NETWORK
    + """
[[vpc.group]]
name = "ssh"
ingress = ["22 from 10.0.0.0/16"]

[[vpc.instance]]
name = "node"
address = "10.0.1.20"
count = 10
groups = ["ssh"]
tags = { Role = "node" }

[[vpc.instance]]
name = "app-1"
address = "10.0.1.10"
image = "ubuntu"
groups = ["ssh"]

[[vpc.instance]]
name = "bare"
address = "10.0.1.11"
groups = ["ssh"]
ec2_instance_connect = false

[[vpc.instance]]
name = "win-1"
address = "10.0.1.12"
image = "windows"
groups = ["ssh"]
authorized_keys = ["{own_key}"]
"""
)
"""Ten machines that are alike, one of another image, one that takes no pushed keys, and a Windows one with OpenSSH."""


@pytest.fixture(scope="session")
def sshd_aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Env]:
    """A local AWS with an endpoint, whose machines are OpenSSH's sshd with the OS users of their images."""
    if not sshd.find_wrapper():
        if os.environ.get("CI"):
            pytest.fail("libnss-wrapper is not installed")
        pytest.skip("libnss-wrapper is not installed")
    folder = tmp_path_factory.mktemp("sshd")
    own_key = folder / "own-key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(own_key)], check=True)
    public = Path(f"{own_key}.pub").read_text().strip()
    (folder / "world.toml").write_text(WORLD.replace("{own_key}", public))
    env = clean_env(folder) | {"OWN_KEY": str(own_key)}
    options = ["--sshd", "--world", str(folder / "world.toml")]
    with local_world(env, *options, endpoint=["--create-security-group"]) as found:
        yield found


@pytest.fixture
def sshd_env(sshd_aws: Env, tmp_path: Path, fill_cache: FillCache) -> Iterator[Env]:
    """The environment of one test before `sshd_aws`: a home of its own, which is OpenSSH's, too."""
    fill_cache(tmp_path / "eicctl")
    with home_of_ssh(sshd_aws, tmp_path, "h-") as env:
        yield env


@contextlib.contextmanager
def home_of_ssh(env: Env, tmp_path: Path, prefix: str) -> Iterator[Env]:
    """An environment with a new home, whose name begins with `prefix`."""
    home = Path(tempfile.mkdtemp(prefix=prefix))  # a short path: those of sockets end at 107 bytes
    (home / ".ssh").mkdir(mode=0o700)
    passwd = tmp_path / "passwd"
    # OpenSSH looks its user's home up instead of taking HOME.
    passwd.write_text(f"{sshd.own_account()}:x:{os.getuid()}:{os.getgid()}::{home}:/bin/sh\n")
    wrapper = {
        "LD_PRELOAD": str(sshd.find_wrapper()),
        "NSS_WRAPPER_PASSWD": str(passwd),
        "NSS_WRAPPER_GROUP": "/etc/group",
    }
    yield env | {"HOME": str(home), "EICCTL_HOME": str(tmp_path / "eicctl"), "SHELL": "/bin/sh", **wrapper}
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def at_sshd(sshd_env: Env) -> Eicctl:
    """Run the installed command before `sshd_aws`."""

    def run(*words: str, stdin: bytes | None = None, timeout: float = 200) -> subprocess.CompletedProcess[bytes]:
        return run_eicctl(sshd_env, *words, stdin=stdin, timeout=timeout)

    return run


@pytest.fixture
def env(local_aws: Env, tmp_path: Path, fill_cache: FillCache) -> Env:
    """The environment of one test: its own home, the common local AWS."""
    fill_cache(tmp_path / "eicctl")
    return local_aws | {"HOME": str(tmp_path), "EICCTL_HOME": str(tmp_path / "eicctl")}


@pytest.fixture
def eicctl(env: Env) -> Eicctl:
    """Run the installed command in the environment of the test."""

    def run(*words: str, stdin: bytes | None = None, timeout: float = 200) -> subprocess.CompletedProcess[bytes]:
        return run_eicctl(env, *words, stdin=stdin, timeout=timeout)

    return run
