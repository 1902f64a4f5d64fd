"""Manual pages: what roff would read is printed as it is, formatters have nothing to say, and every page is whole."""

from __future__ import annotations

import subprocess
from pathlib import Path

import click
import pytest

from eicctl import cli
from eicctl.cli import eicctl
from eicctl.cli.manual import pages, parted, sources
from eicctl.manual.page import Page
from eicctl.manual.place import install_pages

PAGES = pages(eicctl)

HOSTILE = '.br \'sp \\fBx\\fR \\*(x -- `y` ~/z ^ "q" … é'


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    for name, text in sources(eicctl).items():
        (tmp_path / f"{name}.1").write_text(text)
    page = Page("eicctl-x", "eicctl x", HOSTILE, HOSTILE, [HOSTILE], [HOSTILE, ".TH"], [(HOSTILE, HOSTILE), ("-y", "")])
    (tmp_path / "eicctl-x.1").write_text(page.roff("1", "2026-01-01"))
    return tmp_path


@pytest.mark.needs("mandoc")
def test_mandoc_has_nothing_to_say(folder: Path) -> None:
    run = subprocess.run(
        ["mandoc", "-T", "lint", "-W", "warning", *sorted(folder.glob("*.1"))],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.stdout + run.stderr == ""


@pytest.mark.needs("groff")
def test_groff_has_nothing_to_say(folder: Path) -> None:
    run = subprocess.run(
        ["groff", "-man", "-ww", "-K", "utf8", "-T", "utf8", "-z", *sorted(folder.glob("*.1"))],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.stdout + run.stderr == ""


@pytest.mark.needs("mandoc")
def test_what_roff_would_read_is_printed_as_it_is(folder: Path) -> None:
    run = subprocess.run(
        ["mandoc", "-T", "utf8", "-O", "width=200", folder / "eicctl-x.1"], capture_output=True, text=True, check=True
    )
    shown = "".join(
        "" if char == "\b" or run.stdout[at + 1 : at + 2] == "\b" else char for at, char in enumerate(run.stdout)
    )
    assert shown.count(HOSTILE) == 7  # name, synopsis, summary, text, example, option and its meaning
    assert ".TH" in shown


def test_every_command_has_a_page_with_its_examples() -> None:
    assert {"eicctl", "eicctl-ssh", "eicctl-policy-check", "eicctl-man"} <= PAGES.keys()
    for page in PAGES.values():
        assert page.summary, page.name
        assert page.options, page.name
        assert page.examples, page.name
        assert all(name in PAGES for name in page.see_also), page.name
        assert not any("Examples:" in part or "\b" in part for part in page.text), page.name


def test_a_help_is_parted() -> None:
    text = "Do it.\n\nMore\nof it.\n\n\b\nExamples:\n  eicctl a\n  eicctl b"
    assert parted(text) == ("Do it.", ["More\nof it."], ["eicctl a", "eicctl b"])


def test_the_date_can_be_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    assert '"2023-11-14"' in sources(click.Command("eicctl", help="Do it."))["eicctl"]


def test_pages_are_installed_once(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path)}
    found = {"eicctl": "one\n", "eicctl-ssh": "two\n"}
    assert install_pages(found, environ)[0].startswith("wrote 2 of 2 pages")
    folder = tmp_path / ".local/share/man/man1"
    assert (folder / "eicctl-ssh.1").read_text() == "two\n"
    told = install_pages({**found, "eicctl": "three\n"}, environ)
    assert told[0].startswith("wrote 1 of 2 pages")
    assert f"to undo it: rm {folder}/eicctl*.1" in told
    elsewhere = environ | {"XDG_DATA_HOME": str(tmp_path / "data")}
    install_pages(found, elsewhere)
    assert (tmp_path / "data/man/man1/eicctl.1").exists()


def test_the_source_is_printed_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert cli.main(["man", "policy", "check"]) == 0
    assert capsys.readouterr().out.startswith('.TH "EICCTL\\-POLICY\\-CHECK" 1 ')
    assert cli.main(["man", "--directory", str(tmp_path / "man")]) == 0
    assert len(list((tmp_path / "man").glob("*.1"))) == len(PAGES)
    assert cli.main(["man", "no-such"]) == 3
    assert cli.main(["man", "ssh", "--install"]) == 2
