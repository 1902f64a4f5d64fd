"""What is asked of the background process, in a form that JSON can carry."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from eicctl.aws.session import Session
    from eicctl.core.request import ConnectRequest


class Words(TypedDict):
    """What was said; empty, 0 or None where nothing was.

    `max_tunnel_duration`, `linger`, `keepalive` and `announce_end` are in seconds, `host_key_check` is one of
    `ssh.host_keys.CHECKS`, and `session_folder` is that of the eicctl command that runs OpenSSH.
    """

    words: str
    instance_id: str
    private_ip_address: str
    endpoint_id: str
    endpoint_dns_name: str
    remote_port: int | None
    allow_any_port: bool
    max_tunnel_duration: int | None
    linger: float | None
    keepalive: float | None
    ssh_login: str
    host_key_check: str
    private_key_file: str
    key_type: str
    session_folder: str
    announce_end: int
    quiet: bool
    no_cache: bool
    no_agent: bool
    profile: str | None
    region: str | None
    ca_bundle: str | None
    fips: bool


def words_of(
    session: Session,
    request: ConnectRequest,
    max_tunnel_duration: int | None,
    *,
    linger: float | None = None,
    login: str = "",
    check: str = "console",
    private_key_file: str = "",
    key_type: str = "auto",
    session_folder: str = "",
    announce_end: int = 0,
    quiet: bool = False,
    no_cache: bool = False,
    no_agent: bool = False,
) -> Words:
    """Return the words that say what session and request do; the rest as in `ssh.opening.Wanted`."""
    from eicctl.tunnel.keepalive import given_interval

    return {
        "words": request.target,
        "instance_id": request.instance_id,
        "private_ip_address": request.private_ip_address,
        "endpoint_id": request.endpoint_id,
        "endpoint_dns_name": request.endpoint_dns_name,
        "remote_port": request.remote_port,
        "allow_any_port": request.allow_any_port,
        "max_tunnel_duration": max_tunnel_duration,
        "linger": linger,
        "keepalive": given_interval(),
        "ssh_login": login,
        "host_key_check": check,
        "private_key_file": private_key_file,
        "key_type": key_type,
        "session_folder": session_folder,
        "announce_end": announce_end,
        "quiet": quiet,
        "no_cache": no_cache,
        "no_agent": no_agent,
        "profile": session.profile,
        "region": session.given_region,
        "ca_bundle": session.given_ca_bundle,
        "fips": session.given_fips,
    }
