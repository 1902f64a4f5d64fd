"""Whether DNS, TCP and TLS lead from here to the endpoint, or to all of a region's endpoints."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import asdict

from eicctl.aws.endpoint_selection import usable_name
from eicctl.core.errors import EicctlError
from eicctl.core.model import Endpoint
from eicctl.doctor.check import Check, Outcome, Segment, Status, always, duration
from eicctl.doctor.context import Context, required
from eicctl.support.threads import for_each
from eicctl.tunnel.trace import Certificate, Trace, walk


def run(context: Context) -> Outcome:
    """Connect to the endpoint of the target, or to each usable one of the region."""
    session = context.session
    if context.has_target:
        return _connect(required(context.target).endpoint_dns_name, session.ca_bundle)
    usable = [endpoint for endpoint in context.endpoints if endpoint.usable]
    names = [usable_name(endpoint, fips=session.fips, dualstack=session.dualstack) for endpoint in usable]
    outcomes = for_each(lambda name: _connect(name, session.ca_bundle), names)
    return _of_several(usable, outcomes)


def _connect(dns_name: str, ca_bundle: str | None) -> Outcome:
    trace = walk(dns_name, ca_bundle)
    details: dict[str, object] = {
        "Host": trace.host,
        "Port": trace.port,
        "Proxy": f"{trace.proxy.host}:{trace.proxy.port}" if trace.proxy else None,
        "CaBundle": ca_bundle,
        "Stages": [{"Name": s.name, "Result": s.seen, "Seconds": round(s.seconds, 4)} for s in trace.stages],
        "FailedStage": trace.failed or None,
    }
    if trace.certificate:
        details["Certificate"] = {
            "".join(part.title() for part in key.split("_")): value for key, value in asdict(trace.certificate).items()
        }
    if trace.error:
        return _failure(trace, trace.error, ca_bundle, details)
    times = ", ".join(f"{stage.name} {duration(stage.seconds)}" for stage in trace.stages)
    proxy = f" via {trace.proxy}" if trace.proxy else ""
    issuer = f", certificate issued by {trace.certificate.issuer}" if trace.certificate else ""
    return Outcome(Status.OK, f"{trace.host}:{trace.port}{proxy}: {times}{issuer}", details=details)


def _failure(trace: Trace, error: EicctlError, ca_bundle: str | None, details: dict[str, object]) -> Outcome:
    message, remediation = error.message, error.hint or ""
    if trace.failed == "TLS" and trace.certificate:
        trusted = f"the CAs in {ca_bundle}" if ca_bundle else "the system's CAs"
        message += f". {_described(trace.certificate)}; trusted: {trusted}"
        remediation = "if you trust the CA that issued it: --ca-bundle FILE, or AWS_CA_BUNDLE"
    elif trace.failed == "TCP" and not trace.proxy and (family := _unroutable_family(trace)):
        message += f". The endpoint's name has {family} addresses only, and this machine has no {family} route"
        remediation = f"use a network with {family}, or eicctl modify-endpoint ID --ip-address-type dualstack"
    return Outcome(Status.FAILED, message, remediation, cause=error.message, exit_code=error.exit_code, details=details)


def _described(certificate: Certificate) -> str:
    until = certificate.not_after.strftime("%Y-%m-%d")
    return (
        f"The certificate is for {certificate.subject}, issued by {certificate.issuer}, valid until {until}, "
        f"SHA-256 {certificate.fingerprint[:16]}…"
    )


def _unroutable_family(trace: Trace) -> str:
    """Return the address family that all of the host's addresses have and this machine has no route for, or nothing."""
    addresses = next((stage.seen for stage in trace.stages if stage.name == "DNS"), "").split(", ")
    families = {"IPv6" if ":" in address else "IPv4" for address in addresses if address}
    return next((family for family in families if len(families) == 1 and not has_route(family)), "")


def has_route(family: str) -> bool:
    """Whether this machine has a route to the Internet for `IPv4` or `IPv6`. Nothing is sent."""
    kind, address = (socket.AF_INET6, "2001:4860:4860::8888") if family == "IPv6" else (socket.AF_INET, "192.0.2.1")
    try:
        with socket.socket(kind, socket.SOCK_DGRAM) as sock:
            sock.connect((address, 9))
    except OSError:
        return False
    return True


def _of_several(endpoints: Sequence[Endpoint], outcomes: Sequence[Outcome]) -> Outcome:
    """One outcome for several endpoints, which has failed if one has."""
    pairs = list(zip(endpoints, outcomes, strict=True))
    details = {
        "Endpoints": [
            {"InstanceConnectEndpointId": endpoint.id, "Status": str(one.status), **one.details}
            for endpoint, one in pairs
        ]
    }
    message = "; ".join(f"{endpoint.name or endpoint.id}: {one.message}" for endpoint, one in pairs)
    bad = [one for one in outcomes if one.status is Status.FAILED]
    if not bad:
        return Outcome(Status.OK, message, details=details)
    first = bad[0]
    if len(bad) == len(outcomes):
        message = first.message
    return Outcome(Status.FAILED, message, first.remediation, first.cause, first.exit_code, details=details)


CHECK = Check(
    key="connectivity",
    title="Endpoint connectivity",
    order=70,
    run=run,
    needs=("endpoint", "endpoints"),
    applies=always,
    segment=Segment.TO_ENDPOINT,
    step="DNS, TCP, TLS",
    inspects="DNS and TCP, or the proxy; TLS: the certificate, and which CAs are trusted",
)
