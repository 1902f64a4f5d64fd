"""The programs that `credential_process` of a profile names: how they are run, how often, and what they may answer.

botocore gives them this process's stdin, which may be a tunnel's data, shows nothing of what they say while they run,
and runs them as often as it is asked.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import subprocess
import sys
import threading
import time
from copy import copy
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from eicctl.core.errors import CredentialsError
from eicctl.support import streams
from eicctl.support.files import write_whole
from eicctl.support.redact import register

if TYPE_CHECKING:
    from pathlib import Path

    import botocore.session

QUIET = 1.0
"""Seconds after which what a program says is shown on the terminal: by then it may be a question."""

PATIENCE = 10.0
"""Seconds after which a program that nobody can answer is reported, or ended in the background."""

FIRST_PAUSE, LONGEST_PAUSE = 15.0, 300.0
"""Seconds for which a program that has failed is not run again: the first ones, and the most."""

_USED = timedelta(minutes=15)
"""botocore asks for new keys this long before the old ones expire."""
_SAME_COMMAND = 10.0
_LARGEST = 2**20


@dataclass
class _Memory:
    """What has become of one program; times are those of `time.monotonic`."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    keys: dict[str, Any] | None = None
    got: float = -math.inf
    error: CredentialsError | None = None
    failures: int = 0
    failed: float = -math.inf
    again: float = -math.inf


_memories: dict[tuple[str, str, str], _Memory] = {}
_background = False


def in_background() -> None:
    """Say that nobody sees or answers a program of this process: what takes long is ended, and refusals are final."""
    global _background  # noqa: PLW0603 - it is so for the whole process
    _background = True


def ask_again(older_than: float = 0.0) -> None:
    """Forget failures: somebody asks for the credentials, and may have done something about it.

    Args:
        older_than: Only failures that are so many seconds old.
    """
    for memory in list(_memories.values()):
        if time.monotonic() - memory.failed >= older_than:
            memory.failures, memory.again, memory.error = 0, -math.inf, None


def adopt(core: botocore.session.Session, version: str) -> None:
    """Have the programs of a session's profiles, and of the sources of their roles, run by `fetch`.

    Args:
        core: The session, which has not looked for credentials yet.
        version: What differs when the AWS configuration has changed, and answers are to be got anew.
    """
    from botocore.credentials import ProcessProvider

    def ours(provider: Any) -> Any:
        provider._retrieve_credentials_using = partial(fetch, profile=provider._profile_name, version=version)
        return provider

    resolver = core.get_component("credential_provider")
    for provider in resolver.providers:
        if isinstance(provider, ProcessProvider):
            ours(provider)
    builder = resolver.get_provider("assume-role")._profile_provider_builder
    make = builder._create_process_provider
    builder._create_process_provider = lambda profile_name: ours(make(profile_name))


def fetch(command: str, *, profile: str, version: str = "") -> dict[str, Any]:
    """Return the keys that a program answers with, in botocore's form; of all that ask at once, one runs it.

    Raises:
        CredentialsError: It has failed, now or a short while ago.
    """
    memory = _memories.setdefault((command, profile, version), _Memory())
    with memory.lock:
        now = time.monotonic()
        if memory.keys and (now - memory.got < _SAME_COMMAND or _lasts(memory.keys)):
            return memory.keys
        if memory.error and now < memory.again:
            raise copy(memory.error)
        try:
            memory.keys = _keys(_run(command, profile), profile)
        except CredentialsError as error:
            memory.failures += 1
            memory.failed = time.monotonic()
            pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (memory.failures - 1))
            if isinstance(error, _RefusedError):
                pause = math.inf if _background else LONGEST_PAUSE
            memory.again = memory.failed + pause
            error.needs_terminal = _background
            memory.error = error
            raise copy(error) from None
        memory.got, memory.failures, memory.error = time.monotonic(), 0, None
        return memory.keys


def leave(path: Path) -> None:
    """Leave what programs have answered for the other processes of this command, which would run them again.

    Args:
        path: A file in a folder of this user alone, for this command alone.
    """
    known = [[*key, memory.keys] for key, memory in _memories.items() if memory.keys]
    if known:
        write_whole(path, json.dumps(known))


def take(path: str) -> None:
    """Take what another process of this command has left, if anything."""
    try:
        with open(path, encoding="utf-8") as file:  # noqa: PTH123
            known = json.load(file)
    except (OSError, ValueError):
        return
    for command, profile, version, keys in known:
        memory = _memories.setdefault((command, profile, version), _Memory())
        register(keys["secret_key"], keys["token"])
        with memory.lock:
            if not (memory.keys and _lasts(memory.keys)):
                memory.keys, memory.got, memory.failures, memory.error = keys, time.monotonic(), 0, None


class _RefusedError(CredentialsError):
    """The program has answered that there are no keys."""


def _lasts(keys: dict[str, Any]) -> bool:
    """Whether keys are good until botocore would ask for new ones."""
    if not keys["expiry_time"]:
        return True
    try:
        expires = datetime.fromisoformat(keys["expiry_time"])
    except ValueError:
        return False
    return (expires if expires.tzinfo else expires.replace(tzinfo=UTC)) - datetime.now(UTC) > _USED


def _run(command: str, profile: str) -> bytes:
    """Run a program to its end and return its stdout. On a terminal it can be seen and answered."""
    from botocore.compat import compat_shell_split

    try:
        words = compat_shell_split(command)
    except ValueError as error:
        raise CredentialsError(
            f"credential_process of profile {profile!r} is not a command: {error}", hint=_HINT
        ) from error
    if not words:
        raise CredentialsError(f"credential_process of profile {profile!r} is empty", hint=_HINT)
    with contextlib.ExitStack() as stack:
        terminal = stack.enter_context(streams.terminal())
        try:
            process = stack.enter_context(
                subprocess.Popen(
                    words,
                    stdin=subprocess.DEVNULL if terminal is None else terminal,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                )
            )
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise CredentialsError(
                f"credential_process of profile {profile!r} cannot be run: {words[0]}: {reason}", hint=_HINT
            ) from error
        stack.callback(process.kill)  # Ctrl-C, say; it has ended otherwise
        answer, said = _Collector(process.stdout), _Collector(process.stderr)
        if not _ended(process, QUIET) and terminal is not None:
            said.show(terminal)
        if not _ended(process, PATIENCE - QUIET):
            if _background:
                process.kill()
                raise CredentialsError(
                    f"credential_process of profile {profile!r} has not answered within {PATIENCE:.0f} s, and there "
                    "is no terminal to prompt on",
                    hint=f"run it yourself: {command}",
                )
            if terminal is None:
                _report(f"waiting for credential_process of profile {profile!r}, for {PATIENCE:.0f} s now: {command}")
            process.wait()
        text = said.text()
        if process.returncode:
            # Its last line: before it there may be questions, and what somebody has answered.
            reason = text.strip().rpartition("\n")[2].strip() or f"exit code {process.returncode}"
            raise _RefusedError(
                f"credential_process of profile {profile!r} failed: {reason}", hint=f"run it yourself: {command}"
            )
        return answer.data()


_HINT = "correct credential_process of the profile: it is a program and its arguments"


def _ended(process: subprocess.Popen[bytes], timeout: float) -> bool:
    try:
        process.wait(timeout)
    except subprocess.TimeoutExpired:
        return False
    return True


def _report(text: str) -> None:
    with contextlib.suppress(OSError, ValueError):
        print(text, file=sys.stderr, flush=True)  # noqa: T201


class _Collector:
    """Reads a pipe in a thread; shows what comes on a terminal once it is told to."""

    def __init__(self, pipe: Any) -> None:
        self._pipe = pipe
        self._data = bytearray()
        self._terminal: int | None = None
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def show(self, terminal: int) -> None:
        """Show what has come, and what will."""
        with self._lock:
            self._terminal = terminal
            self._write(bytes(self._data))

    def data(self) -> bytes:
        """Return all that has come. A grandchild that keeps the pipe open is not waited for."""
        self._thread.join(1.0)
        with self._lock:
            self._terminal = None
            return bytes(self._data)

    def text(self) -> str:
        """Return it as text."""
        return self.data().decode(errors="replace")

    def _read(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            while chunk := os.read(self._pipe.fileno(), 65536):
                with self._lock:
                    self._data += chunk[: _LARGEST - len(self._data)]
                    self._write(chunk)

    def _write(self, data: bytes) -> None:
        if self._terminal is not None:
            with contextlib.suppress(OSError):
                os.write(self._terminal, data)


def _keys(output: bytes, profile: str) -> dict[str, Any]:
    """Return what a program's output says, in botocore's form; no error shows any of it."""
    try:
        answer = json.loads(output)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise CredentialsError(
            f"the output of credential_process of profile {profile!r} is not a JSON object", hint=_FORM
        )
    if answer.get("Version") != 1:
        raise CredentialsError(
            f"the output of credential_process of profile {profile!r} does not have Version 1", hint=_FORM
        )
    names = ("AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration", "AccountId")
    for name in names:
        if not isinstance(answer.get(name), str | None) or (name in names[:2] and not answer.get(name)):
            raise CredentialsError(
                f"the output of credential_process of profile {profile!r} has no usable {name}", hint=_FORM
            )
    register(answer["SecretAccessKey"], answer.get("SessionToken"))
    return {
        "access_key": answer["AccessKeyId"],
        "secret_key": answer["SecretAccessKey"],
        "token": answer.get("SessionToken"),
        "expiry_time": answer.get("Expiration"),
        "account_id": answer.get("AccountId"),
    }


_FORM = "https://docs.aws.amazon.com/cli/latest/userguide/cli-configure-sourcing-external.html"
