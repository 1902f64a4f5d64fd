"""`eicctl coverage`: what it says of a world with faults, and the page that it draws."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import boto3
import pytest

from eicctl.emulator.server import Emulator
from eicctl.emulator.world import load_world
from tests.browser import opened
from tests.integration.conftest import Ran
from tests.waiting import wait_for

Run = Callable[..., Ran]


@pytest.fixture
def broken(emulator: Emulator) -> Iterator[Emulator]:
    load_world(emulator.state, Path("broken"), emulator.dns_name())
    yield emulator
    emulator.reset()


@pytest.fixture
def profiles(emulator: Emulator, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`one` and `two` are of the same account; nobody knows the keys of `bad`."""
    key, secret = emulator.env["AWS_ACCESS_KEY_ID"], emulator.env["AWS_SECRET_ACCESS_KEY"]
    sections = {"one": (key, secret), "two": (key, secret), "bad": ("AKIAXXXXXXXXXXXXXXXX", "none")}
    (home / "credentials").write_text(
        "".join(
            f"[{name}]\naws_access_key_id = {each}\naws_secret_access_key = {hidden}\n"
            for name, (each, hidden) in sections.items()
        )
    )
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)


@pytest.mark.usefixtures("broken")
def test_the_table_and_the_reasons(eicctl: Run) -> None:
    ran = eicctl("coverage")
    assert ran.code == 0
    lines = ran.out.splitlines()
    assert lines[0].split() == ["Name", "ID", "Address", "Port", "Endpoint", "Reachable", "Cause"]
    assert any(line.startswith("good-windows") and "  3389  " in line and "  yes" in line for line in lines)
    (row,) = [line for line in lines if line.startswith("no-ingress ")]
    assert row.rstrip().endswith("no ingress rule")
    (why,) = [number for number, line in enumerate(lines) if line.startswith("no-ingress: ")]
    assert "no inbound rule for TCP 22 from the endpoint's address" in lines[why]
    assert lines[why + 1].startswith("  aws ec2 authorize-security-group-ingress --group-id sg-")
    assert lines[why + 1].endswith(" --region us-east-1")
    assert "off" not in [line.split()[0] for line in lines if line]
    assert "2 of 10 running instances reachable; unreachable: 3 no ingress rule, 2 network ACL, " in ran.err


@pytest.mark.usefixtures("broken")
def test_only_unreachable_instances(eicctl: Run) -> None:
    ran = eicctl("coverage", "--unreachable")
    assert ran.code == 0
    assert "no-ingress" in ran.out
    assert "good-" not in ran.out
    assert "2 of 10 running instances reachable" in ran.err
    rows = json.loads(eicctl("coverage", "--unreachable", "--output", "json").out)
    assert [row["Reachable"] for row in rows] == ["no"] * 8
    (windows,) = [row for row in rows if row["Name"] == "windows-without-3389"]
    assert windows["Port"] == 3389
    nothing = eicctl("coverage", "--unreachable", "--region", "ap-southeast-2")
    assert (nothing.code, nothing.out) == (0, "")


@pytest.mark.usefixtures("broken")
def test_other_forms(eicctl: Run) -> None:
    rows = json.loads(eicctl("coverage", "--output", "json").out)
    by_name = {row["Name"]: row for row in rows}
    assert by_name["good-linux"] | {"InstanceId": "", "VpcId": "", "SubnetId": "", "InstanceConnectEndpointId": ""} == {
        "Name": "good-linux",
        "InstanceId": "",
        "Platform": "linux",
        "PrivateIpAddress": "10.20.1.10",
        "Port": 22,
        "AccountId": "123456789012",
        "AccountName": None,
        "Profile": None,
        "Region": "us-east-1",
        "VpcId": "",
        "SubnetId": "",
        "InstanceConnectEndpointId": "",
        "Reachable": "yes",
        "Check": None,
        "Cause": None,
        "Reason": None,
        "Command": None,
    }
    assert by_name["no-endpoint"]["Check"] == "no-endpoint"
    text = eicctl("coverage", "--output", "text", "--query", "[?Reachable=='yes'].[Name,Port]").out
    assert text == "good-linux\t22\ngood-windows\t3389\n"


@pytest.mark.usefixtures("broken")
def test_a_port_for_all(eicctl: Run) -> None:
    query = "[?Reachable=='yes'].[Name,Port]"
    assert eicctl("coverage", "--port", "3389", "--output", "text", "--query", query).out == "good-windows\t3389\n"
    ran = eicctl("coverage", "--port", "5432")
    assert (ran.code, ran.err.splitlines()[0]) == (2, "error: Endpoints support only ports 22 and 3389, not 5432")


def test_regions_that_do_not_answer_do_not_stop_the_others(broken: Emulator, eicctl: Run) -> None:
    broken.state.behave(denied="eu-west-1:DescribeInstances us-east-1:DescribeNetworkAcls")
    ran = eicctl("coverage", "--all-regions", "--output", "json")
    assert ran.code == 1
    assert {row["Region"] for row in json.loads(ran.out)} == {"us-east-1"}
    assert "eu-west-1: Cannot look up instances: You are not authorized" in ran.err
    assert "us-east-1: Cannot read the network (DescribeNetworkAcls)" in ran.err
    verdicts = {row["Name"]: row["Reachable"] for row in json.loads(ran.out)}
    assert (verdicts["good-linux"], verdicts["no-ingress"], verdicts["no-egress"]) == ("unknown", "no", "no")
    assert "0 of 10 running instances reachable; unreachable: " in ran.err
    assert "; unknown: " in ran.err


def test_nothing_could_be_read(broken: Emulator, eicctl: Run) -> None:
    broken.state.behave(denied="DescribeInstances")
    ran = eicctl("coverage", "--region", "us-east-1", "--region", "eu-west-1")
    assert ran.code == 4
    assert ran.out == ""
    assert "error: Cannot look up instances" in ran.err


@pytest.mark.usefixtures("broken", "profiles")
def test_profiles(eicctl: Run) -> None:
    words = ("coverage", "--profile", "one", "--profile", "bad", "--profile", "two", "--output", "json")
    ran = eicctl(*words, "--region", "eu-west-1", "--region", "us-east-1")
    assert ran.code == 1
    rows = json.loads(ran.out)
    assert {row["Profile"] for row in rows} == {"one"}
    assert len(rows) == len({row["InstanceId"] for row in rows}) == 11
    assert all(row["Command"].endswith(" --profile one") for row in rows if row["Command"])
    assert "bad: AWS rejected the credentials" in ran.err
    alone = eicctl("--profile", "bad", "coverage")
    assert alone.code == 4


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--region", "us-east-1", "--all-regions"], "--region and --all-regions are mutually exclusive"),
        (["--client-address", "10.0.0"], "10.0.0 is not an IPv4 address"),
        (["--client-address", "2001:db8::1"], "2001:db8::1 is not an IPv4 address"),
    ],
)
def test_words_that_make_no_sense(eicctl: Run, words: list[str], message: str) -> None:
    ran = eicctl("coverage", *words)
    assert (ran.code, ran.err.splitlines()[0]) == (2, f"error: {message}")


def test_an_empty_account(emulator: Emulator, eicctl: Run, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    ran = eicctl("coverage", "--region", "eu-north-1", "--report", str(page))
    assert (ran.code, ran.out) == (0, "")
    assert "0 of 0 running instances reachable" in ran.err
    assert "No running instances" in page.read_text()


def test_a_report_that_cannot_be_written(emulator: Emulator, eicctl: Run, tmp_path: Path) -> None:
    ran = eicctl("coverage", "--report", str(tmp_path / "nowhere" / "page.html"))
    assert ran.code == 1
    assert "web-1" in ran.out
    assert "error: Cannot write" in ran.err


def test_a_region_that_there_is_not(emulator: Emulator, eicctl: Run) -> None:
    ran = eicctl("coverage", "--region", "eu-north-9")
    assert (ran.code, ran.out) == (3, "")
    assert 'No AWS region named "eu-north-9"' in ran.err


class Page(HTMLParser):
    """The tags of a page with their attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.text.append(data)


HOSTILE = "<img src=x onerror=document.title='owned'>\u202e\"'&amp;"


@pytest.fixture
def page(broken: Emulator, eicctl: Run, tmp_path: Path) -> Path:
    ec2: Any = boto3.client("ec2")
    (row,) = ec2.describe_instances(Filters=[{"Name": "tag:Name", "Values": ["no-ingress"]}])["Reservations"]
    vpc = row["Instances"][0]["VpcId"]
    resources = [row["Instances"][0]["InstanceId"], vpc, row["Instances"][0]["SubnetId"]]
    ec2.create_tags(Resources=resources, Tags=[{"Key": "Name", "Value": HOSTILE}])
    path = tmp_path / "page.html"
    assert eicctl("coverage", "--all-regions", "--report", str(path)).code == 0
    return path


def test_the_page_is_one_file_and_names_are_text(page: Path) -> None:
    text = page.read_text()
    parsed = Page(text)
    assert not {"img", "link", "iframe", "object", "form"} & set(parsed.tags)
    assert parsed.tags.count("script") == 1
    assert not [name for name, _ in parsed.attributes if name.startswith("on") or name in ("src", "href", "style")]
    (policy,) = [value for name, value in parsed.attributes if value.startswith("default-src")]
    digests = []
    for tag in ("style", "script"):
        inline = text.partition(f"<{tag}>")[2].partition(f"</{tag}>")[0]
        digests.append(f"'sha256-{base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()}'")
    assert policy == (
        f"default-src 'none'; style-src {digests[0]}; script-src {digests[1]}; base-uri 'none'; form-action 'none'"
    )
    assert "\u202e" not in text
    shown = HOSTILE.replace("\u202e", "\\u202e")
    assert parsed.text.count(shown) >= 4
    words = " ".join(parsed.text)
    for name in ("good-linux", "acl-denies-back", "old-type", "good-far", "no endpoint in this VPC", "us-east-1"):
        assert name in words
    assert page.stat().st_mode & 0o777 == 0o600


@pytest.mark.needs("chromium")
def test_a_browser_shows_the_page(page: Path, tmp_path: Path) -> None:
    words = ("--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/chromium", "--dump-dom")
    run = subprocess.run(["chromium", *words, page.as_uri()], capture_output=True, text=True, timeout=120, check=True)
    shown = Page(run.stdout)
    assert "owned" not in "".join(shown.text[: shown.text.index("Coverage")])
    assert "img" not in shown.tags
    assert shown.tags.count("article") == 4
    tiles = [value for name, value in shown.attributes if name == "class" and value.startswith("tile ")]
    assert (tiles.count("tile ok"), tiles.count("tile no")) == (3 + 1, 8 + 1)


@pytest.mark.needs("chromium")
def test_the_page_is_searched_sorted_and_copied_from(page: Path, tmp_path: Path) -> None:
    shown = "[...document.querySelectorAll('.tiles li')].filter(e => e.checkVisibility()).map(e => e.textContent)"
    names = "[...document.querySelectorAll('.why')].map(t => [...t.tBodies[0].rows].map(r => r.cells[0].textContent))"
    with opened(page, tmp_path) as browser:
        everything = browser.value(shown)
        browser.click(".search")
        browser.type("ACL-denies")
        found = browser.value(shown)
        assert 0 < len(found) < len(everything)
        assert all("acl-denies" in text for text in found)
        assert browser.value("[...document.querySelectorAll('.vpc')].filter(e => e.checkVisibility()).length") == 1
        browser.value("document.querySelector('.search').select()")
        browser.type(" ")
        assert browser.value(shown) == everything

        tables = browser.value(names)
        most = max(range(len(tables)), key=lambda index: len(tables[index]))
        browser.value(f"document.querySelectorAll('.why')[{most}].id = 'most'")
        for order in ("ascending", "descending"):
            browser.click("#most th button")
            assert browser.value("document.querySelector('#most th').ariaSort") == order
        down = [text[2:].lower() for text in browser.value(names)[most]]
        assert len(down) > 2
        assert down[0] > down[-1]

        command = browser.value("document.querySelector('#most code').textContent")
        browser.click("#most .copy")
        wait_for(lambda: browser.value("document.querySelector('#most .copy').textContent") == "Copied", "the copy")
        assert browser.clipboard() == command
        assert command.startswith(("aws ec2 ", "eicctl "))
