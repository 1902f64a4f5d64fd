"""Connection files, client command lines, and the decryption of passwords."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)

from eicctl.cli.rdp_client import CLIENTS, Client, RdpConnection, decrypt, file_text, find_client
from eicctl.core.errors import LocalError, UsageError

KEY = rsa.generate_private_key(65537, 2048)
DATA = base64.b64encode(KEY.public_key().encrypt(b"s3cret!", PKCS1v15())).decode()
PLACE = RdpConnection(40000, "Administrator", "win-1")


def asked_nothing(path: str) -> str:
    raise AssertionError(f"asked for the passphrase of {path}")


def key_file(folder: Path, form: PrivateFormat, encryption: KeySerializationEncryption) -> Path:
    path = folder / "key.pem"
    path.write_bytes(KEY.private_bytes(Encoding.PEM, form, encryption))
    return path


FORMS = [PrivateFormat.TraditionalOpenSSL, PrivateFormat.PKCS8, PrivateFormat.OpenSSH]


@pytest.mark.parametrize("form", FORMS)
def test_plain_keys(tmp_path: Path, form: PrivateFormat) -> None:
    assert decrypt(DATA, key_file(tmp_path, form, NoEncryption()), asked_nothing) == "s3cret!"


@pytest.mark.parametrize("form", FORMS)
def test_keys_with_a_passphrase(tmp_path: Path, form: PrivateFormat) -> None:
    path = key_file(tmp_path, form, BestAvailableEncryption(b"open"))
    assert decrypt(DATA, path, lambda _path: "open") == "s3cret!"
    with pytest.raises(LocalError, match="Cannot read the private key"):
        decrypt(DATA, path, lambda _path: "wrong")
    with pytest.raises(LocalError, match="Cannot read the private key"):
        decrypt(DATA, path, lambda _path: "")


def test_another_key_is_told(tmp_path: Path) -> None:
    path = key_file(tmp_path, PrivateFormat.PKCS8, NoEncryption())
    other = rsa.generate_private_key(65537, 2048).public_key().encrypt(b"s3cret!", PKCS1v15())
    with pytest.raises(UsageError, match="does not decrypt"):
        decrypt(base64.b64encode(other).decode(), path, asked_nothing)


def test_a_few_letters_are_no_password(tmp_path: Path) -> None:
    """A wrong key gives random bytes; one time in some hundred they are a printable few."""
    few = KEY.public_key().encrypt(b"a?", PKCS1v15())
    with pytest.raises(UsageError, match="does not decrypt"):
        decrypt(base64.b64encode(few).decode(), key_file(tmp_path, FORMS[0], NoEncryption()), asked_nothing)


def test_no_rsa_key(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    key = ed25519.Ed25519PrivateKey.generate()
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    with pytest.raises(UsageError, match="not an RSA key"):
        decrypt(DATA, path, asked_nothing)


def test_no_key_at_all(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    path.write_text("hello")
    with pytest.raises(LocalError, match="Cannot read the private key"):
        decrypt(DATA, path, asked_nothing)


def test_an_ipv6_address_stands_in_brackets() -> None:
    place = RdpConnection(40000, "me", "win-1", "::1")
    assert file_text(place).startswith("full address:s:[::1]:40000\r\n")
    assert "/v:[::1]:40000" in Client("xfreerdp", "xfreerdp").command(place, None, with_password=False)


def test_the_file_has_one_setting_a_line() -> None:
    lines = file_text(PLACE).split("\r\n")
    assert "full address:s:127.0.0.1:40000" in lines
    assert "username:s:Administrator" in lines
    assert not any("password" in line for line in lines)


@pytest.mark.parametrize("user", ["a\r\nalternate shell:s:calc", "a\nb", "a\u2028b", "a\0b"])
def test_a_user_adds_no_line(user: str) -> None:
    with pytest.raises(UsageError):
        file_text(RdpConnection(1, user, "x"))


def test_freerdp_reads_the_password_from_stdin() -> None:
    words = Client("xfreerdp", "/bin/xfreerdp").command(PLACE, None, with_password=True)
    assert words[:3] == ["/bin/xfreerdp", "/v:127.0.0.1:40000", "/u:Administrator"]
    assert "/from-stdin:force" in words
    assert not any(word.startswith("/p") for word in words)


@pytest.mark.parametrize(
    ("name", "words"), [("mstsc", ["x.rdp"]), ("open", ["-W", "x.rdp"]), ("remmina", ["-c", "x.rdp"])]
)
def test_other_clients_read_the_file(name: str, words: list[str]) -> None:
    client = Client(name, name)
    assert client.command(PLACE, Path("x.rdp"), with_password=False) == [name, *words]
    assert not client.takes_password
    assert client.reads_file


@pytest.mark.parametrize(
    ("platform", "name", "told"),
    [
        ("linux", "mstsc", "a client of Windows"),
        ("linux", "open", "a client of macOS"),
        ("darwin", "mstsc", "a client of Windows"),
        ("darwin", "remmina", "a client of Linux"),
        ("win32", "open", "a client of macOS"),
    ],
)
def test_a_client_of_another_platform(platform: str, name: str, told: str) -> None:
    with pytest.raises(UsageError, match=told) as raised:
        find_client(platform, name, find=lambda name: name)
    assert name not in str(raised.value.hint)
    assert "xfreerdp" in str(raised.value.hint)


@pytest.mark.parametrize("code", [0, 2, 11, 12])
def test_freerdps_codes_of_an_ended_session(code: int) -> None:
    assert Client("xfreerdp", "xfreerdp").ended_well(code)
    assert Client("mstsc", "mstsc").ended_well(code) == (code == 0)


@pytest.mark.parametrize("code", [1, 131, 132, 134, 147, -15])
def test_freerdps_codes_of_a_failure(code: int) -> None:
    assert not Client("xfreerdp", "xfreerdp").ended_well(code)


@pytest.mark.parametrize(
    ("platform", "there", "chosen"),
    [
        ("linux", CLIENTS, "xfreerdp3"),
        ("linux", ("xfreerdp", "remmina"), "xfreerdp"),
        ("darwin", CLIENTS, "open"),
        ("win32", CLIENTS, "mstsc"),
        ("freebsd14", ("xfreerdp3", "open"), "xfreerdp3"),
    ],
)
def test_the_platforms_client(platform: str, there: tuple[str, ...], chosen: str) -> None:
    assert find_client(platform, find=lambda name: name if name in there else None).name == chosen


def test_no_client() -> None:
    with pytest.raises(LocalError, match="Cannot find a Remote Desktop client") as told:
        find_client("linux", find=lambda _name: None)
    assert "--no-launch" in str(told.value.hint)
    with pytest.raises(UsageError, match="Unknown client 'emacs'"):
        find_client("linux", "emacs")
