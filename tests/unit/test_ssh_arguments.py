"""The words of `eicctl ssh`, read as OpenSSH reads them."""

from __future__ import annotations

import pytest

from eicctl.errors import UsageError
from eicctl.ssh.arguments import Destination, parse_destination, split

OWN = {"--os-user": True, "--no-send-key": False}


@pytest.mark.parametrize(
    ("line", "ours", "options", "destination", "command"),
    [
        ("web-1", "", [], "web-1", ""),
        ("web-1 -- uname -a", "", [], "web-1", "uname -a"),
        ("web-1 uname -a", "", [], "web-1", "uname -a"),
        ("-v web-1 -t top", "", [("v", None), ("t", None)], "web-1", "top"),
        ("-L 8080:localhost:80 web-1", "", [("L", "8080:localhost:80")], "web-1", ""),
        ("-L8080:localhost:80 web-1", "", [("L", "8080:localhost:80")], "web-1", ""),
        ("-vN web-1 -D1080", "", [("v", None), ("N", None), ("D", "1080")], "web-1", ""),
        ("-vNL 1:h:2 web-1", "", [("v", None), ("N", None), ("L", "1:h:2")], "web-1", ""),
        ("web-1 --os-user ann -v", "--os-user ann", [("v", None)], "web-1", ""),
        ("--no-send-key web-1 ls --os-user", "--no-send-key", [], "web-1", "ls --os-user"),
        ("--os-user=ann web-1 -- --help", "--os-user=ann", [], "web-1", "--help"),
        ("-o ProxyJump=a web-1", "", [("o", "ProxyJump=a")], "web-1", ""),
        ("-- web-1 ls", "", [], "web-1", "ls"),
    ],
)
def test_split(line: str, ours: str, options: list[tuple[str, str | None]], destination: str, command: str) -> None:
    mine, words = split(line.split(), OWN)
    assert mine == ours.split()
    assert list(words.options) == options
    assert words.destination == destination
    assert list(words.command) == command.split()


@pytest.mark.parametrize("line", ["-L", "web-1 -o", "-Z web-1", "-v9 web-1"])
def test_bad_options(line: str) -> None:
    with pytest.raises(UsageError):
        split(line.split(), OWN)


def test_user_and_port_are_not_passed_on() -> None:
    _, words = split(["-l", "ann", "-p", "22", "-v", "-i", "key", "web-1"], OWN)
    assert words.passed_on() == ["-v", "-i", "key"]
    assert words.last("l") == "ann"


@pytest.mark.parametrize("text", ["user=ann", "User ann", "USER=ann", "user = ann"])
def test_settings_by_o(text: str) -> None:
    _, words = split(["-o", text, "-o", "User=bob", "web-1"], OWN)
    assert words.setting("User") == "ann"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("web-1", Destination("web-1")),
        ("ann@web-1", Destination("web-1", "ann")),
        ("ann@corp@web-1", Destination("web-1", "ann@corp")),
        ("ssh://ann@web-1:22", Destination("web-1", "ann", 22)),
        ("ssh://web-1", Destination("web-1")),
        ("", Destination("")),
    ],
)
def test_destinations(text: str, expected: Destination) -> None:
    assert parse_destination(text) == expected


@pytest.mark.parametrize("text", ["-oProxyCommand=x@web-1", "ann@-oProxyCommand=x", "ssh://-x@web-1", "ssh://w:port"])
def test_nothing_is_smuggled_in(text: str) -> None:
    with pytest.raises(UsageError):
        parse_destination(text)
