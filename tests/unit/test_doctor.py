"""The parts of a diagnosis that need no AWS: the registry, the order of checks, and what single facts mean."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from eicctl.aws.instances import Image
from eicctl.aws.session import Session
from eicctl.core.errors import DeniedError, NotFoundError
from eicctl.core.model import Endpoint, Target
from eicctl.core.request import ConnectRequest
from eicctl.doctor.check import Check, Outcome, Result, Status, always, duration, registry
from eicctl.doctor.checks.access import clock_outcome, identity_outcome
from eicctl.doctor.checks.endpoint import endpoint_outcome, endpoints_outcome
from eicctl.doctor.checks.login import image_outcome
from eicctl.doctor.checks.target import status_outcome
from eicctl.doctor.context import Context
from eicctl.doctor.diagnosis import run
from eicctl.reachability.connection import Finding

OK = Outcome(Status.OK, "")


def check(key: str, look: Callable[[], Outcome], *needs: str) -> Check:
    return Check(key=key, title="", order=0, run=lambda _: look(), needs=needs, applies=always)


def results(*checks: Check) -> list[Result]:
    return list(run(checks, Context(Session(region="us-east-1"), ConnectRequest())))


def test_the_registry_is_in_order() -> None:
    """A check comes after those that it needs, and all that the reference prints of it is there."""
    checks = registry()
    assert len({check.order for check in checks}) == len({check.key for check in checks}) == len(checks)
    for number, check in enumerate(checks):
        assert set(check.needs) <= {earlier.key for earlier in checks[:number]}, check.key
        assert check.inspects, check.key
        assert bool(check.step) is (check.segment is not None), check.key


def test_checks_wait_for_what_they_need_and_for_nothing_else() -> None:
    """The slow one ends only after the others, one of which needs the first."""
    done = threading.Event()

    def slow() -> Outcome:
        assert done.wait(60)
        return OK

    checks = (check("slow", slow), check("first", lambda: OK), check("second", lambda: OK, "first"))
    order = []
    for result in run(checks, Context(Session(region="us-east-1"), ConnectRequest())):
        order.append(result.key)
        if result.key == "second":
            done.set()
    assert order == ["first", "second", "slow"]


def test_what_makes_no_sense_is_skipped_with_its_reason() -> None:
    def missing() -> Outcome:
        raise NotFoundError("there is none", hint="make one")

    def never() -> Outcome:
        raise AssertionError

    found = results(check("a", missing), check("b", never, "a"), check("c", never, "b"), check("d", lambda: OK))
    by_key = {result.key: result for result in found}
    assert by_key["a"].outcome == Outcome(Status.FAILED, "there is none", "make one", exit_code=3)
    assert [by_key[key].skipped_because for key in "abcd"] == ["", "a", "a", ""]
    assert [str(by_key[key].status) for key in "abcd"] == ["failed", "unknown", "unknown", "ok"]


def test_what_is_not_known_holds_nothing_up() -> None:
    found = results(check("a", lambda: Outcome(Status.UNKNOWN, "")), check("b", lambda: OK, "a"))
    assert [result.skipped_because for result in found] == ["", ""]


def test_a_check_that_does_not_apply_is_not_waited_for() -> None:
    (found,) = results(check("b", lambda: OK, "a"))
    assert found.status is Status.OK


def test_a_defect_comes_out() -> None:
    def defect() -> Outcome:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        results(check("a", defect))


def test_what_checks_share_is_done_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def look(_: Context) -> list[Finding]:
        calls.append(1)
        raise DeniedError("no")

    monkeypatch.setattr(Context, "_evaluate_network", look)
    context = Context(Session(region="us-east-1"), ConnectRequest())
    for _ in range(2):
        with pytest.raises(DeniedError):
            context.findings()
    assert calls == [1]


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("al2023-ami-2023.9.20260301.0-kernel-6.1-x86_64", Status.OK),
        ("amzn2-ami-kernel-5.10-hvm-2.0.20260301.0-x86_64-gp2", Status.OK),
        ("ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64-server-20260301", Status.OK),
        ("ubuntu/images/hvm-ssd/ubuntu-focal-20.04-amd64-server-20230101", Status.OK),
        ("ubuntu/images/hvm-ssd/ubuntu-bionic-18.04-amd64-server-20230101", Status.UNKNOWN),
        ("debian-12-amd64-20260301", Status.UNKNOWN),
        ("al2023-ami-minimal-2023.9.20260301.0-kernel-6.1-x86_64", Status.UNKNOWN),
        ("", Status.UNKNOWN),
    ],
)
def test_images_that_come_with_instance_connect(name: str, status: Status) -> None:
    found = image_outcome(Image(name, "", ""))
    assert found.status is status
    assert bool(found.remediation) is (status is Status.UNKNOWN)


@pytest.mark.parametrize(
    ("checks", "status", "words"),
    [
        (("ok", "ok"), Status.OK, "status checks passed"),
        (("ok", "initializing"), Status.OK, "status checks are initializing"),
        (("ok", "impaired"), Status.FAILED, "EC2's instance status check fails"),
        (("impaired", "ok"), Status.FAILED, "EC2's system status check fails"),
        (("", ""), Status.OK, "seen"),
        (None, Status.OK, "could not be read"),
    ],
)
def test_status_checks(checks: tuple[str, str] | None, status: Status, words: str) -> None:
    found = status_outcome("seen", "i-1", checks, {})
    assert found.status is status
    assert words in found.message


def endpoint(**fields: object) -> Endpoint:
    return Endpoint("eice-1", "create-complete", "vpc-1", "subnet-1", "a", "host", "us-east-1", **fields)  # type: ignore[arg-type]


def test_an_endpoint_of_the_other_family() -> None:
    target = Target("10.0.0.1", 22, "eice-1", "host", "us-east-1")
    found = endpoint_outcome(endpoint(ip_address_type="ipv6"), target, None)
    assert found.status is Status.FAILED
    assert found.remediation == "eicctl modify-endpoint eice-1 --ip-address-type dualstack --wait"
    assert endpoint_outcome(endpoint(), target, None).status is Status.OK


def test_endpoints_of_a_region() -> None:
    failed = Endpoint("eice-2", "create-failed", "v", "s", "a", "", "us-east-1", state_message="no address left")
    assert endpoints_outcome([], "us-east-1").exit_code == 3
    none_usable = endpoints_outcome([failed], "us-east-1")
    assert none_usable.exit_code == 5
    assert "no address left" in none_usable.message
    assert endpoints_outcome([failed, endpoint()], "us-east-1").status is Status.OK


@pytest.mark.parametrize(
    ("ahead", "status", "words"),
    [
        (0.4, Status.OK, "within a second of AWS's"),
        (30.0, Status.OK, "30 s ahead of AWS's"),
        (-50.0, Status.OK, "50 s behind AWS's"),
        (-58.0, Status.FAILED, "58 s behind AWS's"),
        (200.0, Status.OK, "3 min ahead of AWS's"),
        (241.0, Status.FAILED, "4 min ahead of AWS's"),
        (-7200.0, Status.FAILED, "2 h behind AWS's"),
        (None, Status.UNKNOWN, "no date"),
    ],
)
def test_how_far_a_clock_may_be_off(ahead: float | None, status: Status, words: str) -> None:
    found = clock_outcome(ahead)
    assert found.status is status
    assert words in found.message
    assert found.exit_code == (4 if status is Status.FAILED else 0)


@pytest.mark.parametrize(
    ("left", "words"),
    [(None, "from SSO)"), (100, "expires in 100 s"), (7300, "valid for 2 h"), (-5, "expires in 0 ms")],
)
def test_how_long_credentials_last(left: float | None, words: str) -> None:
    from eicctl.aws.identity import Identity

    expires = None if left is None else datetime.now(UTC) + timedelta(seconds=left + 0.5)
    found = identity_outcome(Identity("arn:x", "1", "ASIA1", "sso", expires))
    assert found.status is Status.OK
    assert words in found.message


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.0042, "4 ms"), (1.24, "1.2 s"), (41, "41 s"), (600, "10 min"), (9000, "2 h"), (400_000, "5 days")],
)
def test_durations(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_a_session_that_signs_nothing_is_of_the_same_region() -> None:
    client = Session(region="eu-central-1").unsigned_client("sts")
    assert client.meta.region_name == "eu-central-1"
