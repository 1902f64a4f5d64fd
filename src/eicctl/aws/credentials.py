"""Credentials as botocore finds them, with three things done differently: the programs of `credential_process` are run
here, sessions of roles are shared with the AWS CLI, and MFA codes are asked for on the terminal.

botocore gives such a program this process's stdin, which may be a tunnel's data, shows nothing of its output while it
runs, and runs it as often as it is asked.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import subprocess
import sys
import threading
import time
from copy import copy
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import IO, TYPE_CHECKING, Any, TypedDict

from eicctl.core.errors import CredentialsError, UsageError
from eicctl.support import streams
from eicctl.support.activity import Hidden
from eicctl.support.clock import Backoff
from eicctl.support.files import write_whole
from eicctl.support.redact import register

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import botocore.session
    from botocore.credentials import Credentials
    from botocore.utils import JSONFileCache

QUIET = 1.0
"""Seconds after which the output of a program is shown on the terminal: by then it may be a question."""

PATIENCE = 10.0
"""Seconds after which a program that nobody can answer is reported, or ended in the background."""

FIRST_PAUSE, LONGEST_PAUSE = 15.0, 300.0
"""Seconds for which a program that has failed is not run again: the first ones, and the most."""

_USED = timedelta(minutes=15)
"""botocore asks for new keys this long before the old ones expire."""
_SAME_COMMAND = 10.0
_LARGEST = 2**20


class ProcessKeys(TypedDict):
    """Keys as botocore takes them from a `credential_process`."""

    access_key: str
    secret_key: str
    token: str | None
    expiry_time: str | None
    account_id: str | None


@dataclass
class _Program:
    """The last result of one program; times are those of `time.monotonic`."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    keys: ProcessKeys | None = None
    got: float = -math.inf
    error: CredentialsError | None = None
    failed: float = -math.inf
    again: float = -math.inf
    backoff: Backoff = field(default_factory=lambda: Backoff(FIRST_PAUSE, LONGEST_PAUSE, jitter=0))

    def succeeded(self, keys: ProcessKeys) -> None:
        self.keys, self.got = keys, time.monotonic()
        self.forget_failure()

    def forget_failure(self) -> None:
        self.error, self.again = None, -math.inf
        self.backoff.reset()


_programs: dict[tuple[str, str, str], _Program] = {}
_background = False


def load(core: botocore.session.Session, version: str) -> Credentials | None:
    """Return the credentials that a session finds, or None.

    Args:
        core: The session, which has not looked for credentials yet.
        version: What differs when the AWS configuration has changed, and programs are to be run anew.
    """
    adopt(core, version)
    profile = core.get_scoped_config()
    if "role_arn" in profile:
        _share_roles(core)
    keys = core.get_credentials()
    if keys and "mfa_serial" in profile:
        # botocore asks for a code once: where that failed, the next thread would be told of an expired session.
        keys.get_frozen_credentials()
    return keys


def _share_roles(core: botocore.session.Session) -> None:
    """Keep sessions of roles where the AWS CLI keeps them, and ask for an MFA code on the terminal, not on stdin."""
    provider = core.get_component("credential_provider").get_provider("assume-role")
    provider.cache = role_cache()
    provider._prompter = _ask_checked_code
    if _mfa_shared:
        provider._client_creator = _SharedMfa(provider._client_creator)
        provider._prompter = str  # the prompt goes on to `assume_role`, which asks where no session exists


_mfa_shared = False
_mfa_sessions: dict[tuple[str, str], dict[str, str]] = {}
_mfa_lock = threading.Lock()


def share_mfa() -> None:
    """Ask for one MFA code for all roles that profiles of this process assume with the same keys and device.

    A code can be used once, so it opens an MFA session (GetSessionToken), which then assumes the roles; a trust policy
    cannot tell these apart (IAM user guide, `aws:MultiFactorAuthPresent`).
    """
    global _mfa_shared  # noqa: PLW0603 - it is so for the whole process
    _mfa_shared = True


class _SharedMfa:
    """Creates clients of STS for botocore's provider of roles.

    Args:
        create: Creates a client of botocore.
    """

    def __init__(self, create: Callable[..., Any]) -> None:
        self._create = create

    def __call__(self, service: str, **keys: Any) -> Any:
        client = self._create(service, **keys)
        assume = client.assume_role

        def assume_role(**request: Any) -> Any:
            if "TokenCode" not in request:
                return assume(**request)
            if keys.get("aws_session_token"):  # they cannot open a session
                with _mfa_lock:
                    return assume(**{**request, "TokenCode": _ask_checked_code(request["TokenCode"])})
            prompt, device = request.pop("TokenCode"), request.pop("SerialNumber")
            session = self._session(client, keys["aws_access_key_id"], device, prompt)
            return self._create(service, **session).assume_role(**request)

        client.assume_role = assume_role
        return client

    @staticmethod
    def _session(client: Any, access_key_id: str, device: str, prompt: str) -> dict[str, str]:
        with _mfa_lock:
            if (access_key_id, device) not in _mfa_sessions:
                code = _ask_checked_code(prompt)
                keys = client.get_session_token(SerialNumber=device, TokenCode=code)["Credentials"]
                register(keys["SecretAccessKey"], keys["SessionToken"])
                _mfa_sessions[access_key_id, device] = {
                    "aws_access_key_id": keys["AccessKeyId"],
                    "aws_secret_access_key": keys["SecretAccessKey"],
                    "aws_session_token": keys["SessionToken"],
                }
            return _mfa_sessions[access_key_id, device]


def role_cache() -> JSONFileCache:
    """Return where sessions of roles are kept: the AWS CLI's folder."""
    from botocore.utils import JSONFileCache

    return JSONFileCache(os.path.expanduser("~/.aws/cli/cache"))  # noqa: PTH111 - without a home it stays


def ask_code(prompt: str) -> str:
    """Return the MFA code that is typed on the terminal, without echo.

    Raises:
        UsageError: The process has no terminal.
    """
    import getpass

    if os.name == "posix":
        try:
            os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
        except OSError as error:
            failure = UsageError(
                "MFA code required (no TTY)",
                hint="eicctl mfa login --token-code -; it reads the code from stdin. Then use the session's --profile",
            )
            failure.needs_terminal = True
            raise failure from error
    try:
        with Hidden():
            return getpass.getpass(prompt)
    except EOFError as error:
        raise UsageError("No MFA code entered") from error


def checked_code(text: str) -> str:
    """Return an MFA code without blanks around it; refuse what cannot be one, without repeating it."""
    code = text.strip()
    if not re.fullmatch(r"[0-9]{6}", code):
        raise UsageError("MFA code must be 6 digits", hint="type what the device shows")
    register(code)
    return code


def _ask_checked_code(prompt: str) -> str:
    return checked_code(ask_code(prompt))


def in_background() -> None:
    """Declare that nobody sees or answers a program of this process: slow ones are ended, and refusals are final."""
    global _background  # noqa: PLW0603 - it is so for the whole process
    _background = True


def ask_again(older_than: float = 0.0) -> None:
    """Forget failures: somebody asks for the credentials, and may have done something about it.

    Args:
        older_than: Only failures that are so many seconds old.
    """
    for program in list(_programs.values()):
        if time.monotonic() - program.failed >= older_than:
            program.forget_failure()


def adopt(core: botocore.session.Session, version: str) -> None:
    """Have the programs of a session's profiles, and of the sources of their roles, run by `fetch`; see `load`."""
    from botocore.credentials import ProcessProvider

    def ours(provider: Any) -> Any:  # its attributes are botocore's own, and have no types
        provider._retrieve_credentials_using = partial(fetch, profile=provider._profile_name, version=version)
        return provider

    resolver = core.get_component("credential_provider")
    for provider in resolver.providers:
        if isinstance(provider, ProcessProvider):
            ours(provider)
    builder = resolver.get_provider("assume-role")._profile_provider_builder
    create = builder._create_process_provider
    builder._create_process_provider = lambda profile_name: ours(create(profile_name))


def fetch(command: str, *, profile: str, version: str = "") -> ProcessKeys:
    """Return the keys that a program answers with; of all that ask at once, one runs it.

    Raises:
        CredentialsError: It has failed, now or a short while ago.
    """
    program = _programs.setdefault((command, profile, version), _Program())
    with program.lock:
        now = time.monotonic()
        if program.keys and (now - program.got < _SAME_COMMAND or _lasts(program.keys)):
            return program.keys
        if program.error and now < program.again:
            raise copy(program.error)
        try:
            keys = _keys(_run(command, profile), profile)
        except CredentialsError as error:
            program.failed, pause = time.monotonic(), program.backoff.pause()
            if isinstance(error, _RefusedError):
                pause = math.inf if _background else LONGEST_PAUSE
            program.again = program.failed + pause
            error.needs_terminal = _background
            program.error = error
            raise copy(error) from None
        program.succeeded(keys)
        return keys


def leave(path: Path) -> None:
    """Leave what programs have answered for the other processes of this command, which would run them again.

    Args:
        path: A file in a folder of this user alone, for this command alone.
    """
    known = [[*key, program.keys] for key, program in _programs.items() if program.keys]
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
        program = _programs.setdefault((command, profile, version), _Program())
        register(keys["secret_key"], keys["token"])
        with program.lock:
            if not (program.keys and _lasts(program.keys)):
                program.succeeded(keys)


class _RefusedError(CredentialsError):
    """The program has answered that there are no keys."""


def _lasts(keys: ProcessKeys) -> bool:
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
        terminal = stack.enter_context(streams.Terminal())
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
        answer, report = _Collector(process.stdout), _Collector(process.stderr)
        if not _ended(process, QUIET) and terminal is not None:
            report.show(terminal)
        if not _ended(process, PATIENCE - QUIET):
            if _background:
                process.kill()
                raise CredentialsError(
                    f"credential_process of profile {profile!r} did not answer within {PATIENCE:.0f} s (no TTY)",
                    hint=f"run it yourself: {command}",
                )
            if terminal is None:
                _report(
                    f"still waiting for credential_process of profile {profile!r} after {PATIENCE:.0f} s: {command}"
                )
            process.wait()
        text = report.data().decode(errors="replace")
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
    """Reads a pipe in a thread; after `show`, what comes is shown on a terminal."""

    def __init__(self, pipe: IO[bytes] | None) -> None:
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

    def _read(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            while self._pipe and (chunk := os.read(self._pipe.fileno(), 65536)):
                with self._lock:
                    self._data += chunk[: _LARGEST - len(self._data)]
                    self._write(chunk)

    def _write(self, data: bytes) -> None:
        if self._terminal is not None:
            with contextlib.suppress(OSError):
                os.write(self._terminal, data)


def _keys(output: bytes, profile: str) -> ProcessKeys:
    """Return the keys in a program's output; no error shows any of it."""
    try:
        answer = json.loads(output)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise CredentialsError(
            f"The output of credential_process of profile {profile!r} is not a JSON object", hint=_FORM
        )
    if answer.get("Version") != 1:
        raise CredentialsError(
            f"The output of credential_process of profile {profile!r} does not have Version 1", hint=_FORM
        )
    names = ("AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration", "AccountId")
    for name in names:
        if not isinstance(answer.get(name), str | None) or (name in names[:2] and not answer.get(name)):
            raise CredentialsError(
                f"The output of credential_process of profile {profile!r} has no usable {name}", hint=_FORM
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
