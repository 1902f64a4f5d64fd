"""What `eicctl proxy` is asked for, in a form that JSON can carry, and what it means."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict, cast

from eicctl.aws.session import Session
from eicctl.aws.sessions import Sessions
from eicctl.model import TargetRequest
from eicctl.ssh.opening import Wanted

if TYPE_CHECKING:
    from eicctl.ssh.host_keys import Check


class Words(TypedDict):
    """What was said; empty, 0 or None where nothing was.

    `max_tunnel_duration` is in seconds, and `host_key_check` one of `ssh.host_keys.CHECKS`.
    """

    words: str
    instance_id: str
    private_ip_address: str
    endpoint_id: str
    endpoint_dns_name: str
    remote_port: int
    allow_any_port: bool
    max_tunnel_duration: int | None
    ssh_login: str
    host_key_check: str
    no_cache: bool
    no_agent: bool
    profile: str | None
    region: str | None
    ca_bundle: str | None
    fips: bool


def session_for(words: Words, sessions: Sessions) -> Session:
    """Return the access to AWS that the words ask for."""
    return sessions.of(words["profile"], words["region"], words["ca_bundle"], fips=words["fips"])


def wanted(words: Words, session: Session) -> Wanted:
    """Return what is to be opened."""
    request = TargetRequest(
        remote_port=words["remote_port"],
        words=words["words"],
        instance_id=words["instance_id"],
        private_ip_address=words["private_ip_address"],
        endpoint_id=words["endpoint_id"],
        endpoint_dns_name=words["endpoint_dns_name"],
        allow_any_port=words["allow_any_port"],
    )
    return Wanted(
        session,
        request,
        words["max_tunnel_duration"],
        words["ssh_login"],
        cast("Check", words["host_key_check"]),
        not words["no_cache"],
    )
