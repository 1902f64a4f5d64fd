"""Standard streams that are closed, broken or full; a disk without room; a home that is read-only, or missing."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eicctl.emulator.control.credentials import own_code
from eicctl.emulator.machines import sshd
from eicctl.emulator.server import Emulator
from tests.processes import Before, bound_by_permissions, no_room, read_only, run, running

pytestmark = pytest.mark.usefixtures("endpoint")

FULL = Path("/dev/full")
needs_full = pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full")


def closing(descriptor: int) -> Callable[[], None]:
    return lambda: os.close(descriptor)


# Standard streams


@pytest.mark.parametrize(
    ("words", "stream"),
    [
        (["instances"], "stdout"),
        (["--help"], "stdout"),
        (["proxy", "web-1"], "stdin"),
        (["proxy", "web-1"], "stdout"),
        (["list-endpoints"], "stderr"),
    ],
    ids=lambda value: value if isinstance(value, str) else value[0],
)
def test_a_closed_stream(words: list[str], stream: str) -> None:
    descriptor = {"stdin": 0, "stdout": 1, "stderr": 2}[stream]
    ran = run(*words, before=closing(descriptor), **{stream: None})
    assert ran.returncode == 0, ran.stderr
    assert not ran.stderr


@pytest.mark.needs("ssh", "ssh-keygen")
def test_notes_do_not_go_to_stdout_where_stderr_is_closed() -> None:
    ran = run("ssh", "web-1", "--", "echo", "hi", before=closing(2), stderr=None)
    assert (ran.returncode, ran.stdout) == (0, b"hi\n")


@pytest.mark.parametrize("words", [["instances"], ["instances", "--output", "json"], ["--help"]], ids=" ".join)
def test_a_reader_that_has_gone_ends_a_command_quietly(words: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    ran = run(*words, stdout=writing)
    os.close(writing)
    assert (ran.returncode, ran.stderr) == (128 + signal.SIGPIPE, b"")


@needs_full
@pytest.mark.parametrize("words", [["instances"], ["--help"]], ids=" ".join)
def test_a_full_disk_behind_stdout_is_told(words: list[str]) -> None:
    with FULL.open("wb") as full:
        ran = run(*words, stdout=full)
    assert ran.returncode == 1
    assert b"error: No space left on device" in ran.stderr
    assert b"hint: free disk space" in ran.stderr
    assert b"bug in eicctl" not in ran.stderr


def greeting(port: int) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
        return client.recv(3)


def test_a_listener_whose_events_nobody_reads_goes_on() -> None:
    with running("tunnel", "web-1", "--remote-port", "22", "--output", "json") as process:
        assert process.stdout
        assert process.stderr
        port = json.loads(process.stdout.readline())["LocalPort"]
        process.stdout.close()
        process.stderr.close()
        assert [greeting(port) for _ in range(2)] == [b"SSH", b"SSH"]
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130


@needs_full
def test_a_listener_whose_log_is_on_a_full_disk_goes_on() -> None:
    with FULL.open("wb") as full, running("tunnel", "web-1", "--remote-port", "22", stderr=full) as process:
        assert process.stdout
        port = int(process.stdout.readline().decode().partition("127.0.0.1:")[2].split()[0])
        assert [greeting(port) for _ in range(2)] == [b"SSH", b"SSH"]


# Files


def proxied(before: Before) -> tuple[int, bytes, bytes]:
    """Greet a machine through `proxy`; return its exit code, what came first, and what it said."""
    with running("proxy", "web-1", before=before, stdin=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        first = process.stdout.read(4)
        process.stdin.close()
        return process.wait(60), first, process.stderr.read()


def written(folder: Path) -> list[str]:
    """The files below a folder that hold anything."""
    return [str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and path.stat().st_size]


def test_without_room_what_is_only_remembered_is_not(tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "eicctl")  # what `fill_cache` put there
    assert proxied(no_room) == (0, b"SSH-", b"")
    assert not written(tmp_path / "eicctl")


def key_of(emulator: Emulator) -> str:
    env = emulator.env
    return (
        f"[work]\naws_access_key_id = {env['AWS_ACCESS_KEY_ID']}\n"
        f"aws_secret_access_key = {env['AWS_SECRET_ACCESS_KEY']}\n"
    )


def test_without_room_the_credentials_file_stays_as_it_was(emulator: Emulator, home: Path) -> None:
    """No half of a file is there in its place, and no other one is left."""
    (home / "credentials").write_text(key_of(emulator))
    code = own_code(emulator.state.now())["Code"]
    ran = run("mfa", "login", "--profile", "work", "--token-code", code, before=no_room)
    assert ran.returncode == 1
    assert b"error: Cannot write " in ran.stderr
    assert (home / "credentials").read_text() == key_of(emulator)
    assert written(home) == ["credentials"]


@pytest.mark.needs("ssh", "ssh-keygen")
def test_without_room_no_host_key_is_believed(home: Path) -> None:
    key = home / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    ran = run("ssh", "web-1", "--private-key-file", str(key), "--", "true", before=no_room)
    assert ran.returncode == 1
    assert b"known_hosts: File too large" in ran.stderr
    assert b"Traceback" not in ran.stderr


@pytest.fixture
def locked_home(endpoint: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home in which nothing can be written, and nothing says where else."""
    folder = read_only(tmp_path / "locked")
    monkeypatch.delenv("EICCTL_HOME")
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setenv("HOME", str(folder))
    return folder


@pytest.mark.usefixtures("locked_home")
def test_a_read_only_home_is_enough_for_a_tunnel() -> None:
    assert proxied(bound_by_permissions) == (0, b"SSH-", b"")


@pytest.mark.needs("ssh", "ssh-keygen")
@pytest.mark.usefixtures("locked_home")
def test_where_host_keys_cannot_be_kept_no_login_is_made() -> None:
    ran = run("ssh", "web-1", "--", "true", before=bound_by_permissions)
    assert ran.returncode == 1
    assert b"Permission denied" in ran.stderr
    assert b"hint: export EICCTL_HOME=FOLDER" in ran.stderr


@pytest.mark.usefixtures("locked_home")
def test_where_the_background_cannot_have_its_files_it_says_so(home: Path) -> None:
    (home / "eicctl.toml").write_text('[tunnel.web]\ntarget = "web-1"\nremote_port = 22\n')
    ran = run("up", "--detach", before=bound_by_permissions, cwd=home)
    assert ran.returncode == 1
    assert b"Permission denied" in ran.stderr
    assert b"hint: export EICCTL_HOME=FOLDER" in ran.stderr


def test_an_mfa_code_is_not_spent_on_a_session_that_cannot_be_kept(
    emulator: Emulator, home: Path, locked_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A code is good once: the same one works when the files can be written."""
    locked_home.chmod(0o700)
    (locked_home / "credentials").write_text(key_of(emulator))
    locked_home.chmod(0o500)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(locked_home / "credentials"))
    words = ("mfa", "login", "--profile", "work", "--token-code", own_code(emulator.state.now())["Code"])
    refused = run(*words, before=bound_by_permissions)
    assert refused.returncode == 1
    assert b"Permission denied" in refused.stderr
    locked_home.chmod(0o700)
    done = run(*words)
    assert done.returncode == 0, done.stderr


def test_without_a_terminal_no_code_is_asked_for(emulator: Emulator, home: Path) -> None:
    (home / "credentials").write_text(key_of(emulator))
    (home / "config").write_text(
        "[profile role]\nrole_arn = arn:aws:iam::123456789012:role/admin\nsource_profile = work\n"
        "mfa_serial = arn:aws:iam::123456789012:mfa/local\n"
    )
    ran = run("instances", "--profile", "role", start_new_session=True)
    assert ran.returncode == 2, ran.stderr
    assert b"(no TTY)" in ran.stderr
    assert b"hint: eicctl mfa login --token-code -" in ran.stderr


@pytest.mark.parametrize("home_is", [None, "/proc/no-such-home"], ids=["unset", "missing"])
def test_a_home_that_is_not_there(home_is: str | None, tmp_path: Path) -> None:
    env: dict[str, Any] = {name: value for name, value in os.environ.items() if name not in ("HOME", "EICCTL_HOME")}
    if home_is != "/proc/no-such-home":
        env["EICCTL_HOME"] = str(tmp_path / "eicctl")  # nothing is to be written into the real home
    if home_is is not None:
        env["HOME"] = home_is
    for words in (["proxy", "web-1"],) if home_is else (["proxy", "web-1"], ["ps"]):
        ran = run(*words, env=env)
        assert ran.returncode == 0, ran.stderr
        assert b"Warning" not in ran.stderr


def homeless(tmp_path: Path, **more: str) -> dict[str, str]:
    """An environment whose user has a number only, as in a container: no HOME, and no name in passwd(5)."""
    wrapper = sshd.find_wrapper()
    if not wrapper:
        pytest.skip("libnss-wrapper is not installed")
    (tmp_path / "passwd").write_text("")
    (tmp_path / "tmp").mkdir(mode=0o700)
    places = ("HOME", "EICCTL_HOME", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "LOGNAME", "USER")
    kept = {name: value for name, value in os.environ.items() if name not in places and not name.startswith("XDG_")}
    names = {
        "LD_PRELOAD": str(wrapper),
        "NSS_WRAPPER_PASSWD": str(tmp_path / "passwd"),
        "NSS_WRAPPER_GROUP": "/etc/group",
    }
    return kept | names | {"TMPDIR": str(tmp_path / "tmp")} | more


@pytest.mark.parametrize("more", [{}, {"HOME": ""}, {"HOME": "relative"}], ids=["unset", "empty", "relative"])
def test_a_user_without_a_home_has_temporary_folders(more: dict[str, str], tmp_path: Path) -> None:
    env: dict[str, Any] = homeless(tmp_path, **more)
    for words in (["instances"], ["proxy", "web-1"], ["ps"], ["down", "--all"], ["mfa", "status"], ["version"]):
        ran = run(*words, env=env, cwd=tmp_path)
        assert b"bug in eicctl" not in ran.stderr, ran.stderr
        assert ran.returncode == 0 or b"hint: export HOME=FOLDER" in ran.stderr, ran.stderr
    for words in (["ssh-config", "web-1"], ["completion", "bash", "--install"], ["man", "--install"]):
        ran = run(*words, env=env, cwd=tmp_path)
        assert (ran.returncode, ran.stdout) == (1, b"")
        assert b"hint: export HOME=FOLDER" in ran.stderr
    with running("forward", "0:web-1:22", "--output", "json", env=env, cwd=tmp_path) as process:
        assert process.stdout
        assert json.loads(process.stdout.readline())["Event"] == "listening"
    kept = tmp_path / "tmp" / f"eicctl-{os.getuid()}"
    assert kept.stat().st_mode & 0o777 == 0o700
    assert (kept / "state" / "known_hosts").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["eicctl", "home", "passwd", "tmp"]  # nothing beside it


def test_the_local_aws_of_a_user_without_a_home(tmp_path: Path) -> None:
    env: dict[str, Any] = {name: value for name, value in homeless(tmp_path).items() if not name.startswith("AWS_")}
    assert run("local", "up", "--detach", "--transition", "0", env=env).returncode == 0
    try:
        for line in run("local", "env", env=env).stdout.decode().splitlines():
            name, equals, value = line.removeprefix("export ").partition("=")
            env |= {name: shlex.split(value)[0]} if equals else {}
        assert run("create-endpoint", "--wait", env=env).returncode == 0
        with running("proxy", "web-1", stdin=subprocess.PIPE, env=env) as process:
            assert process.stdout
            assert process.stdout.read(4) == b"SSH-"
    finally:
        assert run("local", "down", env=env).returncode == 0


@pytest.mark.parametrize("kind", ["a link", "another one's"])
def test_a_neighbours_folder_for_who_has_no_home_is_not_used(kind: str, tmp_path: Path) -> None:
    env: dict[str, Any] = homeless(tmp_path)
    base = tmp_path / "tmp" / f"eicctl-{os.getuid()}"
    if kind == "a link":
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        base.symlink_to(tmp_path / "elsewhere")
    else:
        base.mkdir(mode=0o777)
        base.chmod(0o777)
    ran = run("logs", "x", env=env, cwd=tmp_path)
    assert ran.returncode == 1
    assert b"is not private to this user\nhint: export EICCTL_HOME=FOLDER\n" in ran.stderr
    assert run("proxy", "web-1", env=env, cwd=tmp_path).returncode == 0


@pytest.mark.parametrize("kind", ["a link", "another one's", "a file"])
def test_a_neighbours_runtime_folder_ends_only_what_needs_it(kind: str, tmp_path: Path, home: Path) -> None:
    """Without XDG_RUNTIME_DIR it is `runtime-UID` below /tmp, where everybody can make it first."""
    temporary = tmp_path / "tmp"
    temporary.mkdir(mode=0o700)
    runtime = temporary / f"runtime-{os.getuid()}"
    if kind == "a link":
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        runtime.symlink_to(tmp_path / "elsewhere")
    elif kind == "a file":
        runtime.write_text("")
    else:
        runtime.mkdir()
        runtime.chmod(0o777)
    if Path(f"/run/user/{os.getuid()}").exists():
        pytest.skip("this user has a runtime folder")
    own = ("EICCTL_HOME", "XDG_RUNTIME_DIR")
    env: dict[str, Any] = {name: value for name, value in os.environ.items() if name not in own}
    env |= {"TMPDIR": str(temporary), "EICCTL_AGENT": ""}
    for words in (["proxy", "web-1"], ["instances"], ["version"]):
        ran = run(*words, env=env)
        assert ran.returncode == 0, ran.stderr
        assert ran.stderr == b""
    ran = run("ps", env=env)
    assert ran.returncode == 1
    assert b"hint: export EICCTL_HOME=FOLDER\n" in ran.stderr
    assert not list((tmp_path / "elsewhere").glob("*")) if kind == "a link" else True


@pytest.mark.parametrize("value", ["relative", "/proc/no-such-folder"])
def test_base_folders_that_are_no_good(value: str, tmp_path: Path, home: Path) -> None:
    """Relative ones count for nothing (XDG Base Directory Specification); what cannot be kept there is not."""
    names = ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR")
    env: dict[str, Any] = {name: text for name, text in os.environ.items() if name != "EICCTL_HOME"}
    env |= dict.fromkeys(names, value) | {"TMPDIR": str(tmp_path)}
    folder = tmp_path / "empty"
    folder.mkdir()
    for words in (["proxy", "web-1"], ["instances"], ["logs", "x"], ["completion", "bash", "--install"]):
        ran = run(*words, env=env, cwd=folder)
        assert b"bug in eicctl" not in ran.stderr, ran.stderr
        assert ran.returncode == 0 or b"No log of" in ran.stderr or b"Cannot create" in ran.stderr, ran.stderr
    assert not list(folder.iterdir())


def test_a_home_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    env: dict[str, Any] = {name: value for name, value in os.environ.items() if name != "EICCTL_HOME"}
    env |= {"HOME": str(tmp_path / "file"), "XDG_RUNTIME_DIR": str(tmp_path / "none"), "TMPDIR": str(tmp_path)}
    assert run("proxy", "web-1", env=env).returncode == 0
    ran = run("logs", "x", env=env)
    assert ran.returncode == 1
    assert b"hint: export EICCTL_HOME=FOLDER\n" in ran.stderr


@pytest.mark.parametrize("name", ["EICCTL_HOME", "EICCTL_LOG_FILE"])
def test_a_home_of_somebody_who_is_not_there(name: str) -> None:
    ran = run("ps", env=os.environ | {name: "~no-such-user/x"})
    assert ran.returncode == 1
    assert b"Cannot expand ~no-such-user/x" in ran.stderr
    assert b"bug in eicctl" not in ran.stderr
