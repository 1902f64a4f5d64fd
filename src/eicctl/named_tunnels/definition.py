"""What a named tunnel is: a value that files, the background process and the command line share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

Kind = Literal["direct", "rdp", "via", "socks", "db"]

KINDS: tuple[Kind, ...] = ("direct", "rdp", "via", "socks", "db")


@dataclass(frozen=True, slots=True)
class Definition:
    """One named tunnel. Paths are absolute; an empty text or None stands for what is not said.

    Attributes:
        name: Its name, which is unique among those that are open.
        kind: `direct` (port 22 or 3389 of the target), `rdp` (3389), `via` (any port, through SSH on an instance),
            `socks` (a SOCKS5 proxy, the same way), or `db` (a database of RDS).
        source: The file that defines it.
        profile: Profile in the AWS configuration.
        region: AWS region.
        ca_bundle: CA certificates to trust (PEM).
        target: The target of `direct` and `rdp`, in the words of the command line.
        private_ip_address: An address or DNS name in its place.
        remote_port: The port of a `direct` target.
        via: The instance that `via` and `socks` go through, and `db` may.
        forward: What `via` forwards, in the words of `eicctl forward`.
        database: The database of `db`: its identifier or host name.
        reader: Whether `db` takes the cluster's reader endpoint.
        local_port: The local port; 0 for a free one, None for the usual one of the kind if that is free.
        local_socket: A Unix socket in its place, for `direct`.
        bind: The address to listen on; empty for loopback.
        os_user: Whom to log in as.
        private_key_file: A private key of the user's own.
        host_key_check: How host keys are checked.
        instance_connect_endpoint_id: The endpoint to use.
        max_tunnel_duration: Longest life of a tunnel, in seconds (1 to 3600).
        linger: Longest silence of a `direct` or `rdp` target after a client's EOF, in seconds.
    """

    name: str
    kind: Kind
    source: str = ""
    profile: str = ""
    region: str = ""
    ca_bundle: str = ""
    target: str = ""
    private_ip_address: str = ""
    remote_port: int = 0
    via: str = ""
    forward: tuple[str, ...] = ()
    database: str = ""
    reader: bool = False
    local_port: int | None = None
    local_socket: str = ""
    bind: str = ""
    os_user: str = ""
    private_key_file: str = ""
    host_key_check: str = ""
    instance_connect_endpoint_id: str = ""
    max_tunnel_duration: int | None = None
    linger: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON object; what is not said is left out."""
        empty = {field.name: field.default for field in fields(self)}
        return {key: value for key, value in asdict(self).items() if value != empty.get(key)}

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Definition:
        """Return what `to_json` was made from.

        Raises:
            TypeError: It is no such object.
        """
        return cls(**{**found, "forward": tuple(found.get("forward", ()))})
