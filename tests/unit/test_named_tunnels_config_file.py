"""What files of named tunnels may say, and how errors in them are told."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from eicctl.core.errors import NotFoundError, UsageError
from eicctl.named_tunnels.config_file import Definition, choose, find_definitions, read_file
from eicctl.support.toml_files import line_of

ONE = """
profile = "work"
region = "eu-west-1"

[tunnel.web]
target = "web-1"
remote_port = 22

[tunnel.cache]
via = "web-1"
forward = ["16379:redis.internal:6379", "8080"]
private_key_file = "keys/id"

[tunnel.orders]
database = "orders"
reader = true
region = "us-east-1"
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "eicctl.toml"
    path.write_text(text)
    return path


def test_a_file_defines_tunnels_in_its_order(tmp_path: Path) -> None:
    path = written(tmp_path, ONE)
    web, cache, orders = read_file(path)
    assert web == Definition(name="web", source=str(path), target="web-1", remote_port=22)
    assert (cache.kind, cache.forward) == ("via", ("16379:redis.internal:6379", "8080"))
    assert cache.private_key_file == str(tmp_path / "keys/id")
    assert (orders.kind, orders.reader, orders.region) == ("db", True, "us-east-1")


def test_a_definition_is_the_same_after_json(tmp_path: Path) -> None:
    for definition in read_file(written(tmp_path, ONE)):
        assert Definition.from_json(definition.to_json()) == definition


WRONG = {
    "an unknown key": ('[tunnel.a]\ntarget = "x"\nremote_prt = 22\n', 3, "tunnel.a.remote_prt", "remote_port"),
    "another kind's key": ('[tunnel.a]\ntarget = "x"\nremote_port = 22\nreader = true\n', 4, "tunnel.a.reader", "kind"),
    "no port": ('\n\n[tunnel.a]\ntarget = "x"\n', 3, "tunnel.a", "remote_port"),
    "no target": ("[tunnel.a]\nremote_port = 22\n", 1, "tunnel.a", "target"),
    "the last target": ('[tunnel.a]\ntarget = "-"\nremote_port = 22\n', 2, "tunnel.a.target", "Name tag"),
    "a port of no endpoint": ('[tunnel.a]\ntarget = "x"\nremote_port = 80\n', 3, "tunnel.a.remote_port", "3389"),
    "a text for a port": ('[tunnel.a]\ntarget="x"\nremote_port=22\nlocal_port="1"\n', 4, "tunnel.a.local_port", "port"),
    "true for a port": ('[tunnel.a]\ntarget="x"\nremote_port=22\nlocal_port=true\n', 4, "tunnel.a.local_port", "port"),
    "an unknown kind": ('[tunnel.a]\nkind = "vnc"\ntarget = "x"\n', 2, "tunnel.a.kind", "direct"),
    "a bad forward": ('[tunnel.a]\nvia = "x"\nforward = "1:2"\n', 3, "tunnel.a.forward", "forward"),
    "too long a life": (
        '[tunnel.a]\nvia="x"\nforward="1"\nmax_tunnel_duration=3601\n',
        4,
        "max_tunnel_duration",
        "3600",
    ),
    "a key before the tables": ('tunnels = 1\n[tunnel.a]\ntarget = "x"\n', 1, "tunnels", "region"),
    "a bad name": ('[tunnel."a b"]\ntarget = "x"\nremote_port = 22\n', 1, "tunnel.a b", "letters"),
    "a socket and a port": (
        '[tunnel.a]\ntarget="x"\nremote_port=22\nlocal_port=1\nlocal_socket="s"\n',
        5,
        "tunnel.a.local_socket",
        "local_port",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_errors_name_line_and_key(case: str, tmp_path: Path) -> None:
    text, line, key, word = WRONG[case]
    path = written(tmp_path, text)
    with pytest.raises(UsageError) as caught:
        read_file(path)
    assert caught.value.message.startswith(f"{path}:{line}: ")
    assert key in caught.value.message
    assert word in f"{caught.value.message} {caught.value.hint}"


def test_an_error_of_toml_names_its_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=re.escape("line 2")):
        read_file(written(tmp_path, "[tunnel.a]\ntarget = \n"))


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "eicctl.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="UTF-8"):
        read_file(path)


def test_the_nearest_project_comes_before_the_users_file(home: Path, tmp_path: Path) -> None:
    written(tmp_path, ONE)
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    config = tmp_path / "eicctl" / "config" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text(
        'os_user = "me"\n[tunnel.web]\ntarget = "other"\nremote_port = 22\n[tunnel.mine]\nkind = "socks"\nvia = "x"\n'
    )
    found = {definition.name: definition for definition in find_definitions(folder=inner)}
    assert list(found) == ["web", "cache", "orders", "mine"]
    assert found["web"].target == "web-1"
    assert (found["mine"].kind, found["mine"].profile) == ("socks", None)


def test_no_definition_at_all_is_told(home: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="No tunnels defined"):
        find_definitions(folder=tmp_path)


def test_names_choose(tmp_path: Path) -> None:
    definitions = read_file(written(tmp_path, ONE))
    assert [d.name for d in choose(definitions, [])] == ["web", "cache", "orders"]
    assert [d.name for d in choose(definitions, ["orders", "web", "orders"])] == ["orders", "web"]
    with pytest.raises(NotFoundError) as caught:
        choose(definitions, ["order"])
    assert "did you mean orders?" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("text", "table", "key", "line"),
    [
        ("[tunnel.a]\nx = 1\n", "tunnel.a", "x", 2),
        ('[ tunnel . "a" ]\n"x" = 1\n', "tunnel.a", "x", 2),
        ("x = 1\n[tunnel.a]\nx = 2\n", "tunnel.a", "x", 3),
        ("x = 1\n[tunnel.a]\nx = 2\n", "", "x", 1),
        ("[tunnel]\na = { x = 1 }\n", "tunnel.a", "x", None),
        ("[tunnel.a] # it\n\n# x = 0\nx=1\n", "tunnel.a", "x", 4),
    ],
)
def test_lines_are_found(text: str, table: str, key: str, line: int | None) -> None:
    assert line_of(text, table, key) == line
