"""`eicctl version`: information for bug reports. It contains no secrets: names of variables, but not their values."""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Mapping
from importlib import metadata, util
from pathlib import Path

import click

from eicctl import __version__
from eicctl.cli import options
from eicctl.core.errors import EicctlError
from eicctl.support import paths

PACKAGES = ("botocore", "websockets", "click", "asyncssh", "cryptography", "python-socks", "moto")
"""The packages whose versions matter; the last two are optional."""

_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


def about() -> dict[str, object]:
    """Return the object that `eicctl version --output json` prints. Unknown values are None."""
    return {
        "Eicctl": __version__,
        "InstallMethod": installed(),
        "Python": f"{platform.python_version()} ({platform.python_implementation()})",
        "Executable": sys.executable,
        "Platform": platform.platform(),
        "OpenSSH": _openssh(),
        "Packages": {name: found for name in PACKAGES if (found := _version_of(name))},
        "WebsocketsSpeedups": util.find_spec("websockets.speedups") is not None,
        "Folders": {
            "Config": str(paths.config_file().parent),
            "State": _folder(paths.state_dir),
            "Cache": _folder(paths.cache_dir),
            "Runtime": _folder(paths.runtime_dir),
        },
        "Background": _background(),
        "Variables": variables(os.environ),
    }


def variables(environ: Mapping[str, str]) -> list[str]:
    """Return the names of the set variables that affect eicctl."""
    return sorted(name for name in environ if name.startswith(("AWS_", "EICCTL_")) or name.lower() in _PROXIES)


def installed() -> str:
    """Return how eicctl was installed: `pipx`, `uv tool`, `pip`, `uv`, `zip archive`, or `source`."""
    if not Path(__file__).exists():  # it is within an archive
        return "zip archive"
    prefix = Path(sys.prefix)
    if (prefix / "pipx_metadata.json").exists():
        return "pipx"
    if (prefix / "uv-receipt.toml").exists():
        return "uv tool"
    try:
        distribution = metadata.distribution("eicctl")
    except metadata.PackageNotFoundError:
        return "source"
    by = (distribution.read_text("INSTALLER") or "an unknown installer").strip()
    editable = '"editable":true' in (distribution.read_text("direct_url.json") or "").replace(" ", "")
    return f"{by}, editable" if editable else by


def _version_of(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _openssh() -> str | None:
    """The first line of `ssh -V`, which it writes to stderr."""
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        run = subprocess.run(
            ["ssh", "-V"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=5,
            check=False,
        )
        return next(iter((run.stderr or run.stdout).splitlines()), None)
    return None


def _folder(find: Callable[[], Path]) -> str:
    try:
        return str(find())
    except EicctlError as error:
        return error.message


def _background() -> list[dict[str, object]]:
    """The running background processes."""
    if sys.platform == "win32":  # no background processes
        return []
    from eicctl.agent.client import GoneError, ask
    from eicctl.agent.paths import AgentPaths, all_paths
    from eicctl.support.threads import for_each

    def look(paths: AgentPaths) -> dict[str, object] | None:
        try:
            answer = ask(paths, "status")
        except GoneError:
            return None
        except EicctlError as error:  # of another version, or it does not answer
            return {"Problem": error.message}
        return {"Pid": answer["Pid"], "Version": answer["Version"], "Tunnels": len(answer.get("Statuses", []))}

    try:
        return [found for found in for_each(look, all_paths()) if found]
    except EicctlError as error:  # its folder cannot be read
        return [{"Problem": error.message}]


@click.command
@options.output_options
def command(*, output: str, query: str | None) -> None:
    """Show version and environment information for bug reports.

    Shows names of environment variables without their values: the output can be published.

    \b
    Examples:
      eicctl version
      eicctl version --output json
      eicctl version --query Packages.botocore --output text
    """
    from eicctl.view import render

    render.show(about(), output=output, query=query)
