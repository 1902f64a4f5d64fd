"""The least policy for what was used: it allows all of that again, and nothing else."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eicctl.emulator.control.policy_language import Source, evaluate
from eicctl.policy.beyond import compare, read_document
from eicctl.policy.from_use import Bounds, Call, Usage, arn_of, derive, fold, owner_of, usage_of
from eicctl.policy.lint import lint
from tests.fuzzing import fuzz

ANN = "arn:aws:iam::123456789012:user/ann"
OPEN, PUSH = "ec2-instance-connect:OpenTunnel", "ec2-instance-connect:SendSSHPublicKey"
TUNNEL = Call(ANN, "us-east-1", "198.51.100.7", "eice-0123456789abcdef0", "10.0.1.10", 22, 900)
KEY = Call(ANN, "us-east-1", "198.51.100.7", instance_id="i-0123456789abcdef0", os_user="ec2-user")

ADDRESSES = st.one_of(
    st.integers(0, 40).map(lambda number: str(ipaddress.IPv4Address("10.0.1.0") + number)),
    st.integers(0, 40).map(lambda number: str(ipaddress.IPv6Address("fd00::") + number)),
    st.ip_addresses().map(str),
)


@given(st.lists(st.sets(ADDRESSES, max_size=12), max_size=4), st.integers(0, 300))
def test_ranges_cover_all_that_was_used_and_no_more_than_the_bound(groups: list[set[str]], bound: int) -> None:
    found = fold(groups, bound)
    unused = 0
    for addresses, ranges in zip(groups, found, strict=True):
        networks = [ipaddress.ip_network(one.network) for one in ranges]
        used = {ipaddress.ip_address(text) for text in addresses}
        assert all(sum(address in network for network in networks) == 1 for address in used)
        assert not any(a.overlaps(b) for a in networks for b in networks if a is not b and a.version == b.version)
        covered = sum(network.num_addresses for network in networks)
        assert [one.unused for one in ranges] == [
            network.num_addresses - sum(address in network for address in used) for network in networks
        ]
        unused += covered - len(used)
        if not bound:
            for version in (4, 6):
                exact = [one for one in used if one.version == version]
                collapsed = ipaddress.collapse_addresses(exact)  # type: ignore[type-var]
                assert [one for one in networks if one.version == version] == list(collapsed)
    assert unused <= bound


def test_the_ranges_with_the_fewest_unused_addresses_are_folded_first() -> None:
    used = ["10.0.1.0", "10.0.1.1", "10.0.1.2", "10.0.9.0", "10.0.9.9"]
    assert [one.network for one in fold([used], 1)[0]] == ["10.0.1.0/30", "10.0.9.0/32", "10.0.9.9/32"]
    assert [one.network for one in fold([used], 15)[0]] == ["10.0.1.0/30", "10.0.9.0/28"]


CALLS = st.lists(
    st.builds(
        lambda endpoint, address, port, duration, source: replace(
            TUNNEL,
            endpoint_id=f"eice-0000000000000000{endpoint}",
            address=f"10.0.1.{address}",
            port=port,
            duration=duration,
            source_ip=f"198.51.100.{source}",
        ),
        st.integers(0, 1),
        st.integers(0, 3),
        st.sampled_from([22, 3389]),
        st.sampled_from([None, 60, 600, 3600]),
        st.integers(0, 2),
    ),
    max_size=6,
)
KEYS = st.lists(
    st.builds(
        lambda instance, user, source: replace(
            KEY, instance_id=f"i-0000000000000000{instance}", os_user=user, source_ip=f"198.51.100.{source}"
        ),
        st.integers(0, 3),
        st.sampled_from(["ec2-user", "root", "ubuntu"]),
        st.integers(0, 1),
    ),
    max_size=5,
)


def allows(policy: Any, call: Call) -> bool:
    context = {
        "aws:sourceip": [call.source_ip],
        "ec2-instance-connect:remoteport": [str(call.port)],
        "ec2-instance-connect:privateipaddress": [call.address],
        "ec2:osuser": [call.os_user],
    }
    if call.duration is not None:
        context["ec2-instance-connect:maxtunnelduration"] = [str(call.duration)]
    action = OPEN if call.endpoint_id else PUSH
    return evaluate([Source("p", "user", policy)], action, arn_of(call), context).allowed


def used(calls: Sequence[Call], asked: Call, *, by_source: bool) -> bool:
    """Whether a call differs from none that was used, but for a shorter duration."""
    blank = {"duration": None} if by_source else {"duration": None, "source_ip": ""}
    alike = [one for one in calls if replace(one, **blank) == replace(asked, **blank)]
    if any(one.duration is None for one in alike) or not asked.endpoint_id:
        return bool(alike)
    return asked.duration is not None and any(asked.duration <= (one.duration or 0) for one in alike)


@settings(deadline=None)
@given(CALLS, KEYS, CALLS, KEYS, st.booleans())
def test_what_was_used_is_allowed_and_nothing_else(
    tunnels: list[Call], keys: list[Call], other_tunnels: list[Call], other_keys: list[Call], by_source: bool
) -> None:
    calls = [*tunnels, *keys]
    usages, _ = usage_of(calls)
    policy = derive(usages.get(ANN, Usage(ANN)), Bounds(by_source=by_source)).policy
    assert (policy is None) == (not calls)
    if policy:
        assert all(allows(policy, call) for call in calls)
        for asked in (*other_tunnels, *other_keys):
            assert allows(policy, asked) == used(calls, asked, by_source=by_source), asked
        assert not [one for one in lint(json.dumps(policy)) if one.severity == "error"]
        assert len({one["Sid"] for one in policy["Statement"]}) == len(policy["Statement"])
        # What was derived from all that was used allows nothing beyond that.
        compared = compare([("p", policy)], usages[ANN], by_source=by_source)
        assert not [one for one in compared if one.allows_more]


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (replace(TUNNEL, address="db.internal"), "DNS names (policies limit only addresses): db.internal"),
        (replace(TUNNEL, port=5432), "ports that endpoints do not support: 5432"),
        (replace(TUNNEL, endpoint_id="eice-0*"), "invalid endpoint IDs"),
        (replace(TUNNEL, region="*"), "invalid regions"),
        (replace(KEY, instance_id="*"), "invalid instance IDs"),
        (replace(KEY, os_user="${aws:username}"), "invalid OS users"),
        (replace(KEY, source_ip="10.0.0.9"), "sources that aws:SourceIp never has"),
    ],
)
def test_what_no_policy_can_limit_is_omitted_with_the_reason(call: Call, reason: str) -> None:
    usages, _ = usage_of([TUNNEL, call])
    derived = derive(usages[ANN], Bounds(by_source=True))
    assert derived.policy == derive(usage_of([TUNNEL])[0][ANN], Bounds(by_source=True)).policy
    assert any(reason in note for note in derived.notes), derived.notes
    assert derive(usage_of([call])[0][ANN], Bounds(by_source=True)).policy is None


def test_a_tag_stands_for_instances_within_the_bound() -> None:
    calls = [replace(KEY, instance_id=f"i-0000000000000000{number}") for number in range(4)]
    tags = {(call.region, call.instance_id): "web" if number < 2 else "db" for number, call in enumerate(calls)}
    tags |= {(KEY.region, "i-00000000000000009"): "db", ("eu-west-1", "i-00000000000000008"): "web"}
    usage = usage_of(calls)[0][ANN]

    def pushes(bound: int) -> list[tuple[Any, Any]]:
        derived = derive(usage, Bounds(bound, tag="Team", tags=tags))
        assert derived.policy
        statements = [one for one in derived.policy["Statement"] if one["Sid"].startswith("PushKey")]
        return [(one["Resource"], one["Condition"]["StringEquals"].get("aws:ResourceTag/Team")) for one in statements]

    any_instance = "arn:aws:ec2:us-east-1:123456789012:instance/*"
    assert pushes(0) == [([arn_of(calls[2]), arn_of(calls[3])], None), (any_instance, ["web"])]
    assert pushes(1) == [(any_instance, ["db", "web"])]
    assert "tag Team=db covers 1 unused instance" in derive(usage, Bounds(1, tag="Team", tags=tags)).notes


def test_a_tag_stands_for_instances_of_each_region_alone() -> None:
    calls = [replace(KEY, region=region) for region in ("us-east-1", "eu-west-1")]
    tags = {(call.region, call.instance_id): "web" for call in calls}
    derived = derive(usage_of(calls)[0][ANN], Bounds(tag="Team", tags=tags))
    assert derived.policy
    statements = [one for one in derived.policy["Statement"] if one["Sid"].startswith("PushKey")]
    assert [(one["Resource"], one["Condition"]["StringEquals"]["aws:ResourceTag/Team"]) for one in statements] == [
        (f"arn:aws:ec2:{region}:123456789012:instance/*", ["web"]) for region in ("eu-west-1", "us-east-1")
    ]


def test_what_records_cannot_show_is_reported() -> None:
    usage = usage_of([TUNNEL, replace(TUNNEL, address="10.0.1.11", duration=None)])[0][ANN]
    usage.own_keys = 2
    notes = derive(usage, Bounds(by_source=True)).notes
    assert [
        word for word in ("own keys", "no maximum duration", "NAT") if not any(word in note for note in notes)
    ] == []
    many = usage_of(replace(TUNNEL, address=f"10.{n // 200}.{n % 200}.9") for n in range(400))[0][ANN]
    assert any("6,144" in note for note in derive(many, Bounds()).notes)


@pytest.mark.parametrize(
    ("arn", "owner"),
    [
        (ANN, (ANN, "")),
        ("arn:aws:sts::123456789012:assumed-role/dev/ann@x", ("arn:aws:iam::123456789012:role/dev", "ann@x")),
        ("arn:aws:iam::123456789012:root", None),
        ("arn:aws:sts::123456789012:federated-user/bob", None),
        ("", None),
        (f"{ANN}\n*", None),
    ],
)
def test_policies_belong_to_users_and_roles(arn: str, owner: Any) -> None:
    assert owner_of(arn) == owner


def test_calls_of_a_roles_sessions_are_those_of_the_role() -> None:
    role = "arn:aws:sts::123456789012:assumed-role/dev/"
    usages, others = usage_of([replace(TUNNEL, caller=role + name) for name in ("a", "b", "a")])
    (usage,) = usages.values()
    assert (usage.name, usage.sessions, usage.tunnels, len(usage.calls)) == ("role dev", {"a", "b"}, 3, 1)
    assert not others


def today(**condition: Any) -> dict[str, Any]:
    resource = "arn:aws:ec2:*:123456789012:instance-connect-endpoint/*"
    statement = {"Sid": "T", "Effect": "Allow", "Action": OPEN, "Resource": resource, "Condition": condition}
    return {"Version": "2012-10-17", "Statement": [statement]}


def test_a_comparison_has_what_today_allows_beyond_it() -> None:
    usage = usage_of([TUNNEL])[0][ANN]
    conditions: dict[str, Any] = {
        "IpAddress": {"ec2-instance-connect:privateIpAddress": "10.0.1.0/24"},
        "NumericLessThan": {"ec2-instance-connect:maxTunnelDuration": "1801"},
        "Bool": {"aws:MultiFactorAuthPresent": "true"},
    }
    (one,) = compare([("connect", today(**conditions))], usage, by_source=False)
    assert (one.statement, one.action, one.calls, one.others) == (
        "connect T",
        "OpenTunnel",
        1,
        ["Bool aws:MultiFactorAuthPresent"],
    )
    assert {each.name: (each.today, each.used) for each in one.dimensions} == {
        "endpoint": (("any in region * of account 123456789012",), ("eice-0123456789abcdef0",)),
        "port": (("22", "3389"), ("22",)),
        "address": (("10.0.1.0/24",), ("10.0.1.10/32",)),
        "duration": (("up to 1800 s",), ("up to 900 s",)),
    }
    assert one.denials == []
    (one,) = compare([("p", today(NumericEquals={"ec2-instance-connect:remotePort": 3389}))], usage, by_source=False)
    assert one.calls == 0
    assert one.allows_more
    everything = {"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}
    assert [one.action for one in compare([("a", everything)], usage, by_source=True)] == [
        "OpenTunnel",
        "SendSSHPublicKey",
    ]


def test_what_is_denied_is_not_allowed_beyond_it() -> None:
    usage = usage_of([TUNNEL, KEY])[0][ANN]
    everything = {"Sid": "All", "Effect": "Allow", "Action": "*", "Resource": "*"}

    def compared(*denied: dict[str, Any]) -> Any:
        statements = [everything, *({"Effect": "Deny", "Resource": "*", "Action": OPEN, **one} for one in denied)]
        return compare([("p", {"Statement": statements})], usage, by_source=True)

    def allowed(*denied: dict[str, Any], action: str = "OpenTunnel") -> dict[str, tuple[str, ...]]:
        (one,) = [one for one in compared(*denied) if one.action == action]
        assert not one.denials
        return {each.name: each.today for each in one.dimensions}

    eice = "arn:aws:ec2:us-east-1:123456789012:instance-connect-endpoint/eice-0123456789abcdef0"
    address, duration, port = (
        f"ec2-instance-connect:{x}" for x in ("privateIpAddress", "maxTunnelDuration", "remotePort")
    )
    assert allowed({"Resource": eice})["endpoint"] == ("any but eice-0123456789abcdef0",)
    only: dict[str, Any] = {"Effect": "Deny", "Action": "*", "NotResource": [eice]}
    (one,) = compare([("p", {"Statement": [everything, only]})], usage, by_source=False)
    assert one.dimensions[0].today == ("eice-0123456789abcdef0",)
    assert allowed({"Condition": {"NumericNotEquals": {port: "22"}}})["port"] == ("22",)
    assert allowed({"Condition": {"NotIpAddress": {address: ["10.0.1.0/25", "10.0.1.128/25"]}}})["address"] == (
        "10.0.1.0/24",
    )
    assert allowed({"Condition": {"IpAddress": {address: "0.0.0.0/1"}}})["address"] == ("128.0.0.0/1", "::/0")
    assert allowed({"Condition": {"NumericGreaterThan": {duration: "900"}}})["duration"] == (
        "up to 900 s, not required",
    )
    both = ({"Condition": {"NumericGreaterThan": {duration: "900"}}}, {"Condition": {"Null": {duration: "true"}}})
    assert allowed(*both)["duration"] == ("up to 900 s",)
    assert allowed({"Condition": {"NotIpAddress": {"aws:SourceIp": "198.51.100.0/24"}}})["source"] == (
        "198.51.100.0/24",
    )
    root = {"Action": PUSH, "Condition": {"StringEquals": {"ec2:osuser": ["root", "admin"]}}}
    assert allowed(root, action="SendSSHPublicKey")["OS user"] == ("any but admin, root",)
    others = {"Action": PUSH, "Condition": {"StringNotLike": {"ec2:osuser": "ec2-*"}}}
    assert allowed(others, action="SendSSHPublicKey")["OS user"] == ("ec2-*",)
    # A key that no request has: a negated condition is fulfilled, and another one is not.
    assert [one.action for one in compared({**others, "Action": "ec2-instance-connect:*"})] == ["SendSSHPublicKey"]
    assert allowed({**root, "Action": "*"})["port"] == ("22", "3389")
    assert [one.action for one in compared({})] == ["SendSSHPublicKey"]
    # What is left is no product of values, or depends on more: it is said.
    mfa = {"Sid": "Mfa", "Condition": {"BoolIfExists": {"aws:MultiFactorAuthPresent": "false"}}}
    corner = {"Condition": {"NumericEquals": {port: "22"}, "IpAddress": {address: "10.0.1.0/24"}}}
    (one,) = [one for one in compared(mfa, corner) if one.action == "OpenTunnel"]
    assert one.denials == [
        "p Mfa, which depends on BoolIfExists aws:MultiFactorAuthPresent",
        "p #3, which denies combinations of port and address",
    ]
    assert one.allows_more


PORT, ADDRESS, DURATION, OS_USER = (
    *(f"ec2-instance-connect:{name}" for name in ("remotePort", "privateIpAddress", "maxTunnelDuration")),
    "ec2:osuser",
)
ARNS = [f"arn:aws:ec2:us-east-1:123456789012:instance-connect-endpoint/eice-0000000000000000{one}" for one in "01"]


def condition(how: Sequence[str], key: str, *values: str) -> Any:
    return st.tuples(st.sampled_from(how), st.just(key), st.lists(st.sampled_from(values), min_size=1, max_size=2))


STATEMENTS = st.lists(
    st.builds(
        lambda effect, action, resource, tests: {
            **{"Effect": effect, "Action": action, resource[0]: resource[1]},
            "Condition": {how: {key: values} for how, key, values in tests},
        },
        st.sampled_from(["Allow", "Deny"]),
        st.sampled_from([OPEN, PUSH, "ec2-instance-connect:*", "*"]),
        st.one_of(
            st.tuples(st.just("Resource"), st.sampled_from(["*", ARNS[0], ARNS[:2], "arn:aws:ec2:*:instance/*"])),
            st.tuples(st.just("NotResource"), st.sampled_from([ARNS[0], ARNS])),
        ),
        st.lists(
            st.one_of(
                condition(["NumericEquals", "NumericNotEquals"], PORT, "22", "3389"),
                condition(["IpAddress", "NotIpAddress"], ADDRESS, "10.0.1.0/31", "10.0.1.0/24", "10.0.1.3/32"),
                condition(["NumericLessThanEquals", "NumericGreaterThan"], DURATION, "600"),
                condition(["StringEquals", "StringNotEquals", "StringNotLike"], OS_USER, "root", "ubuntu"),
                condition(["StringLike"], OS_USER, "*u*", "ec2-*"),
                condition(["IpAddress", "NotIpAddress"], "aws:SourceIp", "198.51.100.0/31"),
            ),
            max_size=2,
        ),
    ),
    max_size=4,
)


@fuzz
@given(STATEMENTS, CALLS, KEYS)
def test_a_comparison_has_all_that_is_allowed(statements: list[Any], tunnels: list[Call], keys: list[Call]) -> None:
    """Whatever IAM allows is in a comparison; nothing else is, unless it is said."""
    policy = {"Version": "2012-10-17", "Statement": statements}
    compared = compare([("p", policy)], Usage(ANN), by_source=True)
    # A shortest duration is not shown.
    shortest = {"Allow": "NumericGreaterThan", "Deny": "NumericLessThanEquals"}
    rough = any(shortest[one["Effect"]] in one["Condition"] for one in statements)
    for call in (*tunnels, *keys):
        action = OPEN if call.endpoint_id else PUSH
        context = {"aws:sourceip": [call.source_ip]}
        if call.endpoint_id:
            context |= {PORT.lower(): [str(call.port)], ADDRESS.lower(): [call.address]}
            context |= {DURATION.lower(): [str(call.duration)]} if call.duration else {}
        else:
            context |= {OS_USER: [call.os_user]}
        allowed = evaluate([Source("p", "user", policy)], action, arn_of(call), context).allowed
        found = [one for one in compared if action.endswith(one.action) and shows(one, call)]
        assert found or not allowed, (call, compared)
        assert allowed or not found or rough or any(one.denials for one in found), (call, compared)


def shows(one: Any, call: Call) -> bool:
    """Whether the dimensions of a comparison, as they are printed, have a call."""
    values = {
        "endpoint": (arn_of(call), call.endpoint_id),
        "instance": (arn_of(call), call.instance_id),
        "OS user": (call.os_user,),
        "port": (str(call.port),),
    }

    def has(name: str, texts: Sequence[str]) -> bool:
        if name == "duration":
            (text,) = texts
            longest = int(text.split()[2])
            return call.duration <= longest if call.duration else text.endswith("not required")
        if name in ("address", "source"):
            address = ipaddress.ip_address(call.address if name == "address" else call.source_ip)
            return any(text == "any" or address in ipaddress.ip_network(text) for text in texts)
        return any(matches(text, values[name]) for text in texts)

    return all(has(each.name, each.today) for each in one.dimensions)


def matches(text: str, values: Sequence[str]) -> bool:
    own, _, but = text.partition(" but ")
    return any(fnmatchcase(value, own.replace("any", "*")) for value in values) and not any(
        fnmatchcase(value, one) for one in but.split(", ") for value in values
    )


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"Statement": [1]}', '{"Statement": {"Effect": "Allow"}}'])
def test_a_file_that_is_no_policy_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - its text is Python's, or lint's
        read_document(text)
