"""The wheel and the sdist: what is in them, and that each runs where nothing but its own requirements is installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

import eicctl
from tests.e2e.conftest import Env, clean_env

ROOT = Path(__file__).parent.parent.parent
UV = Path(sys.executable).with_name("uv")

IMPORT_ALL = """
import importlib, pkgutil, eicctl
for found in pkgutil.walk_packages(eicctl.__path__, "eicctl.", onerror=print):
    if not found.name.startswith(("eicctl.emulator", "eicctl.ui")) and not found.name.endswith("__main__"):
        importlib.import_module(found.name)
from importlib.resources import files
assert "{" in files("eicctl.view").joinpath("coverage_page.css").read_text()
assert ".TH" in files("eicctl").joinpath("man/eicctl-ssh.1").read_text()
"""
"""Every module but those of the emulator and of the console, whose requirements are extras."""


@dataclass(frozen=True)
class Built:
    """The two archives."""

    wheel: Path
    sdist: Path


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The sdist, and the wheel that is built from it and not from the checkout."""
    folder = tmp_path_factory.mktemp("dist")
    uv("build", "--out-dir", str(folder), str(ROOT))
    return Built(next(folder.glob("*.whl")), next(folder.glob("*.tar.gz")))


def uv(*words: str) -> None:
    run = subprocess.run([UV, "--quiet", *words], capture_output=True, text=True, timeout=100, check=False)
    assert run.returncode == 0, run.stderr


@dataclass(frozen=True)
class Installed:
    """A virtual environment with eicctl and what it requires."""

    folder: Path
    env: Env

    def run(self, program: str, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.folder / "bin" / program, *words],
            env=self.env, cwd=self.folder, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip


@pytest.fixture(scope="session", params=["wheel", "sdist"])
def installed(request: pytest.FixtureRequest, built: Built, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """One of the archives in an environment of its own, with the locked versions of what it requires."""
    folder = tmp_path_factory.mktemp(request.param)
    archive = getattr(built, request.param)
    uv("venv", "--python", sys.executable, str(folder / "venv"))
    python = folder / "venv" / "bin" / "python"
    locked = ROOT / "requirements" / "dev.txt"
    uv("pip", "install", "--python", str(python), "--constraint", str(locked), str(archive))
    own = {name: value for name, value in clean_env(folder).items() if not name.startswith("PYTHON")}
    return Installed(folder / "venv", own | {"PATH": os.environ["PATH"]})


def sources() -> set[str]:
    """The files of the package in the checkout."""
    package = ROOT / "src"
    return {
        str(path.relative_to(package))
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".pyc"
    }


def test_the_wheel_holds_the_package_and_nothing_else(built: Built) -> None:
    names = set(zipfile.ZipFile(built.wheel).namelist())
    info = f"eicctl-{eicctl.__version__}.dist-info/"
    assert {name for name in names if not name.startswith(info)} == sources()
    assert {"eicctl/py.typed", "eicctl/emulator/world/default.toml"} <= names
    assert f"{info}licenses/LICENSE" in names


def test_the_sdist_holds_what_make_needs(built: Built) -> None:
    with tarfile.open(built.sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {name.removeprefix("src/") for name in names if name.startswith("src/")} == sources()
    wanted = {"Makefile", "README.md", "LICENSE", "pyproject.toml", "scripts/make-venv", "requirements/dev.txt"}
    assert wanted | {"tests/conftest.py", "docs/README.md"} <= names
    unwanted = (".venv", ".git", "__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache")
    assert not [name for name in names if any(part in unwanted for part in name.split("/"))]


def test_version_and_help(installed: Installed) -> None:
    version = installed.run("eicctl", "--version")
    assert (version.stdout, version.stderr) == (f"eicctl, version {eicctl.__version__}\n", "")
    assert installed.run("python", "-m", "eicctl", "--version").stdout == version.stdout
    told = installed.run("eicctl", "--help")
    assert (told.returncode, told.stderr) == (0, "")
    assert "create-endpoint" in told.stdout


def test_it_tells_where_it_is_from(installed: Installed) -> None:
    told = json.loads(installed.run("eicctl", "version", "--output", "json").stdout)
    assert told["Eicctl"] == eicctl.__version__
    assert told["InstallMethod"] == "uv"
    assert told["Executable"].startswith(str(installed.folder))
    assert "moto" not in told["Packages"]


def test_what_an_extra_brings_is_named_where_it_is_missing(installed: Installed) -> None:
    run = installed.run("eicctl", "local", "up")
    assert run.returncode == 1
    assert "hint: pip install 'eicctl[local]'" in run.stderr


def test_every_module_finds_what_it_imports(installed: Installed) -> None:
    run = installed.run("python", "-c", IMPORT_ALL)
    assert (run.returncode, run.stderr) == (0, "")
