"""`eicctl scp` and `eicctl sftp` with OpenSSH's programs and its sshd."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.e2e.conftest import Eicctl, Env

pytestmark = pytest.mark.needs("sshd")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "data file"
    path.write_bytes(os.urandom(3_000_000))
    return path


def test_there_and_back(at_sshd: Eicctl, data: Path, tmp_path: Path) -> None:
    there = at_sshd("scp", str(data), "node-1:here it is")
    assert there.returncode == 0, there.stderr.decode()
    back = at_sshd("scp", "ec2-user@node-1:here it is", str(tmp_path / "back"))
    assert back.returncode == 0, back.stderr.decode()
    assert (tmp_path / "back").read_bytes() == data.read_bytes()


def test_between_two_instances_with_different_users(at_sshd: Eicctl, data: Path, tmp_path: Path) -> None:
    assert at_sshd("scp", str(data), "node-1:between").returncode == 0
    across = at_sshd("scp", "--verbose", "node-1:between", "app-1:between")
    assert across.returncode == 0, across.stderr.decode()
    assert b"OS user: ubuntu (from the AMI)" in across.stderr
    assert at_sshd("scp", "app-1:between", str(tmp_path)).returncode == 0
    assert (tmp_path / "between").read_bytes() == data.read_bytes()


def test_folders_and_many_sources(at_sshd: Eicctl, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "deep").mkdir(parents=True)
    for number in range(50):
        (tree / "deep" / str(number)).write_text(str(number))
    assert at_sshd("scp", "-r", str(tree), "node-2:").returncode == 0
    # scp makes a connection for each source here.
    fetched = at_sshd("scp", "node-2:tree/deep/1", "node-2:tree/deep/2", "node-2:tree/deep/3", str(tmp_path))
    assert fetched.returncode == 0, fetched.stderr.decode()
    assert [(tmp_path / name).read_text() for name in "123"] == ["1", "2", "3"]


def test_a_batch_of_sftp(at_sshd: Eicctl, data: Path, tmp_path: Path) -> None:
    batch = f'put "{data}" sent\nget sent "{tmp_path / "got"}"\n'.encode()
    done = at_sshd("sftp", "-b", "-", "node-3", stdin=batch)
    assert done.returncode == 0, done.stderr.decode()
    assert (tmp_path / "got").read_bytes() == data.read_bytes()


def test_sftp_fetches_a_file(at_sshd: Eicctl, tmp_path: Path, sshd_env: Env, data: Path) -> None:
    assert at_sshd("scp", str(data), "node-3:file").returncode == 0
    assert at_sshd("sftp", "ec2-user@node-3:file", stdin=b"").returncode == 0
    fetched = Path("file")
    assert fetched.read_bytes() == data.read_bytes()
    fetched.unlink()


def test_a_failed_copy_has_scp_s_exit_code(at_sshd: Eicctl, tmp_path: Path) -> None:
    done = at_sshd("scp", "node-1:/no/such/file", str(tmp_path))
    assert done.returncode == 1
    assert b"No such file" in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["scp", "a", "b"], "No remote path given"),
        (["scp", "node-1:x"], "Missing source or destination"),
        (["scp", "a", "scp://node-1:22/x", "scp://node-2:3389/y"], "different ports"),
        (["scp", "-Z", "a", "node-1:"], "-Z is not an option of scp"),
        (["scp", "a", "-oProxyCommand=x:y"], "Missing source or destination"),
        (["sftp", "--", "-x@node-1"], "cannot start with a dash"),
    ],
)
def test_bad_words(at_sshd: Eicctl, words: list[str], said: str) -> None:
    done = at_sshd(*words)
    assert done.returncode == 2
    assert said in done.stderr.decode()


@pytest.mark.parametrize(
    "words",
    [
        ["scp", "--print-command", "{data}", "node-4:printed"],
        ["ssh", "--print-command", "node-4", "--", "echo 'a  b'"],
        ["sftp", "--print-command", "node-4"],
    ],
)
def test_a_printed_command_works_when_it_is_pasted(
    at_sshd: Eicctl, sshd_env: Env, data: Path, words: list[str]
) -> None:
    printed = at_sshd(*(word.format(data=data) for word in words))
    assert printed.returncode == 0
    line = printed.stdout.decode()
    pasted = subprocess.run(
        ["sh", "-c", line], env=sshd_env, input=b"pwd\n", capture_output=True, timeout=60, check=False
    )
    assert pasted.returncode == 0, pasted.stderr.decode()
    assert pasted.stdout == (b"a  b\n" if words[0] == "ssh" else b"") or words[0] == "sftp"


def test_a_printed_command_between_two_instances(at_sshd: Eicctl, sshd_env: Env, data: Path) -> None:
    assert at_sshd("scp", str(data), "node-5:x").returncode == 0
    printed = at_sshd("scp", "--print-command", "node-5:x", "app-1:x-from-5")
    subprocess.run(["sh", "-c", printed.stdout.decode()], env=sshd_env, check=True, timeout=60, capture_output=True)
    size = at_sshd("ssh", "app-1", "--", "wc -c < x-from-5")
    assert int(size.stdout) == 3_000_000


def test_no_folder_of_keys_is_left(at_sshd: Eicctl, sshd_env: Env, data: Path) -> None:
    at_sshd("scp", str(data), "node-1:x")
    assert list(Path(sshd_env["EICCTL_HOME"], "run").glob("ssh-*")) == []
