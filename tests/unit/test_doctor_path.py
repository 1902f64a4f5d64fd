"""The drawing of the path: where it stops, and with what symbols."""

from __future__ import annotations

from typing import Any

from eicctl.doctor.check import Outcome, Result, Status, registry, without_target
from eicctl.doctor.path import ASCII, UNICODE, Step, Symbols, draw, trace

DETAILS: dict[str, dict[str, Any]] = {
    "credentials": {"Arn": "arn:aws:iam::1:user/me"},
    "connectivity": {"Proxy": None},
    "endpoint": {"Name": "office", "InstanceConnectEndpointId": "eice-1"},
    "target": {"Name": "web-1", "InstanceId": "i-1", "PrivateIpAddress": "10.0.1.10"},
}
RESOURCES = {"egress": ("sg-1", "sg-2"), "routes": ("subnet-1",)}


CHECKS = [check for check in registry() if check.applies is not without_target]


def drawn(symbols: Symbols, cause: str = "", *, skipped: tuple[str, ...] = (), proxy: str = "") -> list[str]:
    """The lines of a drawing in which everything is well but the cause."""
    results = []
    for check in CHECKS:
        status = Status.FAILED if check.key == cause else Status.UNKNOWN if check.key in skipped else Status.OK
        details = {**DETAILS.get(check.key, {}), **({"Proxy": proxy} if check.key == "connectivity" and proxy else {})}
        outcome = Outcome(status, "", details=details, resources=RESOURCES.get(check.key, ()))
        results.append(Result(check, outcome, skipped_because="target" if check.key in skipped else ""))
    return ["".join(span.text for span in line) for line in draw(trace(results, cause, port=22), symbols)]


def test_all_is_well() -> None:
    lines = drawn(UNICODE)
    assert lines[0] == "● you       arn:aws:iam::1:user/me"
    assert "● endpoint  office, eice-1" in lines
    assert "│  ✓ routes  subnet-1" in lines
    assert "│  ✓ endpoint egress  sg-1, sg-2" in lines
    assert lines[-1] == "● target    web-1, i-1, 10.0.1.10"
    assert not any("✗" in line or "┆" in line or "○" in line for line in lines)


def test_it_is_broken_from_the_cause_on() -> None:
    lines = drawn(UNICODE, "egress")
    at = next(number for number, line in enumerate(lines) if "blocked here" in line)
    assert lines[at] == "│  ✗ endpoint egress  sg-1, sg-2  ◀── blocked here"
    assert all(line.startswith(("│", "●")) for line in lines[:at])
    assert all(line.startswith(("┆", "○")) for line in lines[at + 1 :])
    assert len([line for line in lines if "blocked here" in line]) == 1


def test_ascii_has_the_same_lines() -> None:
    lines = drawn(ASCII, "ingress", skipped=("tunnel",))
    assert all(line.isascii() for line in lines)
    assert "|  x target ingress  <-- blocked here" in lines
    assert ":  - skipped: port 22 response" in lines
    assert lines[-1].startswith("o target")
    assert len(lines) == len(drawn(UNICODE, "ingress"))


def test_a_proxy_is_on_the_way() -> None:
    lines = drawn(UNICODE, proxy="proxy.example:3128")
    at = lines.index("● proxy     proxy.example:3128")
    assert lines.index("│  ✓ DNS, TCP, TLS") > at


def test_a_cause_before_the_endpoint() -> None:
    lines = drawn(UNICODE, "credentials", skipped=tuple(check.key for check in CHECKS[2:]))
    assert lines[1] == "│  ✗ credentials  ◀── blocked here"
    assert lines[3] == "┆  · skipped: 5 steps"


def test_checks_that_are_drawn() -> None:
    results = [Result(check, Outcome(Status.OK, "")) for check in CHECKS]
    steps = {part.key for part in trace(results, "", port=22) if isinstance(part, Step)}
    assert {check.key for check in CHECKS} - steps == {"instance-connect", "os-user"}
