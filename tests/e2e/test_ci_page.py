"""The page on GitHub Actions: its steps deploy with no more than the policy that the page generates."""

from __future__ import annotations

import json
import re
import secrets
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.e2e.conftest import Eicctl, Env, boto3_client

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "ci.md").read_text(encoding="utf-8")


def role_env(env: Env, eicctl: Eicctl) -> Env:
    """The environment of a job: a new role with the page's policy, and CI=true."""
    (command,) = re.findall(r"\$ eicctl (policy connect (?:.|\\\n)*?) > deploy-policy\.json", PAGE)
    endpoint = json.loads(eicctl("list-endpoints", "--output", "json").stdout)[0]["InstanceConnectEndpointId"]
    command = re.sub(r"eice-\w+", endpoint, command.replace("\\\n", " "))
    policy = eicctl(*shlex.split(command))
    assert policy.returncode == 0, policy.stderr
    principal = {"AWS": "arn:aws:iam::123456789012:root"}
    trust = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}],
    }
    iam, name = boto3_client(env, "iam"), f"deploy-{secrets.token_hex(4)}"
    arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    iam.put_role_policy(RoleName=name, PolicyName="eicctl", PolicyDocument=policy.stdout.decode())
    keys = boto3_client(env, "sts").assume_role(RoleArn=arn, RoleSessionName="deploy")["Credentials"]
    return env | {
        "AWS_ACCESS_KEY_ID": keys["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": keys["SecretAccessKey"],
        "AWS_SESSION_TOKEN": keys["SessionToken"],
        "CI": "true",
        "EICCTL_AGENT": "",
    }


@pytest.mark.needs("rsync")
def test_the_workflows_steps_deploy(env: Env, eicctl: Eicctl, tmp_path: Path) -> None:
    (workflow,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    (job,) = yaml.safe_load(workflow)["jobs"].values()
    steps = [step["run"] for step in job["steps"] if "run" in step and "if" not in step]
    assert steps.pop(0) == "pipx install eicctl"
    assert len(steps) == 2
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "index.html").write_text("<h1>It works</h1>")
    job_env = role_env(env, eicctl)
    for step in steps:
        done = subprocess.run(
            ["bash", "-e", "-c", step],
            cwd=tmp_path,
            env=job_env,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    assert done.stdout == "index.html\n"
    home = Path(job_env["EICCTL_HOME"])
    assert not [path for path in home.rglob("*") if path.is_socket()], "a background process was started"
