"""The other side of the tests: a local AWS in this process, and the environment that points to it."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any


def _buffer_output() -> None:
    """Have commands buffer what they print, as those of users do, whatever this machine's environment says."""
    os.environ.pop("PYTHONUNBUFFERED", None)


def _keep_bytecode() -> None:
    """Keep bytecode, whatever this machine's environment says: an `eicctl` that compiles what it imports takes twice
    the time. Of the workers and of all commands, too, which take it from the environment."""
    sys.dont_write_bytecode = False
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


_buffer_output()
_keep_bytecode()  # before the imports that are worth it
gc.set_threshold(20_000, 20, 20)  # a full search of all that the tests import takes 0.3 s

import pytest  # noqa: E402

from tests.platforms import PLATFORM, hide_posix_modules, reason_to_skip  # noqa: E402

if PLATFORM == "win32" != sys.platform:
    hide_posix_modules()

from botocore import xform_name  # noqa: E402

from eicctl.aws.service_models import OPERATIONS  # noqa: E402
from eicctl.aws.session import Session  # noqa: E402

if TYPE_CHECKING:
    from eicctl.emulator.server import Emulator

FillCache = Callable[[Path], None]


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leave out what this platform cannot run: a file, or a folder because of its conftest.py."""
    if not collection_path.is_dir() and not collection_path.name.startswith("test_"):
        return None
    return bool(reason_to_skip(collection_path)) or None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List what was left out."""
    files = sorted(Path(__file__).parent.rglob("test_*.py"))
    left_out = [(file.name, reason) for file in files if (reason := reason_to_skip(file))]
    if left_out:
        terminalreporter.section(f"not run on this platform ({PLATFORM})")
        for name, reason in left_out:
            terminalreporter.write_line(f"{name}: {reason}")


@pytest.fixture(scope="session", autouse=True)
def enough_descriptors() -> None:
    """Both ends of every tunnel, and all between, are in one process: some 1,500 descriptors at the most."""
    if PLATFORM == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4096 if hard == resource.RLIM_INFINITY else min(4096, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def pytest_assertrepr_compare(op: str, left: object, right: object) -> list[str] | None:
    """Long bytes by length and first difference: a dump of megabytes hides which test failed."""
    if op != "==" or not isinstance(left, bytes) or not isinstance(right, bytes) or len(left) + len(right) < 10_000:
        return None
    differs = next((at for at, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), None)
    return [f"<{len(left)} bytes> == <{len(right)} bytes>", f"first difference at: {differs}"]


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> None:
    """A shell's background job, or nohup's, ignores signals, and every command of the tests would inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if sys.platform != "win32" and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda *_: None)


def find_program(name: str) -> str | None:
    """Where a program is; Debian has sbin, and a folder for PostgreSQL's server, outside of users' paths."""
    folders = ["/usr/sbin", *map(str, sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True))]
    return shutil.which(name, path=os.pathsep.join([os.environ["PATH"], *folders]))


@pytest.fixture(autouse=True)
def needed_programs(request: pytest.FixtureRequest) -> None:
    """Skip a test whose programs are not installed; in CI that is a failure."""
    for marker in request.node.iter_markers("needs"):
        for program in marker.args:
            if find_program(program):
                continue
            if os.environ.get("CI") and PLATFORM == "linux":
                pytest.fail(f"{program} is not installed")
            pytest.skip(f"{program} is not installed")


@pytest.fixture(scope="session")
def running_emulator() -> Iterator[Emulator]:
    """The emulator of this worker."""
    from eicctl.emulator.server import Emulator

    with Emulator(transition=0.0) as emulator:
        yield emulator


@pytest.fixture(scope="session")
def fill_cache(tmp_path_factory: pytest.TempPathFactory) -> FillCache:
    """Put botocore's data, cut down, into a folder of eicctl's (`EICCTL_HOME`), as the first commands do.

    A command takes 0.2 s longer for each service of which it finds none.
    """
    filled = tmp_path_factory.mktemp("filled")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("HOME", filled), ("EICCTL_HOME", filled), ("AWS_REGION", "us-east-1")):
            patch.setenv(name, str(value))
        for service, operations in OPERATIONS.items():
            client: Any = Session().client(service)  # type: ignore[call-overload]
            for name in filter(client.can_paginate, map(xform_name, operations)):
                client.get_paginator(name)

    def fill(folder: Path) -> None:
        folder.mkdir(mode=0o700, exist_ok=True)
        shutil.copytree(filled / "cache", folder / "cache", dirs_exist_ok=True)

    return fill


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fill_cache: FillCache) -> Path:
    """A home folder with nothing in it, and an environment without AWS and proxies."""
    for name in list(os.environ):
        if name.startswith("AWS_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    fill_cache(tmp_path / "eicctl")
    monkeypatch.setenv("EICCTL_HOME", str(tmp_path / "eicctl"))
    monkeypatch.setenv("EICCTL_AGENT", "off")
    monkeypatch.setenv("EICCTL_SPARE", "off")  # connections that nobody opened would take the emulator's faults
    monkeypatch.setenv("AWS_CONFIG_FILE", str(folder / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(folder / "credentials"))
    return folder


@pytest.fixture
def emulator(running_emulator: Emulator, home: Path, monkeypatch: pytest.MonkeyPatch) -> Emulator:
    """A fresh world, with the environment that leads to it."""
    from eicctl.emulator.state import Behavior
    from eicctl.tunnel import preconnect

    preconnect.enable()  # or not, as the variable says: it is a matter of the process, whose tests may differ
    running_emulator.state.behave(**asdict(Behavior(transition=0.0)))
    running_emulator.reset()
    for name, value in running_emulator.env.items():
        if value:
            monkeypatch.setenv(name, value)
    return running_emulator


LONGEST = {
    "test_fixes.py",
    "test_live.py",
    "test_pages_on_a_terminal.py",
    "test_ssh_config_file.py",
    "test_demo.py",
    "test_pages.py",
    "test_secrets.py",
}
"""Files whose tests take 10 to 80 s each."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest tests, so that no worker is busy with one while the others have nothing left."""
    items.sort(key=lambda item: item.path.name not in LONGEST)


def pytest_collection_finish() -> None:
    """Modules and tests stay to the end: the search for garbage leaves them out."""
    gc.freeze()
