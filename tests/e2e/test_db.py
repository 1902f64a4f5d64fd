"""`eicctl db` and a real PostgreSQL behind the emulator's databases: through an instance, directly, and by IAM."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from eicctl.emulator.machines import sshd
from tests.e2e.conftest import Env, clean_env, local_world, run_eicctl
from tests.postgres import PASSWORD, Postgres, postgres
from tests.processes import running

pytestmark = pytest.mark.needs("psql", "initdb", "postgres")

WORLD = """
[[image]]
key = "al"
name = "al2023-ami-2023.9.20260301.0-kernel-6.1-x86_64"
users = ["ec2-user"]

[[vpc]]
cidr = "10.0.0.0/16"

[[vpc.subnet]]
name = "private"
cidr = "10.0.1.0/24"

[[vpc.group]]
name = "apps"
ingress = ["22 from 10.0.0.0/16"]

[[vpc.group]]
name = "others"
ingress = ["22 from 10.0.0.0/16"]

[[vpc.group]]
name = "database"
ingress = ["5432 from apps", "3389 from 10.0.0.0/16"]

[[vpc.instance]]
name = "another"
address = "10.0.1.9"
groups = ["others"]

[[vpc.instance]]
name = "web-1"
address = "10.0.1.10"
groups = ["apps"]

[[vpc.database]]
id = "orders"
address = "10.0.1.50"
groups = ["database"]
iam_auth = true
forward = "127.0.0.1:PORT"

[[vpc.database]]
id = "legacy"
port = 3389
address = "10.0.1.51"
groups = ["database"]
forward = "127.0.0.1:PORT"

[[vpc.database]]
id = "shop"
engine = "aurora-postgresql"
address = "10.0.1.60"
reader_address = "10.0.1.61"
groups = ["database"]
forward = "127.0.0.1:PORT"
"""

LEGACY_HOST = "legacy.aaaaaaaaaa.us-east-1.rds.amazonaws.com"


@pytest.fixture(scope="module")
def database() -> Iterator[Postgres]:
    with postgres() as running:
        running.execute("CREATE TABLE greeting AS SELECT 'hello' AS word")
        yield running


@pytest.fixture(scope="module")
def world(database: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Env]:
    """A local AWS whose databases are the real one."""
    folder = tmp_path_factory.mktemp("world")
    file = folder / "world.toml"
    file.write_text(WORLD.replace("PORT", str(database.port)))
    with local_world(clean_env(folder), "--world", str(file)) as found:
        yield found | {"PGPASSWORD": PASSWORD}


@contextlib.contextmanager
def serving(env: Env, *words: str) -> Iterator[subprocess.Popen[Any]]:
    """A command that serves until it is interrupted."""
    with running(*words, env=env, text=True) as process:
        yield process
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130


def ready(process: subprocess.Popen[Any]) -> dict[str, Any]:
    """What `--output json` says once clients can connect."""
    assert process.stdout
    assert process.stderr
    for line in process.stdout:
        event: dict[str, Any] = json.loads(line)
        if event["Event"] == "ready":
            return event
    pytest.fail(process.stderr.read())


def query(env: Env, command: str, sql: str) -> str:
    """Run the printed line with an SQL statement."""
    done = subprocess.run(
        ["/bin/sh", "-c", f'{command} -XAtqc "{sql}"'], env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("words", [["orders"], ["shop"], ["shop", "--reader"], ["orders", "--via", "another"]])
def test_the_printed_line_works_through_an_instance(world: Env, words: list[str]) -> None:
    with serving(world, "db", *words, "--local-port", "0", "--output", "json") as process:
        event = ready(process)
        assert (event["Host"], event["User"], event["Name"]) == ("127.0.0.1", "demo", "postgres")
        assert event["Url"] == f"postgresql://demo@127.0.0.1:{event['Port']}/postgres"
        assert ("cluster-ro-" in event["Command"]) == ("--reader" in words)
        assert query(world, event["Command"], "SELECT word FROM greeting") == "hello"


def test_what_people_see(world: Env) -> None:
    with serving(world, "db", "orders", "--local-port", "0") as process:
        assert process.stdout
        assert process.stderr
        why = process.stderr.readline()
        assert why.startswith("Using web-1 (i-")
        assert "allows TCP 5432 from sg-" in why
        said = [process.stdout.readline() for _ in range(4)]
        command = said[1].partition(":")[2].strip()
        assert query(world, command, "SELECT word FROM greeting") == "hello"
        assert said[0].startswith("Listening on 127.0.0.1:")
        assert "postgresql://demo@127.0.0.1:" in said[2]
        assert "host 127.0.0.1, port " in said[3]


def test_the_url_alone(world: Env) -> None:
    with serving(world, "db", "orders", "--local-port", "0", "--print-url") as process:
        assert process.stdout
        url = process.stdout.readline().strip()
        assert query(world, f"psql '{url}'", "SELECT word FROM greeting") == "hello"


def test_a_fresh_token_in_the_place_of_a_password(world: Env, database: Postgres) -> None:
    """PostgreSQL does not know IAM here: the token is made the user's password, and the printed line has to find it."""
    env = {name: value for name, value in world.items() if name != "PGPASSWORD"}
    with serving(
        env, "db", "orders", "--iam-auth", "--user", "app", "--local-port", "0", "--output", "json"
    ) as process:
        event = ready(process)
        file = Path(event["PasswordFile"])
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        first = file.read_text().splitlines()[0].replace("\\:", "\n")
        token = first.rpartition(":")[2].replace("\n", ":")
        assert "Action=connect" in token
        assert "DBUser=app" in token
        assert token not in event["Command"]
        database.execute(f"CREATE ROLE app LOGIN PASSWORD '{token}'")
        sql = "SELECT current_user, ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
        assert query(env, event["Command"], sql) == "app|t"
    assert not file.exists()
    alone = run_eicctl(env, "db", "orders", "--iam-auth", "--user", "app", "--print-password")
    assert alone.stdout.decode().startswith("orders.aaaaaaaaaa.us-east-1.rds.amazonaws.com:5432/?Action=connect")


def test_a_direct_way_without_a_name_that_resolves(world: Env) -> None:
    """Its name does not resolve here, and RDS has other addresses with the same groups, so it cannot be sure."""
    refused = run_eicctl(world, "db", "legacy", "--local-port", "0")
    assert refused.returncode == 3
    assert "Cannot resolve" in refused.stderr.decode()
    assert "10.0.1.51" in refused.stderr.decode()


@pytest.mark.skipif(not sshd.find_wrapper(), reason="libnss_wrapper is not installed")
@pytest.mark.parametrize("command", ["tunnel", "db"])
def test_the_line_of_the_aws_blog(world: Env, tmp_path: Path, command: str) -> None:
    """A host name as private address, port 3389 there and 3306 here; the name resolves as RDS's do, to a private
    address. `eicctl db` waits for the database's own answer first."""
    hosts = tmp_path / "hosts"
    hosts.write_text(f"127.0.0.1 localhost\n10.0.1.51 {LEGACY_HOST}\n")
    env = world | {"LD_PRELOAD": str(sshd.find_wrapper()), "NSS_WRAPPER_HOSTS": str(hosts)}
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = str(probe.getsockname()[1])
    words = (
        ["tunnel", "--private-ip-address", LEGACY_HOST, "--remote-port", "3389"]
        if command == "tunnel"
        else ["db", "legacy", "--wait"]
    )
    with serving(env, *words, "--local-port", port) as process:
        assert process.stdout
        assert f"127.0.0.1:{port}" in process.stdout.readline()
        line = f"psql 'host=127.0.0.1 port={port} user=demo dbname=postgres'"
        assert query(world, line, "SELECT word FROM greeting") == "hello"
