"""From a caller's words to a dialer."""

from __future__ import annotations

from typing import Literal, TypedDict

from eicctl.api.dialers import dialer_to
from eicctl.api.wait import wait_until_ready
from eicctl.aws.instance_connect import send_ssh_public_key
from eicctl.aws.session import Session
from eicctl.aws.targets import resolve
from eicctl.core.errors import UsageError
from eicctl.core.model import Target
from eicctl.core.request import ConnectRequest
from eicctl.tunnel.dial import Dialer


class Options(TypedDict, total=False):
    """What every way to a target takes, by keyword.

    Attributes:
        remote_port: The target's port, 22 or 3389, the two that the service has; default: 3389 on Windows, else 22.
        session: Access to AWS that several tunnels share. It excludes the next four.
        profile: Profile in the AWS configuration; default: the environment's.
        region: AWS region; default: the profile's.
        ca_bundle: CA certificates (PEM file) to trust; default: the environment's, or the system's.
        fips: Use FIPS endpoints, of AWS and of EICE.
        endpoint_id: The endpoint to use (`eice-…`); default: the nearest.
        max_tunnel_duration: Longest life of a connection in seconds, 1 to 3600; default: the service's, 3600.
        queue_timeout: Seconds to wait for one of the endpoint's 20 places; default: 30.
        linger: Seconds to wait for a silent target after a client's EOF; default: 60 where the client is still there,
            and 5 where that cannot be known. A client that has closed its connection is not waited for.
        keepalive: Seconds without traffic after which an open connection is pinged, 0 for never; default: 30.
        wait: Seconds to wait for a machine that is not up yet; default: not at all.
    """

    remote_port: int
    session: Session | None
    profile: str | None
    region: str | None
    ca_bundle: str | None
    fips: bool
    endpoint_id: str | None
    max_tunnel_duration: int | None
    queue_timeout: float
    linger: float | None
    keepalive: float | None
    wait: float | None


_REQUESTED: tuple[
    Literal["remote_port", "endpoint_id", "max_tunnel_duration", "queue_timeout", "keepalive", "wait"], ...
] = ("remote_port", "endpoint_id", "max_tunnel_duration", "queue_timeout", "keepalive", "wait")
"""The options that a request has, too."""


def dialer_for(target: str | ConnectRequest | Target, options: Options) -> Dialer:
    """Return what opens links to a target.

    Args:
        target: An instance ID, a Name tag, a private address, or a DNS name that leads to one; a request that says
            more; or a target that was found before, which asks AWS for nothing.
        options: See `Options`.

    Raises:
        EicctlError: The target cannot be found, or is not up in time.
    """
    unknown = options.keys() - Options.__annotations__.keys()
    if unknown:
        raise TypeError(f"unknown keyword arguments: {', '.join(sorted(unknown))}")
    session = _session(options)
    named = (
        target
        if isinstance(target, ConnectRequest)
        else ConnectRequest(target="" if isinstance(target, Target) else target)
    )
    request = named.replace(**{name: options[name] for name in _REQUESTED if options.get(name) is not None})

    def find() -> Target:
        return target if isinstance(target, Target) else resolve(session, request)

    if request.wait is None:
        ready = find()
    else:
        label = target.label if isinstance(target, Target) else request.label
        duration = request.max_tunnel_duration
        ready = wait_until_ready(session, find, seconds=request.wait, label=label, max_tunnel_duration=duration)
    return dialer_to(session, ready, request, look_up=find)


def _session(options: Options) -> Session:
    given = {"profile", "region", "ca_bundle", "fips"} & {name for name, value in options.items() if value}
    if session := options.get("session"):
        if given:
            raise UsageError(f"a session excludes {', '.join(sorted(given))}")
        return session
    return Session(
        profile=options.get("profile"),
        region=options.get("region"),
        ca_bundle=options.get("ca_bundle"),
        fips=options.get("fips", False),
    )


def push_key(
    target: str | ConnectRequest | Target,
    public_key: str,
    *,
    os_user: str,
    session: Session | None = None,
    profile: str | None = None,
    region: str | None = None,
    ca_bundle: str | None = None,
) -> None:
    """Let an SSH key log in to an instance for the next 60 seconds (SendSSHPublicKey).

    Args:
        target: The instance.
        public_key: One line in OpenSSH's form: `ssh-ed25519 AAAA…`.
        os_user: The OS user that it may log in as: `ec2-user`, `ubuntu`, …
        session: See `Options`.
        profile: See `Options`.
        region: See `Options`.
        ca_bundle: See `Options`.

    Raises:
        UsageError: The target is no instance.
        EicctlError: By the service's error.
    """
    options: Options = {"session": session, "profile": profile, "region": region, "ca_bundle": ca_bundle}
    access = _session(options)
    if isinstance(target, str):
        target = ConnectRequest(target=target)
    found = target if isinstance(target, Target) else resolve(access, target)
    if not found.instance_id:
        raise UsageError(f"no key can be pushed to {found.address}: it belongs to no known instance")
    send_ssh_public_key(
        access,
        instance_id=found.instance_id,
        os_user=os_user,
        public_key=public_key,
        availability_zone=found.availability_zone,
    )
