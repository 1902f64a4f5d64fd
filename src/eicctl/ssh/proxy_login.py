"""A login that OpenSSH makes through `eicctl proxy`, which creates its key, pushes it, and pins the host's keys.

A key for ssh_config(5) is in a file with a fixed name, new for one connection or for several that overlap. OpenSSH may
read its public half as it starts, before its ProxyCommand has done anything, and the private half when it logs in; a
key that another connection to the same host replaced in between would not match. So a key stays in place while a
connection uses it. The last one moves it aside, and a connection within the next minute, whose OpenSSH may have read
it, moves it back.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path

from eicctl.aws.session import Session
from eicctl.core.errors import UsageError
from eicctl.core.model import Target
from eicctl.core.request import ConnectRequest
from eicctl.ssh.keys import Key, KeyType, check_pushable, make_key, own_key, session_key, suited
from eicctl.ssh.known_hosts import by_instance
from eicctl.ssh.login import PUSHED_FOR, Login, is_stale
from eicctl.ssh.os_user import OsUser
from eicctl.support import files, paths
from eicctl.support.threads import begin
from eicctl.tunnel.dial import Dialer, Link

REUSED_FOR = 60
"""Seconds after its last use within which a key is used again. OpenSSH's start takes much less."""


@contextlib.contextmanager
def shared_key(folder: Path, name: str, key_type: KeyType = "auto") -> Iterator[Key]:
    """Yield a key that exists while a connection lasts.

    Args:
        folder: The folder of keys; created with mode 0700.
        name: The key's file: `USER@HOST`.
        key_type: The type of a new key.

    Raises:
        LocalError: The folder cannot be written, or others can write there, too.
    """
    paths.private(folder)
    path = folder / name
    # OpenSSH reads FILE.pub, so the public half has another name.
    public, aside, users = (path.with_name(f".{name}.{kind}") for kind in ("public", "aside", "users"))
    with contextlib.ExitStack() as stack:
        with files.locked(folder / "keys"):
            _sweep(folder)
            if aside.exists() and not path.exists():
                aside.replace(path)
            if path.exists() and public.exists():
                key = Key(path, public.read_text())
            else:
                key = _new_key(path, public, key_type)
            # Each process that uses the key holds a shared lock, which ends with it.
            using = os.open(users, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
            stack.callback(os.close, using)
            files.flock(using, shared=True)
        try:
            yield key
        finally:
            with files.locked(folder / "keys"), contextlib.suppress(FileNotFoundError):
                if files.flock(using, timeout=0):  # it was the last one
                    path.replace(aside)
                    os.utime(aside)


def _new_key(path: Path, public: Path, key_type: KeyType) -> Key:
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".new-") as folder:
        key = make_key(Path(folder) / "key", key_type)
        files.write_whole(public, key.public, durable=False)
        key.file.replace(path)
    return Key(path, key.public)


def _sweep(folder: Path) -> None:
    """Remove keys that were moved aside long ago."""
    for aside in folder.glob(".*.aside"):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - aside.stat().st_mtime > REUSED_FOR:
                aside.unlink()
                aside.with_suffix(".public").unlink(missing_ok=True)


@contextlib.contextmanager
def logged_in(
    session: Session,
    target: Target,
    request: ConnectRequest,
    dialer: Dialer,
    *,
    retry_budget: float,
    say: Callable[[str], None],
) -> Iterator[Link]:
    """Open a tunnel over which OpenSSH can log in; its key exists while the tunnel does.

    Args:
        session: Access to AWS.
        target: Where.
        request: How. In its `ssh_login` the host is as OpenSSH calls it: the name of the key's file, and that under
            which OpenSSH looks for the host's keys. The command of its `session_folder`, if there is one, has
            checked the host's keys, and removes the key.
        dialer: Opens the tunnel.
        retry_budget: See `Dialer.open`.
        say: Called with what the user should know.

    Raises:
        UsageError: `ssh_login` is not `USER@HOST`, or no key can be pushed to the target.
        EicctlError: By the failure of the push or of the dial.
    """
    who, folder = request.ssh_login, request.session_folder
    user, at, host = who.rpartition("@")
    if not (user and at and host) or "/" in who or "\\" in who or who.startswith(".") or not who.isprintable():
        raise UsageError(f"--ssh-login: not USER@HOST: {who!r}", hint="in ssh_config: --ssh-login %r@%n")
    check_pushable(target)
    login = Login(session, target, OsUser(user, "specified"), pushes=True, check=request.host_key_check or "console")
    kind = suited(request.key_type, target.host)
    with contextlib.ExitStack() as kept:
        checking = None if folder else begin(lambda: _pin(login, host, say))
        dialling = begin(lambda: dialer.open(retry_budget=retry_budget, waits=say))
        try:
            if request.private_key_file:
                key = own_key(Path(request.private_key_file))
            elif folder:
                key = session_key(Path(folder), who, kind)
            else:
                from eicctl.ssh.openssh_options import key_folder

                key = kept.enter_context(shared_key(key_folder(), who, kind))
            login.push(key.public)
            pushed = time.monotonic()
            link = dialling.result()
            if checking:
                checking.result()
        except BaseException:
            dialling.add_done_callback(_close)
            raise
        if is_stale(link):
            link.close()
            link = dialer.open(retry_budget=retry_budget, waits=say)
        if time.monotonic() - pushed > PUSHED_FOR:
            try:
                login.push(key.public)
            except BaseException:
                link.close()
                raise
        yield link


def _close(dialled: Future[Link]) -> None:
    """Close the tunnel of a dial that is not waited for."""
    if not dialled.exception():
        dialled.result().close()


def _pin(login: Login, host: str, say: Callable[[str], None]) -> None:
    """Pin the host's keys, before OpenSSH looks, under the name that it has for the host."""
    from eicctl.ssh.openssh_options import named_hosts

    verdict = login.verdict()
    if verdict.note:
        say(verdict.note)
    if host != login.name and login.check != "off":
        named_hosts().follow(host, login.name, by_instance().keys(login.name))
