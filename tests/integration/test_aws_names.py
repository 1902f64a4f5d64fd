"""What a name that is not quite right leads to, with the emulator's world."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

import eicctl
from eicctl.aws.errors import translate
from eicctl.aws.instances import instances_named, list_instances
from eicctl.aws.session import Session
from eicctl.aws.targets import SeveralInstancesError, resolve
from eicctl.cli import main
from eicctl.core.errors import EicctlError, NetworkError, NotFoundError, UsageError
from eicctl.core.request import ConnectRequest
from eicctl.named_tunnels.config_file import read_file


@pytest.fixture(autouse=True)
def own_pins(monkeypatch: pytest.MonkeyPatch) -> None:
    """What one command line pins is in force in this process for no other."""
    monkeypatch.setattr("eicctl.support.pins._given", ("", ""))


def resolved(word: str) -> str:
    return resolve(Session(), ConnectRequest(target=word), resolver=lambda _: []).instance_name


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    """The exit code and what is on stderr, without the region that the environment names."""
    code = main(list(words))
    return code, capsys.readouterr().err.replace(" --region us-east-1", "")


def rename(ec2: Any, instance_id: str, **tags: str) -> None:
    ec2.create_tags(Resources=[instance_id], Tags=[{"Key": key, "Value": value} for key, value in tags.items()])


def test_case_does_not_matter_where_one_has_the_name(
    ec2: Any, endpoint: dict[str, Any], instance_ids: dict[str, str]
) -> None:
    assert resolved("WEB-1") == "web-1"
    assert [one.name for one in instances_named(Session(), ["App-1"], states=["running"])] == ["app-1"]
    rename(ec2, instance_ids["app-1"], Name="Web-1")
    assert resolved("web-1") == "web-1"
    with pytest.raises(NotFoundError, match='named "WEB-1"'):
        resolved("WEB-1")


def test_a_tag_is_a_target(ec2: Any, endpoint: dict[str, Any], instance_ids: dict[str, str]) -> None:
    rename(ec2, instance_ids["web-1"], **{"aws:autoscaling:groupName": "web-asg", "Stage": "prod"})
    assert resolved("tag:aws:autoscaling:groupName=web-asg") == "web-1"
    rename(ec2, instance_ids["app-1"], Stage="prod")
    with pytest.raises(SeveralInstancesError):
        resolved("tag:Stage=prod")
    both = instances_named(Session(), ["tag:Stage=prod", "web-1"], states=["running"])
    assert sorted(one.name for one in both) == ["app-1", "web-1"]
    ec2.stop_instances(InstanceIds=[instance_ids["app-1"]])
    assert resolved("tag:Stage=prod") == "web-1"
    with pytest.raises(NotFoundError, match='has the tag "Stage=test"'):
        resolved("tag:Stage=test")
    with pytest.raises(UsageError):
        resolved("tag:Stage")


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ("ssh web1", "eicctl ssh web-1"),
        ("ssh ubuntu@web1 -- ping web1", "eicctl ssh ubuntu@web-1 -- ping web1"),
        ("scp web1:/tmp/x .", "eicctl scp web-1:/tmp/x ."),
        ("run --target=web1 -- true", "eicctl run --target=web-1 -- true"),
        ("tunnel web1 --remote-port 22", "eicctl tunnel web-1 --remote-port 22"),
        ("forward 8080:web1:80", "eicctl forward 8080:web-1:80"),
        ("--region us-east-1 ssh web1", "eicctl ssh web-1"),
    ],
)
def test_the_hint_is_the_same_command_with_the_name_that_was_meant(
    endpoint: dict[str, Any], capsys: pytest.CaptureFixture[str], words: str, hint: str
) -> None:
    code, shown = printed(capsys, *words.split())
    assert code == 3
    assert "Did you mean web-1?" in shown
    assert f"hint: {hint}" in shown.splitlines()


def test_many_similar_names_are_one_line(
    ec2: Any, endpoint: dict[str, Any], instance_ids: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    for number, instance_id in enumerate(instance_ids.values(), 8):
        rename(ec2, instance_id, Name=f"prod-web-{number}")
    last = 7 + len(instance_ids)
    code, shown = printed(capsys, "ssh", "prod-web")
    assert code == 3
    assert f"; similar names: prod-web-8 … prod-web-{last}\n" in shown
    assert "hint: eicctl ssh prod-web-8\n" in shown
    assert [one.name for one in list_instances(Session())] == [f"prod-web-{n}" for n in range(8, last + 1)]


def test_a_name_that_was_seen_elsewhere(
    home: Path,
    ec2: Any,
    endpoint: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    list_instances(Session())
    monkeypatch.delenv("AWS_REGION", raising=False)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    code, shown = printed(capsys, "ssh", "web-1", "--region", "eu-west-1", "--", "true")
    assert code == 3
    assert 'No instance named "web-1" in eu-west-1; it was last seen in us-east-1' in shown
    assert "hint: eicctl ssh web-1 -- true\n" in shown
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAOTHER")  # which would not get there
    code, shown = printed(capsys, "ssh", "web-1", "--region", "eu-west-1")
    assert code
    assert "last seen" not in shown


@pytest.mark.parametrize(
    "words",
    [
        "ssh tag:Role=web --print-command",
        "ssh ubuntu@tag:Role=web --print-command -- true",
        "scp tag:Role=web:/tmp/x . --print-command",
        "scp -r . ubuntu@[tag:Role=web]:/tmp --print-command",
        "sftp tag:Role=web:/tmp --print-command",
        "run --target tag:Role=web --dry-run",
        "ssh-config tag:Role=web",
    ],
)
def test_a_tag_is_a_target_of_each_command(
    ec2: Any, endpoint: dict[str, Any], instance_ids: dict[str, str], capsys: pytest.CaptureFixture[str], words: str
) -> None:
    rename(ec2, instance_ids["web-1"], Role="web")
    assert main(words.split()) == 0
    assert instance_ids["web-1"] in capsys.readouterr().out


def test_a_tag_is_a_target_of_the_library_and_of_named_tunnels(
    ec2: Any, endpoint: dict[str, Any], instance_ids: dict[str, str], tmp_path: Path
) -> None:
    rename(ec2, instance_ids["web-1"], Role="web")
    with eicctl.open_tunnel("tag:Role=web", remote_port=22) as tunnel:
        assert tunnel.target.instance_id == instance_ids["web-1"]
    (tmp_path / "eicctl.toml").write_text('[tunnel.web]\ntarget = "tag:Role=web"\nremote_port = 22\n')
    (definition,) = read_file(tmp_path / "eicctl.toml")
    assert resolve(Session(), definition, resolver=lambda _: []).instance_id == instance_ids["web-1"]


def test_a_region_that_does_not_exist_is_named_with_those_that_do() -> None:
    def error(region: str) -> EicctlError:
        return translate(EndpointConnectionError(endpoint_url=f"https://ec2.{region}.amazonaws.com/"), "list")

    assert str(error("eu-central-11")).startswith('No AWS region named "eu-central-11"; similar names: eu-central-1, ')
    assert error("eu-central-11").correction == ("eu-central-11", "eu-central-1", "", "")
    assert isinstance(error("eu-central-1"), NetworkError)  # it exists, and does not respond
    assert isinstance(error("qa-nowhere-1"), NetworkError)
