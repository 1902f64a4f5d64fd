"""Waiting for a machine that boots."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from eicctl.api.targets import wait_until_ready
from eicctl.aws.session import Session
from eicctl.aws.targets import resolve
from eicctl.core.errors import NotFoundError, UnavailableError, UnreachableError
from eicctl.core.model import Target
from eicctl.core.request import ConnectRequest
from eicctl.emulator.server import Emulator
from tests.integration.conftest import Ran


def waited(
    words: str,
    told: list[str],
    *,
    seconds: float = 60,
    port: int = 22,
    on_show: Callable[[str], None] = lambda _state: None,
) -> Target:
    session = Session()

    def show(state: str) -> None:
        told.append(state)
        on_show(state)

    return wait_until_ready(
        session,
        lambda: resolve(session, ConnectRequest(remote_port=port, target=words)),
        seconds=seconds,
        label=words,
        show=show,
        first_pause=0.1,
    )


def jump(emulator: Emulator, seconds: float) -> None:
    """Set the emulator's clock ahead, by less than a presigned URL lives."""
    emulator.state.behave(clock_offset=seconds)


@pytest.mark.parametrize(("name", "port"), [("web-1", 22), ("win-1", 3389)])
def test_a_machine_that_boots(
    emulator: Emulator, ec2: Any, endpoint: object, instance_ids: dict[str, str], name: str, port: int
) -> None:
    instance_id = instance_ids[name]
    ec2.stop_instances(InstanceIds=[instance_id])
    emulator.state.behave(boot=20.0)
    ec2.start_instances(InstanceIds=[instance_id])
    told: list[str] = []

    def later(state: str) -> None:
        """Let the emulator's clock jump to the next stage of the boot."""
        if "pending" in state:
            jump(emulator, 21.0)
        elif "cannot reach" in state:
            jump(emulator, 41.0)

    assert waited(name, told, port=port, on_show=later).instance_id == instance_id
    assert told[0] == "the instance is pending"
    assert any("cannot reach" in state for state in told)
    assert emulator.state.boot_stage(instance_id) == "up"


def test_an_instance_that_is_made_meanwhile(emulator: Emulator, ec2: Any, endpoint: object, subnet_id: str) -> None:
    told: list[str] = []

    def launch(_state: str) -> None:
        if len(told) == 1:
            ec2.run_instances(
                ImageId=ec2.describe_images()["Images"][0]["ImageId"],
                MinCount=1,
                MaxCount=1,
                SubnetId=subnet_id,
                TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": "late"}]}],
            )

    # Its group lets nobody in, which from outside looks like a machine that boots.
    with pytest.raises(UnreachableError, match="late is not ready after 3 s: The endpoint cannot reach"):
        waited("late", told, seconds=3, on_show=launch)
    assert 'No instance named "late" in us-east-1' in told[0]


def test_an_endpoint_that_is_being_made(emulator: Emulator, ec2: Any, subnet_id: str) -> None:
    emulator.state.behave(transition=20.0)
    ec2.create_instance_connect_endpoint(SubnetId=subnet_id)
    told: list[str] = []
    waited("web-1", told, on_show=lambda _state: jump(emulator, 21.0))
    assert "is still being created" in told[0]


def test_what_no_time_will_mend(emulator: Emulator, ec2: Any, endpoint: object, instance_ids: dict[str, str]) -> None:
    ec2.stop_instances(InstanceIds=[instance_ids["web-1"]])
    with pytest.raises(UnavailableError, match="is stopped") as stopped:
        waited("web-1", [])
    assert stopped.value.hint == f"aws ec2 start-instances --instance-ids {instance_ids['web-1']}"
    assert stopped.value.exit_code == 5


def test_the_time_out_says_what_is_missing(emulator: Emulator, endpoint: object) -> None:
    with pytest.raises(UnreachableError, match=r"web-9 is not ready after 0\.3 s: No instance named") as late:
        waited("web-9", [], seconds=0.3)
    assert not isinstance(late.value, NotFoundError)
    assert late.value.exit_code == 5


def test_aws_is_asked_sparingly(
    emulator: Emulator, ec2: Any, endpoint: object, instance_ids: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once the instance runs, only tunnels are tried."""
    emulator.state.behave(boot=0.0)
    emulator.add_fault("close", code=1011, reason="Unable to connect to target", times=3, after_seconds=0)
    session = Session()
    asked = 0

    def find() -> Target:
        nonlocal asked
        asked += 1
        return resolve(session, ConnectRequest(remote_port=22, target="web-1"))

    told: list[str] = []
    wait_until_ready(session, find, seconds=20, label="web-1", show=told.append, first_pause=0.05)
    assert asked == 1
    assert len([state for state in told if state.startswith("trying")]) == 4


def test_the_command_waits(
    emulator: Emulator, ec2: Any, endpoint: object, instance_ids: dict[str, str], eicctl: Callable[..., Ran]
) -> None:
    emulator.state.behave(boot=1.5)
    ec2.stop_instances(InstanceIds=[instance_ids["web-1"]])
    ec2.start_instances(InstanceIds=[instance_ids["web-1"]])
    ran = eicctl("ssh", "--wait", "web-1", "--host-key-check", "off", "--", "echo", "up")
    assert ran.code == 0
    assert "waiting" not in ran.err.lower()  # it has taken less than ten seconds


@pytest.mark.parametrize(
    "words",
    [
        ("ssh", "web-9", "--wait=1"),
        ("tunnel", "web-9", "--remote-port", "22", "--wait=1"),
        ("sftp", "--wait=1", "web-9"),
        ("db", "db.internal:5432", "--via", "web-9", "--local-port", "0", "--wait=1"),
    ],
)
def test_the_command_gives_up(
    emulator: Emulator, endpoint: object, eicctl: Callable[..., Ran], words: tuple[str, ...]
) -> None:
    ran = eicctl(*words)
    assert ran.code == 5
    assert 'error: web-9 is not ready after 1 s: No instance named "web-9" in us-east-1' in ran.err


def test_wait_takes_no_word_that_follows(emulator: Emulator, eicctl: Callable[..., Ran]) -> None:
    ran = eicctl("tunnel", "--wait", "web-1", "--remote-port", "99")
    assert ran.code == 2
    assert "99" in ran.err
