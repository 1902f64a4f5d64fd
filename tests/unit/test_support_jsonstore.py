"""JSON files of eicctl's own: what is not as it should be is empty, and changes of several processes all count."""

from __future__ import annotations

from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from eicctl.core.errors import LocalError
from eicctl.support import jsonstore


@pytest.mark.parametrize("text", ["", "[1]", "nothing", '{"a": ', "[" * 100_000, "\ud800"])
def test_what_is_no_object_reads_as_empty(tmp_path: Path, text: str) -> None:
    path = tmp_path / "file.json"
    path.write_bytes(text.encode(errors="surrogatepass"))
    assert jsonstore.read(path) == {}


def test_what_is_missing_or_too_large_reads_as_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert jsonstore.read(tmp_path / "none") == jsonstore.read(None) == {}
    (tmp_path / "large").write_text('{"a": "xxxxxxxxxxxx"}')
    monkeypatch.setattr(jsonstore, "LARGEST", 10)
    assert jsonstore.read(tmp_path / "large") == {}


def test_changes_at_the_same_time_all_count(tmp_path: Path) -> None:
    path = tmp_path / "file.json"

    def add(number: int) -> None:
        def changed(rows: dict[str, Any]) -> dict[str, Any]:
            return {**rows, str(number): number}

        jsonstore.update(path, changed)

    threads = [Thread(target=add, args=(number,)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(jsonstore.read(path).values()) == set(range(10))
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_file_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LocalError):
        jsonstore.update(tmp_path / "none" / "file.json", lambda rows: rows)


def test_the_newest_rows_are_the_last() -> None:
    assert jsonstore.newest({"a": 1, "b": 2, "c": 3}, 2) == {"b": 2, "c": 3}
