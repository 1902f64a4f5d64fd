"""`eicctl doctor --fix` and `--undo`: one rule, added and removed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eicctl.cli.commands import doctor
from eicctl.support import paths
from tests.integration.conftest import Ran
from tests.integration.test_doctor import World, no_egress, no_endpoint, no_ingress, nothing_listens, world

Eicctl = Callable[..., Ran]

__all__ = ["world"]


def rules(world: World, group_id: str) -> list[dict[str, Any]]:
    filters = [{"Name": "group-id", "Values": [group_id]}]
    rows = world.ec2.describe_security_group_rules(Filters=filters)["SecurityGroupRules"]
    return [row for row in rows if not row["IsEgress"]]


def test_fix_adds_the_rule_and_undo_removes_it(eicctl: Eicctl, world: World) -> None:
    no_ingress(world)
    ran = eicctl("doctor", "web-1", "--fix", "--yes")
    assert ran.code == 0
    assert f"aws ec2 authorize-security-group-ingress --group-id {world.target_group}" in ran.err
    (rule,) = rules(world, world.target_group)
    assert (rule["FromPort"], rule["ToPort"]) == (22, 22)
    assert rule["ReferencedGroupInfo"]["GroupId"] == world.endpoint_group
    assert rule["SecurityGroupRuleId"] in ran.err
    assert "All checks passed" in ran.out

    undone = eicctl("doctor", "web-1", "--undo", "--yes")
    assert undone.code == 0
    assert "Removed: " in undone.err
    assert rules(world, world.target_group) == []
    assert eicctl("doctor", "web-1").code == 5
    assert "Nothing to undo" in eicctl("doctor", "web-1", "--undo", "--yes").err


def test_undo_leaves_other_rules_alone(eicctl: Eicctl, world: World) -> None:
    """Also one that says the same, but was made again by somebody else."""
    no_ingress(world)
    eicctl("doctor", "web-1", "--fix", "--yes")
    pair = {"UserIdGroupPairs": [{"GroupId": world.endpoint_group}]}
    same = [{"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, **pair}]
    world.ec2.revoke_security_group_ingress(GroupId=world.target_group, IpPermissions=same)
    world.ec2.authorize_security_group_ingress(GroupId=world.target_group, IpPermissions=same)
    ran = eicctl("doctor", "--undo", "--yes")
    assert ran.code == 0
    assert "Already removed: " in ran.err
    assert len(rules(world, world.target_group)) == 1


def test_what_is_gone_is_forgotten(eicctl: Eicctl, world: World) -> None:
    no_ingress(world)
    eicctl("doctor", "web-1", "--fix", "--yes")
    no_ingress(world)
    assert "Already removed: " in eicctl("doctor", "web-1", "--undo", "--yes").err
    assert "Nothing to undo" in eicctl("doctor", "--undo", "--yes").err


def test_one_rule_after_the_other(eicctl: Eicctl, world: World) -> None:
    no_ingress(world)
    no_egress(world)
    ran = eicctl("doctor", "web-1", "--fix", "--yes")
    assert ran.code == 0
    assert "authorize-security-group-egress" in ran.err
    assert "authorize-security-group-ingress" in ran.err
    undone = eicctl("doctor", world.instance_ids["web-1"], "--undo", "--yes")
    assert undone.err.count("Removed: ") == 2


def test_a_dry_run_changes_nothing(eicctl: Eicctl, world: World) -> None:
    no_ingress(world)
    ran = eicctl("doctor", "web-1", "--fix", "--dry-run")
    assert ran.code == 5
    assert "Dry run succeeded; no changes made" in ran.err
    assert rules(world, world.target_group) == []
    eicctl("doctor", "web-1", "--fix", "--yes")
    assert eicctl("doctor", "web-1", "--undo", "--dry-run").code == 0
    assert len(rules(world, world.target_group)) == 1


def test_without_a_terminal_it_wants_a_yes(eicctl: Eicctl, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    no_ingress(world)
    with Path(os.devnull).open() as nothing:
        monkeypatch.setattr("sys.stdin", nothing)
        ran = eicctl("doctor", "web-1", "--fix")
    assert ran.code == 2
    assert "--yes" in ran.err
    assert rules(world, world.target_group) == []


@pytest.mark.parametrize("broken", [no_endpoint, nothing_listens])
def test_what_no_rule_fixes(eicctl: Eicctl, world: World, broken: Callable[[World], None]) -> None:
    broken(world)
    ran = eicctl("doctor", "web-1", "--fix", "--yes")
    assert ran.code in (3, 5)
    assert "No single security-group rule fixes this. Instead: " in ran.err


def test_a_rule_may_need_a_moment(eicctl: Eicctl, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a rule was made, a silent target is looked at once more before the target is to blame."""
    monkeypatch.setattr(doctor, "SETTLING", 0.0)
    no_ingress(world)
    nothing_listens(world)
    ran = eicctl("doctor", "web-1", "--fix", "--yes", "--output", "json")
    assert ran.code == 5
    assert "once more" in ran.err
    assert json.loads(ran.out)["Cause"]["Check"] == "tunnel"


def test_nothing_to_fix(eicctl: Eicctl, world: World) -> None:
    ran = eicctl("doctor", "web-1", "--fix", "--yes")
    assert ran.code == 0
    assert "Nothing to fix" in ran.err


def test_rules_of_another_account_are_left_alone(eicctl: Eicctl, world: World) -> None:
    no_ingress(world)
    eicctl("doctor", "web-1", "--fix", "--yes")
    file = paths.state_dir() / "doctor.json"
    rows = json.loads(file.read_text())
    file.write_text(json.dumps([{**row, "account": "999999999999"} for row in rows]))
    ran = eicctl("doctor", "--undo", "--yes")
    assert "Skipped (account 999999999999)" in ran.err
    assert len(rules(world, world.target_group)) == 1


def test_what_was_made_is_for_this_user_alone(eicctl: Eicctl, world: World) -> None:
    no_ingress(world)
    eicctl("doctor", "web-1", "--fix", "--yes")
    file = paths.state_dir() / "doctor.json"
    assert file.stat().st_mode & 0o777 == 0o600
    Path(file).write_text("{broken")
    ran = eicctl("doctor", "--undo", "--yes")
    assert ran.code == 1
    assert "doctor.json" in ran.err
