"""OpenSSH's own tools with `eicctl proxy` as their ProxyCommand."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

import pytest

from tests.e2e.conftest import Eicctl, Env, boto3_client

SIZE = 200 * 2**20
PROXY = "ProxyCommand=eicctl proxy %h --remote-port %p"


@pytest.fixture
def options(env: Env, eicctl: Eicctl, tmp_path: Path) -> list[str]:
    """OpenSSH's options: the proxy, and a key that web-1 accepts for a minute."""
    key = tmp_path / "id"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    found = eicctl("instances", "--query", "[?Name=='web-1'].InstanceId", "--output", "text")
    boto3_client(env, "ec2-instance-connect").send_ssh_public_key(
        InstanceId=found.stdout.decode().strip(),
        InstanceOSUser="ec2-user",
        SSHPublicKey=key.with_suffix(".pub").read_text(),
    )
    strict = ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"]
    return ["-F", "none", "-o", PROXY, "-i", str(key), "-o", "IdentitiesOnly=yes", *strict]


@pytest.fixture(scope="session")
def large_file(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A file of 200 MB that does not compress, and its SHA-256."""
    path = tmp_path_factory.mktemp("large") / "large.bin"
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for _ in range(SIZE // 2**20):
            block = os.urandom(2**20)
            digest.update(block)
            file.write(block)
    return path, digest.hexdigest()


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def run(env: Env, *command: str, stdin: bytes = b"") -> bytes:
    done = subprocess.run(command, env=env, input=stdin, capture_output=True, timeout=110, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def test_ssh(env: Env, options: list[str]) -> None:
    assert run(env, "ssh", *options, "ec2-user@web-1", "echo $USER") == b"ec2-user\n"


def test_scp_of_200_mb(env: Env, options: list[str], large_file: tuple[Path, str], tmp_path: Path) -> None:
    path, digest = large_file
    run(env, "scp", *options, str(path), "ec2-user@web-1:scp.bin")
    assert run(env, "ssh", *options, "ec2-user@web-1", "sha256sum scp.bin").decode().split()[0] == digest
    run(env, "scp", *options, "ec2-user@web-1:scp.bin", str(tmp_path / "back.bin"))
    assert sha256(tmp_path / "back.bin") == digest


@pytest.mark.needs("rsync")
def test_rsync_of_200_mb(env: Env, options: list[str], large_file: tuple[Path, str], tmp_path: Path) -> None:
    path, digest = large_file
    shell = "ssh " + " ".join(f"'{word}'" for word in options)
    run(env, "rsync", "-e", shell, str(path), "ec2-user@web-1:rsync.bin")
    run(env, "rsync", "-e", shell, "ec2-user@web-1:rsync.bin", str(tmp_path / "back.bin"))
    assert sha256(tmp_path / "back.bin") == digest


def test_sftp(env: Env, options: list[str], tmp_path: Path) -> None:
    (tmp_path / "hello").write_bytes(b"hello")
    run(
        env,
        "sftp",
        *options,
        "-b",
        "-",
        "ec2-user@web-1",
        stdin=f"put {tmp_path}/hello\nget hello {tmp_path}/b\n".encode(),
    )
    assert (tmp_path / "b").read_bytes() == b"hello"
