"""The likely cause that commands tell when the endpoint cannot reach the target."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from eicctl.aws.session import Session
from eicctl.cli.target_prompt import resolve_target
from eicctl.core import errors
from eicctl.core.request import ConnectRequest
from eicctl.doctor import likely_cause
from eicctl.emulator.server import Emulator
from eicctl.support import paths
from eicctl.tunnel.dial import Dialer
from eicctl.tunnel.probe import probe
from eicctl.view import messages
from tests.integration.conftest import Ran
from tests.integration.test_doctor import World, no_ingress, nothing_listens, world

Eicctl = Callable[..., Ran]

__all__ = ["world"]


@pytest.fixture(autouse=True)
def nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a process remembers lasts as long as it does; each test stands for one, on a machine of any speed."""
    monkeypatch.setattr(likely_cause, "LIMIT", 60.0)
    likely_cause.forget()
    yield
    likely_cause.forget()


def unreachable(name: str = "web-1") -> errors.TargetUnreachableError:
    """The error of a tunnel to a target that the endpoint cannot reach."""
    session = Session()
    target = resolve_target(session, ConnectRequest(target=name))
    with pytest.raises(errors.TargetUnreachableError) as told:
        probe(Dialer(target, session.credentials, session.ca_bundle))
    return told.value


def test_the_group_is_named(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    no_ingress(world)
    assert messages.failure(unreachable()) == 5
    said = capsys.readouterr().err
    assert "error: The endpoint cannot reach 10.0.1.10 port 22" in said
    assert "likely cause: the security groups of web-1 do not allow the endpoint: sg-" in said
    assert world.target_group in said
    assert "hint: eicctl doctor web-1 --fix --region us-east-1\n" in said


def test_rules_that_are_good_leave_the_machine(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    nothing_listens(world)
    messages.failure(unreachable())
    said = capsys.readouterr().err
    assert "likely cause: AWS's rules allow the endpoint to connect to web-1, but nothing responds on port 22" in said
    assert "hint: eicctl doctor web-1" in said


def test_a_stopped_instance_is_named(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    session = Session()
    target = resolve_target(session, ConnectRequest(target="web-1"))
    world.ec2.stop_instances(InstanceIds=[world.instance_ids["web-1"]])
    with pytest.raises(errors.TargetUnreachableError) as told:
        probe(Dialer(target, session.credentials, session.ca_bundle))
    messages.failure(told.value)
    assert "likely cause: web-1 is stopped" in capsys.readouterr().err


def test_a_command_tells_it(eicctl: Eicctl, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    no_ingress(world)
    ran = eicctl("tunnel", "web-1", "--remote-port", "22", "--check")
    assert ran.code == 5
    assert "likely cause: the security groups of web-1" in ran.err


@pytest.mark.parametrize("off", ["diagnose = false", "nonsense = 1"])
def test_it_can_be_switched_off(world: World, capsys: pytest.CaptureFixture[str], off: str) -> None:
    no_ingress(world)
    error = unreachable()
    paths.config_file().parent.mkdir(parents=True, exist_ok=True)
    paths.config_file().write_text(f"{off}\n")
    assert messages.failure(error) == 5
    said = capsys.readouterr().err
    assert "likely cause" not in said.replace("likely causes", "")
    assert "hint: likely causes" in said


def test_nobody_is_told_who_does_not_listen(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    no_ingress(world)
    error = unreachable()
    with Path(os.devnull).open("w") as nothing:
        monkeypatch.setattr("sys.stderr", nothing)
        assert likely_cause.likely_cause(error) is None


def test_what_aws_does_not_tell_is_not_told(world: World, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    no_ingress(world)
    error = unreachable()
    target = resolve_target(Session(), ConnectRequest(target="web-1"))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
    likely_cause.remember(Session(), target)
    assert likely_cause.likely_cause(error) is None


def test_it_does_not_wait_for_long(world: World, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    no_ingress(world)
    error = unreachable()
    monkeypatch.setattr(likely_cause, "LIMIT", 0.2)
    emulator.state.behave(latency=2.0)
    assert likely_cause.likely_cause(error) is None


def test_other_errors_have_none(world: World) -> None:
    assert likely_cause.likely_cause(errors.NetworkError("no")) is None
    unknown = errors.TargetUnreachableError("no")
    unknown.address = "10.9.9.9"
    assert likely_cause.likely_cause(unknown) is None


def test_in_the_background_it_is_told_later(world: World) -> None:
    no_ingress(world)
    error = unreachable()
    told = threading.Event()
    likely_cause.in_background(error, lambda likely: told.set() if "security groups" in likely.summary else None)
    assert told.wait(60)
