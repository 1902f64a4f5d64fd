"""Manual pages: what roff would read is printed as it is, formatters have nothing to say, and every page is whole."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import manual
import pytest
from docutils import nodes
from reference import contexts

from eicctl import cli
from eicctl.cli import eicctl
from eicctl.cli.commands import man
from eicctl.cli.commands.man import PAGES, install_pages

HOSTILE = '.br \'sp \\fBx\\fR \\*(x -- `y` ~/z ^ "q" … é'


@pytest.fixture
def pages(tmp_path: Path) -> list[str]:
    """The pages of the package, and one of text that roff would read."""
    row = manual.rows([(HOSTILE, HOSTILE), ("-y", "")])
    text = [nodes.paragraph(text=HOSTILE), nodes.paragraph("", "", *manual.words(HOSTILE))]
    literal = [nodes.literal_block(text=f"{HOSTILE}\n.TH")]
    page = tmp_path / "eicctl-x.1"
    page.write_text(manual.roff("eicctl-x", HOSTILE, "2026-01-01", [("One", row), ("Two", text), ("Three", literal)]))
    return [str(page), *map(str, sorted(PAGES.glob("*.1")))]


@pytest.mark.needs("mandoc")
def test_mandoc_has_nothing_to_say(pages: list[str]) -> None:
    command = ["mandoc", "-T", "lint", "-W", "warning", *pages]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.stdout + run.stderr == ""


@pytest.mark.needs("groff")
def test_groff_has_nothing_to_say(pages: list[str]) -> None:
    command = ["groff", "-man", "-ww", "-K", "utf8", "-T", "utf8", "-z", *pages]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.stdout + run.stderr == ""


@pytest.mark.parametrize(
    "formatter", [pytest.param(name, marks=pytest.mark.needs(name)) for name in ("mandoc", "groff")]
)
def test_what_roff_would_read_is_printed_as_it_is(pages: list[str], formatter: str) -> None:
    options = {"mandoc": ["-O", "width=200"], "groff": ["-man", "-K", "utf8", "-P", "-cbou", "-rLL=200n"]}[formatter]
    command = [formatter, "-T", "utf8", *options, pages[0]]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    shown = "".join(
        "" if char == "\b" or run.stdout[at + 1 : at + 2] == "\b" else char for at, char in enumerate(run.stdout)
    )
    assert shown.count(HOSTILE) == 6  # name, option and its meaning, two paragraphs, example
    assert ".TH" in shown


def test_every_command_has_a_page_that_is_fresh() -> None:
    made = manual.manual_pages()
    assert set(made) == set(PAGES.glob("*.1"))
    assert [path.name for path, page in made.items() if path.read_text() != page()] == [], "run make docs"
    assert {"eicctl.1", "eicctl-ssh.1", "eicctl-policy-check.1", "eicctl-man.1"} <= {path.name for path in made}


def test_every_page_is_whole() -> None:
    for path in PAGES.glob("*.1"):
        text = path.read_text()
        for section in ("NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXAMPLES", "SEE ALSO"):
            assert f".SH {section}\n" in text, path
        mentioned = re.findall(r"([\w\\-]+)\(1\)", text.partition(".SH SEE ALSO")[2])
        assert mentioned
        assert all((PAGES / f"{name.replace(chr(92), '')}.1").exists() for name in mentioned), path
        assert "Examples:" not in text
        assert "\b" not in text


def test_a_help_is_parted() -> None:
    text = "Do it.\n\nMore\nof it.\n\n\b\nExamples:\n  eicctl a\n  eicctl b"
    assert manual.parted(text) == ("Do it.", ["More\nof it."], ["eicctl a", "eicctl b"])


def test_a_date_changes_with_the_page(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(manual, "FOLDER", tmp_path)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    path, page = next(iter(manual.manual_pages().items()))
    path.write_text(page())
    assert '"2023-11-14"' in path.read_text()
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1800000000")
    assert page() == path.read_text()
    monkeypatch.setattr(next(contexts(eicctl)).command, "help", "Do it.")
    assert '"2027-01-15"' in page()


def test_pages_are_installed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(man, "PAGES", tmp_path / "pages")
    man.PAGES.mkdir()
    (man.PAGES / "eicctl.1").write_text("one\n")
    (man.PAGES / "eicctl-ssh.1").write_text("two\n")
    environ = {"HOME": str(tmp_path)}
    assert install_pages(environ)[0].startswith("Wrote 2 of 2 pages")
    folder = tmp_path / ".local/share/man/man1"
    assert (folder / "eicctl-ssh.1").read_text() == "two\n"
    (man.PAGES / "eicctl.1").write_text("three\n")
    told = install_pages(environ)
    assert told[0].startswith("Wrote 1 of 2 pages")
    assert f"Undo: rm {folder}/eicctl*.1" in told
    elsewhere = environ | {"XDG_DATA_HOME": str(tmp_path / "data")}
    install_pages(elsewhere)
    assert (tmp_path / "data/man/man1/eicctl.1").exists()


def test_the_source_is_printed_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert cli.main(["man", "policy", "check"]) == 0
    assert '\n.TH "eicctl-policy-check" "1" ' in capsys.readouterr().out
    assert cli.main(["man", "--directory", str(tmp_path / "man")]) == 0
    assert len(list((tmp_path / "man").glob("*.1"))) == len(list(PAGES.glob("*.1")))
    assert cli.main(["man", "no-such"]) == 3
    assert cli.main(["man", "../man/eicctl"]) == 3
    assert cli.main(["man", "ssh", "--install"]) == 2
