"""Ready lines for database clients."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from eicctl.view.database import LocalDatabase

HOST = "orders.abc.us-east-1.rds.amazonaws.com"
POSTGRES = LocalDatabase("postgres", HOST, 5432, "127.0.0.1", 15432, "demo", "app")


def test_psql_checks_the_certificate_of_the_database_and_connects_to_the_local_port() -> None:
    assert shlex.split(POSTGRES.command) == [
        "psql", f"host={HOST} hostaddr=127.0.0.1 port=15432 user=demo dbname=app",
    ]  # fmt: skip
    assert POSTGRES.url == "postgresql://demo@127.0.0.1:15432/app"
    assert POSTGRES.fields() == "host 127.0.0.1, port 15432, user demo, database app"


def test_names_that_need_quotes() -> None:
    odd = replace(POSTGRES, user="it's me; rm -rf", name="a b")
    (_, conninfo) = shlex.split(odd.command)
    assert "user='it\\'s me; rm -rf' dbname='a b'" in conninfo
    assert odd.url == "postgresql://it%27s%20me%3B%20rm%20-rf@127.0.0.1:15432/a%20b"


def test_a_token_is_in_a_file() -> None:
    with_token = replace(POSTGRES, password_file=Path("/run/a folder/pgpass"))
    words = shlex.split(with_token.command)
    assert words[:2] == ["PGPASSFILE=/run/a folder/pgpass", "psql"]
    assert "sslmode=require" in words[2]
    mysql = replace(with_token, engine="aurora-mysql")
    assert shlex.split(mysql.command) == [
        "mysql", "--defaults-extra-file=/run/a folder/pgpass", "--ssl-mode=REQUIRED", "--host=127.0.0.1",
        "--port=15432", "--user=demo", "app",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("engine", "port", "url", "first"),
    [
        ("aurora-postgresql", 5432, "postgresql://", "psql"),
        ("aurora-mysql", 3306, "mysql://", "mysql"),
        ("mariadb", 3306, "mysql://", "mysql"),
        ("sqlserver-ex", 1433, "sqlserver://", "sqlcmd"),
        ("oracle-se2", 1521, "oracle://", "sqlplus"),
        ("docdb", 27017, "mongodb://", "mongosh"),
        ("neptune", 8182, "tcp://", ""),
        ("", 5432, "postgresql://", "psql"),
        ("", 6379, "redis://", "redis-cli"),
        ("", 3389, "tcp://", ""),
        ("", 4711, "tcp://", ""),
    ],
)
def test_kinds(engine: str, port: int, url: str, first: str) -> None:
    local = LocalDatabase(engine, HOST, port, "127.0.0.1", 4000, "me")
    assert local.url.startswith(url)
    assert local.command.partition(" ")[0] == first


def test_an_ipv6_address() -> None:
    assert "@//[::1]:15432/app" in replace(POSTGRES, engine="oracle-se2", address="::1").command
    assert replace(POSTGRES, address="::1").url == "postgresql://demo@[::1]:15432/app"
