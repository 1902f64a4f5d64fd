"""The calls of CloudFormation that the tests on AWS make, to moto: the local AWS has no CloudFormation.

moto knows all the template's resources but the endpoint, which it leaves out; its databases lack the stack's tags.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import boto3
import pytest

mock_aws = pytest.importorskip("moto").mock_aws

from tests.live.stack import TAG, Cleaner, Left, Stack  # noqa: E402

RUN = "eicctl-live-20261129-abcdef"


def no_endpoints(**_call: Any) -> Any:
    return SimpleNamespace(status_code=200), {"InstanceConnectEndpoints": []}


@pytest.mark.filterwarnings("ignore:Tried to parse AWS..EC2..InstanceConnectEndpoint")
def test_a_stack_is_created_found_and_deleted(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE", "AWS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    with mock_aws():
        session = boto3.Session(region_name="us-east-1")
        session.events.register("before-call.ec2.DescribeInstanceConnectEndpoints", no_endpoints)
        ec2 = session.client("ec2")
        others = {vpc["VpcId"] for vpc in ec2.describe_vpcs()["Vpcs"]}
        image = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
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
