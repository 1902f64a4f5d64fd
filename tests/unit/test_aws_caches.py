"""Names and targets on disk: who is offered them, for how long, and what if a file is damaged."""

from __future__ import annotations

import json
import stat
import time
from pathlib import Path

import pytest

from eicctl.aws import caches
from eicctl.aws.config_files import region_of
from eicctl.aws.session import Session
from eicctl.core.model import Target
from eicctl.core.request import ConnectRequest
from eicctl.support import paths
from eicctl.support.threads import WORKERS, for_each

REGION = "eu-west-1"


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    for name in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {
        "EICCTL_HOME": str(tmp_path / "home"),
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"),
        "AWS_ACCESS_KEY_ID": "AKIA1",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_REGION": REGION,
    }.items():
        monkeypatch.setenv(name, value)
    return tmp_path


def note(names: dict[str, str], profile: str | None = None, *, region: str = REGION, whole: bool = False) -> None:
    caches.note_names(Session(profile=profile), caches.INSTANCES, names, region=region, whole=whole)


def recall(profile: str | None = None, region: str = REGION) -> dict[str, str]:
    return caches.known_names(caches.INSTANCES, profile, region)


def files() -> list[Path]:
    return sorted((paths.cache_dir() / "known").glob("*.json"))


def test_what_is_noted_is_recalled_and_for_this_user_alone() -> None:
    note({"i-1": "web-1"})
    note({"i-2": "", "i-1": "web-2"})
    assert recall() == {"i-1": "web-2", "i-2": ""}
    assert [stat.S_IMODE(path.stat().st_mode) for path in files()] == [0o600]


def test_all_that_there_is_replaces_what_was() -> None:
    note({"i-1": "web-1", "i-2": "web-2"})
    note({"i-2": "web-2"}, whole=True)
    assert recall() == {"i-2": "web-2"}


def test_what_is_known_is_not_written_again() -> None:
    note({"i-1": "web-1"})
    before = files()[0].stat().st_ino
    note({"i-1": "web-1"})
    assert files()[0].stat().st_ino == before, "a file that is written is another one"


@pytest.mark.parametrize(
    "change",
    [
        {"AWS_ACCESS_KEY_ID": "AKIA2"},
        {"AWS_PROFILE": "prod"},
        {"AWS_ENDPOINT_URL": "http://127.0.0.1:1"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_who_asks_as_another_is_offered_nothing(monkeypatch: pytest.MonkeyPatch, change: dict[str, str]) -> None:
    note({"i-1": "web-1"})
    for name, value in change.items():
        monkeypatch.setenv(name, value)
    assert recall() == {}
    assert recall("dev") == {}
    assert recall(region="eu-north-1") == {}


CONFIG = "[profile dev]\nregion = eu-west-1\nsource_profile = base\nrole_arn = arn:aws:iam::1:role/r\n[profile base]\n"


@pytest.mark.parametrize(
    ("old", "new"), [("iam::1:", "iam::2:"), ("[profile base]\n", "[profile base]\ncredential_process = x\n")]
)
def test_a_profile_that_leads_to_another_account_is_another(home: Path, old: str, new: str) -> None:
    (home / "config").write_text(CONFIG)
    note({"i-1": "web-1"}, "dev")
    assert recall("dev") == {"i-1": "web-1"}
    (home / "config").write_text(CONFIG.replace(old, new))
    assert recall("dev") == {}


def test_a_secret_that_was_renewed_is_the_same_caller(home: Path) -> None:
    (home / "credentials").write_text("[dev]\naws_access_key_id = A\naws_secret_access_key = one\n")
    note({"i-1": "web-1"}, "dev")
    (home / "credentials").write_text("[dev]\naws_access_key_id = A\naws_secret_access_key = two\n")
    assert recall("dev") == {"i-1": "web-1"}


def test_old_names_are_not_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    note({"i-1": "web-1"})
    later = time.time() + caches.NAMES_LIFETIME + 1
    monkeypatch.setattr("time.time", lambda: later)
    assert recall() == {}


def test_it_does_not_grow_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caches, "MOST_NAMES", 3)
    monkeypatch.setattr(caches, "MOST_FILES", 2)
    for number in range(5):
        note({f"i-{number}": ""})
    assert list(recall()) == ["i-4", "i-3", "i-2"]
    for region in ("eu-north-1", "eu-south-1"):
        note({"i-1": ""}, region=region)
    assert len(files()) == 2


@pytest.mark.parametrize("content", [b"", b"[]", b'{"instances": [1]}', b'{"instances": {"i-1": 7}}', b"\xff"])
def test_a_file_that_is_not_what_it_should_be_is_none(content: bytes) -> None:
    note({"i-1": "web-1"})
    files()[0].write_bytes(content)
    assert recall() == {}
    note({"i-2": "web-2"})
    assert recall() == {"i-2": "web-2"}


def test_a_cache_that_cannot_be_written_is_none(home: Path) -> None:
    (home / "home").write_text("a file")
    note({"i-1": "web-1"})
    assert recall() == {}


def test_the_region_is_the_options_the_environments_or_the_profiles(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "config").write_text("[default]\nregion = eu-south-1\n[profile dev]\nregion=eu-north-1\n")
    assert region_of("dev", "us-east-1") == "us-east-1"
    assert region_of("dev") == REGION
    monkeypatch.delenv("AWS_REGION")
    assert region_of("dev") == "eu-north-1"
    assert region_of(None) == "eu-south-1"
    assert region_of("other") == ""


def test_nothing_secret_is_kept() -> None:
    note({"i-1": "web-1"})
    assert json.loads(files()[0].read_text())["instances"]["i-1"][0] == "web-1"
    assert "AKIA1" not in files()[0].read_text() + files()[0].name


REQUEST = ConnectRequest(target="web-1")
TARGET = Target("10.0.1.10", 22, "eice-1", "eice-1.example.com", "eu-west-1", "i-1", "web-1")


def known(request: ConnectRequest = REQUEST, *, session: Session | None = None) -> Target | None:
    return caches.TargetCache(session or Session()).get(request)


def put(request: ConnectRequest = REQUEST) -> None:
    caches.TargetCache(Session()).put(TARGET, request)


@pytest.mark.parametrize(
    ("later", "expected"),
    [(caches.LIFETIME - 1, TARGET), (caches.LIFETIME + 1, None), (-10, None)],
    ids=["fresh", "old", "the clock was set back"],
)
def test_a_target_is_known_for_some_minutes(
    monkeypatch: pytest.MonkeyPatch, later: float, expected: Target | None
) -> None:
    assert known() is None
    put()
    assert known() == TARGET
    moment = time.time() + later
    monkeypatch.setattr("time.time", lambda: moment)
    assert known() == expected


def test_for_equal_words_only() -> None:
    put()
    assert known(REQUEST.replace(remote_port=3389)) is None
    assert known(REQUEST.replace(endpoint_id="eice-2")) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [("AWS_ACCESS_KEY_ID", "AKIA2"), ("AWS_REGION", "us-east-1"), ("AWS_ENDPOINT_URL", "http://here")],
)
def test_for_the_same_caller_only(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    put()
    monkeypatch.setenv(name, value)
    assert known() is None


def test_for_the_same_options_and_configuration_only(home: Path) -> None:
    put()
    assert known(session=Session(region="us-east-1")) is None
    assert known(session=Session(fips=True)) is None
    (home / "config").write_text("[default]\nregion = us-west-2\n")
    assert known() is None


def test_it_can_be_forgotten() -> None:
    put()
    put(REQUEST.replace(target="web-2"))
    caches.TargetCache(Session()).forget(REQUEST)
    assert known() is None
    assert known(REQUEST.replace(target="web-2")) == TARGET


@pytest.mark.parametrize("text", ["", "{", "[]", '{"x": 1}', "\xff"])
def test_a_broken_file_is_an_empty_one(text: str) -> None:
    file = paths.cache_dir() / "targets.json"
    file.write_text(text, encoding="latin-1")
    assert known() is None
    put()
    assert known() == TARGET


def test_the_file_is_the_users_alone_and_holds_no_key() -> None:
    put()
    file = paths.cache_dir() / "targets.json"
    assert file.stat().st_mode & 0o077 == 0
    assert "AKIA" not in file.read_text()


def test_no_folder_is_no_error(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    (home / "file").write_text("")
    monkeypatch.setenv("EICCTL_HOME", str(home / "file"))
    put()
    assert known() is None


def test_a_file_that_another_process_removes_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the list of the files and the look at one: here a link that leads nowhere."""
    note({"i-1": "web-1"})
    folder = paths.cache_dir() / "known"
    (folder / "gone.json").symlink_to(folder / "nowhere")
    monkeypatch.setattr(caches, "MOST_FILES", 2)
    for_each(lambda number: note({"i-1": "web-1"}, region=f"r-{number}"), range(30))
    assert len(list(folder.glob("*.json"))) <= 2 + WORKERS
