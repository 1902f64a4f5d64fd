"""The one carrier of what was asked for, and what extends or names it."""

from __future__ import annotations

import pytest

from eicctl.api.targets import Options
from eicctl.core.request import ConnectRequest
from eicctl.named_tunnels.config_file import KEYS, Definition


def test_the_librarys_keyword_arguments_are_fields_of_the_request() -> None:
    names = Options.__annotations__.keys() - {"session"}
    assert names
    assert names <= ConnectRequest.__annotations__.keys()


def test_a_key_of_a_named_tunnel_is_a_field_of_its_definition() -> None:
    fields = ConnectRequest.__annotations__.keys() | Definition.__annotations__.keys()
    assert KEYS.keys() - fields == {"instance_connect_endpoint_id"}


def test_a_definition_has_the_fields_of_a_request_and_its_own() -> None:
    definition = Definition(name="web", target="web-1", forward=("1:h:2",), profile=None)
    assert definition.to_json() == {"name": "web", "target": "web-1", "forward": ("1:h:2",)}
    assert Definition.from_json({"name": "web", "target": "web-1", "forward": ["1:h:2"]}) == definition
    assert definition.replace(region="r") != definition
    with pytest.raises(TypeError, match="unknown: colour"):
        Definition.from_json({"colour": "red"})
