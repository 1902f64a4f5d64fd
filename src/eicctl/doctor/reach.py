"""Looks that connect: the way to the endpoint, and the tunnel to the target."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from eicctl.core.errors import (
    CredentialsError,
    DeniedError,
    EicctlError,
    NetworkError,
    NotFoundError,
    RefusedError,
    TargetUnreachableError,
    UnavailableError,
)
from eicctl.core.model import Endpoint, Target
from eicctl.doctor import check as checks
from eicctl.doctor.check import Outcome, Status
from eicctl.doctor.run import failed
from eicctl.doctor.words import duration
from eicctl.tunnel.certificate import Certificate
from eicctl.tunnel.dial import Dialer
from eicctl.tunnel.probe import RDP_REQUEST, Probe, probe
from eicctl.tunnel.trace import Way, walk

RETRY_BUDGET = 3.0
"""Seconds for which a tunnel that fails for a passing reason is tried again."""

QUEUE_TIMEOUT = 3.0
"""Seconds for which a place at the endpoint is waited for: that it is full is what the user wants to know."""


def look_at_way(dns_name: str, ca_bundle: str | None) -> Outcome:
    """Whether DNS, TCP and TLS lead from here to an endpoint."""
    way = walk(dns_name, ca_bundle)
    stages = [{"Name": s.name, "Seen": s.seen, "Seconds": round(s.seconds, 4)} for s in way.stages]
    details: dict[str, Any] = {
        "Host": way.host,
        "Port": way.port,
        "Proxy": f"{way.proxy.host}:{way.proxy.port}" if way.proxy else None,
        "CaBundle": ca_bundle,
        "Stages": stages,
        "FailedStage": way.failed or None,
    }
    if way.certificate:
        details["Certificate"] = {
            "".join(part.title() for part in key.split("_")): value for key, value in asdict(way.certificate).items()
        }
    if way.error:
        return _lost(way, way.error, ca_bundle, details)
    times = ", ".join(f"{stage.name} {duration(stage.seconds)}" for stage in way.stages)
    through = f" through {way.proxy}" if way.proxy else ""
    issuer = f", certificate issued by {way.certificate.issuer}" if way.certificate else ""
    return Outcome(Status.OK, f"{way.host}:{way.port}{through}: {times}{issuer}", details=details)


def _lost(way: Way, error: EicctlError, ca_bundle: str | None, details: dict[str, Any]) -> Outcome:
    seen, mend = error.message, error.hint or ""
    if way.failed == "TLS" and way.certificate:
        seen += f". {_shown(way.certificate)}; trusted are {_trusted(ca_bundle)}"
        mend = "give the CA that issued it, if you trust it: --ca-bundle FILE, or AWS_CA_BUNDLE"
    elif way.failed == "TCP" and not way.proxy and (family := _only_missing_family(way)):
        seen += f". The endpoint's name has {family} addresses only, and this machine has no route for {family}"
        mend = "use a network with that address family, or eicctl modify-endpoint ID --ip-address-type dualstack"
    return Outcome(Status.FAILED, seen, mend, cause=error.message, exit_code=error.exit_code, details=details)


def _shown(certificate: Certificate) -> str:
    until = certificate.not_after.strftime("%Y-%m-%d")
    return (
        f"It is for {certificate.subject}, issued by {certificate.issuer}, good until {until}, "
        f"SHA-256 {certificate.fingerprint[:16]}…"
    )


def _trusted(ca_bundle: str | None) -> str:
    return f"the CAs in {ca_bundle}" if ca_bundle else "the system's CAs"


def _only_missing_family(way: Way) -> str:
    """Return the address family that all of the host's addresses have and this machine has no route for, or nothing."""
    addresses = next((stage.seen for stage in way.stages if stage.name == "DNS"), "").split(", ")
    versions = {"IPv6" if ":" in address else "IPv4" for address in addresses if address}
    if len(versions) != 1:
        return ""
    version = versions.pop()
    return "" if has_route(version) else version


def has_route(version: str) -> bool:
    """Whether this machine has a route to the Internet for `IPv4` or `IPv6`. Nothing is sent."""
    family, address = (socket.AF_INET6, "2001:4860:4860::8888") if version == "IPv6" else (socket.AF_INET, "192.0.2.1")
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.connect((address, 9))
    except OSError:
        return False
    return True


def look_at_ways(endpoints: Sequence[Endpoint], names: Sequence[str], ca_bundle: str | None) -> Outcome:
    """Whether the ways lead to several endpoints: one outcome, which has failed if one has.

    Args:
        endpoints: The endpoints.
        names: Their DNS names, in the same order.
        ca_bundle: CA certificates to trust.
    """
    from eicctl.support.parallel import together

    found = together([lambda name=name: look_at_way(name, ca_bundle) for name in names])  # type: ignore[misc]
    details = {
        "Ways": [
            {"InstanceConnectEndpointId": endpoint.id, "Status": str(one.status), **one.details}
            for endpoint, one in zip(endpoints, found, strict=True)
        ]
    }
    told = [f"{endpoint.name or endpoint.id}: {one.evidence}" for endpoint, one in zip(endpoints, found, strict=True)]
    bad = [one for one in found if one.status is Status.FAILED]
    if not bad:
        return Outcome(Status.OK, "; ".join(told), details=details)
    first = bad[0]
    seen = first.evidence if len(bad) == len(found) else "; ".join(told)
    return Outcome(Status.FAILED, seen, first.mend, first.cause, first.exit_code, details=details)


def look_at_tunnel(dialer: Dialer) -> Outcome:
    """Open a tunnel and wait for the target's first bytes."""
    target = dialer.target
    greeting = RDP_REQUEST if target.remote_port == 3389 and target.platform == "windows" else b""
    try:
        found = probe(dialer, greeting=greeting, retry_budget=RETRY_BUDGET)
    except TargetUnreachableError as error:
        return _unreachable(target, error)
    except EicctlError as error:
        return replace(failed(error), belongs_to=_belongs_to(error))
    times = _times(found)
    details = {
        "RequestId": found.request_id,
        "Banner": found.banner[:100].decode(errors="replace").strip(),
        "Seconds": {
            "Tcp": round(found.times.tcp, 4),
            "Tls": round(found.times.tls, 4),
            "Handshake": round(found.times.handshake, 4),
            "FirstByte": round(found.banner_time, 4) if found.banner else None,
        },
    }
    if found.banner:
        return Outcome(Status.OK, f"{target.label} answers ({_banner(target, found)}): {times}", details=details)
    if target.remote_port == 22 or greeting:
        what = "an SSH server" if target.remote_port == 22 else "an RDP server"
        return Outcome(
            Status.FAILED,
            f"the tunnel opens, but {target.label} says nothing, as {what} would ({times})",
            f"is it {what} that listens at port {target.remote_port} of {target.label}? It may also hang",
            cause=f"what listens at port {target.remote_port} of {target.label} does not answer as {what} does",
            exit_code=NetworkError.default_exit_code,
            details=details,
        )
    seen = f"the endpoint lets us in ({times}); {target.label} need not speak first, so whether it answers is not known"
    return Outcome(Status.UNKNOWN, seen, details=details)


_REFUSALS: Sequence[tuple[type[EicctlError], str]] = (
    (DeniedError, checks.PERMISSION.key),
    (CredentialsError, checks.CREDENTIALS.key),
    (NotFoundError, checks.ENDPOINT.key),
    (UnavailableError, checks.ENDPOINT.key),
    (RefusedError, checks.ENDPOINT.key),
)
"""Errors of a tunnel that AWS refuses before it is open, and the checks that they belong to."""


def _belongs_to(error: EicctlError) -> str:
    """Return the key of the check that an error of the tunnel belongs to; empty where that is the tunnel itself."""
    return next((key for kind, key in _REFUSALS if isinstance(error, kind)), "")


def _unreachable(target: Target, error: TargetUnreachableError) -> Outcome:
    look = f"on {target.label}: sudo ss -tlnp 'sport = :{target.remote_port}'; sudo nft list ruleset"
    if target.platform == "windows":
        look = f"on {target.label}: Get-NetTCPConnection -LocalPort {target.remote_port}; Get-NetFirewallProfile"
    details = {
        "RequestId": error.request_id,
        "Unreachable": True,
        "RemotePort": target.remote_port,
        "Label": target.label,
        "LookThere": look,
    }
    return Outcome(Status.FAILED, error.message, exit_code=error.exit_code, details=details)


def _times(found: Probe) -> str:
    stages = {"TCP": found.times.tcp, "TLS": found.times.tls, "handshake": found.times.handshake}
    if found.banner:
        stages["first byte"] = found.banner_time
    return ", ".join(f"{name} {duration(seconds)}" for name, seconds in stages.items())


def _banner(target: Target, found: Probe) -> str:
    if target.remote_port == 3389 and found.banner[:1] == b"\x03":
        return "as an RDP server"
    return found.banner.splitlines()[0][:60].decode(errors="replace")
