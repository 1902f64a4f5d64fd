"""The SQL of an audit by Athena: one statement, whatever the filters say; and where tables and log files are."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from fnmatch import fnmatchcase

import pytest
import sqlglot
from hypothesis import given
from hypothesis import strategies as st
from sqlglot import exp

from eicctl.audit.athena import load
from eicctl.audit.athena_setup import Location, location_of, parse_location, statements
from eicctl.audit.athena_sql import (
    COLUMNS,
    DEFAULT_TABLE,
    LAYOUT,
    Layout,
    Logs,
    Table,
    _sql_pattern,
    filters_of,
    layout_of,
    parse_table,
    query,
)
from eicctl.audit.filters import Choice
from eicctl.audit.store import EventStore
from eicctl.core.errors import UsageError
from tests.fuzzing import any_text, fuzz

SINCE, UNTIL = datetime(2026, 11, 2, 9, 0, 0, 1, tzinfo=UTC), datetime(2026, 11, 3, 9, tzinfo=UTC)


def sql_of(choice: Choice, layout: Layout = LAYOUT, logs: Logs | None = None) -> str:
    return query(DEFAULT_TABLE, layout, choice, logs or Logs())


@fuzz
@given(any_text, any_text, any_text, st.booleans())
def test_filters_are_literals_and_nothing_else(user: str, target: str, endpoint: str, denied: bool) -> None:
    choice = Choice(SINCE, UNTIL, user, target, endpoint, denied)
    sql = sql_of(choice)
    assert re.fullmatch(r"[\n -~]*", sql)
    assert ";" not in sql.partition("\n")[0]
    (statement,) = sqlglot.parse(sql, read="athena")
    plain = sql_of(Choice(SINCE, UNTIL, user and "u", target and "t", endpoint and "e", denied))
    assert shape(statement) == shape(sqlglot.parse_one(plain, read="athena"))
    assert filters_of(sql) == (choice, Logs())


def shape(statement: exp.Expr | None) -> str:
    """A statement without what its literals say."""
    assert statement
    for literal in statement.find_all(exp.Literal):
        literal.set("this", "x")
    return statement.sql(comments=False)


def like(pattern: str, text: str) -> bool:
    """SQL's LIKE with `!` as the escape character."""
    parts = re.findall(r"!.|.", pattern, re.DOTALL)
    found = "".join(".*" if part == "%" else "." if part == "_" else re.escape(part[-1]) for part in parts)
    return bool(re.fullmatch(found, text, re.DOTALL))


@fuzz
@given(st.text("ab*?[]!-%_'\\é", max_size=8), st.text("ab*?[]!-%_'\\", max_size=8))
def test_whatever_matches_in_python_matches_in_sql(pattern: str, text: str) -> None:
    if fnmatchcase(text.lower(), pattern.lower()):
        assert like(_sql_pattern(pattern), text.lower())
    if like(_sql_pattern(pattern), text.lower()) and not set(pattern) & set("[é"):
        assert fnmatchcase(text.lower(), pattern.lower())


@pytest.mark.parametrize(
    ("pattern", "found"),
    [("dev/*", "dev/%"), ("D?v", "d_v"), ("100%_!", "100!%!_!!"), ("[a-c]x", "_x"), ("[]x", "[]x"), ("[!]", "[!!]")],
)
def test_patterns(pattern: str, found: str) -> None:
    assert _sql_pattern(pattern) == found


def test_partitions_come_first() -> None:
    sql = sql_of(Choice(SINCE, UNTIL), logs=Logs(("111111111111",), ("us-east-1", "eu-west-1")))
    where = sql[sql.index("WHERE") :].splitlines()
    assert [line.strip() for line in where[:4]] == [
        "WHERE \"account\" IN ('111111111111')",
        "AND \"region\" IN ('us-east-1', 'eu-west-1')",
        "AND \"day\" >= '2026/11/02'",
        "AND \"day\" <= '2026/11/04'",
    ]
    assert "eventtime >= '2026-11-02T08:59:01Z'" in where[4]
    assert "eventtime <= '2026-11-03T09:00:10Z'" in where[4]


def test_times_are_those_of_utc() -> None:
    west = timezone(timedelta(hours=-9))
    here = sql_of(Choice(SINCE.astimezone(west), UNTIL.astimezone(west)))
    assert here.partition("\n")[2] == sql_of(Choice(SINCE, UNTIL)).partition("\n")[2]


def test_a_table_without_partitions_is_filtered_by_columns() -> None:
    sql = sql_of(Choice(SINCE, UNTIL), Layout(), Logs(("111111111111",), ("us-east-1",)))
    assert '"recipientaccountid" IN' in sql
    assert '"awsregion" IN' in sql
    assert '"day"' not in sql


DATE = {"projection.dt.type": "date", "projection.dt.format": "yyyy-MM-dd"}


@pytest.mark.parametrize(
    ("keys", "parameters", "layout"),
    [
        ((), {}, Layout()),
        (("account", "region", "day"), {}, Layout("account", "region")),
        (("Account_Id", "dt"), DATE, Layout("Account_Id", "", ("dt",), "%Y-%m-%d")),
        (("dt",), {**DATE, "projection.dt.format": "dd/MM/yyyy"}, Layout()),
        (("dt",), {**DATE, "projection.dt.format": "yyyy/MM/dd/HH"}, Layout()),
        (("region", "year", "month", "day"), {}, Layout("", "region", ("year", "month", "day"), "%Y%m%d")),
        (("accountid",), {"projection.accountid.type": "injected"}, Layout("accountid", needs_account=True)),
    ],
)
def test_layouts(keys: tuple[str, ...], parameters: dict[str, str], layout: Layout) -> None:
    assert layout_of(keys, parameters) == layout


def test_a_query_of_somebody_else_has_no_filters() -> None:
    for sql in ("SELECT 1", "-- eicctl audit", "-- eicctl audit {}\nSELECT 1", "-- eicctl audit [\nSELECT", ""):
        assert filters_of(sql) is None


def test_names_of_tables() -> None:
    assert parse_table("Db.My-Table") == Table("db", "my-table")
    assert parse_table("logs") == Table("default", "logs")
    for text in ("", ".", "a.b.c", "a b", 'a"', "a`", "a\n", "ä"):
        with pytest.raises(UsageError):
            parse_table(text)


@pytest.mark.parametrize(
    ("text", "location"),
    [
        ("s3://my-trail", "s3://my-trail/AWSLogs/"),
        ("s3://my-trail/a/b/", "s3://my-trail/a/b/AWSLogs/"),
        ("s3://my-trail/AWSLogs/123456789012/CloudTrail/us-east-1/2026/", "s3://my-trail/AWSLogs/"),
        ("s3://my-trail/x/AWSLogs/o-a1b2c3d4e5/123456789012", "s3://my-trail/x/AWSLogs/o-a1b2c3d4e5/"),
    ],
)
def test_locations(text: str, location: str) -> None:
    found = parse_location(text)
    assert str(found) == location
    create = sqlglot.parse_one(statements(found, DEFAULT_TABLE, Logs(("1",), ("r",)))[1], read="athena")
    properties = {
        each.this.name: each.args["value"].name for each in create.find_all(exp.Property) if "value" in each.args
    }
    assert location_of(properties) == found


@pytest.mark.parametrize(
    "text", ["my-trail", "s3://", "s3://A/", "s3://my-trail/it's", "s3://my-trail/${account}", "s3://x y/"]
)
def test_locations_that_are_none(text: str) -> None:
    with pytest.raises(UsageError):
        parse_location(text)
    assert location_of({"storage.location.template": text}) is None


def test_the_table_has_the_columns_of_the_query() -> None:
    create = sqlglot.parse_one(statements(Location("b", "p/"), DEFAULT_TABLE, Logs())[1], read="athena")
    names = {column.name for column in create.find_all(exp.ColumnDef)}
    assert {part for path in COLUMNS.values() for part in path.split(".")} <= names


def test_a_result_of_an_earlier_version_lacks_columns() -> None:
    row = {"eventname": "OpenTunnel", "eventtime": "2026-11-02T09:00:00Z", "eventid": "1"}
    with EventStore() as store:
        load([row, {}, {"eventname": "RunInstances", "item": "["}], store, Choice())
        assert [event.id for event in store.events()] == ["1"]
