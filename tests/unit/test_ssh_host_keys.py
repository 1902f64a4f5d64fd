"""Host keys on a console and in known_hosts files."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eicctl.ssh.host_keys import fingerprint, host_keys
from eicctl.ssh.known_hosts import KnownHosts


def key(kind: str, seed: bytes) -> str:
    blob = len(kind).to_bytes(4, "big") + kind.encode() + (32).to_bytes(4, "big") + seed * 32
    return f"{kind} {base64.b64encode(blob).decode()}"


ED, RSA, OTHER = key("ssh-ed25519", b"a"), key("ssh-rsa", b"b"), key("ssh-ed25519", b"c")


def console(*keys: str, prefix: str = "", newline: str = "\r\n") -> str:
    lines = ["boot", "-----BEGIN SSH HOST KEY KEYS-----", *keys, "-----END SSH HOST KEY KEYS-----", "login:"]
    return newline.join(prefix + line for line in lines)


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("prefix", ["", "[   12.345678] cloud-init[1234]: ", "ci-info: "])
def test_keys_are_read_with_what_is_around_them(prefix: str, newline: str) -> None:
    text = console(f"{ED} root@ip-10-0-1-10", RSA, prefix=prefix, newline=newline)
    assert host_keys(text) == (ED, RSA)


def test_the_last_boot_counts() -> None:
    assert host_keys(console(OTHER) + "\n" + console(ED)) == (ED,)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-----BEGIN SSH HOST KEY KEYS-----\n" + ED,
        ED + "\n-----END SSH HOST KEY KEYS-----",
        console("ssh-ed25519 AAAA"),
        console(ED.replace("ssh-ed25519 ", "ssh-rsa ")),
        console("ssh-ed25519 AAAA!!!!"),
    ],
)
def test_what_is_cut_or_no_key_is_left_out(text: str) -> None:
    assert host_keys(text) == ()


@given(st.text())
def test_any_console_can_be_read(text: str) -> None:
    assert host_keys(text + console(ED) + text) in ((ED,), host_keys(text))


def test_fingerprints_are_openssh_s() -> None:
    line = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGtEEV8nMTVpZZWQvo9f3pLxkp1zxsj6oPxHhYtQXn0k"
    assert fingerprint(line).startswith("SHA256:")
    assert len(fingerprint(line)) == len("SHA256:") + 43


@pytest.fixture
def known(tmp_path: Path) -> KnownHosts:
    return KnownHosts(tmp_path / "known_hosts")


def test_pinning_replaces(known: KnownHosts) -> None:
    known.pin("i-1", [ED, RSA])
    known.pin("i-2", [OTHER])
    known.pin("i-1", [OTHER])
    assert known.keys("i-1") == (OTHER,)
    assert known.keys("i-2") == (OTHER,)
    assert known.path.stat().st_mode & 0o777 == 0o600


def test_lines_of_openssh_s_own_stay(known: KnownHosts) -> None:
    known.path.write_text(f"# a comment\ni-9,10.0.0.1 {RSA} comment\n@revoked * {OTHER}\n")
    known.pin("i-1", [ED])
    assert known.keys("i-9") == (RSA,)
    assert known.path.read_text().startswith("# a comment\ni-9,10.0.0.1")


def test_a_name_is_followed_where_its_folder_is_missing(tmp_path: Path) -> None:
    """Blocks of ssh_config that were printed and not installed are the first to need it."""
    hosts = KnownHosts(tmp_path / ".ssh" / "eicctl" / "known_hosts")
    hosts.follow("web-1.eic", "i-1", ["ssh-ed25519 AAAA"])
    assert hosts.keys("web-1.eic") == ("ssh-ed25519 AAAA",)
    assert (tmp_path / ".ssh").stat().st_mode & 0o777 == 0o700


def test_a_name_follows_its_instance(known: KnownHosts) -> None:
    known.follow("web-1.eic", "i-1", [ED])
    known.follow("web-1.eic", "i-1", [OTHER])  # nothing new: what OpenSSH has stays
    assert known.keys("web-1.eic") == (ED,)
    known.follow("web-1.eic", "i-2", [])
    assert known.keys("web-1.eic") == ()
    known.path.write_text(known.path.read_text() + f"web-1.eic {RSA}\n")  # accepted by OpenSSH
    known.follow("web-1.eic", "i-2", [])
    assert known.keys("web-1.eic") == (RSA,)
    known.follow("web-1.eic", "i-3", [OTHER])
    assert known.keys("web-1.eic") == (OTHER,)
