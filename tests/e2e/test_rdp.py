"""`eicctl rdp`, as installed: FreeRDP on a virtual display, before a real xrdp."""

from __future__ import annotations

import contextlib
import datetime
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import boto3
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.conftest import find_program
from tests.e2e.conftest import PROGRAM, Env, clean_env, run_eicctl, start_local

WORLD = """
[[image]]
key = "windows"
name = "Windows_Server-2025-English-Full-Base-2026.03.11"
platform = "windows"
users = ["Administrator"]

[[vpc]]
cidr = "10.0.0.0/16"

[[vpc.subnet]]
name = "a"
cidr = "10.0.1.0/24"

[[vpc.group]]
name = "rdp"
ingress = ["3389 from 10.0.0.0/16"]

[[vpc.instance]]
name = "desk"
address = "10.0.1.20"
groups = ["rdp"]
key_name = "desk-key"
forwards = {{ 3389 = "127.0.0.1:{port}" }}
"""

needs_desktop = pytest.mark.needs("xrdp", "xfreerdp", "Xvfb", "import", "convert")


def until(condition: Callable[[], bool], what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.1)


@contextlib.contextmanager
def running(words: list[str], **options: object) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(words, **options)  # type: ignore[call-overload]
    try:
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=20)


def certificate(folder: Path) -> tuple[Path, Path]:
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "desk")])
    now = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now)
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    key_path, cert_path = folder / "key.pem", folder / "cert.pem"
    key_path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    cert_path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    return key_path, cert_path


def answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


@pytest.fixture
def xrdp(tmp_path: Path) -> Iterator[int]:
    """A real xrdp with its login window, for any user; its port."""
    key, cert = certificate(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    ini = tmp_path / "xrdp.ini"
    # Debian's own settings, with what a user without rights may use.
    ours = {"port": f"tcp://127.0.0.1:{port}", "certificate": cert, "key_file": key, "fork": "false"}
    ours |= {"security_layer": "tls", "LogFile": tmp_path / "xrdp-own.log", "EnableSyslog": "false"}
    text = Path("/etc/xrdp/xrdp.ini").read_text()
    for name, value in ours.items():
        text = re.sub(rf"(?m)^{name}=.*$", f"{name}={value}", text, count=1)
    ini.write_text(text)
    program = find_program("xrdp")
    assert program
    log = tmp_path / "xrdp.log"
    with (
        log.open("wb") as output,
        running(
            [program, "--nodaemon", "--config", str(ini)], stdin=subprocess.DEVNULL, stdout=output, stderr=output
        ) as server,
    ):
        until(lambda: server.poll() is not None or answers(port), "xrdp answers")
        assert server.poll() is None, log.read_text()
        yield port


@pytest.fixture
def display(tmp_path: Path) -> Iterator[str]:
    """A virtual display that Xvfb has chosen."""
    reader, writer = os.pipe()
    words = ["Xvfb", "-displayfd", str(writer), "-screen", "0", "1100x800x24", "-nolisten", "tcp"]
    with running(words, pass_fds=[writer], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
        os.close(writer)
        with os.fdopen(reader) as told:
            yield f":{told.readline().strip()}"


@pytest.fixture
def desk(xrdp: int, tmp_path: Path) -> Iterator[Env]:
    """A local AWS whose Windows machine is that xrdp, and the private key of its key pair in `key.pem` of HOME."""
    folder = tmp_path / "aws"
    folder.mkdir()
    (folder / "world.toml").write_text(WORLD.format(port=xrdp))
    env = clean_env(folder)
    found = start_local(env, "--world", str(folder / "world.toml"))
    try:
        made = run_eicctl(found, "create-endpoint", "--create-security-group", "--wait")
        assert made.returncode == 0, made.stderr.decode()
        ec2 = boto3.client(
            "ec2", endpoint_url=found["AWS_ENDPOINT_URL"], region_name="us-east-1",
            aws_access_key_id=found["AWS_ACCESS_KEY_ID"], aws_secret_access_key=found["AWS_SECRET_ACCESS_KEY"],
            aws_session_token=found.get("AWS_SESSION_TOKEN"),
        )  # fmt: skip
        (folder / "key.pem").write_text(ec2.create_key_pair(KeyName="desk-key")["KeyMaterial"])
        yield found
    finally:
        run_eicctl(env, "local", "down")


def grey(display: str, path: Path) -> float:
    """Take the display's picture; return how much of it (0 to 1) has the colour of xrdp's windows."""
    env = os.environ | {"DISPLAY": display}
    subprocess.run(["import", "-window", "root", str(path)], env=env, check=True, timeout=30)
    words = ["convert", str(path), "-fuzz", "3%", "-fill", "black", "+opaque", "#dedede", "-threshold", "50%"]
    told = subprocess.run([*words, "-format", "%[fx:mean]", "info:"], capture_output=True, check=True, timeout=30)
    return float(told.stdout)


def command_lines() -> dict[int, list[str]]:
    found = {}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found[int(path.parent.name)] = path.read_bytes().decode(errors="replace").split("\0")
    return found


@needs_desktop
def test_a_session_with_the_password_on_stdin(desk: Env, display: str, tmp_path: Path) -> None:
    key = str(Path(desk["HOME"]) / "key.pem")
    password = run_eicctl(desk, "rdp", "desk", "--key-file", key, "--print-password").stdout.decode().strip()
    assert password.startswith("Eic-")
    picture = tmp_path / "screen.png"
    assert grey(display, picture) == 0
    saved = tmp_path / "desk.rdp"
    words = [PROGRAM, "rdp", "desk", "--key-file", key, "--client", "xfreerdp", "--save", str(saved)]
    log = tmp_path / "eicctl.log"
    with (
        log.open("wb") as output,
        running(
            words, env=desk | {"DISPLAY": display}, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        ) as command,
    ):

        def shown() -> bool:
            assert command.poll() is None, log.read_text(errors="replace")
            return grey(display, picture) > 0.1

        until(shown, "the picture shows xrdp's screen")
        lines = command_lines()
        assert not [line for line in lines.values() if any(password in word for word in line)]
        assert password not in saved.read_text()
        assert saved.stat().st_mode & 0o777 == 0o600
        program = str(shutil.which("xfreerdp"))
        port = saved.read_text().split("full address:s:127.0.0.1:")[1].split()[0]
        clients = [pid for pid, line in lines.items() if line[0] == program and f"/v:127.0.0.1:{port}" in line]
        assert len(clients) == 1
        os.kill(clients[0], signal.SIGTERM)
        command.wait(30)
    assert not answers(int(port))
    if keep := os.environ.get("EICCTL_TEST_PICTURES"):
        shutil.copy(picture, keep)
