"""botocore's data cut down: all that eicctl calls is in it as it was, and whatever is wrong with it does not matter."""

from __future__ import annotations

import ast
import functools
import itertools
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore import xform_name
from botocore.exceptions import BotoCoreError
from botocore.regions import EndpointResolver
from sources import FILES, name_of, nodes

from eicctl.aws.service_models import _ENDPOINT_PREFIXES, OPERATIONS, _endpoints, _folder, _plain, _shapes_of
from eicctl.aws.session import Session
from eicctl.support import paths

WHOLE = botocore.session.Session()


@pytest.fixture(autouse=True)
def region(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("REGION", "us-east-1"), ("ACCESS_KEY_ID", "AKIA"), ("SECRET_ACCESS_KEY", "s")):
        monkeypatch.setenv(f"AWS_{name}", value)


@pytest.fixture
def empty(home: Path) -> None:
    """Nothing is in the cache, as before the first command."""
    shutil.rmtree(paths.cache_dir())


@functools.cache
def words_in_the_code() -> set[str]:
    """Names and texts, of which some are operations."""
    found: set[str] = set()
    for path in FILES:
        if name_of(path).startswith("emulator/") or path.name == "service_models.py":
            continue
        for node in nodes(path):
            if isinstance(node, ast.Attribute):
                found.add(node.attr)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(node.value)
    return found


@pytest.mark.parametrize("service", OPERATIONS)
def test_each_operation_that_is_called_is_in_the_table(service: str) -> None:
    whole = WHOLE.get_service_model(service)
    operations = set(whole.operation_names)
    assert set(OPERATIONS[service]) <= operations
    words = words_in_the_code()
    snake = {xform_name(name): name for name in operations}
    called = {snake[word] for word in words & set(snake)}
    if service == "ec2":  # those of other services are words of policies and of CloudTrail
        called |= {word for word in words & operations if word.startswith("Describe")}
    elsewhere = {name for other, names in OPERATIONS.items() if other != service for name in names}
    assert called <= set(OPERATIONS[service]) | elsewhere  # GetQueryResults is one of CloudTrail's, too


@pytest.mark.parametrize("service", OPERATIONS)
def test_what_is_left_is_as_it_was(empty: None, service: Any) -> None:
    Session().client(service)
    client = Session().client(service)
    cut: Any = client.meta.service_model
    whole: Any = WHOLE.get_service_model(service)
    whole_client = WHOLE.create_client(service, region_name="us-east-1")
    assert set(cut.operation_names) == set(OPERATIONS[service])
    assert cut.metadata == whole.metadata
    for name in cut.operation_names:
        assert cut.operation_model(name)._operation_model == _plain(whole.operation_model(name)._operation_model)
    for name in cut.shape_names:
        ours, theirs = (model._shape_resolver._shape_map[name] for model in (cut, whole))
        assert ours == _plain(theirs)
        assert set(_shapes_of(ours)) <= set(cut.shape_names)
    for name in OPERATIONS[service]:
        assert client.can_paginate(xform_name(name)) == whole_client.can_paginate(xform_name(name))


def test_the_endpoints_are_as_they_were() -> None:
    data = WHOLE.get_component("data_loader").load_data("endpoints")
    whole, cut = EndpointResolver(data), EndpointResolver(_endpoints(data))
    for service in _ENDPOINT_PREFIXES:
        for region in [*whole.get_available_endpoints(service, allow_non_regional=True), "xx-new-1", "eu-central-99"]:
            for switches in itertools.product((False, True), repeat=2):
                names = ("use_dualstack_endpoint", "use_fips_endpoint")
                more = dict(zip(names, switches, strict=True))
                assert answer(cut, service, region, more) == answer(whole, service, region, more)
    assert Session().known_regions("ec2") == WHOLE.get_available_regions("ec2")


def answer(resolver: EndpointResolver, service: str, region: str, more: dict[str, Any]) -> Any:
    try:
        return resolver.construct_endpoint(service, region, **more)
    except BotoCoreError as error:
        return str(error)


def test_other_operations_are_there_too() -> None:
    client: Any = Session().client("ec2")
    assert client.describe_volumes.__name__ == "describe_volumes"
    assert client.get_paginator("describe_volumes")
    assert client.get_paginator("describe_instances")
    assert not hasattr(client, "describe_no_such_thing")


def size(client: Any) -> int:
    return len(client.meta.service_model.operation_names)


def file() -> Path:
    return _folder() / "ec2" / "service-2.json"


def content() -> Any:
    return json.loads(file().read_text().partition("\n")[2])


def cut_off() -> None:
    file().write_bytes(file().read_bytes()[:-100])


def without_operations() -> None:
    digest, _, _ = file().read_text().partition("\n")
    data = content()
    del data["operations"]["DescribeVpcs"]
    file().write_text(f"{digest}\n{json.dumps(data)}")


def test_the_first_client_has_all(empty: None) -> None:
    assert size(Session().client("ec2")) > 500
    assert size(Session().client("ec2")) == len(OPERATIONS["ec2"])


@pytest.mark.parametrize(
    "damage",
    [
        cut_off,
        without_operations,
        lambda: file().write_text("[]"),
        lambda: file().write_text("{}"),
        lambda: file().write_bytes(b"\xff\x00"),
        lambda: file().unlink(),
        lambda: (_folder() / "endpoints.json").write_text("{"),
        lambda: (_folder() / "endpoints.json").write_text('{"a": 1}'),
    ],
)
def test_what_is_damaged_is_made_anew(damage: Callable[[], object]) -> None:
    assert size(Session().client("ec2")) == len(OPERATIONS["ec2"])
    damage()
    client = Session().client("ec2")
    assert hasattr(client, "describe_vpcs")
    assert client.meta.endpoint_url == "https://ec2.us-east-1.amazonaws.com"
    assert size(Session().client("ec2")) == len(OPERATIONS["ec2"])


def test_another_version_of_botocore_has_data_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    for version in ("1.0.1", "1.0.2", "1.0.3"):
        monkeypatch.setattr(botocore, "__version__", version)
        assert size(Session().client("ec2")) > 500
    assert size(Session().client("ec2")) == len(OPERATIONS["ec2"])
    assert len(list(_folder().parent.glob("botocore-*"))) == 3


@pytest.mark.skipif(os.name != "posix", reason="modes")
def test_a_folder_that_others_could_write_into_is_not_read() -> None:
    _folder().chmod(0o777)
    assert size(Session().client("ec2")) > 500
    _folder().chmod(0o700)
    assert size(Session().client("ec2")) == len(OPERATIONS["ec2"])


def test_a_cache_that_cannot_be_written_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("EICCTL_HOME", str(tmp_path / "file" / "below"))
    for _ in range(2):
        assert size(Session().client("ec2")) > 500


def test_the_user_s_own_data_comes_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    own = tmp_path / "ec2" / "2099-01-01"
    own.mkdir(parents=True)
    data = content()
    data["metadata"]["apiVersion"] = "2099-01-01"
    (own / "service-2.json").write_text(json.dumps(data))
    monkeypatch.setenv("AWS_DATA_PATH", str(tmp_path))
    assert Session().client("ec2").meta.service_model.api_version == "2099-01-01"
    monkeypatch.delenv("AWS_DATA_PATH")
    assert Session().client("ec2").meta.service_model.api_version == "2016-11-15"
