"""The AWS CLI v2 against the local AWS, as docs/how-to/local-aws.md has it; skipped where it is not installed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

from tests.e2e.conftest import Env, clean_env, home_of_ssh, run_eicctl
from tests.terminal import terminal

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "local-aws.md"


def find_aws_cli() -> str | None:
    """The folder of an `aws` of version 2 on the PATH; a version 1 before it does not count."""
    for folder in os.environ["PATH"].split(os.pathsep):
        if program := shutil.which("aws", path=folder):
            done = subprocess.run([program, "--version"], capture_output=True, text=True, check=False, timeout=60)
            if done.stdout.startswith("aws-cli/2."):
                return folder
    return None


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Env]:
    """A local AWS as the page starts it, and the environment of a user who has done nothing else yet."""
    if not (folder := find_aws_cli()):
        pytest.skip("the AWS CLI v2 is not installed")
    home = tmp_path_factory.mktemp("aws-cli")
    with home_of_ssh(clean_env(home), home, "c-") as wrapped:
        env = wrapped | {"EICCTL_HOME": str(home / "eicctl"), "PS1": "$ ", "HTTPS_PROXY": "http://127.0.0.1:9"}
        env["PATH"] = f"{folder}:{env['PATH']}"
        up = run_eicctl(env, "local", "up", "--detach", "--transition", "0.1")
        assert up.returncode == 0, up.stderr.decode()
        yield env
        run_eicctl(env, "local", "down")


def block_of_the_page() -> str:
    """The page's commands for the AWS CLI's tunnels."""
    blocks: list[str] = re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (block,) = [text for text in blocks if "--aws-cli" in text]
    return block


def test_the_page_followed_to_the_letter(aws: Env) -> None:
    """In a shell that has a proxy of its own, which is not there."""
    session = terminal(aws, "--norc", "-i", program="bash", size=(40, 200))
    session.sendline('eval "$(eicctl local env)"; eicctl create-endpoint --wait > /dev/null; echo made: $?')
    session.expect("made: 0")
    session.sendline(block_of_the_page())
    session.expect("continue connecting")
    session.sendline("yes")
    session.expect("Permanently added")
    session.sendline("echo at-$((40 + 2))-$USER")
    session.expect("at-42-ec2-user")
    session.sendline("exit")
    session.sendline("exit")
    session.expect(pexpect.EOF)
    session.close()


@pytest.mark.parametrize("fips", ["", "true"])
def test_open_tunnel(aws: Env, fips: str) -> None:
    """Both names of the endpoint, which differ in their ports only here."""
    script = f"""
        eval "$(eicctl local env --aws-cli)"
        eicctl create-endpoint --wait --if-not-exists > /dev/null 2>&1
        export AWS_USE_FIPS_ENDPOINT={fips}
        id=$(eicctl instances --query "[?Name=='web-1'].InstanceId" --output text)
        exec aws ec2-instance-connect open-tunnel --instance-id "$id"
    """
    # Its stdin stays open: at the end of it, the AWS CLI goes on.
    with subprocess.Popen(["bash", "-c", script], env=aws, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        try:
            assert process.stdout.read(8) == b"SSH-2.0-"
        finally:
            process.kill()
