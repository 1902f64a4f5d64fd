"""The examples of `--help`, run against the local AWS: those that end by themselves and need no other machine."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eicctl.emulator.server import Emulator
from tests.examples import EXAMPLES, calls, make_files
from tests.integration.conftest import Ran

NOT_RUN = {
    "eicctl (ssh|scp|sftp) |eicctl run --(tag|name)|ssh|scp|rsync": "run OpenSSH: e2e/test_examples and others",
    "eicctl (tunnel|forward|db)": "last until they are ended: e2e/test_tunnel, e2e/test_db",
    "eicctl rdp": "starts a desktop: e2e/test_rdp",
    "eicctl (up|logs|down)": "are of the background: e2e/test_up_detach",
    "eicctl (local|demo)|eval": "start a local AWS of their own: e2e/test_local, e2e/test_demo",
    "eicctl ui": "draws on a terminal: test_ui_instances and others",
    "eicctl mfa log": "need a code or a session: e2e/test_mfa",
    "eicctl audit": "CloudTrail answers two requests a second: test_audit, e2e/test_audit",
    "eicctl policy connect --from-audit": "needs records of a user: test_policy_from_audit",
    "eicctl doctor .* --(fix|undo)": "change rules: test_doctor_fix",
    "eicctl delete-endpoint (eice-|office --keep)": "asks on a terminal: e2e/test_terminal",
    ".* --all-regions": "asks all regions, which takes seconds: test_coverage, test_endpoint_commands",
}
"""What is not run here, as patterns, and where it is."""

RUN = {
    command: [line for line in lines if not re.match("|".join(NOT_RUN), line)] for command, lines in EXAMPLES.items()
}

CHANGING = ("eicctl create-endpoint", "eicctl modify-endpoint", "eicctl delete-endpoint")
"""Each example of these has a world of its own."""

CODES = {
    "eicctl ssh-config - --install": 3,  # without an earlier login, there is no last target
    "eicctl policy lint policy.json": 1,
    "eicctl policy lint policy.json --output json": 1,
    "eicctl policy connect --port 22 | eicctl policy lint -": 1,
}
"""Exit codes other than 0 of a line's last command: there is something to change in these policies."""


@pytest.fixture
def place(tmp_path: Path, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files and the profiles that examples name."""
    make_files(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EDITOR", "true")
    (tmp_path / "eicctl/config").mkdir()
    (tmp_path / "eicctl/config/config.toml").write_text('[host."prod-*"]\nos_user = "deploy"\n')
    keys = "aws_access_key_id = {AWS_ACCESS_KEY_ID}\naws_secret_access_key = {AWS_SECRET_ACCESS_KEY}\n"
    sections = (f"[{name}]\n{keys}".format(**emulator.env) for name in ("dev", "dev-a", "prod", "work"))
    (tmp_path / "home/credentials").write_text("".join(sections))


@pytest.mark.parametrize("command", [command for command, lines in RUN.items() if lines])
def test_examples_run(
    command: str,
    place: None,
    emulator: Emulator,
    ec2: Any,
    eicctl: Callable[..., Ran],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real: dict[str, str] = {}
    for line in RUN[command]:
        if command in CHANGING:
            emulator.reset()
        if command in CHANGING or not real:
            real = stand_ins(ec2, with_endpoint="create-endpoint" not in line)
        code = 0
        for words in calls(line):
            assert code == 0, line
            ran = eicctl(*(real.get(word, word) for word in words))
            code = ran.code
            monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(ran.out.encode())))
        assert code == CODES.get(line, 0), f"{line}: {ran.err}"


def test_most_commands_have_an_example_that_is_run() -> None:
    assert len([lines for lines in RUN.values() if lines]) > len(RUN) / 2


def stand_ins(ec2: Any, *, with_endpoint: bool) -> dict[str, str]:
    """The IDs of the world for those of the examples; an endpoint is called office."""
    subnet = ec2.describe_subnets(Filters=[{"Name": "tag:Name", "Values": ["private-a"]}])["Subnets"][0]
    group = ec2.describe_security_groups(Filters=[{"Name": "group-name", "Values": ["targets"]}])["SecurityGroups"][0]
    machine = ec2.describe_instances(Filters=[{"Name": "tag:Name", "Values": ["web-1"]}])["Reservations"][0]
    number = "0123456789abcdef0"
    found = {
        f"subnet-{number}": subnet["SubnetId"],
        f"vpc-{number}": subnet["VpcId"],
        f"sg-{number}": group["GroupId"],
        f"i-{number}": machine["Instances"][0]["InstanceId"],
    }
    if with_endpoint:
        tags = [{"ResourceType": "instance-connect-endpoint", "Tags": [{"Key": "Name", "Value": "office"}]}]
        made = ec2.create_instance_connect_endpoint(SubnetId=subnet["SubnetId"], TagSpecifications=tags)
        found[f"eice-{number}"] = made["InstanceConnectEndpoint"]["InstanceConnectEndpointId"]
    return found
