"""EC2's request throttling: token buckets for each action of a region, as the EC2 developer guide has them.

Source: "Request throttling for the Amazon EC2 API". What is not documented is marked.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator

from eicctl.emulator.control.permission import ApiCall
from eicctl.emulator.signature import Rejected
from eicctl.emulator.state import State

Bucket = tuple[float, float]
"""The most tokens that a bucket holds, and how many are added in a second."""

_NON_MUTATING: Bucket = (100, 20)
_UNFILTERED: Bucket = (50, 10)
_MUTATING: Bucket = (50, 5)
_READING = ("Describe", "Get", "List", "Search")

_SMALLER_UNFILTERED = (
    *("DescribeInstances", "DescribeInstanceStatus", "DescribeNetworkInterfaces", "DescribeSecurityGroups"),
    *("DescribeSnapshots", "DescribeSpotInstanceRequests", "DescribeVolumes"),
)
"""Actions that take from a smaller bucket where a request has neither a filter nor a page size."""

_OWN: dict[str, Bucket] = {
    "CreateNetworkInterface": (100, 5),
    "CreateTags": (100, 10),
    "DeleteNetworkInterface": (100, 5),
    "DeleteTags": (100, 10),
    "DescribeSecurityGroupReferences": (20, 5),
    "DescribeStaleSecurityGroups": (20, 5),
    "ModifyNetworkInterfaceAttribute": (100, 5),
    "RunInstances": (5, 2),
    "StartInstances": (5, 2),
    "TerminateInstances": (100, 5),
    # Not documented; the bucket of EC2's mutating actions.
    "SendSSHPublicKey": _MUTATING,
}
"""Actions with a bucket of another size than their kind's; of the documented ones, those that the emulator has."""

_RESOURCES: dict[str, Bucket] = {
    "RunInstances": (1000, 2),
    "TerminateInstances": (1000, 20),
    "StartInstances": (1000, 2),
    "StopInstances": (1000, 20),
}
"""Actions that also take a token for each resource, from another bucket."""


class Throttling:
    """Refuses calls for which a bucket has no token, by `Behavior.throttling`, and counts all calls.

    Args:
        state: The emulator's memory.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._lock = threading.Lock()

    def check(self, call: ApiCall, account: str) -> None:
        """Count a call of an account: each has buckets of its own.

        Raises:
            Rejected: A bucket is empty.
        """
        if not call.name:
            return
        allowed = self._allows(call, account)
        self._state.count_call(call.region, call.action, throttled=not allowed)
        if allowed:
            return
        if call.service == "ec2":
            raise Rejected("RequestLimitExceeded", "Request limit exceeded.", 503)
        message = "The requests were made too frequently and have been throttled. Wait a while and try again."
        raise Rejected("ThrottlingException", message, 400)

    def _allows(self, call: ApiCall, account: str) -> bool:
        share = self._state.behavior.throttling
        if not share or call.service not in ("ec2", "ec2-instance-connect"):
            return True
        now = self._state.now().timestamp()
        with self._lock:
            left: dict[tuple[str, str, str], float] = {}
            for name, (size, rate), cost in _buckets(call):
                most = max(1.0, share * size)
                before, at = self._state.tokens.get((account, call.region, name), (most, now))
                left[account, call.region, name] = min(most, before + max(now - at, 0.0) * share * rate) - min(
                    cost, most
                )
            allowed = min(left.values()) >= 0
            if allowed:
                self._state.tokens |= {key: (tokens, now) for key, tokens in left.items()}
        return allowed


def _buckets(call: ApiCall) -> Iterator[tuple[str, Bucket, float]]:
    """The buckets that a call takes from: the name and the size of each, and how many tokens."""
    name = call.name
    narrow = any(key == "MaxResults" or key.startswith("Filter.") for key in call.parameters)
    if name in _SMALLER_UNFILTERED and not narrow:
        yield f"{name} unfiltered", _UNFILTERED, 1
    else:
        yield name, _OWN.get(name) or (_NON_MUTATING if name.startswith(_READING) else _MUTATING), 1
    if name in _RESOURCES:
        listed = sum(key.startswith("InstanceId.") for key in call.parameters)
        yield f"{name} resources", _RESOURCES[name], listed or int(call.parameters.get("MaxCount") or 1)
