"""A PostgreSQL server of the test's own, on a free port of loopback, with SSL."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.conftest import find_program
from tests.waiting import wait_for

USER, PASSWORD = "demo", "a secret"


@dataclass(frozen=True)
class Postgres:
    """A running server; its superuser `demo` has the password `a secret`, and every connection needs one."""

    port: int
    folder: Path

    def execute(self, sql: str) -> str:
        """Run SQL as the superuser, at the server itself."""
        words = [
            "psql",
            "-XAtq",
            "-v",
            "ON_ERROR_STOP=1",
            "-c",
            sql,
            f"host=127.0.0.1 port={self.port} user={USER} dbname=postgres",
        ]
        env = os.environ | {"PGPASSWORD": PASSWORD}
        done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


@contextlib.contextmanager
def postgres() -> Iterator[Postgres]:
    """Run a server as long as the block lasts; as another user where this one is root, whom it does not serve."""
    # Not below pytest's folder, which other users may not enter.
    folder = Path(tempfile.mkdtemp(prefix="eicctl-postgres-"))
    before: list[str] = []
    if os.getuid() == 0:
        known = {entry.pw_name: entry for entry in pwd.getpwall()}
        user = known.get("postgres") or known["nobody"]
        os.chown(folder, user.pw_uid, user.pw_gid)
        before = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    try:
        yield from _serve(folder, before)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _serve(folder: Path, before: Sequence[str]) -> Iterator[Postgres]:
    data = folder / "data"
    _give(folder / "password", PASSWORD.encode(), folder)
    words = [*before, str(find_program("initdb")), "-D", str(data), "-U", USER, "--pwfile", str(folder / "password")]
    words += ["--auth=scram-sha-256", "--no-sync", "--no-locale", "--encoding=UTF8"]
    subprocess.run(words, check=True, capture_output=True, cwd=folder, timeout=60)
    certificate, key = _certificate()
    _give(folder / "server.crt", certificate, folder)
    _give(folder / "server.key", key, folder)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = int(probe.getsockname()[1])
    settings = {
        "listen_addresses": "127.0.0.1",
        "port": port,
        "unix_socket_directories": folder,
        "fsync": "off",
        "ssl": "on",
        "ssl_cert_file": folder / "server.crt",
        "ssl_key_file": folder / "server.key",
    }
    words = [*before, str(find_program("postgres")), "-D", str(data)]
    for name, value in settings.items():
        words += ["-c", f"{name}={value}"]
    server = subprocess.Popen(words, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        _wait(port, server)
        yield Postgres(port, folder)
    finally:
        server.terminate()
        server.communicate(timeout=60)


def _give(path: Path, content: bytes, owner: Path) -> None:
    path.write_bytes(content)
    path.chmod(0o600)
    status = owner.stat()
    os.chown(path, status.st_uid, status.st_gid)


def _wait(port: int, server: subprocess.Popen[bytes]) -> None:
    def ready() -> bool:
        assert server.poll() is None, server.communicate()[1].decode()
        return not subprocess.run(["pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)], check=False).returncode

    wait_for(ready, "the start of PostgreSQL")


def _certificate() -> tuple[bytes, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a database")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    made = builder.sign(key, hashes.SHA256())
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return made.public_bytes(serialization.Encoding.PEM), private
