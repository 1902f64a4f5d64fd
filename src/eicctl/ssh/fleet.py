"""One command on many instances: which ones, through which endpoints, as whom, and an OpenSSH process for each."""

from __future__ import annotations

import contextlib
import os
import queue
import selectors
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from eicctl.aws.endpoint_selection import spread
from eicctl.aws.endpoints import list_endpoints
from eicctl.aws.instances import instances_named, list_instances
from eicctl.aws.session import Session
from eicctl.aws.targets import target_of
from eicctl.core.errors import EicctlError, LocalError, NotFoundError
from eicctl.core.model import Endpoint, Instance
from eicctl.ssh.command_output import Output, Result
from eicctl.ssh.host_keys import Check
from eicctl.ssh.known_hosts import by_instance
from eicctl.ssh.login import Login
from eicctl.ssh.openssh_options import OpensshOptions, as_options, ssh_command
from eicctl.ssh.os_user import OsUser, choose_all
from eicctl.ssh.process import take_failures
from eicctl.support.clock import Backoff
from eicctl.support.threads import begin, both
from eicctl.tunnel.dial import allow_many
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
        raise NotFoundError(f"No running instance in {session.region} matches", hint="eicctl instances")
    users = {} if os_user else choose_all(session, instances)
    return [
        FleetHost(instance, endpoint, OsUser(os_user, "specified") if os_user else users[instance.id])
        for instance, endpoint in spread(instances, endpoints, LIMIT)
    ]


TIMED_OUT = 124
"""Exit code for a command that took too long, as timeout(1) gives it."""

_DESCRIPTORS = 5
"""Most file descriptors that a host takes: its pipes, what waits for them, and a file of its output."""

_RESERVED = 64
"""File descriptors for everything else: AWS's API, files of caches and keys."""

_AT_ONCE = 8
"""Connections that are being opened at a time, for each processor: with more, each takes longer than an endpoint, or a
pushed key, waits for it."""

_BEGINNING = 3.0
"""Seconds after which a connection of which nothing is heard counts as open."""

_ATTEMPTS = 3
"""How often a host is connected to while its tunnel cannot be opened for a reason that may pass."""

_PAUSES = (2.0, 10.0)
"""First and longest seconds between two attempts."""

_ENDING = 5.0
"""Seconds in which commands have to end after an interrupt, before their hosts are reported as interrupted."""


class Sink(Protocol):
    """Takes a host's output as it comes. Called from several threads.

    Attributes:
        keeps: Whether it needs a host's stdout at the end.
    """

    keeps: bool

    def take(self, label: str, stream: str, data: bytes) -> None:
        """Take bytes of `stdout` or `stderr`."""

    def finished(self, result: Result) -> None:
        """Take a host's result."""


class _Waiting:
    """The hosts that wait. The next one is behind the endpoint that has the fewest, so that all endpoints are busy, and
    no thread waits for a full one while another has room.

    Args:
        logins: The hosts, in the order in which those of an endpoint begin.
    """

    def __init__(self, logins: Sequence[Login]) -> None:
        self._by_endpoint: dict[str, deque[Login]] = {}
        for login in logins:
            self._by_endpoint.setdefault(login.target.endpoint_id, deque()).append(login)
        self._running = dict.fromkeys(self._by_endpoint, 0)
        self._changed = threading.Condition()

    def take(self) -> Login | None:
        """Return a host as soon as its endpoint has room for it; None where no host waits any more."""
        with self._changed:
            while left := [endpoint_id for endpoint_id, hosts in self._by_endpoint.items() if hosts]:
                endpoint_id = min(left, key=self._running.__getitem__)
                if self._running[endpoint_id] < LIMIT:
                    self._running[endpoint_id] += 1
                    return self._by_endpoint[endpoint_id].popleft()
                self._changed.wait()
            self._changed.notify_all()
            return None

    def done(self, login: Login) -> None:
        """A host needs its endpoint no longer."""
        with self._changed:
            self._running[login.target.endpoint_id] -= 1
            self._changed.notify()

    def clear(self) -> None:
        """Let no host begin any more."""
        with self._changed:
            self._by_endpoint.clear()
            self._changed.notify_all()


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
        self._waiting = _Waiting(logins)
        self._beginning = threading.BoundedSemaphore(_AT_ONCE * (os.cpu_count() or 1))
        self._stopped = threading.Event()
        self._children: set[subprocess.Popen[bytes]] = set()

    def run(self, sink: Sink, parallel: int) -> list[Result]:
        """Run the command on all hosts, `parallel` at a time; return the results in the hosts' order.

        Fewer run at a time where the process may not have enough file descriptors. An interrupt ends the commands that
        run; the others have the code None.
        """
        came: queue.SimpleQueue[tuple[Login, Result] | BaseException] = queue.SimpleQueue()
        found: dict[int, Result] = {}

        def work() -> None:
            try:
                while login := self._waiting.take():
                    result = self._run_one(login, sink)
                    self._waiting.done(login)
                    came.put((login, result))
            except BaseException as error:
                came.put(error)

        def take(timeout: float | None = None) -> None:
            match came.get(timeout=timeout):
                case (login, result):
                    found[id(login)] = result
                    sink.finished(result)
                case BaseException() as error:
                    raise error

        for _worker in range(min(parallel, len(self._logins), _affordable())):
            begin(work)
        try:
            while len(found) < len(self._logins):
                take()
        except (KeyboardInterrupt, SystemExit):  # Ctrl-C, or SIGTERM
            self.stop()
            deadline = time.monotonic() + _ENDING
            with contextlib.suppress(queue.Empty):
                while self._children or not came.empty():
                    take(max(0.0, deadline - time.monotonic()))
        except BaseException:
            self.stop()
            raise
        interrupted = "interrupted"
        return [
            found.get(id(login)) or Result(login.target.label, login.target.instance_id, error=interrupted)
            for login in self._logins
        ]

    def stop(self) -> None:
        """End the commands that run, and begin no others."""
        self._stopped.set()
        self._waiting.clear()
        for child in list(self._children):
            with contextlib.suppress(OSError):
                child.terminate()

    def _run_one(self, login: Login, sink: Sink) -> Result:
        folder, name = self._openssh.folder, login.name
        assert folder  # noqa: S101 - it is in a session
        kept = [Output(folder / f"{name}.{stream}") for stream in ("stdout", "stderr")]
        result = Result(login.target.label, login.target.instance_id, stdout=kept[0], stderr=kept[1])
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
            quiet=True,  # a proxy's progress does not belong to the command's output
        )
        openssh = replace(self._openssh, request=request)
        settings = {"BatchMode": "yes", "HostKeyAlias": login.name}
        settings |= openssh.settings(by_instance(), strict=login.verdict().strict)
        options = ["-T", "-n", *as_options(settings)]
        line = ssh_command(target, login.user.name, options, self._command)
        assert self._openssh.folder and result.stderr  # noqa: S101, PT018 - it is in a session
        backoff, reported = Backoff(*_PAUSES), 0
        for attempt in range(_ATTEMPTS):
            self._beginning.acquire()
            if self._stopped.is_set():
                self._beginning.release()
                result.code, result.error = None, "interrupted"
                return
            result.code = self._watch(line, result, sink, deadline)
            if result.code != 255 or result.error:
                return
            failed = take_failures(self._openssh.folder, login.name)[reported:]
            reported += len(failed)
            lost = failed[0].error.transient and not failed[0].lived if failed else _before_login(result.stderr)
            if not lost or attempt == _ATTEMPTS - 1 or self._stopped.wait(backoff.pause()):
                break
            result.stderr.drop()  # nobody was logged in, so the command did not run
        result.cause = failed[0].error if failed else None
        result.error = failed[0].error.message if failed else result.stderr.last_line() or "the connection failed"

    def _watch(self, line: Sequence[str], result: Result, sink: Sink, deadline: float | None) -> int:
        """Run one OpenSSH and pass its output on; return its exit code."""
        with contextlib.ExitStack() as stack, contextlib.ExitStack() as begun:
            begun.callback(self._beginning.release)
            try:
                child = subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            except FileNotFoundError as error:
                raise LocalError("ssh is not installed", hint="install the OpenSSH client") from error
            except OSError as error:
                reason = error.strerror or str(error)
                raise LocalError(f"Cannot start ssh: {reason}", hint="ulimit -n; ulimit -u") from error
            self._children.add(child)
            stack.callback(self._children.discard, child)
            if self._stopped.is_set():
                child.terminate()
            with child, selectors.DefaultSelector() as selector:
                for name, pipe in (("stdout", child.stdout), ("stderr", child.stderr)):
                    assert pipe  # noqa: S101 - they are pipes
                    selector.register(pipe, selectors.EVENT_READ, name)
                in_time = _pump(
                    selector, deadline, lambda name, data: self._took(result, sink, name, data), begun.close
                )
                if not in_time:
                    child.terminate()
        if not in_time:
            result.error = f"timed out after {self._timeout:g} s"
            return TIMED_OUT
        if self._stopped.is_set() and child.returncode != 0:
            result.error = "interrupted"
        return child.returncode if child.returncode >= 0 else 128 - child.returncode

    @staticmethod
    def _took(result: Result, sink: Sink, name: str, data: bytes) -> None:
        output = result.stderr if name == "stderr" else result.stdout if sink.keeps else None
        if output:
            output.write(data)
        sink.take(result.label, name, data)


def _pump(
    selector: selectors.BaseSelector,
    deadline: float | None,
    took: Callable[[str, bytes], None],
    begun: Callable[[], None],
) -> bool:
    """Read pipes until all have ended; return False at the deadline.

    `begun` is called when the connection shows that it is there, or has had its time to begin.
    """
    beginning: float | None = time.monotonic() + _BEGINNING
    while selector.get_map():
        now = time.monotonic()
        if deadline is not None and deadline <= now:
            return False
        if beginning is not None and beginning <= now:
            begun()
            beginning = None
        ends = [end - now for end in (deadline, beginning) if end is not None]
        for key, _ in selector.select(min(ends, default=None)):
            data = key.fileobj.read1(65536)  # type: ignore[union-attr]
            if data:
                begun()
                took(key.data, data)
            else:
                selector.unregister(key.fileobj)
    return True


def _before_login(stderr: Output) -> bool:
    """Whether the server has closed the connection before the login, as it does if the push of the key takes too long
    (sshd_config(5), LoginGraceTime). Afterwards OpenSSH says `Connection to … closed by remote host`."""
    return stderr.last_line().startswith("Connection closed by UNKNOWN port")


def _affordable() -> int:
    """How many hosts can be connected to at a time with the file descriptors that this process may have."""
    try:
        import resource
    except ImportError:  # Windows
        return 1000
    allow_many()
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return 1000 if most == resource.RLIM_INFINITY else max(1, (most - _RESERVED) // _DESCRIPTORS)
