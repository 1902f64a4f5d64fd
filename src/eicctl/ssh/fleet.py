"""One command on many instances: which ones, through which endpoints, as whom, and an OpenSSH process for each."""

from __future__ import annotations

import contextlib
import selectors
import subprocess
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from typing import IO, Protocol

from eicctl.aws.endpoint_selection import spread
from eicctl.aws.endpoints import list_endpoints
from eicctl.aws.instances import instances_named, list_instances
from eicctl.aws.session import Session
from eicctl.aws.targets import target_of
from eicctl.core.errors import EicctlError, LocalError, NotFoundError
from eicctl.core.model import Endpoint, Instance
from eicctl.ssh.host_keys import Check
from eicctl.ssh.known_hosts import by_instance
from eicctl.ssh.login import Login
from eicctl.ssh.openssh_options import OpensshOptions, as_options, ssh_command
from eicctl.ssh.os_user import OsUser, choose_all
from eicctl.ssh.process import take_failures
from eicctl.support.threads import both
from eicctl.tunnel.slots import LIMIT


@dataclass(frozen=True, slots=True)
class FleetHost:
    """An instance of the fleet; the endpoint is None if its VPC has no usable one."""

    instance: Instance
    endpoint: Endpoint | None
    user: OsUser

    @property
    def label(self) -> str:
        """The instance's name, else its ID."""
        return self.instance.name or self.instance.id

    def login(self, session: Session, check: Check, *, pushes: bool) -> Login | None:
        """Return the login; None without an endpoint."""
        if not self.endpoint:
            return None
        target = target_of(session, self.instance, self.endpoint, remote_port=22)
        return Login(session, target, self.user, pushes, check)


def choose_hosts(
    session: Session,
    os_user: str | None,
    *,
    targets: Sequence[str],
    tags: Mapping[str, str],
    name_glob: str | None,
    everything: bool,
) -> list[FleetHost]:
    """Return the hosts, in the order in which to start: named instances, and running ones that match all filters.

    Args:
        session: Access to AWS.
        os_user: The OS user of all; None for each one's own.
        targets: Instance IDs and Name tags.
        tags: Tags that an instance has to have.
        name_glob: A pattern of its Name tag, with `*` and `?` (EC2's filters know no others).
        everything: Whether all running instances match.

    Raises:
        NotFoundError: A named instance does not exist, or nothing matches.
    """

    def find() -> list[Instance]:
        found = instances_named(session, targets, states=["running", "pending"]) if targets else []
        if tags or name_glob or everything:
            filters = {"instance-state-name": ["running"], **{f"tag:{key}": [value] for key, value in tags.items()}}
            patterns = {"tag:Name": [name_glob]} if name_glob else None
            matching = list_instances(session, filters=filters, patterns=patterns)
            found += [instance for instance in matching if instance.platform != "windows"]
        return list({instance.id: instance for instance in found}.values())

    instances, endpoints = both(find, lambda: list_endpoints(session))
    if not instances:
        raise NotFoundError(f"no running instance in {session.region} matches", hint="eicctl instances")
    users = {} if os_user else choose_all(session, instances)
    return [
        FleetHost(instance, endpoint, OsUser(os_user, "specified") if os_user else users[instance.id])
        for instance, endpoint in spread(instances, endpoints, LIMIT)
    ]


TIMED_OUT = 124
"""Exit code for a command that took too long, as timeout(1) gives it."""

_IN_MEMORY = 2**20


class Sink(Protocol):
    """Takes a host's output as it comes. Called from several threads."""

    def take(self, label: str, stream: str, data: bytes) -> None:
        """Take bytes of `stdout` or `stderr`."""

    def finished(self, result: Result) -> None:
        """Take a host's result."""


def _kept() -> IO[bytes]:
    return tempfile.SpooledTemporaryFile(_IN_MEMORY)


@dataclass
class Result:
    """The result of one host.

    Attributes:
        label: Its name.
        instance_id: Its ID.
        code: The command's exit code, 255 where the connection failed, 124 where it took too long; None where it was
            not run.
        error: Why there was no connection or no end, or an empty string.
        cause: The error behind `error`, where it is one of ours.
        seconds: How long it took.
        stdout: What the command wrote there; a file, which the receiver closes.
        stderr: Likewise.
    """

    label: str
    instance_id: str
    code: int | None = None
    error: str = ""
    cause: EicctlError | None = None
    seconds: float = 0.0
    stdout: IO[bytes] = field(default_factory=_kept)
    stderr: IO[bytes] = field(default_factory=_kept)

    @property
    def failed(self) -> bool:
        """Whether the command did not run, or did not end with 0."""
        return self.code != 0


class Fleet:
    """Runs a command on hosts.

    Args:
        logins: The hosts, in the order in which they begin.
        command: The remote command's words.
        openssh: How OpenSSH gets to the hosts, in a session.
        timeout: Seconds for one host, from its first call of AWS to its end; None for no limit.
    """

    def __init__(
        self,
        logins: Sequence[Login],
        command: Sequence[str],
        openssh: OpensshOptions,
        *,
        timeout: float | None,
    ) -> None:
        self._logins = logins
        self._command = command
        self._openssh = openssh
        self._timeout = timeout
        self._slots: dict[str, threading.Semaphore] = defaultdict(lambda: threading.BoundedSemaphore(LIMIT))
        self._stopped = threading.Event()
        self._children: set[subprocess.Popen[bytes]] = set()

    def run(self, sink: Sink, parallel: int) -> list[Result]:
        """Run the command on all hosts, `parallel` at a time; return the results in the hosts' order.

        An interrupt ends the commands that run; the others have the code None.
        """
        for login in self._logins:  # a defaultdict is not thread-safe
            self._slots[login.target.endpoint_id]
        with contextlib.ExitStack() as cleanup:
            pool = cleanup.enter_context(ThreadPoolExecutor(parallel))
            begun = {pool.submit(self._run_one, login, sink): login for login in self._logins}
            try:
                for future in as_completed(begun):
                    sink.finished(future.result())
            except (KeyboardInterrupt, SystemExit):  # Ctrl-C, or SIGTERM
                self.stop()
            return [future.result() for future in begun]

    def stop(self) -> None:
        """End the commands that run, and begin no others."""
        self._stopped.set()
        for child in list(self._children):
            with contextlib.suppress(OSError):
                child.terminate()

    def _run_one(self, login: Login, sink: Sink) -> Result:
        result = Result(login.target.label, login.target.instance_id)
        with self._slots[login.target.endpoint_id]:
            if self._stopped.is_set():
                result.error = "interrupted"
                return result
            started = time.monotonic()
            deadline = started + self._timeout if self._timeout else None
            try:
                self._connect(login, result, sink, deadline)
            except EicctlError as error:
                result.code, result.error, result.cause = 255, error.message, error
            result.seconds = time.monotonic() - started
        return result

    def _connect(self, login: Login, result: Result, sink: Sink, deadline: float | None) -> None:
        target = login.target
        request = self._openssh.request.replace(  # AWS is not asked again
            private_ip_address=target.address,
            endpoint_id=target.endpoint_id,
            endpoint_dns_name=target.endpoint_dns_name,
        )
        openssh = replace(self._openssh, request=request)
        settings = {"BatchMode": "yes", "HostKeyAlias": login.name}
        settings |= openssh.settings(by_instance(), strict=login.verdict().strict)
        options = ["-T", "-n", *as_options(settings)]
        line = ssh_command(target, login.user.name, options, self._command)
        result.code = self._watch(line, result, sink, deadline)
        if result.code == 255 and not result.error:
            assert self._openssh.folder  # noqa: S101 - it is in a session
            failed = take_failures(self._openssh.folder, login.name)
            result.cause = failed[0].error if failed else None
            result.error = failed[0].error.message if failed else _last_line(result.stderr)

    def _watch(self, line: Sequence[str], result: Result, sink: Sink, deadline: float | None) -> int:
        """Run one OpenSSH and pass its output on; return its exit code."""
        try:
            child = subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        except FileNotFoundError as error:
            raise LocalError("ssh is not installed", hint="install the OpenSSH client") from error
        self._children.add(child)
        if self._stopped.is_set():
            child.terminate()
        try:
            with child, selectors.DefaultSelector() as selector:
                for name, pipe in (("stdout", child.stdout), ("stderr", child.stderr)):
                    assert pipe  # noqa: S101 - they are pipes
                    selector.register(pipe, selectors.EVENT_READ, name)
                in_time = _pump(selector, deadline, lambda name, data: self._took(result, sink, name, data))
                if not in_time:
                    child.terminate()
        finally:
            self._children.discard(child)
        if not in_time:
            result.error = f"timed out after {self._timeout:g} s"
            return TIMED_OUT
        if self._stopped.is_set() and child.returncode != 0:
            result.error = "interrupted"
        return child.returncode if child.returncode >= 0 else 128 - child.returncode

    @staticmethod
    def _took(result: Result, sink: Sink, name: str, data: bytes) -> None:
        (result.stdout if name == "stdout" else result.stderr).write(data)
        sink.take(result.label, name, data)


def _pump(selector: selectors.BaseSelector, deadline: float | None, took: Callable[[str, bytes], None]) -> bool:
    """Read pipes until all have ended; return False at the deadline."""
    while selector.get_map():
        remaining = None if deadline is None else deadline - time.monotonic()
        if remaining is not None and remaining <= 0:
            return False
        for key, _ in selector.select(remaining):
            data = key.fileobj.read1(65536)  # type: ignore[union-attr]
            if data:
                took(key.data, data)
            else:
                selector.unregister(key.fileobj)
    return True


def _last_line(stderr: IO[bytes]) -> str:
    """The last line that OpenSSH has written, which is why it ended."""
    stderr.seek(0, 2)
    stderr.seek(max(0, stderr.tell() - 2000))
    lines = stderr.read().decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "the connection failed"
