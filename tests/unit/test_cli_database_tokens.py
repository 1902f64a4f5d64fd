"""Files in which database clients find a token."""

from __future__ import annotations

import itertools
import stat
import threading
import time
from pathlib import Path

import pytest

from eicctl.core.errors import CredentialsError, EicctlError
from eicctl.support import files
from eicctl.support.files import kept_fresh
from eicctl.view.database import my_cnf, pgpass


def test_pgpass_escapes_what_separates() -> None:
    text = pgpass("db.example.com", ["::1"], 15432, "a:b", "host:5432/?X=1\\2")
    assert text.splitlines() == [
        "db.example.com:15432:*:a\\:b:host\\:5432/?X=1\\\\2",
        "\\:\\:1:15432:*:a\\:b:host\\:5432/?X=1\\\\2",
    ]


def test_my_cnf() -> None:
    assert my_cnf("host:3306/?a=b&c=%2F").splitlines()[:2] == ["[client]", 'password="host:3306/?a=b&c=%2F"']


def test_the_file_is_renewed_and_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "RENEWED_EVERY", 0.02)
    monkeypatch.setattr(files, "TRIED_EVERY", 0.02)
    path = tmp_path / "pgpass"
    numbers = itertools.count(1)
    again = threading.Event()
    failures: list[EicctlError] = []

    def content() -> str:
        number = next(numbers)
        if number == 2:
            raise CredentialsError("expired")
        if number > 3:
            again.set()
        return f"token {number}"

    with kept_fresh(path, content, failures.append):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert again.wait(60)
        assert path.read_text() != "token 1"
    assert [error.message for error in failures] == ["expired"]
    assert not path.exists()


def test_a_renewal_under_way_at_the_end_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "RENEWED_EVERY", 0.01)
    path = tmp_path / "pgpass"
    asked, go_on, done = threading.Event(), threading.Event(), threading.Event()
    numbers = itertools.count(1)

    def content() -> str:
        if next(numbers) > 1:
            asked.set()
            go_on.wait(60)
            done.set()
        return "token"

    with kept_fresh(path, content, lambda _error: None):
        assert asked.wait(60)
    go_on.set()
    assert done.wait(60)
    time.sleep(0.1)  # the renewal would have written by now
    assert not path.exists()
