"""The list that opens on a terminal where a command names no target."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import FillCache
from tests.e2e.conftest import Env, boto3_client, clean_env, local_world, run_eicctl
from tests.processes import PROGRAM
from tests.terminal import Screen, Shell, faults
from tests.worlds import AMAZON_LINUX, NETWORK, WINDOWS

WORLD = (
    AMAZON_LINUX
    + WINDOWS
    + NETWORK.replace("[[vpc]]", '[[vpc]]\nname = "main"')
    + """
[[vpc.group]]
name = "ssh"
ingress = ["22 from 10.0.0.0/16", "3389 from 10.0.0.0/16"]

[[vpc.instance]]
name = "prod-web"
address = "10.0.1.20"
count = 25
groups = ["ssh"]

[[vpc.instance]]
name = "old-1"
address = "10.0.1.60"
state = "stopped"

[[vpc.instance]]
name = "bastion"
address = "10.0.1.61"
groups = ["ssh"]

[[vpc.instance]]
name = "twin"
address = "10.0.1.62"
groups = ["ssh"]

[[vpc.instance]]
name = "twin2"
address = "10.0.1.63"
groups = ["ssh"]

[[vpc.instance]]
name = "win-1"
address = "10.0.1.64"
image = "windows"
groups = ["ssh"]

[[vpc.database]]
id = "orders"
engine = "postgres"
port = 5432
address = "10.0.1.70"
groups = ["ssh"]
"""
)

SIZES = [(24, 80), (40, 120)]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Env]:
    """A local AWS with 25 instances that are alike, two of one name, a stopped one, a Windows one and a database."""
    folder = tmp_path_factory.mktemp("picker")
    (folder / "world.toml").write_text(WORLD)
    options = ["--world", str(folder / "world.toml")]
    with local_world(clean_env(folder), *options, endpoint=["--name", "office"]) as env:
        ec2 = boto3_client(env, "ec2")
        twin = ec2.describe_instances(Filters=[{"Name": "tag:Name", "Values": ["twin2"]}])
        instance_id = twin["Reservations"][0]["Instances"][0]["InstanceId"]
        ec2.create_tags(Resources=[instance_id], Tags=[{"Key": "Name", "Value": "twin"}])
        yield env


@pytest.fixture
def env(world: Env, tmp_path: Path, fill_cache: FillCache) -> Env:
    """The environment of one test, with a home of its own."""
    fill_cache(tmp_path / "eicctl")
    return world | {"HOME": str(tmp_path), "EICCTL_HOME": str(tmp_path / "eicctl"), "NO_COLOR": "1"}


COMMANDS = [
    ("ssh", "bastion .*office"),
    ("scp", "bastion "),
    ("sftp", "bastion "),
    ("tunnel --remote-port 22", "bastion "),
    ("rdp", "win-1 "),
    ("forward", "bastion "),
    ("doctor", "bastion "),
    ("run -- true", "bastion "),
    ("db", "orders .*postgres"),
    ("show-endpoint", "office .*eice-[0-9a-f]{17}"),
    ("modify-endpoint --preserve-client-ip", "office "),
    ("delete-endpoint", "office "),
]


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize(("words", "row"), COMMANDS, ids=[words.split()[0] for words, _ in COMMANDS])
def test_each_command_lets_one_choose(env: Env, words: str, row: str, size: tuple[int, int]) -> None:
    with Screen(env, *words.split(), size=size) as screen:
        lines = screen.until(rf"{row}[^$]*\d+ of \d+  t")
        assert lines[0].startswith("Select ")
        assert not faults(lines, size[1])
        assert not [line for line in lines if len(line) >= size[1]]
        assert "\x1b[6n" not in screen.written, "the terminal was asked for its cursor"
        assert screen.press("\x1b", "Canceled")[0] == "Canceled", "the list is still there"
        assert screen.end() == 130


def test_windows_instances_are_for_rdp_and_others_for_run(env: Env) -> None:
    with Screen(env, "rdp") as screen:
        assert not [line for line in screen.until("1 of 1 ") if "bastion" in line]
    with Screen(env, "run", "--", "true") as screen:
        assert not [line for line in screen.until("28 of 28 ") if "win-1" in line or "old-1" in line]


@pytest.mark.parametrize(("words", "hint"), [(words, "eicctl |aws ") for words, _ in COMMANDS if words != "doctor"])
def test_without_a_terminal_the_hint_is_what_lists(env: Env, words: str, hint: str) -> None:
    done = run_eicctl(env, *words.split())
    assert done.returncode == 2
    assert re.search(rf"hint: .*({hint})(instances|list-endpoints|rds describe)", done.stderr.decode())
    assert not done.stdout


def test_a_dumb_terminal_has_no_list(env: Env) -> None:
    with Screen(env | {"TERM": "dumb"}, "ssh") as screen:
        screen.until("hint: eicctl instances")
        assert screen.end() == 2


def test_typing_filters_and_enter_logs_in(env: Env) -> None:
    with Screen(env, "ssh", size=(24, 80)) as screen:
        lines = screen.until("30 of 30 ")
        names = [line[2:].split()[0] for line in lines[3:-1]]
        assert names[:12] == ["bastion", *(f"prod-web-{number}" for number in range(1, 12))], "natural order"
        found = screen.press("pw 25", "> prod-web-25 ")
        assert found[0] == "Select an instance: pw 25"
        assert found[2].startswith("> prod-web-25 ")
        screen.press("\r", r"Logging in as ec2-user[^$]*[#$] $|[#$]$")
        screen.child.send("exit 3\r")
        assert screen.end() == 3


def test_the_arrows_move_and_pages_scroll(env: Env) -> None:
    with Screen(env, "ssh", size=(24, 80)) as screen:
        screen.until("30 of 30 ")
        screen.press("\x1b[B", "> prod-web-1 ")
        screen.press("\x1b[A", "> bastion ")
        screen.press("\x1b[A", "> bastion ")
        screen.press("\x1b[6~\x1b[6~", "> old-1 ")
        lines = screen.lines
        assert lines.index("Stopped") == len(lines) - 3
        screen.press("\x03", "Canceled")
        assert screen.end() == 130


def test_stopped_instances_are_dim(env: Env) -> None:
    coloured = {name: value for name, value in env.items() if name != "NO_COLOR"}
    for variables, dim in ((coloured, True), (env, False)):
        with Screen(variables, "ssh", size=(40, 100)) as screen:
            screen.until("30 of 30 ")
            screen.press("10.0.1.6", "5 of 30 ")
            screen.press("\x1b", "Canceled")
            assert bool(re.search(r"\x1b\[[0-9;]*90m[^\x1b]*old-1", screen.written)) is dim
            assert bool(re.search(r"\x1b\[[0-9;]*(3|4|9)\d(;\d+)*m", screen.written)) is dim


def test_several_matches_are_chosen_from(env: Env) -> None:
    with Screen(env, "tunnel", "twin", "--remote-port", "22", "--no-check") as screen:
        lines = screen.until("2 of 2 ")
        assert [line[2:6] for line in lines[2:4]] == ["twin", "twin"]
        screen.press("10.0.1.63\r", r"Listening on 127\.0\.0\.1:\d+ .*10\.0\.1\.63")
        screen.child.sendintr()
        assert screen.end() == 130
    with Screen(env, "ssh", "twin", "--print-command") as screen:
        screen.until("2 of 2 ")
        screen.press("10.0.1.63\r", "10.0.1.63|ProxyCommand")
        assert screen.end() == 0
    # What was chosen once is not taken for the next login by that name.
    assert run_eicctl(env, "ssh", "twin", "--print-command").returncode == 3


def test_several_are_marked_for_run(env: Env) -> None:
    with Screen(env, "run", "--output", "json", "--", "hostname", size=(60, 120)) as screen:
        screen.until("28 of 28 ")
        screen.press("prod-web-1\t", "1 marked")
        screen.press(" ", "2 marked")
        screen.press("\x1b[A ", "1 marked")
        screen.press(" ", "2 marked")
        screen.press("\r", r"2 of 2 hosts succeeded")
        assert screen.end() == 0
        found = "\n".join(screen.lines)
        assert re.findall(r'"Name": "(.*)"', found) == ["prod-web-1", "prod-web-11"]


def test_forward_asks_for_the_port(env: Env) -> None:
    with Screen(env, "forward") as screen:
        screen.until("30 of 30 ")
        screen.press("\r", "Port on i-[0-9a-f]{17}:")
        screen.press("22\r", r"Listening on 127\.0\.0\.1:\d+ .*through bastion")
        screen.child.sendintr()
        assert screen.end() == 130


def test_scp_asks_what_to_copy(env: Env, tmp_path: Path) -> None:
    (tmp_path / "file.txt").write_text("hello")
    with Screen(env, "scp", cwd=tmp_path) as screen:
        screen.until("30 of 30 ")
        screen.press("\r", r"Copy \(a local file, or i-[0-9a-f]{17}:PATH\):")
        screen.press("file.txt\r", r"To \[i-[0-9a-f]{17}:\]:")
        screen.press(f"i-0123456789abcdef0:{tmp_path}/there\x15", "To ")
        screen.child.send("\r")
        assert screen.end() == 0


def test_doctor_also_works_without_a_target(env: Env) -> None:
    with Screen(env, "doctor") as screen:
        screen.until("31 of 31 ")
        screen.press("no target", "> no target")
        screen.press("\r", r"All checks passed \(no target given\)")
        assert screen.end() == 0


def test_a_profile_is_chosen(env: Env, tmp_path: Path) -> None:
    keys = f"aws_access_key_id = {env['AWS_ACCESS_KEY_ID']}\naws_secret_access_key = {env['AWS_SECRET_ACCESS_KEY']}\n"
    (tmp_path / "config").write_text(
        f"[profile dev-2]\nregion = us-east-1\n{keys}[profile dev-10]\nregion = eu-west-1\n"
    )
    without = {name: value for name, value in env.items() if name not in ("AWS_REGION", "AWS_DEFAULT_REGION")}
    own = without | {"AWS_CONFIG_FILE": str(tmp_path / "config")}
    for words in (["instances", "--pick-profile"], ["--pick-profile", "instances"]):
        with Screen(own, *words, size=(60, 120)) as screen:
            lines = screen.until("2 of 2 ")
            assert [line.split()[-2:] for line in lines[2:4]] == [["dev-2", "us-east-1"], ["dev-10", "eu-west-1"]]
            screen.press("\r", "bastion")
            assert screen.end() == 0
    assert run_eicctl(own, "instances", "--pick-profile").returncode == 2


def recent(env: Env) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(run_eicctl(env, "recent", "--output", "json").stdout)
    return found


def test_recent_targets_come_first_and_the_last_one_is_a_dash(env: Env) -> None:
    for name in ("prod-web-20", "bastion"):
        assert run_eicctl(env, "ssh", f"ec2-user@{name}", "--", "true").returncode == 0
    assert run_eicctl(env, "ssh", "nobody", "--", "true").returncode == 3
    rows = recent(env)
    assert [(row["Command"], row["Target"], row["User"], row["Region"]) for row in rows] == [
        ("ssh", "bastion", "ec2-user", "us-east-1"),
        ("ssh", "prod-web-20", "ec2-user", "us-east-1"),
    ]
    assert all(isinstance(row["DurationSeconds"], float) for row in rows)
    with Screen(env, "ssh") as screen:
        lines = screen.until("30 of 30 ")
        assert [line.strip().split(" ")[0] for line in lines[2:6]] == ["Recent", ">", "prod-web-20", "Running"]
        assert "> bastion" in lines[3]
        screen.press("\x1b", "Canceled")
    done = run_eicctl(env, "ssh", "-", "--", "echo there")
    assert (done.returncode, done.stdout) == (0, b"there\n")
    assert "Last target: bastion (i-" in done.stderr.decode()
    done = run_eicctl(env, "run", "--target", "-", "--target", "prod-web-1", "--dry-run")
    assert [line.split()[0] for line in done.stdout.decode().splitlines()[1:]] == ["bastion", "prod-web-1"]
    assert b"Host bastion.eic " in run_eicctl(env, "ssh-config", "-").stdout
    assert run_eicctl(env, "proxy", "-", "--linger", "20", stdin=b"").stdout.startswith(b"SSH-2.0-")
    done = run_eicctl(env | {"AWS_REGION": "eu-west-1"}, "ssh", "prod-user@-", "--print-command")
    assert (done.returncode, b"-l prod-user" in done.stdout, b"--region us-east-1" in done.stdout) == (0, True, True)
    file = next(Path(env["EICCTL_HOME"]).rglob("recent.jsonl"))
    assert file.stat().st_mode & 0o777 == 0o600
    assert env["AWS_SECRET_ACCESS_KEY"] not in file.read_text()
    assert run_eicctl(env, "recent", "--clear").returncode == 0
    assert recent(env) == []
    assert b"No recent target" in run_eicctl(env, "ssh", "-").stderr
    assert b"hint: aws rds describe-db-instances" in run_eicctl(env, "db", "-").stderr


@pytest.mark.parametrize("width", [80, 120])
def test_recent_is_a_table(env: Env, tmp_path: Path, width: int) -> None:
    assert run_eicctl(env, "ssh", "prod-web-25", "--", "true").returncode == 0
    with Shell(env, tmp_path, width) as shell:
        shown = shell.run("eicctl recent")
    assert shown.code == 0
    assert shown.lines[0].split() == ["Started", "Command", "Target", "User", "Duration", "Region", "Profile"]
    assert re.match(r"20\d\d-\d\d-\d\d \d\d:\d\d  ssh +prod-web-25  ec2-user  0:00:\d\d +us-east-1", shown.lines[1])
    assert not faults(shown.lines, width)


def test_a_recent_target_of_another_region_is_reached_there(env: Env) -> None:
    assert run_eicctl(env, "ssh", "bastion", "--", "true").returncode == 0
    elsewhere = env | {"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "eu-west-1"}
    with Screen(elsewhere, "ssh") as screen:
        screen.until(r"> bastion +i-[0-9a-f]{17} [^$]*1 of 1  t")
        screen.press("\r", r"[#$]$")
        screen.press("echo from $((6 * 7))\r", "from 42")
        screen.child.send("exit\r")
        assert screen.end() == 0


@pytest.mark.needs("tmux")
def test_in_tmux(env: Env, tmp_path: Path) -> None:
    with Screen(env, "-S", str(tmp_path / "s"), "-f", "/dev/null", "new", f"{PROGRAM} ssh", program="tmux") as screen:
        screen.until("30 of 30 ")
        assert screen.press("web-7", "> prod-web-7 ")[0] == "Select an instance: web-7"
        screen.child.send("\x1b")
        assert screen.end() == 0


LISTING = """
import pathlib, sys, time
from eicctl.view.picker import Canceled, Listing, Row, pick

HOSTILE = ["\\x1b[31mred\\x1b]0;t\\x07", "\\u202eltr", "a\\r\\nhint: rm -rf /", "\\x9b2J", "x" * 300, "\\u5bb6" * 300]
COLUMNS = (("Name", 0), ("ID", 0), ("Address", 1))

def rows(*names):
    return [Row(name, (name, f"id-{number}", "10.0.0.1"), "All") for number, name in enumerate(names)]

def refresh():
    while not pathlib.Path("go").exists():
        time.sleep(0.01)
    if pathlib.Path("go").read_text():
        raise OSError("no route\\x1b[2J")
    return rows(*(f"new-{number}" for number in range(5)), *names)

names = HOSTILE if sys.argv[1] == "hostile" else [f"old-{number}" for number in range(40)]
try:
    print(*map(ascii, pick(Listing("Select", COLUMNS, rows(*names), None if sys.argv[1] == "hostile" else refresh))))
except Canceled:
    print("nothing")
"""


def listing(env: Env, tmp_path: Path, kind: str, size: tuple[int, int]) -> Screen:
    (tmp_path / "listing.py").write_text(LISTING)
    return Screen(env, "listing.py", kind, program=sys.executable, size=size, cwd=tmp_path)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_hostile_names_do_nothing(env: Env, tmp_path: Path, size: tuple[int, int]) -> None:
    with listing(env, tmp_path, "hostile", size) as screen:
        lines = screen.until("6 of 6 ")
        assert len(lines) == 10
        assert lines[3].startswith(r"> \x1b[31mred")
        assert lines[4].startswith(r"  \u202eltr")
        assert lines[5].startswith(r"  a\r\nhint: rm")
        assert lines[6].startswith(r"  \x9b2J")
        assert all(re.search("x… +id-4|家… +id-5|id-[0-3]", line) for line in lines[3:9])
        screen.press("\x1b[B\r", "nothing|ltr")
        assert screen.lines == [r"'\u202eltr'"]


def test_a_refresh_does_not_move_the_chosen_row(env: Env, tmp_path: Path) -> None:
    with listing(env, tmp_path, "slow", (24, 80)) as screen:
        screen.until("40 of 40  refreshing")
        before = screen.press("\x1b[B" * 20, "> old-20 ")
        (tmp_path / "go").write_text("")
        after = screen.until("45 of 45 ")
        row = next(line for line in before if line.startswith(">"))
        assert before.index(row) == next(place for place, line in enumerate(after) if line.startswith("> old-20"))
        screen.press("\r", "'old-20'")
        assert screen.end() == 0


def test_a_refresh_that_fails_leaves_the_list(env: Env, tmp_path: Path) -> None:
    (tmp_path / "go").write_text("fail")
    with listing(env, tmp_path, "slow", (24, 80)) as screen:
        screen.until(r"Cannot refresh: no route\\x1b\[2J")
        screen.press("\r", "'old-0'")


def test_the_terminal_may_change_its_size(env: Env, tmp_path: Path) -> None:
    with listing(env, tmp_path, "slow", (24, 80)) as screen:
        screen.until("40 of 40 ")
        screen.resize(12, 40)
        lines = screen.until(r"old-6 [^$]*refreshing …")
        assert not [line for line in lines if len(line) >= 40]
        screen.resize(40, 120)
        screen.until(r"old-15 [^$]*refreshing …")
        screen.press("\x1b", "nothing")


def test_without_instances_it_says_so(env: Env) -> None:
    with Screen(env | {"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "eu-west-1"}, "ssh") as screen:
        screen.until("No instances in eu-west-1")
        screen.press("\r\x1b", "Canceled")
        assert screen.end() == 130


def test_an_error_is_reported_where_there_is_nothing_to_choose_from(env: Env) -> None:
    with Screen(env | {"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}, "ssh") as screen:
        screen.until("error: ")
        assert screen.end() == 5


def test_stdout_has_the_result_alone(env: Env, tmp_path: Path) -> None:
    command = f"{PROGRAM} show-endpoint --query State --output text > state.txt"
    with Screen(env, "-c", command, program="sh", cwd=tmp_path) as screen:
        screen.until("1 of 1 ")
        screen.child.send("\r")
        assert screen.end() == 0
    assert (tmp_path / "state.txt").read_text() == "create-complete\n"
