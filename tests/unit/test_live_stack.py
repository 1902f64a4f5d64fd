"""The calls of CloudFormation that the tests on AWS make, to moto: the local AWS has no CloudFormation.

moto knows all the template's resources but the endpoint, which it leaves out; its databases lack the stack's tags.
"""

from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import boto3
from moto import mock_aws

from tests.live.stack import TAG, Cleaner, Left, Stack
from tests.platforms import ROOT

RUN = "eicctl-live-20261129-abcdef"


def no_endpoints(**_call: Any) -> Any:
    return SimpleNamespace(status_code=200), {"InstanceConnectEndpoints": []}


def test_a_stack_is_created_found_and_deleted() -> None:
    """In a process of its own: in this one, moto may be the local AWS."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "MOTO_"))}
    command = [sys.executable, "-m", "tests.unit.test_live_stack"]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def create_find_and_delete() -> None:
    with mock_aws():
        session = boto3.Session(region_name="us-east-1")
        session.events.register("before-call.ec2.DescribeInstanceConnectEndpoints", no_endpoints)
        ec2 = session.client("ec2")
        others = {vpc["VpcId"] for vpc in ec2.describe_vpcs()["Vpcs"]}
        image = ec2.register_image(Name="any")["ImageId"]  # moto's own ones are not loaded once the emulator is
        images = dict.fromkeys(("AmazonLinuxImage", "UbuntuImage", "WindowsImage"), image)
        extras = {"WithWindows": "true", "WithDatabase": "true"}
        outputs = Stack(session, local=False, run=RUN).create({**images, **extras})
        assert outputs["Vpc"].startswith("vpc-")
        assert outputs["Windows"].startswith("i-")
        (tagged,) = ec2.describe_vpcs(VpcIds=[outputs["Vpc"]])["Vpcs"]
        assert {"Key": TAG, "Value": RUN} in tagged["Tags"]

        cleaner = Cleaner(session, local=False)
        left = cleaner.left()
        assert Left("stack", RUN, RUN) in left
        assert {each.kind for each in left} == {"stack", "instance", "group", "subnet", "vpc"}
        assert not Cleaner(session, local=False, run="eicctl-live-other").left()
        assert cleaner.clean() == []
        assert {vpc["VpcId"] for vpc in ec2.describe_vpcs()["Vpcs"]} == others


if __name__ == "__main__":
    create_find_and_delete()
