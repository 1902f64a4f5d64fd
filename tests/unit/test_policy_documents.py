"""Policies: what is refused, what is written, and what the examination finds."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from moto.iam.policy_validation import IAMPolicyDocumentValidator

from eicctl.core.errors import UsageError
from eicctl.emulator.control.policy_language import Source, evaluate
from eicctl.policy.documents import FORMATS, ROLE_NAMES, Scope, checked, document, notes
from eicctl.policy.lint import lint

ARN = "arn:aws:ec2:us-east-1:123456789012:instance-connect-endpoint/eice-0123456789abcdef0"
OPEN, PUSH = "ec2-instance-connect:OpenTunnel", "ec2-instance-connect:SendSSHPublicKey"
PORT, DURATION, ADDRESS = (
    f"ec2-instance-connect:{name}" for name in ("remotePort", "maxTunnelDuration", "privateIpAddress")
)
NARROW: dict[str, Any] = {
    "endpoints": (ARN,),
    "ports": (22,),
    "cidrs": ("10.0.1.0/24",),
    "max_duration": 900,
    "os_users": ("ec2-user",),
    "instance_tags": {"Team": "web"},
}


@pytest.mark.parametrize(
    ("scope", "reason"),
    [
        (Scope("connect", ports=(5432,)), "not 5432"),
        (Scope("connect", max_duration=3601), "must be 1 to 3600 s"),
        (Scope("connect", max_duration=0), "must be 1 to 3600 s"),
        (Scope("connect", endpoints=("i-0123456789abcdef0",)), "neither the ID"),
        (Scope("connect", cidrs=("10.0.0.1/8",)), "host bits"),
        (Scope("connect", cidrs=("0.0.0.0/0",)), "limits nothing"),
        (Scope("connect", source_ips=("10.0.0.0/8",)), "never matches"),
        (Scope("connect", os_users=("*",)), "not a valid OS user name"),
        (Scope("connect", os_users=("ubuntu",), ports=(3389,)), "without port 22"),
        (Scope("connect", instance_tags={"a": "b"}), "without --os-user"),
        (Scope("connect", account="12"), "12-digit"),
        (Scope("admin", ports=(22,)), "no effect in a policy for administration"),
        (Scope("admin", max_duration=60), "no effect in a policy for administration"),
        (Scope("auditor", os_users=("ubuntu",)), "no effect in a policy for auditors"),
        (Scope("auditor", endpoints=(ARN,)), "no effect in a policy for auditors"),
    ],
)
def test_what_does_not_go_together_is_refused_with_the_reason(scope: Scope, reason: str) -> None:
    with pytest.raises(UsageError, match=reason.replace("(", r"\(")):
        checked(scope)


SCOPES = [
    Scope("connect"),
    Scope("connect", **NARROW),
    Scope("connect", source_ips=("203.0.113.0/24",), ports=(3389,)),
    Scope("admin", account="123456789012", region="us-east-1"),
    Scope("admin", endpoints=(ARN,)),
    Scope("auditor", source_ips=("2001:db8::/32",)),
]


@pytest.mark.parametrize("scope", SCOPES, ids=range(len(SCOPES)))
def test_the_grammar_is_iams(scope: Scope) -> None:
    """moto's validator holds what IAM says of documents that it does not take."""
    policy = document(checked(scope))
    IAMPolicyDocumentValidator(json.dumps(policy)).validate()
    assert json.loads(FORMATS["json"]("x", {"": policy})) == policy


def test_the_narrow_policy_has_nothing_to_change() -> None:
    assert lint(json.dumps(document(checked(Scope("connect", **NARROW))))) == []


@pytest.mark.parametrize("scope", [Scope("admin"), Scope("auditor")])
def test_the_other_kinds_have_nothing_to_change(scope: Scope) -> None:
    assert lint(json.dumps(document(checked(scope)))) == []


def test_both_spellings_of_the_role_are_allowed() -> None:
    text = json.dumps(document(checked(Scope("admin"))))
    assert all(name in text for name in ROLE_NAMES)


def test_planes_are_apart() -> None:
    connect, admin = (json.dumps(document(checked(Scope(kind)))) for kind in ("connect", "admin"))
    assert 'InstanceConnectEndpoint"' not in connect
    assert "OpenTunnel" not in admin
    assert "SendSSHPublicKey" not in admin


@given(
    limit=st.integers(1, 3600),
    asked=st.none() | st.integers(1, 3600),
    port=st.sampled_from([22, 3389]),
    address=st.ip_addresses(v=4),
)
def test_the_policy_lets_through_what_was_asked_for_and_nothing_else(
    limit: int, asked: int | None, port: int, address: Any
) -> None:
    policy = document(
        checked(Scope("connect", endpoints=(ARN,), ports=(22,), cidrs=("10.0.0.0/8",), max_duration=limit))
    )
    context = {PORT.lower(): [str(port)], ADDRESS.lower(): [str(address)]}
    if asked is not None:
        context[DURATION.lower()] = [str(asked)]
    verdict = evaluate([Source("p", "user", policy)], OPEN, ARN, context)
    good = asked is not None and asked <= limit and port == 22 and str(address).startswith("10.")
    assert verdict.allowed == good
    assert not evaluate([Source("p", "user", policy)], OPEN, ARN[:-1] + "1", context).allowed


def test_terraform_takes_no_template_from_a_value() -> None:
    policy = document(checked(Scope("connect", os_users=("a",), instance_tags={"Team": "${x} %{y}"})))
    assert "$${x} %%{y}" in FORMATS["terraform"]("connect", {"": policy})


def test_cloudformation_has_the_policy() -> None:
    policy = document(checked(Scope("auditor")))
    template = json.loads(FORMATS["cloudformation"]("auditor", {"": policy}))
    assert template["Resources"]["EicctlAuditor"]["Properties"]["PolicyDocument"] == policy


def one(**changes: Any) -> str:
    """The narrow policy's statement for tunnels, changed, with what clients need to find things."""
    statement, *_, find = document(checked(Scope("connect", **NARROW)))["Statement"]
    changed = {key: value for key, value in {**statement, **changes}.items() if value is not None}
    return json.dumps({"Version": "2012-10-17", "Statement": [changed, find]})


def condition(**changes: Any) -> dict[str, Any]:
    found = {
        "NumericEquals": {PORT: "22"},
        "IpAddress": {ADDRESS: "10.0.0.0/8"},
        "NumericLessThanEquals": {DURATION: "900"},
    }
    return {key: value for key, value in {**found, **changes}.items() if value is not None}


PUSHING = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Action": PUSH, "Resource": "*"},
        {"Effect": "Allow", "Action": "ec2:Describe*", "Resource": "*"},
    ],
}
ONE_SPELLING = {
    "Version": "2012-10-17",
    "Statement": {
        "Effect": "Allow",
        "Action": "iam:CreateServiceLinkedRole",
        "Resource": f"arn:aws:iam::*:role/aws-service-role/ec2-instance-connect.amazonaws.com/{ROLE_NAMES[0]}",
    },
}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "not JSON"),
        ("[]", "Statement is missing"),
        (one(Effect="Maybe"), "neither Allow nor Deny"),
        (one(Resource=None), "no Resource"),
        (one(Action="OpenTunnel"), "names no service"),
        (one(Principal="*"), "unknown element Principal"),
        (one(Resource=[1]), "neither a string nor a list"),
        (one(Resource="*"), "through every endpoint"),
        (one(Resource="arn:aws:ec2:*:*:instance/*"), "matches no endpoint"),
        (one(Resource=None, NotResource=ARN), "NotResource allows all"),
        (one(Action=None, NotAction="s3:*"), "NotAction allows all"),
        (one(Action="ec2-instance-connect:*"), "among others"),
        (one(Condition=condition(NumericLessThanEquals=None)), "last the full hour"),
        (one(Condition=condition(NumericLessThanEquals={DURATION: "7200"})), "tunnels cannot last 7200 s"),
        (
            one(Condition=condition(NumericLessThanEquals=None, NumericLessThanEqualsIfExists={DURATION: "60"})),
            "without a duration",
        ),
        (one(Condition=condition(NumericEquals={PORT: ["22", "5432"]})), "support port 5432"),
        (one(Condition=condition(NumericEquals=None)), "both ports"),
        (one(Condition=condition(NumericEquals=None, StringEquals={PORT: "22"})), "StringEquals does not fit"),
        (one(Condition=condition(IpAddress=None)), "every address"),
        (json.dumps(PUSHING), "including root"),
        (json.dumps(ONE_SPELLING), f"not allowed as {ROLE_NAMES[1]}"),
        (json.dumps({"Version": "2012-10-17", "Statement": json.loads(one())["Statement"][:1]}), "clients require it"),
        (json.dumps({"Statement": json.loads(one())["Statement"]}), "Version is not"),
    ],
)
def test_the_examination_finds(text: str, problem: str) -> None:
    found = lint(text)
    assert any(problem in finding.problem for finding in found), found
    assert all(finding.remediation for finding in found)


@pytest.mark.parametrize("most", [1, 3599, 3600])
def test_any_maximum_demands_a_duration(most: int) -> None:
    assert any("requests without a duration are refused" in note for note in notes(Scope("connect", max_duration=most)))
    assert not any("duration" in note for note in notes(Scope("connect")))


def test_a_finding_names_its_statement() -> None:
    assert {finding.statement for finding in lint(one(Resource="*"))} == {"OpenTunnel"}
    assert {finding.statement for finding in lint(one(Resource="*", Sid=None))} == {"#1"}


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(["Statement", "Effect", "Action", "Resource", "Condition", "Allow"]), inner
            )
        ),
    )
)
def test_no_document_breaks_the_examination(policy: Any) -> None:
    lint(json.dumps(policy))
