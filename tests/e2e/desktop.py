"""A desktop that asks for a password, xrdp before it, and a virtual display to see it on."""

from __future__ import annotations

import contextlib
import datetime
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.conftest import find_program
from tests.ports import free_port
from tests.waiting import wait_for

LEFT, RIGHT = "#1a7f37", "#8250df"
"""The colours of the desktop's halves."""

SIZE = (1024, 768)
"""The size that FreeRDP asks for by itself; a VNC server of another size would be asked to change it."""

XRDP = """\
[Globals]
port=tcp://127.0.0.1:{port}
fork=true
security_layer=tls
certificate={cert}
key_file={key}
autorun=desktop
max_bpp=32
allow_channels=true

[Logging]
LogFile={log}
LogLevel=INFO
EnableSyslog=false

[desktop]
name=desktop
lib=libvnc.so
ip=127.0.0.1
port={vnc}
username=na
password=ask
"""
"""One session, which xrdp starts at once; it gives the password of the RDP client to the VNC server."""


@contextlib.contextmanager
def running(words: list[str], **options: object) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program; end it."""
    process = subprocess.Popen(words, **options)  # type: ignore[call-overload]
    try:
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=60)


def answers(port: int) -> bool:
    """Whether something listens on a port of 127.0.0.1."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


@contextlib.contextmanager
def _display(words: list[str]) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Run an X server, which chooses its display."""
    reader, writer = os.pipe()
    with running([*words, "-displayfd", str(writer)], pass_fds=[writer], stdin=subprocess.DEVNULL) as server:
        os.close(writer)
        with os.fdopen(reader) as told:
            yield f":{told.readline().strip()}", server


@contextlib.contextmanager
def xvfb() -> Iterator[str]:
    """A virtual display."""
    with _display(["Xvfb", "-screen", "0", "1100x800x24", "-nolisten", "tcp"]) as (display, _):
        yield display


@contextlib.contextmanager
def vnc_desktop(folder: Path, password: str) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """A VNC server that wants a password (its first eight characters) and shows two colours; its port and process."""
    secret = folder / "vnc-password"
    made = subprocess.run(["vncpasswd", "-f"], input=f"{password}\n".encode(), capture_output=True, check=True)
    secret.touch(mode=0o600)
    secret.write_bytes(made.stdout)
    picture = folder / "desktop.png"
    half = f"{SIZE[0] // 2}x{SIZE[1]}"
    subprocess.run(["convert", "-size", half, f"xc:{LEFT}", f"xc:{RIGHT}", "+append", str(picture)], check=True)
    port = free_port()
    words = ["Xtigervnc", "-rfbport", str(port), "-rfbauth", str(secret), "-SecurityTypes", "VncAuth", "-localhost"]
    with _display([*words, "-AlwaysShared", "-geometry", "{}x{}".format(*SIZE), "-depth", "24"]) as (display, server):
        # It draws the picture and ends, with 1.
        subprocess.run(["display", "-display", display, "-window", "root", str(picture)], check=False, timeout=60)
        assert shares(display, folder / "drawn.png") == (0.5, 0.5)
        yield port, server


@contextlib.contextmanager
def xrdp(folder: Path, port: int, vnc_port: int) -> Iterator[None]:
    """A real xrdp with one session, which logs to `xrdp.log`."""
    key, cert = _certificate(folder)
    log, ini = folder / "xrdp.log", folder / "xrdp.ini"
    ini.write_text(XRDP.format(port=port, vnc=vnc_port, key=key, cert=cert, log=log))
    words = [str(find_program("xrdp")), "--nodaemon", "--config", str(ini)]
    with running(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        wait_for(lambda: server.poll() is not None or answers(port), "an answer of xrdp")
        assert server.poll() is None, log.read_text()
        yield


def _certificate(folder: Path) -> tuple[Path, Path]:
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "desk")])
    now = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now)
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    key_path, cert_path = folder / "xrdp-key.pem", folder / "xrdp-cert.pem"
    key_path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    cert_path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    return key_path, cert_path


def shares(display: str, picture: Path) -> tuple[float, float]:
    """Take a display's picture; return how much of it has the desktop's two colours, as parts of the desktop's size."""
    subprocess.run(["import", "-display", display, "-window", "root", str(picture)], check=True, timeout=60)
    left, right = (_pixels(picture, colour) / (SIZE[0] * SIZE[1]) for colour in (LEFT, RIGHT))
    return left, right


def _pixels(picture: Path, colour: str) -> int:
    # Within 3 %: RDP may carry fewer bits a colour.
    words = ["convert", str(picture), "-fuzz", "3%", "-fill", "black", "+opaque", colour, "-threshold", "0"]
    told = subprocess.run([*words, "-format", "%[fx:mean*w*h]", "info:"], capture_output=True, check=True, timeout=60)
    return round(float(told.stdout))
