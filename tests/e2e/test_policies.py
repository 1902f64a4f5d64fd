"""A user with a generated policy: in where it says, and for as long as it says, without an option for it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.conftest import Env, boto3_client, clean_env, run_eicctl
from tests.terminal import exit_code, faults, screen, terminal
from tests.trail_records import START, key, tunnel, write_log


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


def test_ssh_works_with_the_policy_of_what_it_used(user: Callable[..., Env], local_aws: Env, env: Env) -> None:
    mine = user("e2e-used", "--port", "22", "--cidr", "10.0.0.0/8", "--os-user", "ec2-user", "--os-user", "ubuntu")
    assert run_eicctl(mine, "ssh", "web-1", "--", "true").returncode == 0
    derived = run_eicctl(env, "policy", "connect", "--from-audit", "--user", "e2e-used")
    assert derived.returncode == 0, derived.stderr.decode()
    client = boto3_client(local_aws, "iam")
    client.put_user_policy(UserName="e2e-used", PolicyName="connect", PolicyDocument=derived.stdout.decode())
    again = run_eicctl(mine, "ssh", "web-1", "--", "echo in")
    assert (again.returncode, again.stdout.strip()) == (0, b"in"), again.stderr
    other = run_eicctl(mine, "ssh", "app-1", "--", "true")
    assert other.returncode == 4
    assert b"ec2:osuser" in other.stderr, other.stderr


@pytest.mark.parametrize("width", [80, 120])
def test_what_was_used_on_a_terminal(tmp_path: Path, width: int) -> None:
    records = [tunnel(START, f"10.0.1.{number}", duration="900") for number in (8, 9, 11, 12, 14)]
    log = write_log(tmp_path / "log.json", [*records, tunnel(START, "db.internal"), key(START, "i-0123456789abcdef0")])
    near = {
        "IpAddress": {"ec2-instance-connect:privateIpAddress": ["10.0.0.0/8", "192.168.0.0/16"]},
        "Bool": {"aws:MultiFactorAuthPresent": "true"},
    }
    resource = "arn:aws:ec2:us-east-1:123456789012:instance-connect-endpoint/*"
    long = {"Sid": "Connect", "Effect": "Allow", "Action": "ec2-instance-connect:*", "Resource": resource}
    (tmp_path / "today.json").write_text(
        json.dumps({"Version": "2012-10-17", "Statement": [{**long, "Condition": near}]})
    )
    words = ("policy", "connect", "--from-audit", "--from", str(log))

    def shown(*more: str) -> tuple[int | None, list[str]]:
        session = terminal(clean_env(tmp_path), *words, *more, size=(60, width), cwd=tmp_path)
        code = exit_code(session)
        lines = screen(session.before or "")
        return code, lines

    code, lines = shown("--diff", "--policy", "today.json")
    assert code == 1
    assert not faults(lines, width)
    assert "@@ today.json Connect: OpenTunnel, 5 calls @@" in lines
    assert "- address      192.168.0.0/16" in lines
    assert "+ address      10.0.1.8/31" in lines
    code, lines = shown("--max-unused", "3")
    assert code == 0
    notes = lines[: lines.index("{")]
    assert not faults(notes, width)
    assert "note: ranges cover 3 unused addresses: 10.0.1.8/29 (3)" in notes
    assert "note: omitted calls: 1 to DNS names (policies limit only addresses): db.internal" in " ".join(
        line.strip() for line in notes
    )
