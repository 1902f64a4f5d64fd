"""Documents that would keep their parser busy, or end it: refused by every reader, in words."""

from __future__ import annotations

from pathlib import Path

import pytest

from eicctl.agent.paths import AgentPaths
from eicctl.agent.protocol import WireError, decode
from eicctl.aws.caches import TargetCache
from eicctl.aws.session import Session
from eicctl.cli.param_types import tunnels
from eicctl.core.errors import LocalError, UsageError
from eicctl.core.request import ConnectRequest
from eicctl.doctor import fix
from eicctl.emulator import daemon
from eicctl.emulator.state import State
from eicctl.emulator.world import load_world
from eicctl.named_tunnels.config_file import read_file
from eicctl.policy.lint import lint
from eicctl.support import defaults, jsonstore, paths
from eicctl.support.bare import parse_json
from eicctl.support.toml_files import LARGEST, MOST_PARTS, line_of, parse_toml
from eicctl.tunnel import durations

PARTS = ".".join("a" * 20_000)
BOMBS = {
    "key": f"{PARTS} = 1",
    "spaces": f"{PARTS.replace('.', ' . ')} = 1",
    "quotes": f"x = 'a'\n{PARTS.replace('a', chr(34) + 'a' + chr(34))} = 1",
    "header": f"[{PARTS}]",
    "array of tables": f"[[{PARTS}]]",
    "inline table": f"a = [1, {{b = 2, {PARTS} = 1}}]",
    "many": f"{'.'.join('a' * 1000)}.b{{}} = 1\n" * 500,
    "after strings": f'a = """\\""" # "\n"""\nb = \'\'\'"\'\'\' # "\nc = "\\\\" # \'\'\'\n{PARTS} = 1',
}
DEEP = "[" * 100_000


@pytest.mark.parametrize("text", BOMBS.values(), ids=BOMBS)
def test_a_key_of_many_parts_is_refused_before_it_is_parsed(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EICCTL_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="dotted parts"):
        parse_toml(text)
    path = tmp_path / "eicctl.toml"
    for file in (path, paths.config_file()):
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    with pytest.raises(UsageError, match="dotted parts"):
        read_file(path)
    with pytest.raises(UsageError, match="dotted parts"):
        defaults.of_user()
    with pytest.raises(UsageError, match="dotted parts"):
        load_world(State(), path)
    assert not list(tunnels(None, ""))


@pytest.mark.parametrize(
    "text",
    [
        f"{'.'.join('a' * MOST_PARTS)} = 1",
        f'a = "{PARTS}"',
        f"a = '{PARTS}'",
        f'a = """\n{PARTS}\n\\""" {PARTS}"""""',
        f"a = '''\n{PARTS}\n'''",
        f"# {PARTS}",
        f'a = "\\"" # {PARTS}',
        f"a = [{'1.5, ' * 10_000}]",
        'a = ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6"]',
        "[a.b]\nc.d = 1979-05-27T07:32:00.999999-07:00",
    ],
)
def test_dots_elsewhere_count_for_nothing(text: str) -> None:
    assert parse_toml(text) is not None


def test_what_no_file_needs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="64 bits"):
        parse_toml("a = [{b = 0x" + "f" * 17 + "}]")
    with pytest.raises(ValueError, match="nested too deeply"):
        parse_toml("a = " + DEEP)
    (tmp_path / "world.toml").write_bytes(b"#" * (LARGEST + 1))
    with pytest.raises(UsageError, match="more than"):
        load_world(State(), tmp_path / "world.toml")


def test_a_line_is_found_in_a_time_that_grows_with_the_text() -> None:
    assert line_of("[a" + " " * 200_000 + "b]\n[ tunnel . db ] # x\nport = 1", "tunnel.db", "port") == 3


def test_caches_and_records_that_are_nested_deeply_are_as_damaged_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EICCTL_HOME", str(tmp_path))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    with pytest.raises(ValueError, match="nested too deeply"):
        parse_json(DEEP)
    with pytest.raises(ValueError, match="line 2 column 1"):
        parse_json(b"\n]")
    assert parse_json(' {"a": 1}\n'.encode("utf-16")) == {"a": 1}
    for path in (
        paths.state_dir() / "os_users.json",
        paths.state_dir() / "doctor.json",
        durations.memory_file(),
        daemon.record_path(),
        AgentPaths("x").record,
        paths.cache_dir() / "targets.json",
    ):
        path.write_text(DEEP)
    assert jsonstore.read(paths.state_dir() / "os_users.json") == {}
    assert jsonstore.read(durations.memory_file()) == {}
    assert daemon.running() is None
    assert AgentPaths("x").read_record() == {"Pid": 0, "Tunnels": []}
    assert TargetCache(Session(region="us-east-1")).get(ConnectRequest(target="web1")) is None
    assert jsonstore.read(str(paths.cache_dir() / "targets.json")) == {}
    with pytest.raises(LocalError, match=r"doctor\.json is damaged"):
        fix.added_rules()
    with pytest.raises(WireError):
        decode(DEEP.encode())
    assert lint(DEEP)[0].problem.startswith("not JSON")
    (paths.runtime_dir() / "agent-x.json").write_text(DEEP)
    assert not list(tunnels(None, ""))
