"""The parts of a diagnosis that need no AWS: the order of checks, and what single facts mean."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest

from eicctl.aws.images import Image
from eicctl.aws.session import Session
from eicctl.core.errors import DeniedError, NotFoundError
from eicctl.core.model import Endpoint, Target
from eicctl.doctor import account
from eicctl.doctor.check import Outcome, Status, Step
from eicctl.doctor.login import of_image
from eicctl.doctor.place import look_at_endpoint, look_at_endpoints, status_outcome
from eicctl.doctor.run import Once, run
from eicctl.doctor.words import duration

OK = Outcome(Status.OK, "")


def test_checks_wait_for_what_they_need_and_for_nothing_else() -> None:
    """The slow one ends only after the others, one of which needs the first."""
    done = threading.Event()

    def slow() -> Outcome:
        assert done.wait(20)
        return OK

    steps = (Step("slow", ""), Step("first", ""), Step("second", "", ("first",)))
    order = []
    for check in run(steps, {"slow": slow, "first": lambda: OK, "second": lambda: OK}):
        order.append(check.key)
        if check.key == "second":
            done.set()
    assert order == ["first", "second", "slow"]


def test_what_cannot_be_reached_is_left_out_with_its_reason() -> None:
    def missing() -> Outcome:
        raise NotFoundError("there is none", hint="make one")

    def never() -> Outcome:
        raise AssertionError

    steps = (Step("a", ""), Step("b", "", ("a",)), Step("c", "", ("b",)), Step("d", ""))
    checks = {check.key: check for check in run(steps, {"a": missing, "b": never, "c": never, "d": lambda: OK})}
    assert checks["a"].outcome == Outcome(Status.FAILED, "there is none", "make one", exit_code=3)
    assert [checks[key].left_out for key in "abcd"] == ["", "a", "a", ""]
    assert [str(checks[key].status) for key in "abcd"] == ["failed", "unknown", "unknown", "ok"]


def test_what_is_not_known_holds_nothing_up() -> None:
    steps = (Step("a", ""), Step("b", "", ("a",)))
    checks = list(run(steps, {"a": lambda: Outcome(Status.UNKNOWN, ""), "b": lambda: OK}))
    assert [check.left_out for check in checks] == ["", ""]


def test_a_defect_comes_out() -> None:
    def defect() -> Outcome:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        list(run((Step("a", ""),), {"a": defect}))


def test_what_checks_share_is_done_once() -> None:
    calls = []

    def look() -> int:
        calls.append(1)
        raise DeniedError("no")

    once = Once(look)
    for _ in range(2):
        with pytest.raises(DeniedError):
            once()
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
    found = of_image(Image(name, "", ""))
    assert found.status is status
    assert bool(found.mend) is (status is Status.UNKNOWN)


@pytest.mark.parametrize(
    ("checks", "status", "words"),
    [
        (("ok", "ok"), Status.OK, "status checks passed"),
        (("ok", "initializing"), Status.OK, "it is starting"),
        (("ok", "impaired"), Status.FAILED, "EC2's instance status check fails"),
        (("impaired", "ok"), Status.FAILED, "EC2's system status check fails"),
        (("", ""), Status.OK, "seen"),
        (None, Status.OK, "could not be read"),
    ],
)
def test_status_checks(checks: tuple[str, str] | None, status: Status, words: str) -> None:
    found = status_outcome("seen", "i-1", checks, {})
    assert found.status is status
    assert words in found.evidence


def endpoint(**fields: object) -> Endpoint:
    return Endpoint("eice-1", "create-complete", "vpc-1", "subnet-1", "a", "host", "us-east-1", **fields)  # type: ignore[arg-type]


def test_an_endpoint_of_the_other_family() -> None:
    target = Target("10.0.0.1", 22, "eice-1", "host", "us-east-1")
    found = look_at_endpoint(endpoint(ip_address_type="ipv6"), target, None)
    assert found.status is Status.FAILED
    assert found.mend == "eicctl modify-endpoint eice-1 --ip-address-type dualstack --wait"
    assert look_at_endpoint(endpoint(), target, None).status is Status.OK


def test_endpoints_of_a_region() -> None:
    failed = Endpoint("eice-2", "create-failed", "v", "s", "a", "", "us-east-1", state_message="no address left")
    assert look_at_endpoints([], "us-east-1").exit_code == 3
    none_usable = look_at_endpoints([failed], "us-east-1")
    assert none_usable.exit_code == 5
    assert "no address left" in none_usable.evidence
    assert look_at_endpoints([failed, endpoint()], "us-east-1").status is Status.OK


@pytest.mark.parametrize(
    ("ahead", "status", "words"),
    [
        (0.4, Status.OK, "agrees with AWS's"),
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
    found = account.clock_outcome(ahead)
    assert found.status is status
    assert words in found.evidence
    assert found.exit_code == (4 if status is Status.FAILED else 0)


@pytest.mark.parametrize(
    ("left", "words"),
    [(None, "from SSO)"), (100, "which ends in 100 s"), (7300, "good for 2 h"), (-5, "which ends in 0 ms")],
)
def test_how_long_credentials_last(left: float | None, words: str) -> None:
    from eicctl.aws.identity import Identity

    expires = None if left is None else datetime.now(UTC) + timedelta(seconds=left + 0.5)
    found = account.identity_outcome(Identity("arn:x", "1", "ASIA1", "sso", expires))
    assert found.status is Status.OK
    assert words in found.evidence


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.0042, "4 ms"), (1.24, "1.2 s"), (41, "41 s"), (600, "10 min"), (9000, "2 h"), (400_000, "5 days")],
)
def test_durations(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_a_session_that_signs_nothing_is_of_the_same_region() -> None:
    client = Session(region="eu-central-1").unsigned_client("sts")
    assert client.meta.region_name == "eu-central-1"
