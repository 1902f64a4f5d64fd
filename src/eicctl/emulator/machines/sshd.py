"""OpenSSH's sshd as the SSH server of the Linux machines: one process a connection, on a socket pair, without a port.

sshd accepts only real accounts. nss_wrapper (package `libnss-wrapper`), a library loaded before libc, answers
getpwnam() and the like from a file: it gives every OS user of the machines the uid of the account that runs the
emulator, and a folder of the emulator's as home. Without it, that account is the only OS user of every machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import shutil
import signal
import socket
import threading
from collections.abc import Iterable
from pathlib import Path

from eicctl.core.errors import LocalError
from eicctl.emulator.state import Machine, State
from eicctl.support.files import write_whole

_LIBRARY_FOLDERS = ("/usr/lib", "/usr/lib64", "/usr/local/lib")
_NAME = "libnss_wrapper.so"
_NO_SHELLS = ("", "false", "nologin")


def own_account() -> str:
    """The name of the account that runs the emulator; a number if it has none, as in some containers."""
    with contextlib.suppress(KeyError):
        return pwd.getpwuid(os.getuid()).pw_name
    return str(os.getuid())


def login_shell() -> str:
    """The account's login shell, or sh if it is not meant to log in."""
    with contextlib.suppress(KeyError):
        found = pwd.getpwuid(os.getuid()).pw_shell
        if Path(found).name not in _NO_SHELLS:
            return found
    return "/bin/sh"


def find_wrapper() -> Path | None:
    """Return nss_wrapper's library, or None if it is not installed."""
    for folder in map(Path, _LIBRARY_FOLDERS):
        # Debian has it in a folder of the machine's architecture, such as x86_64-linux-gnu.
        for found in (folder / _NAME, *folder.glob(f"*-linux-gnu*/{_NAME}")):
            if found.exists():
                return found
    return None


def passwd_lines(users: Iterable[str], home: Path) -> list[str]:
    """Return lines of passwd(5): the users, and this computer's accounts, which sshd needs too."""
    made_up = [f"{user}:x:{os.getuid()}:{os.getgid()}::{home}:{login_shell()}" for user in users]
    # A uid is called by the first line that has it, so the account itself comes after its other names.
    return [*made_up, *(_line(entry) for entry in pwd.getpwall() if entry.pw_name not in set(users))]


def _line(entry: pwd.struct_passwd) -> str:
    return f"{entry.pw_name}:x:{entry.pw_uid}:{entry.pw_gid}::{entry.pw_dir}:{entry.pw_shell}"


_CONFIG = """\
HostKey "{folder}/host_key"
AuthorizedKeysFile "{tokens}/keys/%u"
AllowUsers {users}
LoginGraceTime 30
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
PrintMotd no
PrintLastLog no
AcceptEnv LANG LC_*
Subsystem sftp internal-sftp
"""


class Sshd:
    """Serves SSH by sshd.

    Args:
        state: Has the keys that are accepted now.
        folder: A private folder for configurations, keys and homes.

    Raises:
        LocalError: sshd is not installed.
    """

    def __init__(self, state: State, folder: Path) -> None:
        found = shutil.which("sshd", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
        if not found:
            raise LocalError("sshd is not installed", hint="apt install openssh-server, or omit --sshd")
        self._program = found
        self._state = state
        self._folder = folder
        self._writing = threading.Lock()
        self._wrapper = find_wrapper()
        # sshd reads the file when a client logs in, which may be after a key was pushed to an open connection.
        state.on_push = self._keys_changed
        if os.getuid() == 0:
            # Debian's sshd wants its privilege separation folder, which its service would have created.
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)

    async def serve(self, machine: Machine, sock: socket.socket) -> None:
        """Serve one connection on a connected socket until it ends."""
        folder = self._prepare(machine)
        with sock:
            process = await asyncio.create_subprocess_exec(
                self._program, "-i", "-e", "-f", str(folder / "config"),
                stdin=sock.fileno(), stdout=sock.fileno(), stderr=asyncio.subprocess.DEVNULL,
                env=self._environment(folder), start_new_session=True,
            )  # fmt: skip
        try:
            await process.wait()
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGTERM)
                await process.wait()

    def _environment(self, folder: Path) -> dict[str, str]:
        env = {"PATH": os.environ.get("PATH", "/usr/bin:/bin")}
        if self._wrapper:
            # sshd creates a new environment for what the client runs, without these.
            files = {"NSS_WRAPPER_PASSWD": str(folder / "passwd"), "NSS_WRAPPER_GROUP": "/etc/group"}
            env |= {"LD_PRELOAD": str(self._wrapper), **files}
        return env

    def _users(self, machine: Machine) -> tuple[str, ...]:
        return machine.users if self._wrapper else (own_account(),)

    def _prepare(self, machine: Machine) -> Path:
        """Write a machine's configuration and the keys that are accepted now; return its folder."""
        folder = self._folder / "sshd" / machine.instance_id
        home = self._folder / "homes" / machine.instance_id
        for path in (folder / "keys", home):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        users = self._users(machine)
        write_whole(folder / "host_key", machine.host_key, durable=False)
        # A name with an @, which the service allows, means USER@HOST in sshd_config; ? matches any character.
        names = " ".join(u.replace("@", "?") for u in users)
        quoted = str(folder).replace("\\", "\\\\").replace('"', '\\"')
        config = _CONFIG.format(folder=quoted, tokens=quoted.replace("%", "%%"), users=names)
        write_whole(folder / "config", config, durable=False)
        if self._wrapper:
            write_whole(folder / "passwd", "\n".join([*passwd_lines(users, home), ""]), durable=False)
        self._write_keys(machine, folder)
        return folder

    def _keys_changed(self, instance_id: str) -> None:
        folder = self._folder / "sshd" / instance_id
        machine = self._state.machine_of(instance_id)
        if machine and (folder / "keys").is_dir():
            self._write_keys(machine, folder)

    def _write_keys(self, machine: Machine, folder: Path) -> None:
        with self._writing:  # a new connection must not write keys from before a push over those after it
            for user in self._users(machine):
                keys = [*machine.authorized_keys, *self._state.keys(machine.instance_id, user)]
                write_whole(folder / "keys" / user, "\n".join([*keys, ""]), durable=False)
