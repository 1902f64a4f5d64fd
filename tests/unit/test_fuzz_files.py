"""Files that people and other programs write: read without a traceback, and changed without touching other lines."""

from __future__ import annotations

import gzip
import io
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from eicctl.audit.log_files import DamagedError, records_in
from eicctl.audit.records import ends_of, event_of, launches_of
from eicctl.aws.profile_files import config_profile, credentials_profile, has, owned, put, take
from eicctl.core.errors import EicctlError, UsageError
from eicctl.named_tunnels.config_file import read_file
from eicctl.ssh.config_file import Block, Section, merged, with_include, without_include
from eicctl.ssh.host_keys import host_keys
from eicctl.ssh.known_hosts import KnownHosts
from eicctl.support import defaults, files, paths
from tests.fuzzing import any_text, file_text, fuzz
from tests.unit.test_ssh_host_keys import ED, OTHER

KEYS = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
VALUES = dict.fromkeys(KEYS, "x=y") | {"eicctl_mfa_base": "base"}
INCLUDE = "/home/me/.ssh/eicctl/config"

ini_lines = st.lists(
    st.sampled_from(
        [
            "[a]",
            "[mfa2]",
            "[profile b]",
            "k = v",
            "  nested = 1",
            "\tgoes on",
            "# [mfa]",
            ";",
            "",
            "=",
            ":",
            "[",
            "]",
            "\x85",
            "\x0c[mfa]",
        ]
    )
    | file_text.filter(lambda text: "eicctl_mfa" not in text),
    max_size=10,
)
ini = st.tuples(ini_lines, st.sampled_from(["\n", "\r\n", "\r"]), st.booleans()).map(
    lambda made: made[1].join(made[0]) + (made[1] if made[2] else "")
)


@fuzz
@given(ini)
def test_a_session_comes_and_goes_and_nothing_else_changes(text: str) -> None:
    for name, header in ((credentials_profile, "mfa"), (config_profile, "profile mfa")):
        if has(text, name, "mfa"):
            continue
        written = put(text, name, "mfa", header, VALUES)
        assert written.startswith(text)
        assert owned(written, name) == {"mfa": VALUES}
        again = put(written, name, "mfa", header, VALUES | {"aws_session_token": "new"})
        assert again == written.replace("aws_session_token = x=y", "aws_session_token = new")
        back = take(again, name, "mfa", KEYS)
        assert back.startswith(text)
        assert back[len(text) :] in ("", "\n", "\r\n", "\r")


@fuzz
@given(ini, ini)
def test_what_stands_around_a_session_stays(before: str, after: str) -> None:
    if has(before, credentials_profile, "mfa") or has(after, credentials_profile, "mfa"):
        return
    written = put(before, credentials_profile, "mfa", "mfa", VALUES) + "[z]\n" + after
    if list(owned(written, credentials_profile)) != ["mfa"]:
        return
    again = put(written, credentials_profile, "mfa", "mfa", VALUES | {"aws_session_token": "new"})
    assert again == written.replace("aws_session_token = x=y", "aws_session_token = new", 1)
    back = take(again, credentials_profile, "mfa", KEYS)
    assert back.startswith(before)
    assert back.endswith("[z]\n" + after)


@fuzz
@given(file_text)
def test_files_are_copied_byte_for_byte(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        files.write_whole(path, text)
        assert path.read_bytes() == text.encode("utf-8", "surrogateescape")
        assert files.read_text(path) == text


ssh_text = st.lists(
    st.sampled_from(
        ["Host *", "Host a.eic", "  User x", f'Include "{INCLUDE}"', "# eicctl section: p r", "Match all", "", "\x0c"]
    )
    | file_text,
    max_size=8,
).map("\n".join)


@fuzz
@given(ssh_text)
@example(f'# a\x0cInclude "{INCLUDE}"')
@example(f'# a\u2028Include "{INCLUDE}"\n')
def test_the_users_ssh_config_keeps_its_lines(text: str) -> None:
    included = with_include(text, INCLUDE)
    assert included in (text, f'Include "{INCLUDE}"\n{text}', f'Include "{INCLUDE}"\r\n{text}')
    assert with_include(included, INCLUDE) == included
    left = without_include(included, INCLUDE)
    assert left == "".join(line for line in without_include(text, INCLUDE))
    if INCLUDE not in "".join(line for line in text.split("\n") if line.strip().lower().startswith("include")):
        assert left == text


@fuzz
@given(ssh_text, any_text, any_text, any_text)
@example("", "u\n  ProxyCommand touch /tmp/x", "", "p r")
@example("", "u", "i-1 in a\nHost *\n  ProxyCommand x", "p r")
@example("", "u", "", "p\nHost *\n  ProxyCommand x")
def test_no_value_adds_a_line_to_ssh_config(text: str, user: str, comment: str, section: str) -> None:
    block = Block(("web.eic",), (f"# {comment}", f"User {user}", "Port 22"))
    try:
        written = merged(text, Section("1" * 12, "us-east-1", section), [block], whole=False).text
    except UsageError:
        assert any(char < " " or char == "\x7f" for char in user + comment + section)
        return
    assert written.count(block.text()) == 1
    assert block.text().count("\n") == 4
    assert merged(written, Section("1" * 12, "us-east-1", section), [block], whole=False).text == written


@fuzz
@given(file_text, any_text)
@example("", "*")
@example("", "a b")
@example("", "a,b")
@example("", "!a")
@example("", "x\n* ssh-ed25519 AAAA")
@example("# \x85comment\n", "i-1")
def test_pinning_a_key_changes_no_other_line(text: str, name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        known = KnownHosts(Path(folder) / "known_hosts")
        files.write_whole(known.path, text)
        try:
            known.pin(name, [ED])
        except UsageError:
            assert files.read_text(known.path) == text
            return
        assert known.keys(name) == (ED,)
        written = files.read_text(known.path)
        kept, added = written[: -len(f"{name} {ED}\n")], written[-len(f"{name} {ED}\n") :]
        assert added == f"{name} {ED}\n"
        theirs = text if not text or text.endswith("\n") else text + "\n"
        if not any(name in line.split()[0].split(",") for line in text.split("\n") if line.split()):
            assert kept == theirs


@fuzz
@given(
    st.lists(
        any_text | st.sampled_from([ED, OTHER, "-----BEGIN SSH HOST KEY KEYS-----", "-----END SSH HOST KEY KEYS-----"])
    )
)
def test_a_console_gives_keys_and_nothing_else(lines: list[str]) -> None:
    for key in host_keys("\n".join(lines)):
        kind, blob = key.split(" ")
        assert "\n" not in key
        assert kind.isprintable()
        assert blob.isascii()


toml_text = (
    st.lists(
        st.sampled_from(
            [
                "[tunnel.a]",
                '[tunnel."\\u001b"]',
                'target = "web"',
                "remote_port = 22",
                "remote_port = 99999999999999999999",
                "local_port = -1",
                "kind = []",
                'forward = ["x"]',
                "tunnel = 1",
                "[tunnel]",
                "a = " + "[" * 3000,
                "a = 1979-05-27",
                "a = inf",
                'os_users = {"\\u202e" = ""}',
                "x." * 2000 + "y = 1",
            ]
        )
        | file_text,
        max_size=6,
    )
    .map("\n".join)
    .map(lambda text: text.encode("utf-8", "surrogateescape"))
)


@fuzz
@given(toml_text)
@example(b"\xff\xfe")
@example(b"\x00")
@example(b"a = " + b"[" * 100_000)
@example(b"a = {b = " * 50_000)
@example(b"a = 0x" + b"f" * 5000)
@example(b"a = " + b"9" * 5000)
def test_any_project_file_is_read_or_refused(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("EICCTL_HOME", folder)
        path = Path(folder) / "eicctl.toml"
        path.write_bytes(data)
        try:
            read_file(path)
        except EicctlError as error:
            assert str(path) in error.message  # noqa: PT017 - some files are good
        paths.config_file().parent.mkdir(parents=True, exist_ok=True)
        paths.config_file().write_bytes(data)
        try:
            defaults.of_user()
        except EicctlError as error:
            assert str(paths.config_file()) in error.message  # noqa: PT017


def test_a_project_file_of_100_mb_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EICCTL_HOME", str(tmp_path))
    for path in (tmp_path / "eicctl.toml", paths.config_file()):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.truncate(100 * 2**20)
    with pytest.raises(UsageError, match="more than"):
        read_file(tmp_path / "eicctl.toml")
    with pytest.raises(UsageError, match="more than"):
        defaults.of_user()


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | any_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(any_text, inner, max_size=3),
    max_leaves=8,
)
fields = st.sampled_from(
    [
        *("eventName", "eventTime", "eventID", "userIdentity", "requestParameters", "responseElements", "errorCode"),
        *("sessionContext", "attributes", "sessionIssuer", "arn", "userName", "instancesSet", "items", "tagSet"),
        *("remotePort", "maxTunnelDuration", "instanceConnectEndpointId", "CloudTrailEvent", "awsRegion"),
    ]
)
names = st.sampled_from(
    ["OpenTunnel", "SendSSHPublicKey", "CreateInstanceConnectEndpoint", "RunInstances", "TerminateInstances"]
)
times = st.sampled_from(
    ["2026-01-01T00:00:00Z", "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59", "2026-01-01"]
)
nested = st.recursive(values, lambda inner: st.dictionaries(fields, inner, max_size=5), max_leaves=15)
records = st.dictionaries(fields, nested, max_size=10).flatmap(
    lambda record: st.builds(
        lambda name, time: record | {"eventName": name, "eventTime": time}, names | values, times | values
    )
)


@fuzz
@given(records | values)
def test_any_record_is_an_event_or_none(record: Any) -> None:
    if event := event_of(record):
        json.dumps([event.id, event.user_agent, event.principal.label]).encode()
        assert len(event.user_agent) <= 2000
    list(launches_of(record))
    list(ends_of(record))


@fuzz
@given(st.lists(values, max_size=3), st.integers(0, 400), st.binary(max_size=10), st.booleans())
def test_any_log_file_is_read_or_named_as_damaged(found: list[Any], at: int, junk: bytes, packed: bool) -> None:
    data = json.dumps({"Records": found}).encode()
    data = gzip.compress(data) if packed else data
    whole = list(records_in(io.BytesIO(data)))
    assert len(whole) == len(found)
    try:
        list(records_in(io.BytesIO(data[:at] + junk + data[at:])))
        list(records_in(io.BytesIO(data[:at] + junk)))
    except DamagedError:
        return
