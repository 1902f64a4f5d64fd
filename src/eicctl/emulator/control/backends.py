"""The parts of moto's inside that the emulator touches, in one place."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from moto.cloudtrail.responses import CloudTrailResponse
from moto.core.base_backend import BackendDict
from moto.core.exceptions import ServiceException
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.core.responses import ActionResult
from moto.ec2.models import ec2_backends
from moto.ec2.responses import EC2Response
from moto.ec2.utils import EC2_PREFIX_TO_RESOURCE, EC2_RESOURCE_TO_PREFIX
from moto.ec2instanceconnect.responses import Ec2InstanceConnectResponse
from moto.rds.models import rds_backends

# The images are those of the world file. moto's own 1,300 cost a tenth of a second at every start and reset.
os.environ.setdefault("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")

ACCOUNT = DEFAULT_ACCOUNT_ID
"""The account that everything belongs to."""

__all__ = ["ACCOUNT", "ActionResult", "ApiError", "ec2", "install", "rds", "reset"]

Action = Callable[[Any], Any]
"""A method of one of moto's response classes: takes the response object, answers with an `ActionResult`."""


class ApiError(ServiceException):
    """An error of an AWS operation: its code and its message. moto answers with it in the service's form."""

    # moto looks for the model of the service from whose package an exception comes, so it must not come from moto's.


def ec2(region: str) -> Any:
    """moto's EC2 of a region."""
    return ec2_backends[ACCOUNT][region]


def rds(region: str) -> Any:
    """moto's RDS of a region."""
    return rds_backends[ACCOUNT][region]


def reset() -> None:
    """Forget all resources of all services."""
    BackendDict.reset()


def install(ec2_actions: Mapping[str, Action], connect: Mapping[str, Action], trail: Mapping[str, Action]) -> None:
    """Add operations, by their names in snake case, to the responses of EC2, EC2 Instance Connect and CloudTrail."""
    # Tags are made for IDs with a prefix that moto knows.
    EC2_RESOURCE_TO_PREFIX["instance-connect-endpoint"] = "eice"
    EC2_PREFIX_TO_RESOURCE["eice"] = "instance-connect-endpoint"
    for response, actions in (
        (EC2Response, ec2_actions),
        (Ec2InstanceConnectResponse, connect),
        (CloudTrailResponse, trail),
    ):
        for name, action in actions.items():
            setattr(response, name, action)
