"""What a diagnosis is made of: an ordered list of checks, and which of them need which. Pure; no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from eicctl.reachability.remedies import Change


class Status(StrEnum):
    """How a check ended. `UNKNOWN` is for what could not be looked at, and for what earlier failures made pointless."""

    OK = "ok"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a check has found.

    Attributes:
        status: How it ended.
        evidence: What was seen, in some words for a person.
        mend: The one command that mends it, or in words what to do; empty where there is nothing to mend.
        cause: The sentence that names this as the cause, without a full stop; empty where the evidence says it.
        exit_code: That of eicctl's error of this kind (errors.py); 0 unless it failed.
        change: The smallest change that mends it, where there is one.
        details: More for machines, with AWS's names.
        belongs_to: The key of the check whose failure this is, where that is another one: a tunnel that AWS refuses
            because of a policy is a failure of the permission.
    """

    status: Status
    evidence: str
    mend: str = ""
    cause: str = ""
    exit_code: int = 0
    change: Change | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    belongs_to: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """A check before it is made.

    Attributes:
        key: Its name for machines.
        title: Its name for people.
        needs: The checks that must not have failed, and must be known, for this one to make sense.
    """

    key: str
    title: str
    needs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Check:
    """A check that was made, or left out.

    `left_out` names the check without which it makes no sense; its status is then `UNKNOWN`. `seconds` is how long it
    took.
    """

    key: str
    title: str
    outcome: Outcome
    left_out: str = ""
    seconds: float = 0.0

    @property
    def status(self) -> Status:
        """How it ended."""
        return self.outcome.status


CREDENTIALS = Step("credentials", "Credentials")
CLOCK = Step("clock", "Clock")
REGION = Step("region", "Region", ("credentials",))
TARGET = Step("target", "Target", ("credentials", "region"))
ENDPOINT = Step("endpoint", "Endpoint", ("target",))
WAY = Step("way", "Way there", ("endpoint",))
EGRESS = Step("egress", "Egress", ("target", "endpoint"))
INGRESS = Step("ingress", "Ingress", ("target", "endpoint"))
ACLS = Step("acls", "Network ACLs", ("target", "endpoint"))
ROUTES = Step("routes", "Routes", ("target", "endpoint"))
CLIENT_IP = Step("client-ip", "Client address", ("target", "endpoint"))
PERMISSION = Step("permission", "Permission", ("target", "endpoint"))
KEY_PERMISSION = Step("key-permission", "Pushing a key", ("target", "endpoint"))
INSTANCE_CONNECT = Step("instance-connect", "Instance Connect", ("target",))
OS_USER = Step("os-user", "OS user", ("target",))
TUNNEL = Step("tunnel", "The tunnel", ("endpoint", "way"))

NETWORK = (CLIENT_IP, EGRESS, ROUTES, ACLS, INGRESS)
"""What is found by evaluating rules, in the order of the way."""

LOGIN = (KEY_PERMISSION, INSTANCE_CONNECT, OS_USER)
"""What matters to a login by SSH only."""


def steps_for_target(*, ssh: bool) -> tuple[Step, ...]:
    """Return the checks of a target, in the order in which they are told. The first that failed is the likely cause."""
    login = LOGIN if ssh else ()
    return (CREDENTIALS, CLOCK, REGION, TARGET, ENDPOINT, WAY, PERMISSION, *NETWORK, *login, TUNNEL)


ENDPOINTS = Step("endpoints", "Endpoints", ("credentials", "region"))


def steps_without_target() -> tuple[Step, ...]:
    """Return the checks that need no target."""
    return (CREDENTIALS, CLOCK, REGION, ENDPOINTS, Step("way", "Way there", ("endpoints",)))
