"""OpenSSH's sshd as the SSH server of the Linux machines: one process a connection, on a socket pair, without a port.

sshd knows real accounts only, so the machines' OS users must be accounts of this computer. The account that runs the
emulator always is one, and its name is accepted for every machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import shutil
import socket
import tempfile
from pathlib import Path

from eicctl.emulator.state import Machine, State
from eicctl.errors import LocalError

_CONFIG = """\
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/keys/%u
AllowUsers {user}
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


def account() -> str:
    """The name of the account that runs the emulator: the OS user to log in as."""
    return pwd.getpwuid(os.getuid()).pw_name


class Sshd:
    """Serves SSH by sshd.

    Args:
        state: Tells which keys are accepted now.
        folder: A private folder for configurations and keys.

    Raises:
        LocalError: sshd is not installed.
    """

    def __init__(self, state: State, folder: Path) -> None:
        found = shutil.which("sshd", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
        if not found:
            raise LocalError("there is no sshd", hint="apt install openssh-server, or leave --sshd away")
        self._program = found
        self._state = state
        self._folder = folder / "sshd"
        if os.getuid() == 0:
            # Debian's sshd wants its privilege separation folder, which its service would have made.
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)

    async def serve(self, machine: Machine, sock: socket.socket) -> None:
        """Serve one connection on a connected socket until it ends."""
        folder = self._prepare(machine)
        with sock:
            process = await asyncio.create_subprocess_exec(
                self._program, "-i", "-e", "-f", str(folder / "config"),
                stdin=sock.fileno(), stdout=sock.fileno(), stderr=asyncio.subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip
        try:
            await process.wait()
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.terminate()

    def _prepare(self, machine: Machine) -> Path:
        """Write a machine's configuration and the keys that are accepted now; return its folder."""
        folder = self._folder / machine.instance_id
        (folder / "keys").mkdir(mode=0o700, parents=True, exist_ok=True)
        _write(folder / "host_key", machine.host_key)
        _write(folder / "config", _CONFIG.format(folder=folder, user=account()))
        _write(folder / "keys" / account(), "\n".join([*self._state.keys(machine.instance_id, account()), ""]))
        return folder


def _write(path: Path, text: str) -> None:
    """Write a private file in one step: a connection that starts meanwhile reads the old one or the new one."""
    descriptor, name = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    Path(name).replace(path)
