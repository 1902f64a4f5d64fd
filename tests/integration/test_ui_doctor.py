"""The console's doctor: the checks of an instance, the fix that it offers, and its undoing."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.integration.console import Driver, in_console


@pytest.mark.parametrize("size", [(80, 24), (120, 30)])
def test_an_instance_that_can_be_reached(endpoint: dict[str, Any], size: tuple[int, int]) -> None:
    async def act(driver: Driver) -> None:
        await driver.shows("web-1")
        await driver.press("down", "d")
        await driver.until(lambda: "All checks passed" in driver.screen or "No check failed" in driver.screen)
        assert "✓ Credentials" in re.sub(" +", " ", driver.screen)
        assert endpoint["InstanceConnectEndpointId"] in driver.screen  # in the drawing

    in_console(act, size=size)


def test_a_rule_is_added_and_removed(endpoint: dict[str, Any], ec2: Any, instance_ids: dict[str, str]) -> None:
    instance = ec2.describe_instances(InstanceIds=[instance_ids["web-1"]])["Reservations"][0]["Instances"][0]
    group = instance["SecurityGroups"][0]["GroupId"]

    def rules() -> list[Any]:
        return list(ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]["IpPermissions"])

    ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=rules())

    async def act(driver: Driver) -> None:
        await driver.shows("no ingress rule")
        await driver.press("slash")
        await driver.type("web-1")
        await driver.press("enter", "d")
        await driver.shows("Press f to add the rule")
        await driver.press("f")
        await driver.shows("Proposed fix: allow TCP 22")
        assert not rules()
        await driver.press("y")
        await driver.shows("u removes it")
        assert rules()
        await driver.until(lambda: "Press f to add" not in driver.screen and "failed" not in driver.screen)
        await driver.press("u")
        await driver.shows("Remove?")
        await driver.press("y")
        await driver.shows("Removed: allow TCP 22")
        assert not rules()

    in_console(act)
