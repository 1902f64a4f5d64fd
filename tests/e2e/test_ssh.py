"""`eicctl ssh` with the real OpenSSH client."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import time
from pathlib import Path

import pexpect
import pytest

from tests.e2e.conftest import Eicctl, Env
from tests.processes import PROGRAM
from tests.terminal import exit_code, terminal


def leftovers(env: Env) -> list[Path]:
    return list((Path(env["EICCTL_HOME"]) / "run").glob("ssh-*"))


@pytest.mark.parametrize("code", [0, 7, 255])
def test_the_remote_exit_code_is_ours(eicctl: Eicctl, code: int) -> None:
    assert eicctl("ssh", "web-1", "--", f"exit {code}").returncode == code


@pytest.mark.parametrize("words", ["-V", "-Q cipher", "-Q key web-1", "web-1 -V"])
def test_a_question_about_openssh_itself_needs_no_target(eicctl: Eicctl, words: str) -> None:
    plain = subprocess.run(["ssh", *words.split()], capture_output=True, check=True)
    done = eicctl("ssh", "--region", "nowhere-1", *words.split())
    assert (done.returncode, done.stdout, done.stderr) == (0, plain.stdout, plain.stderr)


def test_q_silences_notes_but_no_errors(eicctl: Eicctl, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    for words in (["ssh", "-q", "web-1", "true"], ["scp", "-q", str(file), "app-1:"], ["sftp", "-q", "web-1"]):
        done = eicctl(*words, stdin=b"")
        assert (done.returncode, done.stderr) == (0, b""), words
    done = eicctl("ssh", "-q", "no-such-machine", "true")
    assert done.returncode == 3
    assert done.stderr.startswith(b"error: ")


def test_stdin_and_stdout_are_binary_safe(eicctl: Eicctl) -> None:
    data = os.urandom(2_000_000)
    done = eicctl("ssh", "web-1", "--", "cat", stdin=data)
    assert done.returncode == 0
    assert done.stdout == data


def test_stderr_is_stderr(eicctl: Eicctl) -> None:
    done = eicctl("ssh", "web-1", "--", "echo out; echo err >&2")
    assert done.stdout == b"out\n"
    assert b"err\n" in done.stderr


def test_a_command_without_dashes_as_in_plain_ssh(eicctl: Eicctl) -> None:
    assert eicctl("ssh", "web-1", "echo", "a  b", "--x").stdout == b"a b --x\n"


@pytest.mark.parametrize(
    ("words", "user"),
    [
        (["web-1"], "ec2-user"),
        (["app-1"], "ubuntu"),
        (["ubuntu@app-1"], "ubuntu"),
        (["app-1", "--os-user", "ubuntu"], "ubuntu"),
        (["-l", "ubuntu", "app-1"], "ubuntu"),
        (["-o", "User=ubuntu", "app-1"], "ubuntu"),
        (["10.0.2.10"], "ubuntu"),
        (["ssh://ubuntu@app-1:22"], "ubuntu"),
    ],
)
def test_the_os_user(eicctl: Eicctl, words: list[str], user: str) -> None:
    done = eicctl("ssh", *words, "--", "echo $USER")
    assert done.stdout.decode().strip() == user, done.stderr.decode()
    assert done.stderr == b""


def test_v_explains(eicctl: Eicctl) -> None:
    done = eicctl("ssh", "--verbose", "--no-agent", "web-1", "--", "true")
    said = done.stderr.decode()
    assert "Credentials: env, in us-east-1\n" in said
    assert re.search(
        r"^Target: web-1 \(i-[0-9a-f]+\), 10\.0\.1\.10 port 22, looked up in \d+\.\d\d s$", said, re.MULTILINE
    )
    assert re.search(r"^Endpoint: eice-[0-9a-f]+ ", said, re.MULTILINE)
    assert "OS user: ec2-user (from the AMI)\n" in said
    assert "Background process: none (cold)\n" in said
    assert re.search(r"^Tunnel opened by this process in \d+\.\d\d s$", said, re.MULTILINE)
    again = eicctl("ssh", "-v", "--no-agent", "web-1", "--", "true").stderr.decode()
    assert "from the cache" in again
    assert "debug1: " in again  # OpenSSH explains, too


def test_a_wrong_os_user_has_its_hint(eicctl: Eicctl) -> None:
    done = eicctl("ssh", "root@web-1", "--", "true")
    assert done.returncode == 255
    assert "has the OS user ec2-user, not root: --os-user ec2-user" in done.stderr.decode()


def test_an_unreachable_port_has_its_hint(eicctl: Eicctl) -> None:
    done = eicctl("ssh", "--private-ip-address", "10.0.1.77", "--no-send-key", "ec2-user@web-1", "--", "true")
    assert done.returncode == 255
    assert "cannot reach 10.0.1.77 port 22" in done.stderr.decode()
    assert "eicctl doctor web-1 --region us-east-1\n" in done.stderr.decode()


def test_windows_is_sent_to_rdp(eicctl: Eicctl) -> None:
    done = eicctl("ssh", "win-1")
    assert done.returncode == 2
    assert "hint: eicctl rdp win-1 --region us-east-1;" in done.stderr.decode()


def test_an_own_key_is_used_and_none_is_pushed(eicctl: Eicctl, tmp_path: Path) -> None:
    key = tmp_path / "id"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    done = eicctl("ssh", "--private-key-file", str(key), "web-1", "--", "true")
    assert done.returncode == 255
    assert "does not accept this key" in done.stderr.decode()


def test_host_keys_are_kept_by_instance(eicctl: Eicctl, env: Env) -> None:
    assert eicctl("ssh", "web-1", "--", "true").returncode == 0
    known = Path(env["EICCTL_HOME"], "state", "known_hosts").read_text()
    assert re.match(r"i-[0-9a-f]{17} ssh-ed25519 ", known)
    second = eicctl("ssh", "web-1", "--", "true")
    assert b"Permanently added" not in second.stderr


def test_a_changed_host_key_stops_the_connection(eicctl: Eicctl, env: Env) -> None:
    known = Path(env["EICCTL_HOME"], "state", "known_hosts")
    assert eicctl("ssh", "web-1", "--", "true").returncode == 0
    other = "AAAAC3NzaC1lZDI1NTE5AAAAIGtEEV8nMTVpZZWQvo9f3pLxkp1zxsj6oPxHhYtQXn0k"
    known.write_text(f"{known.read_text().split()[0]} ssh-ed25519 {other}\n")
    done = eicctl("ssh", "web-1", "--", "true")
    assert done.returncode == 255
    assert "ssh-keygen -R i-" in done.stderr.decode()


def test_local_and_dynamic_forwards(env: Env) -> None:
    with socket.create_server(("127.0.0.1", 0)) as service, socket.create_server(("127.0.0.1", 0)) as free:
        port, local = service.getsockname()[1], free.getsockname()[1]
        free.close()
        process = subprocess.Popen(
            [PROGRAM, "ssh", "web-1", "-L", f"{local}:localhost:{port}", "--", "echo ready; cat"],
            env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        assert process.stdin
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        with socket.create_connection(("127.0.0.1", local), timeout=60) as client:
            server, _ = service.accept()
            with server:
                client.sendall(b"through the forward")
                assert server.recv(100) == b"through the forward"
        process.stdin.close()
        assert process.wait(60) == 0
        process.stdout.close()


def test_no_key_is_left(eicctl: Eicctl, env: Env) -> None:
    assert eicctl("ssh", "web-1", "--", "true").returncode == 0
    assert leftovers(env) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_no_key_is_left_after_a_signal(env: Env, number: int) -> None:
    process = subprocess.Popen(
        [PROGRAM, "ssh", "web-1", "--", "echo ready; sleep 60"],
        env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdout
    assert process.stdout.readline() == b"ready\n"
    (folder,) = leftovers(env)
    assert folder.stat().st_mode & 0o777 == 0o700
    (public,) = folder.glob("ec2-user@*.pub")
    assert public.with_suffix("").stat().st_mode & 0o777 == 0o600
    process.send_signal(number)
    assert process.wait(60) != 0
    process.stdout.close()
    assert leftovers(env) == []


def test_what_killed_processes_left_is_swept(eicctl: Eicctl, env: Env) -> None:
    run = Path(env["EICCTL_HOME"]) / "run"
    old = run / "ssh-999999999-abcd"
    run.mkdir(parents=True, mode=0o700)
    old.mkdir()
    assert eicctl("ssh", "web-1", "--", "true").returncode == 0
    assert not old.exists()


def test_no_secret_is_in_a_process_list(env: Env) -> None:
    process = subprocess.Popen(
        [PROGRAM, "ssh", "web-1", "--", "echo ready; cat"],
        env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdout
    assert process.stdin
    assert process.stdout.readline() == b"ready\n"
    listed = subprocess.run(["ps", "-ww", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    process.stdin.close()
    process.wait(60)
    process.stdout.close()
    assert "eicctl ssh web-1" in listed
    assert env["AWS_SECRET_ACCESS_KEY"] not in listed
    assert "X-Amz-Signature" not in listed


def test_a_terminal_without_a_type(env: Env) -> None:
    words = ["TERM", PROGRAM, "ssh", "web-1", "-t", "tty; echo $TERM"]
    session = terminal(env, "-u", *words, program="env")
    session.expect(r"/dev/pts/\d+\s+dumb")
    assert exit_code(session) == 0


def test_a_terminal_session(env: Env) -> None:
    session = terminal(env, "ssh", "web-1", "-t", "PS1='prompt> ' sh -i", size=(31, 97))
    session.expect("prompt> ")
    session.sendline("tty; stty size")
    session.expect(r"/dev/pts/\d+")
    session.expect("31 97")
    session.setwinsize(40, 120)
    time.sleep(0.5)
    session.sendline("stty size")
    session.expect("40 120")
    session.sendline("sleep 100")
    time.sleep(0.5)
    session.sendintr()
    session.expect("prompt> ")
    session.sendline("exit 3")
    assert exit_code(session) == 3


def test_suspending_gives_the_shell_back(env: Env) -> None:
    """`~^Z` suspends OpenSSH, and eicctl with it; both go on together."""
    shell = terminal(env | {"PS1": "outer> "}, "-i", program="sh")
    shell.expect("outer> ")
    shell.sendline(f"{PROGRAM} ssh web-1 -t \"PS1='inner> ' sh -i\"")
    shell.expect("inner> ")
    shell.send("\r~\x1a")
    shell.expect("outer> ")
    shell.sendline("fg")
    shell.sendline("echo again=$((1+1))")
    shell.expect("again=2")
    shell.sendline("exit")
    shell.expect("outer> ")
    shell.sendline("exit")
    shell.expect(pexpect.EOF)
    shell.close()
