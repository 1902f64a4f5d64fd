"""`eicctl proxy` without Click: what is read is what Click reads, and where the background process is looked for."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import click
import pytest

from eicctl.agent.paths import AgentPaths, usual_path
from eicctl.cli.commands.proxy import command
from eicctl.core.request import HOST_KEY_CHECKS, PROXY_OPTIONS, ConnectRequest
from eicctl.fastpath import proxy, ssh
from eicctl.fastpath.proxy import read
from eicctl.ssh.arguments import SSH, split
from eicctl.ssh.destination import parse_destination
from eicctl.ssh.host_keys import Check

GOOD = [
    "web-1",
    "i-0123456789abcdef0 --remote-port 3389",
    "--remote-port=22 -- web-1",
    "--instance-id i-1 --private-ip-address 10.0.0.1 --instance-connect-endpoint-id eice-1",
    "--instance-connect-endpoint-dns-name localhost:443 --private-ip-address=10.0.0.1",
    "web-1 --profile prod --region eu-west-1 --ca-bundle /ca.pem --fips",
    "--ssh-login ec2-user@web-1.eic --host-key-check strict web-1.eic",
    "--session-folder /run/ssh-1-2 --announce-end 30 web-1",
    "--ssh-login u@h --private-key-file /k --key-type ecdsa h",
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

    def run(request: ConnectRequest, _printer: object) -> int:
        found.append(request)
        return 0

    monkeypatch.setattr(proxy, "run", run)
    monkeypatch.delitem(
        sys.modules, "eicctl.support.logging_setup", raising=False
    )  # it is there where another test logged
    names = ["-h", "--help"]  # as the group has them: the command keeps its help option, which other tests read
    assert command.main(args=line.split(), standalone_mode=False, help_option_names=names) == 0
    return found[0]


@pytest.mark.parametrize("line", GOOD)
def test_the_same_is_read_as_by_click(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert read(line.split()) == read_by_click(line, monkeypatch)


@pytest.mark.parametrize("line", LEFT_TO_CLICK)
def test_anything_else_is_left_to_click(line: str) -> None:
    assert read(line.split()) is None


@pytest.mark.parametrize("line", GOOD)
def test_a_request_survives_json_and_a_command_line(line: str) -> None:
    request = read(line.split())
    assert request
    assert ConnectRequest.from_json(json.loads(json.dumps(request.to_json()))) == request
    assert read([*request.to_argv(), "--", *filter(None, [request.target])]) == request


def test_every_option_is_known() -> None:
    known = {*PROXY_OPTIONS, "-q", "-v"}
    options = {name for option in command.params if isinstance(option, click.Option) for name in option.opts}
    assert options - known == {"--debug", "--log-file", "--force"}
    assert known <= options
    assert get_args(Check) == HOST_KEY_CHECKS


@pytest.mark.parametrize("reader", [read, None], ids=["quick", "click"])
def test_the_files_of_the_configuration_are_those_that_are_named(
    reader: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "before")
    line = "--aws-config-file /c --aws-shared-credentials-file=/d web-1"
    assert (reader(line.split()) if reader else read_by_click(line, monkeypatch)).target == "web-1"
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
    assert read(line.split()) == read_by_click(line, monkeypatch) is not None


@pytest.mark.parametrize(
    ("line", "user", "options", "command"),
    [
        ("web-1", "", [], []),
        ("ann@web-1 -L 8080:localhost:80 -- df -h", "ann", ["-L", "8080:localhost:80"], ["df", "-h"]),
        ("-tC -D1080 --region eu-west-1 web-1 ls -i x", "", ["-t", "-C", "-D", "1080"], ["ls", "-i", "x"]),
        ("--os-user bob -o ServerAliveInterval=5 web-1", "bob", ["-o", "ServerAliveInterval=5"], []),
        ("-- web-1 ls", "", [], ["ls"]),
    ],
)
def test_a_usual_login_is_read_as_by_click(line: str, user: str, options: list[str], command: list[str]) -> None:
    parsed = ssh.parse(line.split())
    assert parsed
    request, arguments = parsed
    assert request.os_user == user
    assert arguments.to_argv() == options
    assert arguments.operands[1:] == command
    own = {"--os-user": True} | {name: not option.is_flag for name, option in PROXY_OPTIONS.items()}
    _, by_click = split(line.split(), own, SSH)
    assert parse_destination(by_click.operands[0]).host == request.target == "web-1"
    assert (by_click.to_argv(), by_click.operands[1:]) == (options, command)


@pytest.mark.parametrize(
    "line",
    [
        *("", "--help", "-V", "-q web-1", "-i key web-1", "-l ann web-1", "-p 22 web-1", "-J x web-1", "-Z web-1"),
        *("-o User=ann web-1", "-o proxycommand=x web-1", "-oIdentityFile=x web-1", "-L", "-o", "web-1 --keep"),
        "-O exit web-1",
        *("--wait web-1", "--print-command web-1", "--debug web-1", "--no-send-key web-1", "--region"),
        "--no-agent web-1",
        *("ssh://web-1", "[fd00::1]", "web-1:22", "-- -x", "@", "ann@", "--host-key-check maybe web-1", "- web-1"),
        *("--private-key-file k web-1", "--session-folder /x web-1", "--instance-id i-1 -- ls"),
    ],
)  # fmt: skip
def test_any_other_login_is_left_to_click(line: str) -> None:
    assert ssh.parse(line.split()) is None


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
        assert found == str(AgentPaths("0123456789abcdef").socket)
