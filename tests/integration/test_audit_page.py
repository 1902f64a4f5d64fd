"""The report in a browser: it is drawn, searched and sorted; names stay text."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest

from tests.browser import opened
from tests.trail_records import START, tunnel, write_log
from tests.unit.test_audit_summary import hostile_records

pytestmark = pytest.mark.needs("chromium", "convert")

TIMEOUT = 90


def chromium(folder: Path, page: Path, *options: str) -> str:
    """Load a page in headless Chromium; return what it prints."""
    program = shutil.which("chromium")
    assert program
    words = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        f"--user-data-dir={folder / 'profile'}",
    ]
    done = subprocess.run(
        [program, *words, *options, page.as_uri()],
        env=os.environ | {"HOME": str(folder)},
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=True,
    )
    return done.stdout


@pytest.fixture
def page(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """A report on some ordinary records and some hostile ones."""
    from eicctl import cli

    records = [tunnel(START + timedelta(hours=4 * n), who=f"dev/{'ab'[n % 2]}") for n in range(60)]
    log = write_log(tmp_path / "log.json.gz", [*records, *hostile_records()])
    assert cli.main(["audit", "--from", str(log), "--report", str(tmp_path / "report.html")]) == 0
    return tmp_path / "report.html"


def test_what_the_browser_makes_of_it(page: Path, tmp_path: Path) -> None:
    dom = chromium(tmp_path, page, "--dump-dom")
    assert dom.count("<script") == 1
    assert "<img" not in dom
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in dom
    for heading in ("Over time", "Findings", "Principals", "Targets"):
        assert f"<h2>{heading}</h2>" in dom
    assert dom.count("<svg") >= 2
    assert "<td>dev/a<" in dom


def test_it_is_drawn_with_its_style(page: Path, tmp_path: Path) -> None:
    """The page's policy admits its own style sheet: the picture has the colours of its bars."""
    shot = tmp_path / "shot.png"
    chromium(tmp_path, page, "--window-size=1100,700", f"--screenshot={shot}")
    width, height, pixels = picture(shot)
    assert (width, height) == (1100, 700)
    found = {pixels[at : at + 3] for at in range(0, len(pixels), 3)}
    assert {bytes.fromhex("2f6fed"), bytes.fromhex("d6453d")} <= found or {bytes.fromhex("5b93ff")} <= found


def test_it_is_searched_and_sorted(page: Path, tmp_path: Path) -> None:
    with opened(page, tmp_path) as browser:
        visible = "[...document.querySelectorAll('tbody tr')].filter(e => e.checkVisibility()).length"
        rows = browser.value(visible)
        browser.click(".search")
        browser.type("dev/a")
        assert 0 < browser.value(visible) < rows
        assert browser.value("[...document.querySelectorAll('h2')].some(e => e.checkVisibility())")
        browser.value("document.querySelector('.search').select()")
        browser.type(" ")
        assert browser.value(visible) == rows
        numbers = "[...document.querySelector('table').tBodies[0].rows].map(row => Number(row.cells[1].textContent))"
        assert len(browser.value(numbers)) > 2
        browser.click("th.num button")
        assert browser.value(numbers) == sorted(browser.value(numbers))
        browser.click("th.num button")
        assert browser.value(numbers) == sorted(browser.value(numbers), reverse=True)


def picture(file: Path) -> tuple[int, int, bytes]:
    """The width and height of a PNG, and its pixels as RGB, as ImageMagick reads them."""
    data = file.read_bytes()
    width, height = struct.unpack(">II", data[16:24])
    done = subprocess.run(["convert", str(file), "-depth", "8", "rgb:-"], capture_output=True, check=True)
    return width, height, done.stdout
