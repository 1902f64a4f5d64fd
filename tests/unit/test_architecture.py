"""The arrows between the rooms go down only, and start-up loads nothing that it does not use."""

from __future__ import annotations

import ast
import html
import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from sources import FILES, name_of, nodes

from eicctl.cli import COMMANDS

REPOSITORY = Path(__file__).parents[2]

_BASE = {"core", "support"}

ALLOWED = {
    "core": set(),
    "support": {"core"},
    "aws": _BASE,
    "tunnel": _BASE,
    "ssh": {*_BASE, "aws", "tunnel"},
    "reachability": {*_BASE, "aws"},
    "policy": {*_BASE, "aws", "tunnel"},
    "audit": {*_BASE, "aws"},
    "api": {*_BASE, "ssh", "aws", "tunnel"},
    "doctor": {*_BASE, "policy", "reachability", "api", "ssh", "aws", "tunnel"},
    "named_tunnels": {*_BASE, "reachability", "api", "ssh", "aws", "tunnel"},
    "agent": {*_BASE, "named_tunnels", "ssh", "aws", "tunnel"},
    "fastpath": {*_BASE, "agent", "ssh", "aws", "tunnel"},
    "emulator": _BASE,
    "view": {
        *_BASE,
        *("named_tunnels", "doctor", "reachability", "audit", "ssh", "aws"),
    },
    "ui": {
        *_BASE,
        *("view", "agent", "named_tunnels", "doctor", "api", "reachability", "audit", "ssh", "aws"),
    },
    "cli": {
        *_BASE,
        *("ui", "view", "fastpath", "agent", "named_tunnels", "doctor", "api", "policy"),
        *("reachability", "audit", "ssh", "aws", "tunnel", "emulator"),
    },
    "__main__": {*_BASE, "cli", "fastpath", "agent", "aws"},
    "__init__": {"core", "api", "aws"},  # when a name is first used
}
"""What each room may import."""

BOTO = {"boto3", "botocore"}
MAY_USE_BOTO = {"aws", "emulator"}


def room_of(path: Path) -> str:
    return name_of(path).partition("/")[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in nodes(path):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path} imports relatively"
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return names


def test_arrows_go_down() -> None:
    wrong = {}
    for path in FILES:
        room = room_of(path)
        rooms = {name.split(".")[1] for name in imported(path) if name.startswith("eicctl.")} - {"__version__"}
        if upward := rooms - {room} - ALLOWED[room]:
            wrong[name_of(path)] = upward
    assert not wrong


FACADES = {
    ("eicctl.support.defaults", "eicctl.support.settings"),
    ("eicctl.support.log", "eicctl.support.logging_setup"),
}
"""Modules that every command loads, each with the one that it loads where there is something to do."""


def test_no_two_files_import_each_other() -> None:
    imports: dict[str, set[str]] = {}
    for path in FILES:
        body = [node for node in ast.parse(path.read_text(encoding="utf-8")).body if not is_for_types(node)]
        tree = ast.Module(body, type_ignores=[])
        imports["eicctl." + name_of(path).removesuffix(".py").removesuffix("/__init__").replace("/", ".")] = {
            name
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and node.module
            for name in (node.module, *(f"{node.module}.{alias.name}" for alias in node.names))
        }
    mutual = {(a, b) for a, used in imports.items() for b in used if a < b and a in imports.get(b, ())}
    assert {pair for pair in mutual if not pair[1].startswith(f"{pair[0]}.")} == FACADES


def is_for_types(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


HOMES = {
    "fcntl.flock(": {"support/files.py"},
    "asyncio.to_thread(": {"emulator/data/gateway.py"},
    "ThreadPoolExecutor": {"support/threads.py"},
    "make_scanner": {"support/bare.py"},
    "random.uniform(": {"support/clock.py", "aws/clients.py", "ssh/forward/renewal.py"},
    "import escape": {"support/html.py", "emulator/control/app.py"},
    "rich.spinner": {"view/doctor.py"},
    '"StrictHostKeyChecking":': {"ssh/openssh_options.py"},
    "tomllib.loads(": {"support/toml_files.py"},
}
"""What is written once, and where; jitter also spreads one pause, and the emulator shares no threads."""


def test_what_is_written_once_is_where_one_looks_for_it() -> None:
    texts = {name_of(path): path.read_text(encoding="utf-8") for path in FILES}
    assert {what: {name for name, text in texts.items() if what in text} for what in HOMES} == HOMES


EMULATOR = {
    "__init__": set(),
    "state": set(),
    "daemon": set(),
    "signature": {"state"},
    "machines": {"state"},
    "control": {"state", "signature"},
    "data": {"state", "signature", "control", "machines"},
    "world": {"state", "control"},
    "control_api": {"state", "control", "data"},
    "server": {"state", "signature", "control", "data", "machines", "world", "control_api"},
}
"""What each part of the emulator may import of the others."""


def test_the_emulators_arrows_go_down() -> None:
    wrong = {}
    for path in FILES:
        if room_of(path) == "emulator":
            part = name_of(path).split("/")[1].removesuffix(".py")
            parts = {name.split(".")[2] for name in imported(path) if name.startswith("eicctl.emulator.")}
            if upward := parts - {part} - EMULATOR[part]:
                wrong[name_of(path)] = upward
    assert not wrong


def test_only_aws_calls_boto3() -> None:
    users = [path for path in FILES if {name.split(".")[0] for name in imported(path)} & BOTO]
    assert users
    assert not [name_of(path) for path in users if room_of(path) not in MAY_USE_BOTO]


def python(*args: str) -> str:
    """What a run of Python writes to stderr."""
    command = [sys.executable, *args]
    environment = os.environ | {"NO_COLOR": "1"}
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stderr


def loaded_by(*args: str) -> set[str]:
    """The modules that a run of eicctl has imported."""
    told = python("-X", "importtime", "-m", "eicctl", *args)
    return {line.rpartition("|")[2].strip() for line in told.splitlines() if line.startswith("import time:")}


@pytest.mark.parametrize("args", [["--help"], ["--version"]])
def test_help_loads_little(args: list[str]) -> None:
    assert not loaded_by(*args) & {"boto3", "botocore", "websockets", "rich", "asyncio", "ssl"}


ALL_HELP = """
import sys
from eicctl.cli import main

for command in sys.argv[1:]:
    assert not main([command, "--help"]), command
    print(command, *{"boto3", "botocore", "moto", "asyncssh"} & set(sys.modules), file=sys.stderr)
"""
"""Each command's help in turn, in one process, and what is loaded then."""


def test_a_commands_help_asks_for_no_aws_library() -> None:
    commands = sorted(COMMANDS)
    assert python("-c", ALL_HELP, *commands).splitlines() == commands


def test_a_completion_loads_little(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_EICCTL_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_LINE", "eicctl ssh --region eu-west-1 we")
    loaded = loaded_by()
    assert {"eicctl.cli.openssh_command", "eicctl.aws.caches"} <= loaded
    assert not loaded & {
        "botocore",
        "boto3",
        "platformdirs",
        "logging",
        "tomllib",
        "rich",
        "asyncio",
        "ssl",
        "tempfile",
    }


def test_the_consoles_first_frame_loads_little() -> None:
    code = "import eicctl.ui.app, eicctl.ui.instances, sys; print(*sys.modules, file=sys.stderr)"
    loaded = set(python("-c", code).split())
    assert "textual.app" in loaded
    assert not loaded & {"boto3", "botocore", "websockets", "asyncssh", "eicctl.cli"}
    rooms = {".".join(name.split(".")[:2]) for name in loaded if name.startswith("eicctl.")}
    assert rooms == {"eicctl.aws", "eicctl.core", "eicctl.support", "eicctl.ui"}


HAVE_OUR_STDIN = {"ssh/process.py", "cli/commands/man.py"}
"""OpenSSH, which the command stands for, and a pager."""


def test_no_other_child_process_gets_our_stdin() -> None:
    starts = {"Popen", "run", "call", "check_call", "check_output", "create_subprocess_exec", "create_subprocess_shell"}
    for path in FILES:
        if name_of(path) in HAVE_OUR_STDIN:
            continue
        for node in nodes(path):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            if node.func.attr in starts and ast.unparse(node.func.value) in ("subprocess", "asyncio"):
                given = {keyword.arg for keyword in node.keywords}
                asyncio_run = ast.unparse(node.func) == "asyncio.run"
                assert asyncio_run or "stdin" in given, f"{path}:{node.lineno}"


_WARM = {"enum", "re", "json", "socket", "signal", "contextlib", "dataclasses", "typing", "pathlib", "hashlib", "ssl"}
_HEAVY = {"asyncio", "click", "botocore", "subprocess", "difflib", "tomllib"}
SITE = sysconfig.get_path("purelib")


@pytest.mark.parametrize(
    ("modules", "never"),
    [
        ("__main__ support.streams fastpath.proxy", _WARM),
        ("fastpath.proxy fastpath.direct", {"websockets", "importlib.metadata", *_HEAVY}),
        ("fastpath.direct tunnel.stdio", _HEAVY),
        ("fastpath.ssh", _WARM),
    ],
    ids=["proxy with the background process", "proxy without", "its relay", "ssh"],
)
def test_what_runs_before_click_loads_little(modules: str, never: set[str]) -> None:
    imports = "; ".join(f"import eicctl.{name}" for name in modules.split())
    source = REPOSITORY / "src"
    code = f"import sys; sys.path[:0] = ['{source}', '{SITE}']; {imports}; import eicctl.agent.delegate; "
    loaded = set(python("-S", "-c", f"{code}print(*sys.modules, file=sys.stderr)").split())
    assert "eicctl.agent.delegate" in loaded
    assert not loaded & never


def test_the_picture_shows_the_rooms_as_they_are() -> None:
    """`make picture` draws it."""
    script = subprocess.run(
        [sys.executable, "scripts/structure.py", "--dot"], capture_output=True, text=True, check=True, cwd=REPOSITORY
    )
    picture = html.unescape((REPOSITORY / "docs" / "images" / "rooms.svg").read_text(encoding="utf-8"))
    drawn = set(re.findall(r"<title>(\w+)->(\w+)</title>", picture))
    assert drawn == set(re.findall(r'"(\w+)" -> "(\w+)"', script.stdout))
