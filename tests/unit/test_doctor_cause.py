"""Which failed check is named as the cause: a table of cases."""

from __future__ import annotations

from typing import Any

import pytest

from eicctl.doctor.check import Outcome, Result, Status, registry, without_target
from eicctl.doctor.diagnosis import find_cause, reconciled

OK, FAILED, UNKNOWN = Status.OK, Status.FAILED, Status.UNKNOWN
CHECKS = [check for check in registry() if check.applies is not without_target]


def made(**outcomes: Status | Outcome) -> list[Result]:
    """The results of all checks of a target, well but for those that are given (with `_` for `-`)."""
    found = []
    for check in CHECKS:
        given = outcomes.get(check.key.replace("-", "_"), OK)
        outcome = given if isinstance(given, Outcome) else Outcome(given, f"{check.key} seen", exit_code=5)
        found.append(Result(check, outcome))
    return found


UNREACHABLE = Outcome(
    FAILED,
    "cannot reach",
    exit_code=5,
    details={"Unreachable": True, "RemotePort": 22, "Label": "web-1", "NextStep": "ss -tlnp"},
)
DENIED = Outcome(FAILED, "denied", "allow it", exit_code=4)


@pytest.mark.parametrize(
    ("outcomes", "key", "code"),
    [
        ({"credentials": Outcome(FAILED, "expired", exit_code=4)}, "credentials", 4),
        ({"credentials": DENIED, "clock": DENIED}, "clock", 4),
        ({"clock": DENIED, "tunnel": DENIED}, "clock", 4),
        ({"target": Outcome(FAILED, "gone", exit_code=3)}, "target", 3),
        ({"endpoint": FAILED}, "endpoint", 5),
        ({"connectivity": FAILED, "ingress": FAILED}, "connectivity", 5),
        ({"ingress": FAILED, "tunnel": UNREACHABLE}, "ingress", 5),
        ({"egress": FAILED, "ingress": FAILED, "tunnel": UNREACHABLE}, "egress", 5),
        ({"network_acls": FAILED, "ingress": UNKNOWN, "tunnel": UNREACHABLE}, "network-acls", 5),
        ({"tunnel": UNREACHABLE}, "tunnel", 5),
        ({"tunnel": DENIED}, "tunnel", 4),
        ({"tunnel": Outcome(FAILED, "20 connections", exit_code=6)}, "tunnel", 6),
        ({"client_ip": FAILED, "tunnel": UNREACHABLE}, "client-ip", 5),
    ],
)
def test_the_cause(outcomes: dict[str, Any], key: str, code: int) -> None:
    cause = find_cause(reconciled(made(**outcomes)))
    assert cause
    assert (cause.key, cause.exit_code) == (key, code)


@pytest.mark.parametrize("outcomes", [{}, {"ingress": UNKNOWN, "os_user": UNKNOWN}, {"tunnel": UNKNOWN}])
def test_what_is_not_known_is_no_cause(outcomes: dict[str, Any]) -> None:
    assert find_cause(reconciled(made(**outcomes))) is None


@pytest.mark.parametrize("key", ["client_ip", "egress", "routes", "network_acls", "ingress"])
def test_a_tunnel_that_works_overrules_the_rules(key: str) -> None:
    checks = reconciled(made(**{key: FAILED}))
    assert find_cause(checks) is None
    doubted = next(check for check in checks if check.key == key.replace("_", "-"))
    assert doubted.status is UNKNOWN
    assert "but the tunnel works" in doubted.outcome.message


def test_a_tunnel_that_works_overrules_nothing_else() -> None:
    cause = find_cause(reconciled(made(connectivity=FAILED)))
    assert cause
    assert cause.key == "connectivity"


def test_a_silent_port_is_the_targets_own_matter() -> None:
    cause = find_cause(made(tunnel=UNREACHABLE))
    assert cause
    assert "nothing responds on port 22" in cause.summary
    assert cause.remediation == "ss -tlnp"


def test_where_rules_are_not_known_they_are_not_acquitted() -> None:
    cause = find_cause(made(tunnel=UNREACHABLE, ingress=UNKNOWN, network_acls=UNKNOWN))
    assert cause
    assert "could not be checked: Network ACLs, Ingress" in cause.summary


def test_the_sentence_is_the_causes_own_where_it_has_one() -> None:
    told = Outcome(FAILED, "message", "fix", cause="the sentence", exit_code=5)
    cause = find_cause(made(ingress=told))
    assert cause
    assert (cause.summary, cause.remediation) == ("the sentence", "fix")
