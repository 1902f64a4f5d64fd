"""Keys of the user's own, keys that this machine or the image cannot have, and an OpenSSH of long ago."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.e2e.conftest import Env, run_eicctl

pytestmark = pytest.mark.needs("sshd")


def new_key(folder: Path, *, public: bool = True) -> Path:
    key = folder / "id of mine"
    subprocess.run(["ssh-keygen", "-q", "-t", "ecdsa", "-N", "", "-f", str(key)], check=True)
    if not public:
        Path(f"{key}.pub").unlink()
    return key


def in_place_of(program: str, script: str, env: Env, folder: Path) -> Env:
    """An environment in which a program is a script, which can run the real one as $REAL."""
    (folder / "bin").mkdir(exist_ok=True)
    file = folder / "bin" / program
    file.write_text(f"#!/bin/sh\nREAL={shutil.which(program)}\n{script}")
    file.chmod(0o755)
    return env | {"PATH": f"{folder}/bin:{env['PATH']}"}


@pytest.mark.parametrize("public", [True, False])
@pytest.mark.parametrize("option", ["-i", "--private-key-file"])
def test_the_public_half_of_an_own_key_is_pushed(sshd_env: Env, tmp_path: Path, option: str, public: bool) -> None:
    key = new_key(tmp_path, public=public)
    asked = run_eicctl(sshd_env, "ssh", option, str(key), "node-1", "--", "echo in")
    assert asked.returncode == 255
    done = run_eicctl(sshd_env, "ssh", option, str(key), "--send-key", "node-1", "--", "echo in")
    assert done.stdout == b"in\n", done.stderr.decode()


def test_an_own_key_is_pushed_by_what_is_written_for_later(sshd_env: Env, tmp_path: Path) -> None:
    key = str(new_key(tmp_path))
    own = ("--private-key-file", key, "--send-key")
    printed = run_eicctl(sshd_env, "ssh", *own, "--print-command", "node-2", "--", "echo printed")
    written = run_eicctl(sshd_env, "ssh-config", *own, "node-3", "--install")
    assert written.returncode == 0, written.stderr.decode()
    for line, said in ((printed.stdout.decode(), "printed"), ("ssh node-3.eic echo written", "written")):
        done = subprocess.run(["sh", "-c", line], env=sshd_env, capture_output=True, text=True, timeout=60, check=False)
        assert done.stdout == f"{said}\n", done.stderr
    ran = run_eicctl(sshd_env, "run", *own, "--target", "node-4", "--target", "node-5", "--", "echo both")
    assert ran.stdout.count(b"both") == 2, ran.stderr.decode()


def test_a_file_that_is_no_key(sshd_env: Env, tmp_path: Path) -> None:
    (tmp_path / "x").write_text("nothing")
    done = run_eicctl(sshd_env, "ssh", "-i", str(tmp_path / "x"), "--send-key", "node-1", "--", "true")
    assert done.returncode == 1
    assert f"error: Cannot read the public half of {tmp_path}/x: " in done.stderr.decode()


def test_windows_by_a_key_of_the_users_own(sshd_env: Env) -> None:
    refused = run_eicctl(sshd_env, "ssh", "win-1")
    assert refused.returncode == 2
    assert "win-1 is a Windows instance, which accepts no pushed key" in refused.stderr.decode()
    hint = "eicctl rdp win-1 --region us-east-1; or with an SSH server and your own key: eicctl ssh --no-send-key win-1"
    assert hint in refused.stderr.decode()
    for words in (["--no-send-key", "-i"], ["-i"], ["--private-key-file"]):
        done = run_eicctl(sshd_env, "ssh", *words, sshd_env["OWN_KEY"], "win-1", "--", "echo $USER")
        assert done.stdout == b"Administrator\n", done.stderr.decode()


def type_used(log: Path) -> str:
    """The type of the key that OpenSSH has logged in with."""
    found = re.search(r"sign_and_send_pubkey: using publickey\S* with (\w+) ", log.read_text())
    assert found
    return found[1]


NO_ED25519 = """
case "$*" in *ed25519*) echo "ED25519 keys are not allowed in FIPS mode" >&2; exit 255;; esac
exec "$REAL" "$@"
"""


def test_a_host_in_fips_mode(sshd_env: Env, tmp_path: Path) -> None:
    env = in_place_of("ssh-keygen", NO_ED25519, sshd_env, tmp_path)
    logged = tmp_path / "log"
    done = run_eicctl(env, "ssh", "-vvv", "-E", str(logged), "node-1", "--", "echo in")
    assert done.stdout == b"in\n", done.stderr.decode()
    assert type_used(logged) == "ECDSA"
    assert run_eicctl(env, "ssh-config", "node-2", "--install").returncode == 0
    plain = subprocess.run(["ssh", "node-2.eic", "echo in"], env=env, capture_output=True, timeout=60, check=False)
    assert plain.stdout == b"in\n", plain.stderr.decode()
    asked = run_eicctl(env, "ssh", "--key-type", "ed25519", "node-1", "--", "true")
    assert asked.returncode == 1
    assert b"error: ssh-keygen failed: ED25519 keys are not allowed in FIPS mode" in asked.stderr


@pytest.mark.parametrize("key_type", ["ed25519", "ecdsa", "rsa"])
def test_the_type_that_is_asked_for(sshd_env: Env, tmp_path: Path, key_type: str) -> None:
    logged = tmp_path / "log"
    done = run_eicctl(sshd_env, "ssh", "--key-type", key_type, "-vvv", "-E", str(logged), "node-1", "--", "echo in")
    assert done.stdout == b"in\n", done.stderr.decode()
    assert type_used(logged) == key_type.upper()


def test_a_host_without_an_ed25519_host_key_has_no_such_key_pushed(sshd_env: Env, tmp_path: Path) -> None:
    # As the console of an image in FIPS mode would have it; what is not the host's key now is not accepted, either.
    instance_id = run_eicctl(sshd_env, "instances", "--output", "text", "--query", "[?Name=='node-6'].InstanceId")
    key = tmp_path / "rsa"
    subprocess.run(["ssh-keygen", "-q", "-t", "rsa", "-N", "", "-f", str(key)], check=True)
    known = Path(sshd_env["EICCTL_HOME"], "state", "known_hosts")
    known.parent.mkdir(parents=True, mode=0o700)
    known.parent.parent.chmod(0o700)
    public = " ".join(Path(f"{key}.pub").read_text().split()[:2])
    known.write_text(f"{instance_id.stdout.decode().strip()} {public}\n")
    logged = tmp_path / "log"
    unsafe = ("-o", "StrictHostKeyChecking=no")
    done = run_eicctl(sshd_env, "ssh", *unsafe, "-vvv", "-E", str(logged), "node-6", "--", "echo in")
    assert done.stdout == b"in\n", done.stderr.decode() + logged.read_text()
    assert type_used(logged) == "RSA"


OLD = """
[ "$*" = -V ] && { echo "OpenSSH_7.4p1, OpenSSL 1.0.2k-fips  26 Jan 2017" >&2; exit; }
case "$*" in *accept-new*) echo "command-line: unsupported option \\"accept-new\\"." >&2; exit 255;; esac
exec "$REAL" "$@"
"""


def test_openssh_before_accept_new(sshd_env: Env, tmp_path: Path) -> None:
    env = in_place_of("ssh", OLD, sshd_env, tmp_path)
    for check in ("accept-new", "console"):
        done = run_eicctl(env, "ssh", "--host-key-check", check, "node-7", "--", "echo in")
        assert done.stdout == b"in\n", done.stderr.decode()
    assert "node-7" in run_eicctl(env, "instances").stdout.decode()
    assert " ssh-ed25519 " in Path(sshd_env["EICCTL_HOME"], "state", "known_hosts").read_text()
    assert run_eicctl(env, "ssh-config", "node-8", "--install").returncode == 0
    written = Path(sshd_env["HOME"], ".ssh", "eicctl", "config").read_text()
    assert "StrictHostKeyChecking ask\n" in written
    # The key on the console is pinned before OpenSSH looks, so nobody is asked.
    plain = subprocess.run(["ssh", "node-8.eic", "echo in"], env=env, capture_output=True, timeout=60, check=False)
    assert plain.stdout == b"in\n", plain.stderr.decode()
