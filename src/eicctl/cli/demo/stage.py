"""Where the demo plays: a local AWS of its own, in a temporary folder, with nothing of the user's configuration."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import click

from eicctl.cli.view import messages

_STEP_TIMEOUT = 60


class Unverified(Exception):
    """A step did not do what it should."""


class Stage:
    """Runs eicctl's commands as a user would, shows them, and returns what they print.

    Args:
        keep: Leave the local AWS up at the end.
    """

    def __init__(self, *, keep: bool) -> None:
        self._keep = keep
        self._started = time.monotonic()
        self.folder = Path(tempfile.mkdtemp(prefix="eicctl-demo-"))
        self.env = {name: value for name, value in os.environ.items() if not name.upper().startswith("AWS_")}
        self.env |= {
            "EICCTL_HOME": str(self.folder),
            "EICCTL_AGENT": "off",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "NO_PROXY": "localhost,127.0.0.1,::1",
            "no_proxy": "localhost,127.0.0.1,::1",
        }
        if width := messages.columns(sys.stdout):  # what is shown on a terminal looks as it does there
            self.env |= {"FORCE_COLOR": "1", "COLUMNS": str(width)}
        self._up = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._started

    def say(self, text: str) -> None:
        """Narrate."""
        click.echo()
        click.secho(messages.fitted(f"# {text}", sys.stdout), fg="cyan")

    def verified(self, what: str) -> None:
        """Tell what was verified."""
        click.secho(messages.fitted(f"  ✓ {what}", sys.stdout), fg="green")

    def run(self, *words: str, stdin: Path | None = None, quiet: bool = False) -> str:
        """Run `eicctl WORDS…`, show it and what it prints, and return its stdout.

        Raises:
            Unverified: It did not exit with 0.
        """
        shown = shlex.join(["eicctl", *words]) + (f" < {stdin.name}" if stdin else "")
        click.secho(f"$ {shown}", bold=True)
        with contextlib.ExitStack() as files:
            source = files.enter_context(stdin.open("rb")) if stdin else subprocess.DEVNULL
            done = subprocess.run(
                self.command(words),
                env=self.env,
                stdin=source,
                stdout=subprocess.PIPE,
                timeout=_STEP_TIMEOUT,
                check=False,
            )
        text = done.stdout.decode(errors="replace")
        if not quiet:
            click.echo(text.rstrip())  # of eicctl itself, or of a machine of the local AWS: it is harmless
        if done.returncode:
            raise Unverified(f"{shown} ended with exit code {done.returncode}")
        return text

    @contextlib.contextmanager
    def background(self, *words: str) -> Iterator[subprocess.Popen[str]]:
        """Run `eicctl WORDS…` as long as the block lasts; its stdout is a pipe."""
        click.secho(f"$ {shlex.join(['eicctl', *words])} &", bold=True)
        process = subprocess.Popen(
            self.command(words), env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
        )
        try:
            yield process
        finally:
            process.terminate()
            process.wait(timeout=_STEP_TIMEOUT)
            if process.stdout:
                process.stdout.close()

    def event(self, process: subprocess.Popen[str], name: str) -> dict[str, Any]:
        """Return the next event called `name` of a command with `--output json`; events before it are skipped.

        Raises:
            Unverified: The command ended without it.
        """
        for line in process.stdout or ():
            event: dict[str, Any] = json.loads(line)
            if event["Event"] == name:
                return event
        raise Unverified(f"the command ended with exit code {process.wait()} before its event {name!r}")

    def command(self, words: Sequence[str]) -> list[str]:
        """The command line of `eicctl WORDS…` with this interpreter."""
        return [sys.executable, "-m", "eicctl", *words]

    def start(self) -> None:
        """Start the local AWS and point the following commands to it."""
        self.run("local", "up", "--detach", "--transition", "1.5", quiet=True)
        self._up = True
        for line in self.run("local", "env", quiet=True).splitlines():
            kind, _, rest = line.partition(" ")
            name, _, value = rest.partition("=")
            if kind == "export":
                self.env[name] = shlex.split(value)[0]
        messages.out('  (as eval "$(eicctl local env)" does in a shell)')

    def close(self) -> None:
        """End the local AWS and remove everything; with `keep`, say how to use it."""
        if not self.folder.exists():
            return
        if self._up and self._keep:
            self._up = False
            home = f"EICCTL_HOME={shlex.quote(str(self.folder))}"
            messages.line(f'the local AWS stays up: export {home}; eval "$(eicctl local env)"')
            return
        if self._up:
            self._up = False
            subprocess.run(
                self.command(["local", "down"]),
                env=self.env,
                stdin=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=_STEP_TIMEOUT,
                check=False,
            )
        if not self._keep:
            shutil.rmtree(self.folder, ignore_errors=True)
