"""Large fleets in small: throttled requests, more hosts than slots, few file descriptors, many failures."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from eicctl.aws import clients, ec2_requests
from eicctl.emulator.server import Emulator
from tests.integration.conftest import Ran
from tests.processes import few_descriptors, run, running
from tests.terminal import exit_code, screen, terminal

Eicctl = Callable[..., Ran]

SHARE = 0.04
"""Four calls at once, and then four in five seconds, where EC2 allows 100 and 20."""

HOSTS = 22
"""Hosts behind each of two endpoints, which take 20 connections each."""


def of_action(emulator: Emulator, action: str) -> tuple[int, int]:
    """How many calls of an action there were in all regions, and how many of them were throttled."""
    found = [rows[action] for rows in emulator.state.calls().values() if action in rows]
    return sum(each.calls for each in found), sum(each.throttled for each in found)


@pytest.fixture
def impatient(emulator: Emulator) -> Any:
    """boto3's client for EC2, which tries nothing again."""
    return boto3.client("ec2", config=Config(retries={"total_max_attempts": 1}))


def throttled(call: Callable[[], object], most: int = 30) -> ClientError:
    """Make a call until it is throttled; return the error."""
    for _ in range(most):
        try:
            call()
        except ClientError as error:
            return error
    raise AssertionError("it is not throttled")


def test_the_emulator_throttles_as_ec2_does(emulator: Emulator, impatient: Any) -> None:
    emulator.state.behave(throttling=SHARE)
    error = throttled(lambda: impatient.describe_vpcs(MaxResults=5))
    assert error.response["Error"] == {"Code": "RequestLimitExceeded", "Message": "Request limit exceeded."}
    assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 503
    calls, refused = of_action(emulator, "ec2:DescribeVpcs")
    assert (calls, refused) in ((5, 1), (6, 1))
    # Other actions and regions have buckets of their own; so has a request with neither a filter nor a page size.
    impatient.describe_subnets()
    boto3.client("ec2", region_name="eu-west-1").describe_vpcs()
    assert of_action(emulator, "ec2:DescribeVpcs")[1] == 1
    throttled(impatient.describe_instances)
    impatient.describe_instances(MaxResults=5)
    emulator.state.behave(throttling=0.0)
    impatient.describe_vpcs()


@pytest.fixture
def busy(emulator: Emulator, impatient: Any) -> Callable[..., None]:
    """Throttles EC2, whose buckets others keep empty at the start."""

    def begin(share: float = SHARE) -> None:
        emulator.state.behave(throttling=0.0)
        impatient.describe_regions()
        emulator.state.clear_calls()
        emulator.state.behave(throttling=share)
        for call in (impatient.describe_instances, impatient.describe_vpcs, impatient.describe_subnets):
            throttled(lambda call=call: call(Filters=[{"Name": "vpc-id", "Values": ["vpc-0"]}]))  # type: ignore[misc]
        emulator.state.tokens = {key: (0.0, at) for key, (_, at) in emulator.state.tokens.items()}

    return begin


@pytest.mark.parametrize("words", ["instances --output json", "coverage --output json", "run --all --dry-run"])
def test_throttling_changes_no_answer(
    emulator: Emulator, endpoint: dict[str, Any], eicctl: Eicctl, busy: Callable[..., None], words: str
) -> None:
    calm = eicctl(*words.split())
    assert calm.code == 0, calm.err
    busy()
    before = of_action(emulator, "ec2:DescribeInstances")
    done = eicctl(*words.split())
    assert (done.code, done.out) == (0, calm.out), done.err
    calls, refused = (
        now - then for now, then in zip(of_action(emulator, "ec2:DescribeInstances"), before, strict=True)
    )
    assert calls - refused == 1


def test_a_login_waits_for_its_turn(emulator: Emulator, endpoint: dict[str, Any], busy: Callable[..., None]) -> None:
    busy(SHARE / 4)  # one call in five seconds: more than the start of a command takes
    before = of_action(emulator, "ec2:DescribeInstances")[1]
    done = run("ssh", "web-1", "--", "echo hello")
    assert (done.returncode, done.stdout) == (0, b"hello\n"), done.stderr.decode()
    assert of_action(emulator, "ec2:DescribeInstances")[1] > before


def test_a_call_that_stays_throttled_says_so(
    emulator: Emulator, eicctl: Eicctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clients, "PATIENCE", 12.0)  # botocore's four attempts take less
    emulator.state.behave(throttling=1e-6)  # one call of each action
    assert eicctl("list-endpoints").code == 0
    done = eicctl("list-endpoints")
    assert done.code == 6
    assert "Request limit exceeded. (RequestLimitExceeded)" in done.err
    assert of_action(emulator, "ec2:DescribeInstanceConnectEndpoints")[1] > clients.ATTEMPTS


def test_a_throttled_wait_is_interrupted_at_once(emulator: Emulator, home: object) -> None:
    emulator.state.behave(throttling=1e-6)
    assert run("instances").returncode == 0
    with running("instances") as process:
        while of_action(emulator, "ec2:DescribeInstances")[1] < 2:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"Traceback" not in err


def test_a_list_asks_for_the_largest_pages(emulator: Emulator, ec2: Any, subnet_id: str, eicctl: Eicctl) -> None:
    for _ in range(120):  # a page has 100 reservations unless more are asked for
        ec2.run_instances(ImageId="ami-12345678", MinCount=1, MaxCount=1, SubnetId=subnet_id)
    emulator.state.clear_calls()
    done = eicctl("instances", "--output", "json")
    assert len(json.loads(done.out)) > 120
    assert of_action(emulator, "ec2:DescribeInstances") == (1, 0)


def test_a_list_goes_on_at_the_page_that_was_throttled(
    emulator: Emulator, ec2: Any, subnet_id: str, eicctl: Eicctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(9):
        ec2.run_instances(ImageId="ami-12345678", MinCount=1, MaxCount=1, SubnetId=subnet_id)
    calm = eicctl("instances", "--output", "json")
    monkeypatch.setitem(ec2_requests._PAGE_SIZES, "describe_instances", 5)
    emulator.state.clear_calls()
    emulator.state.behave(throttling=0.02)  # two calls at once
    done = eicctl("instances", "--output", "json")
    assert done.out == calm.out
    calls, refused = of_action(emulator, "ec2:DescribeInstances")
    assert refused
    assert calls - refused == 3


@pytest.mark.parametrize("width", [80, 120])
def test_a_terminal_shows_that_aws_throttles(emulator: Emulator, home: object, width: int) -> None:
    emulator.state.behave(throttling=1e-6)
    assert run("list-endpoints").returncode == 0
    session = terminal(os.environ, "list-endpoints", size=(24, width))
    session.expect(r"Looking up endpoints in us-east-1, throttled by AWS \(\d+ s\)")
    session.sendintr()
    assert exit_code(session) == 130
    assert "throttled" not in "".join(screen(f"{session.before}"))


@pytest.fixture
def fleet(emulator: Emulator, ec2: Any) -> list[str]:
    """Two VPCs with an endpoint and instances; their names."""
    names = []
    for number in range(2):
        vpc = ec2.create_vpc(CidrBlock=f"10.{50 + number}.0.0/16")["Vpc"]["VpcId"]
        subnet = ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.{50 + number}.1.0/24")["Subnet"]["SubnetId"]
        ec2.create_instance_connect_endpoint(SubnetId=subnet)
        group = ec2.create_security_group(GroupName="ssh", Description="ssh", VpcId=vpc)["GroupId"]
        ec2.authorize_security_group_ingress(
            GroupId=group, IpProtocol="tcp", FromPort=22, ToPort=22, CidrIp=f"10.{50 + number}.0.0/16"
        )
        made = ec2.run_instances(
            ImageId="ami-12345678", MinCount=HOSTS, MaxCount=HOSTS, SubnetId=subnet, SecurityGroupIds=[group]
        )["Instances"]
        for place, row in enumerate(made):
            names.append(f"fleet-{number}-{place}")
            tags = [{"Key": "Name", "Value": names[-1]}, {"Key": "Fleet", "Value": str(number)}]
            ec2.create_tags(Resources=[row["InstanceId"]], Tags=tags)
    return names


@pytest.mark.timeout(180)
def test_more_hosts_than_two_endpoints_take(emulator: Emulator, fleet: list[str]) -> None:
    """Every host is reached, no endpoint has more than its limit, and the usual 1,024 descriptors are far too many."""
    most: Counter[str] = Counter()
    done = threading.Event()

    def look() -> None:
        while not done.wait(0.02):
            for endpoint_id, count in emulator.connections().items():
                most[endpoint_id] = max(most[endpoint_id], count)

    watching = threading.Thread(target=look)
    watching.start()
    try:
        words = ("run", "--name-glob", "fleet-*", "--parallel", "100", "--output", "json", "--", "echo $$; sleep 3")
        with running(*words, before=few_descriptors(256)) as process:
            out, err = process.communicate(timeout=150)
    finally:
        done.set()
        watching.join()
    rows = json.loads(out)
    assert process.returncode == 0, err.decode()
    assert sorted(row["Name"] for row in rows) == sorted(fleet)
    assert {row["Stderr"] for row in rows} == {""}
    assert len(most) == 2
    assert all(4 <= count <= 20 for count in most.values()), most
    assert of_action(emulator, "ec2:DescribeInstances") == (1, 0)
