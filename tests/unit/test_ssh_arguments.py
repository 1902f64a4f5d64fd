"""The words of `eicctl ssh`, read as OpenSSH reads them."""

from __future__ import annotations

import pytest

from eicctl.core.errors import UsageError
from eicctl.ssh.arguments import SCP, SFTP, SSH, Grammar, split
from eicctl.ssh.destination import Destination, parse_destination, parse_remote_path

OWN = {"--os-user": True, "--no-send-key": False, "--instance-id": True, "--private-ip-address": True}


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
        ("web-1 --os-user ann -v", "--os-user=ann", [("v", None)], "web-1", ""),
        ("--no-send-key web-1 ls --os-user", "--no-send-key", [], "web-1", "ls --os-user"),
        ("--os-user=ann web-1 -- --help", "--os-user=ann", [], "web-1", "--help"),
        ("-o ProxyJump=a web-1", "", [("o", "ProxyJump=a")], "web-1", ""),
        ("-- web-1 ls", "", [], "web-1", "ls"),
        ("--instance-id i-1 -- uname -s", "--instance-id=i-1", [], "", "uname -s"),
        ("--private-ip-address=10.0.1.10 -v -- ls", "--private-ip-address=10.0.1.10", [("v", None)], "", "ls"),
    ],
)
def test_split(line: str, ours: str, options: list[tuple[str, str | None]], destination: str, command: str) -> None:
    mine, words = split(line.split(), OWN, SSH)
    assert mine == ours.split()
    assert list(words.options) == options
    assert list(words.operands) == [destination, *command.split()]


@pytest.mark.parametrize("line", ["-L", "web-1 -o", "-Z web-1", "-v9 web-1"])
def test_bad_options(line: str) -> None:
    with pytest.raises(UsageError):
        split(line.split(), OWN, SSH)


def test_user_and_port_are_not_passed_on() -> None:
    _, words = split(["-l", "ann", "-p", "22", "-v", "-i", "key", "web-1"], OWN, SSH)
    assert words.to_argv() == ["-v", "-i", "key"]
    assert words.last("l") == "ann"


@pytest.mark.parametrize(
    ("line", "quiet"),
    [
        ("web-1", False),
        ("-q web-1", True),
        ("-Nq web-1", True),
        ("-v -q web-1", True),
        ("-q -v web-1", False),
        ("-o LogLevel=ERROR web-1", True),
        ("-o loglevel=quiet web-1", True),
        ("-o LogLevel=INFO web-1", False),
        ("web-1 ls -q", False),
    ],
)
def test_whether_only_errors_are_wanted(line: str, quiet: bool) -> None:
    assert split(line.split(), OWN, SSH)[1].quiet is quiet


@pytest.mark.parametrize("text", ["user=ann", "User ann", "USER=ann", "user = ann"])
def test_settings_by_o(text: str) -> None:
    _, words = split(["-o", text, "-o", "User=bob", "web-1"], OWN, SSH)
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


@pytest.mark.parametrize(
    ("grammar", "line", "options", "operands"),
    [
        (SCP, "-r a b web-1:c", [("r", None)], ["a", "b", "web-1:c"]),
        (SCP, "a web-1:c -rl 100", [("r", None), ("l", "100")], ["a", "web-1:c"]),
        (SCP, "-- -odd web-1:", [], ["-odd", "web-1:"]),
        (SFTP, "-b - web-1", [("b", "-")], ["web-1"]),
    ],
)
def test_copying(grammar: Grammar, line: str, options: list[tuple[str, str | None]], operands: list[str]) -> None:
    _, words = split(line.split(), OWN, grammar)
    assert list(words.options) == options
    assert list(words.operands) == operands


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("web-1:", Destination("web-1", path="")),
        ("web-1:/tmp/a b", Destination("web-1", path="/tmp/a b")),
        ("ann@web-1:x:y", Destination("web-1", "ann", path="x:y")),
        ("ann@corp@web-1:x", Destination("web-1", "ann@corp", path="x")),
        ("web-1:a@b", Destination("web-1", path="a@b")),
        ("[fd00::1]:x", Destination("fd00::1", path="x")),
        ("ann@[fd00::1]:x", Destination("fd00::1", "ann", path="x")),
        ("scp://ann@web-1:22/x", Destination("web-1", "ann", 22, "x")),
        ("./web-1:x", None),
        ("dir/a:b", None),
        ("file", None),
        ("mail@home", None),
    ],
)
def test_places(text: str, expected: Destination | None) -> None:
    assert parse_remote_path(text) == expected


@pytest.mark.parametrize("text", [":x", "@:x", "-oProxyCommand=x:y", "ann@-x:y", "-x@web-1:y"])
def test_places_that_are_none(text: str) -> None:
    with pytest.raises(UsageError):
        parse_remote_path(text)


@pytest.mark.parametrize("words", [["-p", "x"], ["-p", "0"], ["-o", "Port=70000"]])
def test_a_port_is_a_port(words: list[str]) -> None:
    _, found = split([*words, "web-1"], OWN, SSH)
    with pytest.raises(UsageError, match="Invalid port"):
        assert found.port
