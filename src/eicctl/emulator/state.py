"""What the two halves of the emulator share: machines, endpoints, keys, events, faults.

The control plane (threads of the WSGI server) writes it and the data plane (an asyncio loop) reads it, so every
method takes the one lock and returns copies or immutable values.
"""

from __future__ import annotations

import math
import secrets
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import msgspec

KEY_LIFETIME = 60.0
"""Seconds for which a pushed key is accepted (docs/explanation/protocol.md#keys)."""


@dataclass(frozen=True, slots=True)
class EndpointRecord:
    """An EICE of the emulator. `state` is one of the service's nine states."""

    id: str
    arn: str
    owner_id: str
    region: str
    vpc_id: str
    subnet_id: str
    availability_zone: str
    dns_name: str
    state: str
    security_group_ids: tuple[str, ...]
    network_interface_ids: tuple[str, ...]
    created_at: datetime
    state_message: str = ""
    fips_dns_name: str = ""
    ip_address_type: str = "ipv4"
    preserve_client_ip: bool = False
    client_token: str = ""
    availability_zone_id: str = ""


@dataclass(frozen=True, slots=True)
class Machine:
    """An emulated machine at a private address.

    `host_key` is an OpenSSH private key (PEM), `host_public_key` its one-line public half. `users` are the OS users
    that exist. `forwards` maps a port to a real `HOST:PORT` on this computer that stands for the service there.
    `kind` is `linux` (SSH on 22), `windows` (RDP greeting on 3389) or `service` (only `forwards`). The security groups
    are those of a machine that is not an instance; an instance's are in moto. `names` are the DNS names that lead to it
    inside its VPC. `authorized_keys` are public keys that every user of it may log in with, without a push. `account`
    is the one that it belongs to.
    """

    kind: Literal["linux", "windows", "service"]
    name: str
    address: str
    region: str
    vpc_id: str
    instance_id: str = ""
    users: tuple[str, ...] = ()
    host_key: str = field(default="", repr=False)
    host_public_key: str = ""
    forwards: tuple[tuple[int, str], ...] = ()
    ec2_instance_connect: bool = True
    security_group_ids: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    authorized_keys: tuple[str, ...] = ()
    account: str = ""


@dataclass(frozen=True, slots=True)
class Account:
    """An account of the organization. `state` is Organizations' (`ACTIVE`, `SUSPENDED`, …)."""

    id: str
    name: str
    state: str = "ACTIVE"


class Fault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """A fault that the data plane injects into the next `times` matching connections (-1: all).

    An empty `endpoint_id` or `address` matches all. `data/faults.py` has the kinds.
    """

    id: str = msgspec.field(default_factory=lambda: secrets.token_hex(4))
    times: Annotated[int, msgspec.Meta(ge=-1)] = 1
    endpoint_id: str = ""
    address: str = ""
    stage: str = "open"


@dataclass(frozen=True, slots=True)
class Behavior:
    """How the emulator behaves; `State.behave` changes it.

    Attributes:
        transition: Seconds that creating, modifying or deleting an endpoint takes.
        fail_create: Why creating the next endpoint fails; empty if it does not. Applies once.
        latency: Seconds that each call of the control plane takes.
        client_ip: The address that connections seem to come from; empty for the real one.
        max_connections: Simultaneous connections of an endpoint (docs/explanation/protocol.md#limits: 20).
        clock_offset: Seconds by which the emulator's clock is ahead of this machine's.
        boot: Seconds for which an instance that starts is pending; for as long again, nothing answers at its ports.
        lag: Seconds for which calls do not see a security group or an endpoint that was just created (EC2 is eventually
            consistent), and for which a deleted endpoint's network interface stays.
        denied: Actions of EC2 that are refused, separated by spaces, everywhere, in a region or in an account:
            `DescribeSubnets eu-west-1:DescribeVpcs 222233334444:DescribeInstances`.
        lookup_rate: LookupEvents calls that a region answers in a second (docs/explanation/protocol.md#cloudtrail: 2);
            0 for any number.
        athena_seconds: Seconds that a query of Athena takes at the least.
        throttling: The share of EC2's documented request rates that callers have: 1 for all of it, 0.1 where others use
            up most of it; 0 for no throttling (`control/throttling.py`).
    """

    transition: float = 2.0
    fail_create: str = ""
    latency: float = 0.0
    client_ip: str = ""
    max_connections: int = 20
    clock_offset: float = 0.0
    boot: float = 0.0
    lag: float = 0.0
    denied: str = ""
    lookup_rate: float = 2.0
    athena_seconds: float = 0.0
    throttling: Annotated[float, msgspec.Meta(ge=0)] = 0.0


@dataclass(slots=True)
class Calls:
    """How often an action was called, and how many of these calls were throttled."""

    calls: int = 0
    throttled: int = 0


@dataclass(slots=True)
class _Transition:
    """An endpoint, and what it is after `due` (None: deleted)."""

    now: EndpointRecord
    due: float | None = None
    then: EndpointRecord | None = None


class State:
    """The emulator's memory. Thread-safe.

    `accounts` are those of the organization, by ID; empty without an organization. `users` are the OS users that an
    image has, by its ID.
    `on_push` is called with an instance's ID after a key was pushed to it. `fips_port` is the data plane's second port,
    that of FIPS names, and `dualstack_host` the host of dual-stack names; both empty for the same as the plain name.
    `tokens` has the buckets of `control/throttling.py`.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._lock = threading.RLock()
        self._behaviour = Behavior()
        self._real_clock = clock
        self.on_push: Callable[[str], None] = lambda _instance_id: None
        self.fips_port = 0
        self.dualstack_host = ""
        self.clear()

    def _clock(self) -> float:
        return self._real_clock() + self._behaviour.clock_offset

    def clear(self) -> None:
        """Remove everything but the behavior."""
        with self._lock:
            self._endpoints: dict[str, _Transition] = {}
            self._completed: list[tuple[float, EndpointRecord, EndpointRecord | None]] = []
            self._created: dict[str, float] = {}
            self._by_token: dict[tuple[str, str], tuple[object, EndpointRecord]] = {}
            self._machines: dict[tuple[str, str], Machine] = {}
            self.users: dict[str, tuple[str, ...]] = {}
            self._keys: dict[tuple[str, str], list[tuple[str, float]]] = {}
            self._events: list[dict[str, Any]] = []
            self._lookups: dict[tuple[str, str], tuple[float, float]] = {}
            self._calls: dict[str, dict[str, Calls]] = {}
            self.tokens: dict[tuple[str, str, str], tuple[float, float]] = {}
            self._faults: list[Fault] = []
            self._started: dict[str, tuple[float, float]] = {}
            self.accounts: dict[str, Account] = {}

    @property
    def behavior(self) -> Behavior:
        """How the emulator behaves now."""
        return self._behaviour

    def behave(self, **changes: Any) -> Behavior:
        """Change the behavior; the names are those of `Behavior`."""
        with self._lock:
            self._behaviour = replace(self._behaviour, **changes)
            if "throttling" in changes:  # whoever sets it finds full buckets
                self.tokens.clear()
            return self._behaviour

    def now(self) -> datetime:
        """The emulator's time."""
        return datetime.fromtimestamp(self._clock(), UTC)

    # Endpoints

    def put_endpoint(self, endpoint: EndpointRecord) -> None:
        """Add an endpoint, or replace the one with its ID; it stays as it is."""
        with self._lock:
            self._endpoints[endpoint.id] = _Transition(endpoint)

    def change_endpoint(self, endpoint: EndpointRecord, then: EndpointRecord | None) -> None:
        """Put an endpoint that becomes `then`, or is deleted if None, after the time that a transition takes."""
        with self._lock:
            self._endpoints[endpoint.id] = _Transition(endpoint, self._clock() + self._behaviour.transition, then)

    def endpoint(self, endpoint_id: str) -> EndpointRecord | None:
        """The endpoint with this ID."""
        return next((endpoint for endpoint in self.endpoints() if endpoint.id == endpoint_id), None)

    def endpoints(self) -> list[EndpointRecord]:
        """All endpoints as they are now, oldest first."""
        with self._lock:
            now = self._clock()
            for key, kept in list(self._endpoints.items()):
                if kept.due is None or kept.due > now:
                    continue
                lag = self._behaviour.lag if kept.then is None else 0.0
                known_at = kept.due + lag if lag else -math.inf
                self._completed.append((known_at, kept.now, kept.then))
                if kept.then is None:
                    del self._endpoints[key]
                else:
                    self._endpoints[key] = _Transition(kept.then)
            return [kept.now for kept in self._endpoints.values()]

    def take_completed(self) -> list[tuple[EndpointRecord, EndpointRecord | None]]:
        """The transitions completed since the last call: each endpoint as it was, and as it is now (None: deleted)."""
        with self._lock:
            self.endpoints()
            now = self._clock()
            completed = [(old, new) for at, old, new in self._completed if at <= now]
            self._completed = [row for row in self._completed if row[0] > now]
            return completed

    def note_created(self, resource_id: str) -> None:
        """Note that a resource was created now."""
        with self._lock:
            self._created[resource_id] = self._clock()

    def seen(self, resource_id: str) -> bool:
        """Whether calls see a resource: not yet, just after it was created."""
        with self._lock:
            return self._clock() >= self._created.get(resource_id, 0.0) + self._behaviour.lag

    def remember_request(self, client_token: str, request: object, endpoint: EndpointRecord) -> None:
        """Note which request with a ClientToken created an endpoint."""
        with self._lock:
            self._by_token[endpoint.region, client_token] = (request, endpoint)

    def endpoint_of_token(self, region: str, client_token: str) -> tuple[object, EndpointRecord] | None:
        """The request with a ClientToken, and the endpoint it created as it is now; `delete-complete` if deleted."""
        with self._lock:
            if (region, client_token) not in self._by_token:
                return None
            request, created = self._by_token[region, client_token]
            return request, self.endpoint(created.id) or replace(created, state="delete-complete")

    # Machines and the keys pushed to them

    def put_machine(self, machine: Machine) -> None:
        """Add a machine, or replace the one at its VPC and address."""
        with self._lock:
            self._machines[machine.vpc_id, machine.address] = machine

    def machine(self, vpc_id: str, address: str) -> Machine | None:
        """The machine at an address of a VPC."""
        with self._lock:
            return self._machines.get((vpc_id, address))

    def find_machine(self, vpc_id: str, host: str) -> Machine | None:
        """The machine that an address or a DNS name leads to inside a VPC."""
        with self._lock:
            found = (m for m in self._machines.values() if m.vpc_id == vpc_id and host.lower() in m.names)
            return self.machine(vpc_id, host) or next(found, None)

    def machine_of(self, instance_id: str) -> Machine | None:
        """The machine that is this instance."""
        with self._lock:
            return next((m for m in self._machines.values() if m.instance_id == instance_id), None)

    def start_instance(self, instance_id: str) -> None:
        """Start an instance now; its boot takes time."""
        with self._lock:
            self._started[instance_id] = (self._clock(), self._behaviour.boot)

    def boot_stage(self, instance_id: str) -> Literal["pending", "silent", "up"]:
        """How far an instance is that has been started: pending, running with nothing that answers, or up."""
        with self._lock:
            started, boot = self._started.get(instance_id, (0.0, 0.0))
            passed = self._clock() - started
            return "pending" if passed < boot else "silent" if passed < 2 * boot else "up"

    def machines(self) -> list[Machine]:
        """All machines."""
        with self._lock:
            return list(self._machines.values())

    def push_key(self, instance_id: str, os_user: str, public_key: str) -> None:
        """Accept a public key for an OS user for the next 60 s."""
        with self._lock:
            self._keys.setdefault((instance_id, os_user), []).append((public_key, self._clock() + KEY_LIFETIME))
        self.on_push(instance_id)

    def keys(self, instance_id: str, os_user: str) -> list[str]:
        """The public keys that an OS user may log in with now."""
        with self._lock:
            live = [(key, end) for key, end in self._keys.get((instance_id, os_user), []) if end > self._clock()]
            self._keys[instance_id, os_user] = live
            return [key for key, _ in live]

    # CloudTrail

    def record(self, event: dict[str, Any]) -> None:
        """Add a CloudTrail record (the JSON form of a log file's `Records` entry)."""
        with self._lock:
            self._events.append(event)

    def events(self) -> list[dict[str, Any]]:
        """All CloudTrail records, oldest first."""
        with self._lock:
            return list(self._events)

    def allow_lookup(self, region: str, account: str) -> bool:
        """Whether a region of an account accepts a call of LookupEvents now; counts it.

        Bursts may have one second's calls.
        """
        rate = self._behaviour.lookup_rate
        if not rate:
            return True
        with self._lock:
            now, burst = self._clock(), max(rate, 1.0)
            left, at = self._lookups.get((account, region), (burst, now))
            left = min(burst, left + max(now - at, 0.0) * rate)
            self._lookups[account, region] = (left - 1 if left >= 1 else left, now)
            return left >= 1

    # Calls of the control plane

    def count_call(self, region: str, action: str, *, throttled: bool) -> None:
        """Count a call of an IAM action in a region."""
        with self._lock:
            counts = self._calls.setdefault(region, {}).setdefault(action, Calls())
            counts.calls += 1
            counts.throttled += throttled

    def calls(self) -> dict[str, dict[str, Calls]]:
        """How often each action was called, by region and IAM action."""
        with self._lock:
            return {
                region: {name: replace(each) for name, each in rows.items()} for region, rows in self._calls.items()
            }

    def clear_calls(self) -> None:
        """Count from zero."""
        with self._lock:
            self._calls.clear()

    # Faults

    def add_fault(self, fault: Fault) -> None:
        """Add a fault."""
        with self._lock:
            self._faults.append(fault)

    def clear_faults(self) -> None:
        """Remove all faults."""
        with self._lock:
            self._faults.clear()

    def faults(self) -> list[Fault]:
        """The faults that remain to be injected."""
        with self._lock:
            return list(self._faults)

    def take_fault(self, endpoint_id: str, address: str, stages: Collection[str]) -> Fault | None:
        """The first fault of one of the stages that matches a new connection; counts it as injected."""
        with self._lock:
            for index, fault in enumerate(self._faults):
                if fault.stage not in stages:
                    continue
                if fault.endpoint_id not in ("", endpoint_id) or fault.address not in ("", address):
                    continue
                if fault.times > 0:
                    left = msgspec.structs.replace(fault, times=fault.times - 1)
                    self._faults[index : index + 1] = [left] if left.times else []
                return fault
            return None
