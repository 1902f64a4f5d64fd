"""A user with a generated policy: in where it says, and for as long as it says, without an option for it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.conftest import Env, boto3_client, run_eicctl


@pytest.fixture
def user(local_aws: Env, env: Env) -> Callable[..., Env]:
    """Make a user with the policy that `eicctl policy connect` writes; return the environment with its key."""

    def make(name: str, *words: str) -> Env:
        written = run_eicctl(env, "policy", "connect", *words)
        assert written.returncode == 0, written.stderr
        client = boto3_client(local_aws, "iam")
        client.create_user(UserName=name)
        client.put_user_policy(UserName=name, PolicyName="connect", PolicyDocument=written.stdout.decode())
        key = client.create_access_key(UserName=name)["AccessKey"]
        return env | {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}

    return make


def test_ssh_sends_the_duration_that_the_policy_wants(user: Callable[..., Env], tmp_path: Path) -> None:
    mine = user("e2e-short", "--port", "22", "--cidr", "10.0.1.0/24", "--max-duration", "700", "--os-user", "ec2-user")
    for _ in range(2):
        ran = run_eicctl(mine, "ssh", "web-1", "--", "echo in")
        assert (ran.returncode, ran.stdout.strip()) == (0, b"in"), ran.stderr
    kept = json.loads((Path(mine["EICCTL_HOME"]) / "state" / "durations.json").read_text())
    assert list(kept.values()) == [600]
    proxied = run_eicctl(mine, "proxy", "web-1", stdin=b"")
    assert proxied.returncode == 0, proxied.stderr


def test_other_ports_are_refused(user: Callable[..., Env]) -> None:
    mine = user("e2e-rdp", "--port", "3389", "--max-duration", "700")
    ran = run_eicctl(mine, "proxy", "web-1", stdin=b"")
    assert ran.returncode == 4
    assert b"AccessDenied" in ran.stderr
