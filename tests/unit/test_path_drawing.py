"""The drawing of the path: where it stops, and with what symbols."""

from __future__ import annotations

from typing import Any

from eicctl.doctor.cause import Cause
from eicctl.doctor.check import Check, Outcome, Status, steps_for_target
from eicctl.doctor.path import ASCII, UNICODE, Gate, Symbols, draw, trace

DETAILS: dict[str, dict[str, Any]] = {
    "credentials": {"Arn": "arn:aws:iam::1:user/me"},
    "way": {"Proxy": None},
    "endpoint": {
        "Name": "office",
        "InstanceConnectEndpointId": "eice-1",
        "SubnetId": "subnet-1",
        "SecurityGroupIds": ["sg-1", "sg-2"],
    },
    "target": {"Name": "web-1", "InstanceId": "i-1", "PrivateIpAddress": "10.0.1.10"},
}


def drawn(symbols: Symbols, cause: str = "", *, left_out: tuple[str, ...] = (), proxy: str = "") -> list[str]:
    """The lines of a drawing in which everything is well but the cause."""
    checks = []
    for step in steps_for_target(ssh=True):
        status = Status.FAILED if step.key == cause else Status.UNKNOWN if step.key in left_out else Status.OK
        details = {**DETAILS.get(step.key, {}), **({"Proxy": proxy} if step.key == "way" and proxy else {})}
        outcome = Outcome(status, "", details=details)
        checks.append(Check(step.key, step.title, outcome, left_out="target" if step.key in left_out else ""))
    found = Cause(cause, "", "", 5) if cause else None
    return ["".join(span.text for span in line) for line in draw(trace(checks, found, port=22), symbols)]


def test_all_is_well() -> None:
    lines = drawn(UNICODE)
    assert lines[0] == "● you       arn:aws:iam::1:user/me"
    assert "● endpoint  office, eice-1" in lines
    assert "│  ✓ routes  subnet-1" in lines
    assert "│  ✓ egress of the endpoint  sg-1, sg-2" in lines
    assert lines[-1] == "● target    web-1, i-1, 10.0.1.10"
    assert not any("✗" in line or "┆" in line or "○" in line for line in lines)


def test_it_is_broken_from_the_cause_on() -> None:
    lines = drawn(UNICODE, "egress")
    at = next(number for number, line in enumerate(lines) if "it stops here" in line)
    assert lines[at] == "│  ✗ egress of the endpoint  sg-1, sg-2  ◀── it stops here"
    assert all(line.startswith(("│", "●")) for line in lines[:at])
    assert all(line.startswith(("┆", "○")) for line in lines[at + 1 :])
    assert len([line for line in lines if "it stops here" in line]) == 1


def test_ascii_has_the_same_lines() -> None:
    lines = drawn(ASCII, "ingress", left_out=("tunnel",))
    assert all(line.isascii() for line in lines)
    assert "|  x ingress of the target  <-- it stops here" in lines
    assert ":  - an answer at port 22" in lines
    assert lines[-1].startswith("o target")
    assert len(lines) == len(drawn(UNICODE, "ingress"))


def test_a_proxy_is_on_the_way() -> None:
    lines = drawn(UNICODE, proxy="proxy.example:3128")
    at = lines.index("● proxy     proxy.example:3128")
    assert lines.index("│  ✓ DNS, TCP, TLS") > at


def test_a_cause_before_the_endpoint() -> None:
    lines = drawn(UNICODE, "credentials", left_out=tuple(s.key for s in steps_for_target(ssh=True)[2:]))
    assert lines[1] == "│  ✗ credentials  ◀── it stops here"
    assert lines[3] == "┆  · region"


def test_every_gate_is_a_check() -> None:
    keys = {step.key for step in steps_for_target(ssh=True)}
    checks = [Check(s.key, s.title, Outcome(Status.OK, "")) for s in steps_for_target(ssh=True)]
    gates = [part for part in trace(checks, None, port=22) if isinstance(part, Gate)]
    assert {gate.key for gate in gates} <= keys
    assert keys - {gate.key for gate in gates} == {"instance-connect", "os-user"}
