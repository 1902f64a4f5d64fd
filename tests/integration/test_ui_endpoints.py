"""The console's endpoints: what is shown of them, and how they are created, modified, watched and deleted."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any, cast

import pytest
from textual.widgets import Checkbox, Input, Select, SelectionList

from eicctl.aws import caches
from eicctl.aws.session import Session
from eicctl.emulator.server import Emulator
from eicctl.ui.create_form import NEW_GROUP
from eicctl.ui.endpoints import Endpoints
from tests.integration.console import Driver, in_console
from tests.integration.test_ui_tunnels import local_address

SIZES = [(80, 24), (120, 30), (200, 60)]
EXTREMES = SIZES[::2]
"""For long sessions; the tests without a size run at the other one."""


def endpoints_of(ec2: Any) -> list[dict[str, Any]]:
    return list(ec2.describe_instance_connect_endpoints()["InstanceConnectEndpoints"])


def group_ids(ec2: Any) -> set[str]:
    return {row["GroupId"] for row in ec2.describe_security_groups()["SecurityGroups"]}


def focus(driver: Driver, field: str) -> None:
    """Put the cursor into a field of the form."""
    driver.app.screen.query_one(f"#{field}").focus()


async def open_form(driver: Driver) -> None:
    """Open the form, and wait until the only VPC's subnets and groups are offered."""
    await driver.shows("No EC2 Instance Connect Endpoint: press n")
    await driver.press("n")
    await driver.shows("Create an endpoint")
    await driver.until(lambda: driver.app.screen.query_one("#groups", SelectionList).option_count)


async def toggle(driver: Driver, field: str, value: str) -> None:
    """Select an item of a list, by the keyboard."""
    items = driver.app.screen.query_one(f"#{field}", SelectionList)
    at = next(at for at in range(items.option_count) if items.get_option_at_index(at).value == value)
    items.focus()
    await driver.press(*["down"] * at, "space")
    assert value in items.selected


@pytest.mark.parametrize("size", SIZES)
def test_endpoints_are_listed(endpoint: dict[str, Any], size: tuple[int, int]) -> None:
    async def act(driver: Driver) -> None:
        line = await driver.shows("create-complete")
        assert endpoint["InstanceConnectEndpointId"] in line
        await driver.until(lambda: "demo" in driver.screen)  # the VPC's name
        assert all(len(line) <= size[0] for line in driver.screen.splitlines())
        await driver.press("enter")
        await driver.shows("OwnConnections")
        assert endpoint["SubnetId"] in driver.screen
        await driver.press("c")
        await driver.shows(f"Copied: {endpoint['InstanceConnectEndpointId']}")

    in_console(act, first="endpoints", size=size)


def test_what_is_known_is_shown_at_once(emulator: Emulator, ec2: Any) -> None:
    emulator.state.behave(latency=0.5)
    rows = {"eice-0": ("known-1", "create-complete", "vpc-1", "us-east-1a")}
    caches.note_names(Session(), caches.ENDPOINTS, rows, region="us-east-1")

    async def act(driver: Driver) -> None:
        assert "create-complete" in await driver.shows("known-1")
        await driver.shows("No EC2 Instance Connect Endpoint: press n")
        assert "known-1" not in driver.screen

    in_console(act, first="endpoints")


@pytest.mark.parametrize("size", EXTREMES)
def test_an_endpoint_is_created_by_the_form(
    emulator: Emulator, ec2: Any, subnet_id: str, size: tuple[int, int]
) -> None:
    targets = ec2.describe_security_groups(GroupNames=["targets"])["SecurityGroups"][0]["GroupId"]
    emulator.state.behave(transition=1.0)

    async def act(driver: Driver) -> None:
        await open_form(driver)
        await driver.type("office")
        driver.app.screen.query_one("#subnet", Select).value = subnet_id
        await toggle(driver, "groups", NEW_GROUP)
        await toggle(driver, "allow-to", targets)
        focus(driver, "preserve")
        await driver.press("space")
        assert driver.app.screen.query_one("#preserve", Checkbox).value
        driver.app.screen.query_one("#tags", Input).value = "team=web 'cost center=a b'"
        await driver.pilot.pause()
        assert "Create (Ctrl+S)" in driver.screen
        assert "Requires an" in " ".join(driver.screen.split())  # the limits of preservation, beside its box
        await driver.press("ctrl+s")
        await driver.shows("create-in-progress")
        await driver.shows("create-complete")

    in_console(act, first="endpoints", size=size)
    (made,) = endpoints_of(ec2)
    assert (made["SubnetId"], made["PreserveClientIp"], made["IpAddressType"]) == (subnet_id, True, "ipv4")
    tags = {tag["Key"]: tag["Value"] for tag in made["Tags"]}
    assert tags == {"Name": "office", "team": "web", "cost center": "a b"}
    (group_id,) = made["SecurityGroupIds"]
    group = ec2.describe_security_groups(GroupIds=[group_id])["SecurityGroups"][0]
    assert group["GroupName"] == f"office-{subnet_id}"
    rules = ec2.describe_security_groups(GroupIds=[targets])["SecurityGroups"][0]["IpPermissions"]
    assert any(pair["GroupId"] == group_id for rule in rules for pair in rule["UserIdGroupPairs"])


def test_a_failed_creation_is_undone_and_explained(emulator: Emulator, ec2: Any) -> None:
    before = group_ids(ec2)
    emulator.state.behave(denied="CreateInstanceConnectEndpoint")

    async def act(driver: Driver) -> None:
        await open_form(driver)
        await toggle(driver, "groups", NEW_GROUP)
        await driver.press("ctrl+s")
        await driver.shows("Removed: sg-")
        await driver.shows("hint: ")
        assert group_ids(ec2) == before
        assert endpoints_of(ec2) == []
        emulator.state.behave(denied="")
        await driver.press("ctrl+s")  # the form still has what was filled in
        await driver.shows("create-complete")

    in_console(act, first="endpoints")
    assert len(group_ids(ec2) - before) == 1


def test_what_ec2_would_refuse_is_refused_by_the_form(ec2: Any) -> None:
    async def act(driver: Driver) -> None:
        await open_form(driver)
        screen = driver.app.screen
        screen.query_one("#preserve", Checkbox).value = True
        screen.query_one("#type", Select).value = "dualstack"
        await driver.press("ctrl+s")
        await driver.shows("error: --preserve-client-ip requires --ip-address-type ipv4")
        screen.query_one("#preserve", Checkbox).value = False
        screen.query_one("#tags", Input).value = "=x"
        await driver.press("ctrl+s")
        await driver.shows("error: Invalid tag '=x'")
        screen.query_one("#tags", Input).value = "'open"
        await driver.press("ctrl+s")
        await driver.shows("error: Invalid tags")
        screen.query_one("#vpc", Select).clear()
        screen.query_one("#tags", Input).value = ""
        await driver.press("ctrl+s")
        await driver.shows("error: Select a VPC")
        await driver.press("escape")
        await driver.until(lambda: "Create an endpoint" not in driver.screen)

    in_console(act, first="endpoints")
    assert endpoints_of(ec2) == []


def test_a_vpc_with_an_endpoint(endpoint: dict[str, Any]) -> None:
    async def act(driver: Driver) -> None:
        await driver.shows("create-complete")
        await driver.press("n")
        await driver.until(lambda: driver.app.screen.query("#groups") and _offered(driver))
        await driver.press("ctrl+s")
        await driver.shows(f"already has endpoint {endpoint['InstanceConnectEndpointId']}")
        await driver.shows("hint: eicctl show-endpoint")
        await driver.pilot.click("#error-hint")  # leaves the form: the command line is below it
        await driver.until(lambda: driver.app.query_one("#command", Input).value.startswith("show-endpoint eice-"))

    in_console(act, first="endpoints")


def _offered(driver: Driver) -> bool:
    return driver.app.screen.query_one("#groups", SelectionList).option_count > 0


@pytest.mark.parametrize("size", EXTREMES)
def test_the_preview_of_the_form(ec2: Any, size: tuple[int, int]) -> None:
    async def act(driver: Driver) -> None:
        await open_form(driver)
        await driver.type("office")
        await toggle(driver, "groups", NEW_GROUP)
        driver.app.screen.query_one("#type", Select).value = "ipv4"
        await driver.press("f2")
        await driver.shows('resource "aws_')
        await driver.press("right")
        await driver.shows('"AWSTemplateFormatVersion"')
        assert "CloudFormation cannot set the IP address type" in driver.screen
        await driver.press("right")
        await driver.shows("aws ec2 create-security-group")
        await driver.press("c")
        assert "aws ec2 create-instance-connect-endpoint" in driver.app.clipboard
        await driver.shows("Create an endpoint")

    in_console(act, first="endpoints", size=size)
    assert endpoints_of(ec2) == []


def test_an_endpoint_as_code(endpoint: dict[str, Any]) -> None:
    async def act(driver: Driver) -> None:
        await driver.shows("create-complete")
        await driver.press("i")
        await driver.shows("import {")
        await driver.press("left")
        await driver.shows("aws ec2 create-instance-connect-endpoint")

    in_console(act, first="endpoints")


def test_an_endpoint_is_modified(emulator: Emulator, ec2: Any, endpoint: dict[str, Any]) -> None:
    targets = ec2.describe_security_groups(GroupNames=["targets"])["SecurityGroups"][0]["GroupId"]
    emulator.state.behave(transition=1.0)

    async def act(driver: Driver) -> None:
        await driver.shows("create-complete")
        await driver.press("m")
        await driver.until(lambda: driver.app.screen.query("#groups") and "targets" in driver.screen)
        await driver.press("ctrl+s")
        await driver.shows("error: Nothing was changed in the form")
        await toggle(driver, "groups", targets)
        focus(driver, "preserve")
        await driver.press("space", "ctrl+s")
        await driver.shows("update-in-progress")
        await driver.shows("update-complete")

    in_console(act, first="endpoints")
    (now,) = endpoints_of(ec2)
    assert now["PreserveClientIp"]
    assert set(now["SecurityGroupIds"]) == {*endpoint["SecurityGroupIds"], targets}


def test_an_endpoint_that_is_created_elsewhere_is_watched(emulator: Emulator, ec2: Any, subnet_id: str) -> None:
    emulator.state.behave(transition=3600.0)
    ec2.create_instance_connect_endpoint(SubnetId=subnet_id)

    async def act(driver: Driver) -> None:
        await driver.shows("create-in-progress")
        await driver.press("w")
        await driver.shows("Watching eice-")
        record = emulator.state.endpoints()[0]
        emulator.state.put_endpoint(type(record)(**{**vars_of(record), "state": "create-failed"}))
        await driver.shows("is in state create-failed")  # the error
        assert "create-failed" in next(line for line in driver.screen.splitlines() if line.startswith(">"))

    in_console(act, first="endpoints")


def vars_of(record: Any) -> dict[str, Any]:
    return {name: getattr(record, name) for name in type(record).__dataclass_fields__}


@pytest.mark.parametrize("with_group", [True, False])
def test_an_endpoint_is_deleted(emulator: Emulator, ec2: Any, with_group: bool) -> None:
    before = group_ids(ec2)

    async def act(driver: Driver) -> None:
        await open_form(driver)
        await toggle(driver, "groups", NEW_GROUP)
        await driver.press("ctrl+s")
        await driver.shows("create-complete")
        emulator.state.behave(transition=1.0)
        await driver.press("D")
        await driver.shows("Delete endpoint eice-")
        await driver.press("n")
        await driver.until(lambda: "Delete endpoint" not in driver.screen)
        assert endpoints_of(ec2)[0]["State"] == "create-complete"
        await driver.press("D")
        await driver.shows("Open connections are closed.")
        await driver.press("y")
        await driver.shows("Also delete security group sg-")
        await driver.press("y" if with_group else "n")
        await driver.shows("delete-in-progress")
        await driver.shows("No EC2 Instance Connect Endpoint")

    in_console(act, first="endpoints")
    assert endpoints_of(ec2) == []
    assert len(group_ids(ec2) - before) == (0 if with_group else 1)


def test_a_denied_deletion(emulator: Emulator, endpoint: dict[str, Any]) -> None:
    emulator.state.behave(denied="DeleteInstanceConnectEndpoint")

    async def act(driver: Driver) -> None:
        await driver.shows("create-complete")
        await driver.press("D")
        await driver.shows("Delete endpoint")
        await driver.press("y")
        await driver.shows("error: Cannot delete the endpoint")

    in_console(act, first="endpoints")


def test_own_connections_are_counted(endpoint: dict[str, Any]) -> None:
    async def act(driver: Driver) -> None:
        await driver.shows("web-1")
        await driver.press("down", "t")
        await driver.shows("this console")
        await driver.until(lambda: local_address(driver, "web-1-22"))
        host, _, port = local_address(driver, "web-1-22").rpartition(":")
        await driver.app.action_pane("endpoints")
        pane = cast("Endpoints", driver.app.current)

        def own() -> str:
            return pane.table.rows[0].cells[10] if pane.table.rows else ""

        with socket.create_connection((host, int(port)), timeout=60):
            await driver.until(lambda: own() == "1")
        await driver.until(lambda: own() == "")

    in_console(act)


HOSTILE = "[red]x[/red]\u009b31m\u202edcba\u05d0\n[@click=app.quit]"


@pytest.mark.parametrize("size", EXTREMES)
def test_hostile_names_are_drawn_harmlessly(ec2: Any, endpoint: dict[str, Any], size: tuple[int, int]) -> None:
    ids = [endpoint["InstanceConnectEndpointId"], endpoint["VpcId"], endpoint["SubnetId"]]
    ec2.create_tags(Resources=ids, Tags=[{"Key": "Name", "Value": HOSTILE}, {"Key": HOSTILE, "Value": HOSTILE}])

    async def act(driver: Driver) -> None:
        def harmless() -> None:
            assert not {"\x9b", "\u202e"} & set(driver.screen)

        await driver.shows("[red]x")
        harmless()
        await driver.press("enter")
        await driver.shows("OwnConnections")
        harmless()
        await driver.press("escape", "i")
        await driver.shows("import {")
        harmless()
        await driver.press("escape", "m")
        await driver.shows("Modify [red]x[/red]")
        harmless()
        await driver.press("escape", "D")
        await driver.shows("Delete endpoint [red]x")
        harmless()
        await driver.press("escape", "n")
        await driver.until(lambda: driver.app.screen.query("#groups") and _offered(driver))
        await driver.shows("[red]x")
        harmless()
        focus(driver, "subnet")
        await driver.press("enter")
        await driver.pilot.pause()
        harmless()

    in_console(act, first="endpoints", size=size)


def test_accounts_that_fail_are_named_and_the_others_are_shown(
    emulator: Emulator, endpoint: dict[str, Any], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = {"good": (emulator.env["AWS_ACCESS_KEY_ID"], emulator.env["AWS_SECRET_ACCESS_KEY"])}
    keys |= dict.fromkeys(("bad", "worse"), ("AKIAXXXXXXXXXXXXXXXX", "none"))
    sections = (
        f"[{name}]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n"
        for name, (key, secret) in keys.items()
    )
    (home / "credentials").write_text("".join(sections))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)

    async def act(driver: Driver) -> None:
        assert "error: us-east-1 (profile bad): " in await driver.shows("error: ")
        await driver.shows(endpoint["InstanceConnectEndpointId"])
        await driver.shows("2 of 3 accounts and regions could not be read")

    in_console(act, first="endpoints", profiles=["good", "bad", "worse"])
