"""The values that every room shares. No I/O, and no types of botocore."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

DIRECT_PORTS = (22, 3389)
"""The remote ports that the service accepts (docs/explanation/protocol.md#limits)."""

SSH_PORT = 22
RDP_PORT = 3389

DIRECT_DATABASE_PORT = 3389
"""The port on which a database is reached without SSH: of the service's two ports, no database listens on 22."""

MAX_TUNNEL_DURATION = 3600
"""The longest life of a tunnel, in seconds (docs/explanation/protocol.md#limits)."""


def usual_port(platform: str) -> int:
    """Return the port that people use on a platform: that of RDP on `windows`, else that of SSH."""
    return RDP_PORT if platform == "windows" else SSH_PORT


USABLE_STATES = frozenset({"create-complete", "update-in-progress", "update-complete", "update-failed"})
"""Endpoint states that serve connections (docs/explanation/protocol.md#control-plane)."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """AWS credentials. `repr` shows the access key ID only.

    `expires` is None for long-lived keys, or if the source does not report it. `profile` is that of the AWS
    configuration, or empty if they come from elsewhere: it outlives temporary keys.
    """

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)
    expires: datetime | None = None
    profile: str = ""


CredentialsSource = Callable[[], Credentials]
"""Answers with credentials as fresh as they are. May block; raises `CredentialsError`."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An EC2 Instance Connect Endpoint, as DescribeInstanceConnectEndpoints returns it.

    `dns_name` may include a port (`HOST:PORT`); without one it is 443.
    """

    id: str
    state: str
    vpc_id: str
    subnet_id: str
    availability_zone: str
    dns_name: str
    region: str
    arn: str = ""
    state_message: str = ""
    fips_dns_name: str = ""
    dualstack_dns_name: str = ""
    dualstack_fips_dns_name: str = ""
    ip_address_type: str = "ipv4"
    owner_id: str = ""
    preserve_client_ip: bool = False
    security_group_ids: tuple[str, ...] = ()
    network_interface_ids: tuple[str, ...] = ()
    created_at: datetime | None = None
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The Name tag, or an empty string."""
        return self.tags.get("Name", "")

    @property
    def usable(self) -> bool:
        """Whether the endpoint serves connections now."""
        return self.state in USABLE_STATES


@dataclass(frozen=True, slots=True)
class Instance:
    """An EC2 instance: the attributes that connections need.

    `platform` is `linux` or `windows`; `state` is EC2's (`running`, `stopped`, …).
    """

    id: str
    state: str
    vpc_id: str
    subnet_id: str
    availability_zone: str
    private_ip: str
    region: str
    name: str = ""
    platform: str = "linux"
    ipv6: str = ""
    private_dns_name: str = ""
    image_id: str = ""
    instance_type: str = ""
    key_name: str = ""
    owner_id: str = ""
    security_group_ids: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Target:
    """Where a tunnel goes: an address, a port, and the endpoint that serves it.

    It is all that the data plane needs besides credentials. `endpoint_dns_name` may include a port
    (`HOST:PORT`). `instance_id` is empty if the address belongs to no known instance.
    """

    address: str
    remote_port: int
    endpoint_id: str
    endpoint_dns_name: str
    region: str
    instance_id: str = ""
    instance_name: str = ""
    platform: str = ""
    image_id: str = ""
    availability_zone: str = ""

    @property
    def label(self) -> str:
        """What to call the target in a message: its name, else its ID, else its address."""
        return self.instance_name or self.instance_id or self.address

    @property
    def host(self) -> str:
        """What OpenSSH calls the target: its instance ID, else its address."""
        return self.instance_id or self.address

    @property
    def port_option(self) -> tuple[str, ...]:
        """`--port N` for a command line in a hint; empty if the platform's usual port is meant."""
        return () if self.remote_port == usual_port(self.platform) else ("--port", str(self.remote_port))


@dataclass(frozen=True, slots=True)
class Traffic:
    """The current and past traffic of a listener.

    Attributes:
        active: Connections at the moment.
        total: Connections so far, with the active ones.
        bytes_in: Bytes that came from the target.
        bytes_out: Bytes that went to it.
        ends: When the first of the tunnels in use reaches its duration, by `time.monotonic()`; None without one.
    """

    active: int = 0
    total: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    ends: float | None = None

    def __add__(self, other: Traffic) -> Traffic:
        """Return the traffic of both."""
        return Traffic(
            self.active + other.active,
            self.total + other.total,
            self.bytes_in + other.bytes_in,
            self.bytes_out + other.bytes_out,
            min(filter(None, (self.ends, other.ends)), default=None),
        )
