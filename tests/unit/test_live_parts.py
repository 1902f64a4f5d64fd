"""The template of the tests on AWS, and what their recordings keep."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.live import recording, stack
from tests.live.recording import Recording, Redactor, differences, read_facts, report


def test_the_template_is_a_good_one() -> None:
    lint = Path(sys.executable).with_name("cfn-lint")
    done = subprocess.run([lint, stack.TEMPLATE], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_every_type_of_the_template_can_be_created_without_cloudformation() -> None:
    resources = stack.read_template()["Resources"]
    assert len(resources) > 10
    for resource in resources.values():
        assert hasattr(stack.ApiStack, f"_create_{resource['Type'].rpartition('::')[2].lower()}")


def test_what_identifies_an_account_is_replaced() -> None:
    redactor = Redactor()
    text = redactor.text(
        "arn:aws:iam::210987654321:user/ann from 198.51.100.7 and 2001:db8:1:2:3:4:5:6 to 10.99.1.10 through "
        "eice-0fedcba9876543210, key AKIAIOSFODNN7EXAMPLE, request 0b1c2d3e-1111-2222-3333-444455556666"
    )
    assert text == (
        "arn:aws:iam::123456789001:user/person-1 from 203.0.113.1 and 2001:db8::1 to 10.99.1.10 through "
        "eice-00000000000000001, key AKIAEXAMPLE01, request request-1"
    )
    assert redactor.value({"a": ["198.51.100.7", 7, None, True]}) == {"a": ["203.0.113.1", 7, None, True]}


def test_facts_are_those_of_the_page() -> None:
    facts = read_facts()
    assert len(facts) > 50
    assert {fact.known_by for fact in facts} == {"documented", "inferred", "reported", "unknown"}


def test_the_report_says_how_each_fact_is_known(tmp_path: Path) -> None:
    record = Recording({"Service": "AWS", "Date": "2026-11-29"})
    record.observe("Bulk transfer is throttled", False, "10 Gbit/s")
    record.observe("Bulk transfer is throttled", True, "slow")  # what differs once, differs
    record.observe("The rate of that throttling", None, "none")
    with pytest.raises(LookupError):
        record.observe("Bulk transfer is free", True, "")
    record.save(tmp_path / "one.json")
    text = report(Recording.load(tmp_path / "one.json"))
    assert text.startswith("Fidelity report of AWS\n0 confirmed, 1 DIFFERS, 1 observed, ")
    assert "  documented  DIFFERS       Bulk transfer is throttled\n" in text
    assert "seen: 10 Gbit/s" in text
    for width in (80, 120):
        assert max(map(len, report(record, width).splitlines())) <= width


def test_differences_are_those_of_the_same_place() -> None:
    one, other = Recording({}), Recording({})
    one.add("limit", "21st", Status=503, ErrorCode="X", Seconds=1)
    one.add("limit", "alone", Status=1)
    other.add("limit", "21st", Status=429, ErrorCode="X", Seconds=2)
    assert list(differences(one, other)) == ["limit / 21st: Status is 503 here and 429 on the local AWS"]


@pytest.mark.parametrize("path", recording.recordings(), ids=lambda path: path.name)
def test_the_local_aws_answers_as_aws_did(path: Path) -> None:
    assert not list(differences(Recording.load(path), Recording.load(recording.LOCAL)))
