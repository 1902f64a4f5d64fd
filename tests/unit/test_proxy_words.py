"""`eicctl proxy` without Click: what is read is what Click reads, and where the background process is looked for."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from eicctl.agent.place import Place
from eicctl.agent.where import usual_path
from eicctl.cli.proxy import command
from eicctl.quick import proxy, words
from eicctl.ssh.host_keys import CHECKS

GOOD = [
    "web-1",
    "i-0123456789abcdef0 --remote-port 3389",
    "--remote-port=22 -- web-1",
    "--instance-id i-1 --private-ip-address 10.0.0.1 --instance-connect-endpoint-id eice-1",
    "--instance-connect-endpoint-dns-name localhost:443 --private-ip-address=10.0.0.1",
    "web-1 --profile prod --region eu-west-1 --ca-bundle /ca.pem --fips",
    "--ssh-login ec2-user@web-1.eic --host-key-check strict web-1.eic",
    "--session-folder /run/ssh-1-2 --announce-end 30 web-1",
    "--max-tunnel-duration 60 web-1 --no-cache --no-agent --allow-any-port",
    "",
]
LEFT_TO_CLICK = [
    "--help",
    "-h",
    "--debug web-1",
    "web-1 web-2",
    "--remote-port 0 web-1",
    "--remote-port x web-1",
    "--remote-port +22 web-1",
    "--max-tunnel-duration 3601 web-1",
    "--host-key-check maybe web-1",
    "--no-such-option web-1",
    "web-1 --region",
    "--fips=yes",
]


def read_by_click(line: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    found: list[Any] = []

    def run(said: Any, _tell: object) -> int:
        found.append(said)
        return 0

    monkeypatch.setattr(proxy, "run", run)
    assert command.main(args=line.split(), standalone_mode=False) == 0
    return found[0]


@pytest.mark.parametrize("line", GOOD)
def test_the_same_is_read_as_by_click(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert words.read(line.split()) == read_by_click(line, monkeypatch)


@pytest.mark.parametrize("line", LEFT_TO_CLICK)
def test_anything_else_is_left_to_click(line: str) -> None:
    assert words.read(line.split()) is None


def test_every_option_is_known() -> None:
    known = {*words.TEXTS, *words.NUMBERS, *words.FLAGS, *words.ENVIRONMENT, words.CHECK}
    options = {name for option in command.params if isinstance(option, click.Option) for name in option.opts}
    assert options - known == {"--debug", "--log-file", "--force"}
    assert known <= options
    assert words.CHECKS == CHECKS


@pytest.mark.parametrize("read", [words.read, None], ids=["quick", "click"])
def test_the_files_of_the_configuration_are_those_that_are_named(
    read: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "before")
    line = "--aws-config-file /c --aws-shared-credentials-file=/d web-1"
    assert (read(line.split()) if read else read_by_click(line, monkeypatch))["words"] == "web-1"
    assert os.environ["AWS_CONFIG_FILE"] == "/c"
    assert os.environ["AWS_SHARED_CREDENTIALS_FILE"] == "/d"


WRITTEN = [
    "--region eu-west-1 --profile prod --ssh-login ec2-user@web-1.eic --remote-port 22 web-1",
    "--instance-connect-endpoint-id eice-1 --instance-connect-endpoint-dns-name e.example.com:443 --region r"
    " --ca-bundle /ca.pem --fips --host-key-check accept-new --ssh-login u@a.p.r.eic --remote-port 2222 a.p.r.eic",
    "--region r --max-tunnel-duration 60 --aws-config-file /c --aws-shared-credentials-file /d --remote-port 22 i-1",
    "--allow-any-port --region r --host-key-check off --ssh-login u@h --remote-port 2222 h",
    "--private-ip-address 10.0.0.1 --remote-port 22 --instance-connect-endpoint-id eice-1"
    " --instance-connect-endpoint-dns-name e.example.com --region r --profile p",
]
"""What `ssh-config` and `--print-command` have written since 0.1.0. Lines are added, never changed."""


@pytest.mark.parametrize("line", WRITTEN)
def test_what_is_in_peoples_files_stays_good(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "before")
    assert words.read(line.split()) == read_by_click(line, monkeypatch) is not None


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder with a short path: those of sockets end at 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="s-") as folder:
        yield Path(folder)


@pytest.mark.parametrize("form", ["home", "runtime", "loose", "none"])
def test_the_socket_is_where_the_background_process_has_it(
    form: str, short: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EICCTL_HOME", raising=False)
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    folder = Path(tempfile.mkdtemp(prefix="r-", dir=short))
    environ = {}
    if form == "home":
        environ = {"EICCTL_HOME": str(folder)}
    elif form != "none":
        environ = {"XDG_RUNTIME_DIR": str(folder)}
    if form == "loose":
        folder.chmod(0o755)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    found = usual_path("0123456789abcdef", environ)
    if form == "loose":
        assert found is None
    elif form != "none":
        assert found == str(Place("0123456789abcdef").socket)
