"""`eicctl audit --athena` against the emulator, which runs the SQL: the same answers as from the log files."""

from __future__ import annotations

import gzip
import json
import os
import random
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from benchmarks.audit import records as benchmark_records

from eicctl.audit.athena_setup import Location, statements
from eicctl.audit.athena_sql import Logs, Table
from eicctl.emulator.server import Emulator
from tests.athena_logs import ACCOUNT, BUCKET, OTHER_ENDPOINT, hostile_records, store
from tests.integration.conftest import Ran
from tests.integration.test_emulator_policies import user_with
from tests.trail_records import ENDPOINT, START, Record, key, tunnel
from tests.waiting import wait_for

Eicctl = Callable[..., Ran]

RESULTS = "s3://results/audit/"
ALL = ("--since", "2026-11-01")
DAY = timedelta(days=1)


@pytest.fixture
def trail(emulator: Emulator) -> Any:
    """The buckets of a trail and of results."""
    s3 = boto3.client("s3")
    for bucket in (BUCKET, "results"):
        s3.create_bucket(Bucket=bucket)
    return s3


def set_up(eicctl: Eicctl, location: str = f"s3://{BUCKET}/", *words: str) -> None:
    done = eicctl("audit", "--athena-setup", location, "--execute", "--output-location", RESULTS, *words)
    assert done.code == 0, done.err


def ran(eicctl: Eicctl, *words: str) -> Ran:
    return eicctl("audit", "--athena", "--output-location", RESULTS, *words)


def queried(eicctl: Eicctl, *words: str) -> list[dict[str, Any]]:
    done = ran(eicctl, "--output", "json", *words)
    assert done.code == 0, done.err
    found: list[dict[str, Any]] = json.loads(done.out)
    return found


def from_files(eicctl: Eicctl, *words: str, path: str = f"s3://{BUCKET}/") -> list[dict[str, Any]]:
    done = eicctl("audit", "--from", path, "--output", "json", *words)
    assert done.code == 0, done.err
    found: list[dict[str, Any]] = json.loads(done.out)
    return found


FILTERS: dict[str, tuple[str, ...]] = {
    "--since": ("2026-11-02T08:00:00Z", "2026-11-03T10:06:40Z", "2026-11-04T00:00:00Z"),
    "--until": ("2026-11-02T10:07:00Z", "2026-11-03T10:06:30Z", "2026-11-05"),
    "--user": (
        *("dev/*", "DEV/ANN", "o'brien", "x' OR '1'='1", 'a"b; DROP TABLE x --', "%", "_", "under?score", "JÜRGEN"),
        *("i*stanbul", "i?stanbul", "k*", "dev/[[]x]", "[do][!q]*", "[", "*\\*", "new\nline", "unknown", "root"),
        *("ASIADEV", "arn:aws:*:assumed-role/ops/*", "backup*", "lost", "🦀", "*deep", "IAMUser", "*" + "a" * 50),
        "' UNION SELECT 1 --",
    ),
    "--target": (
        *("i-0db", "I-0*", 'web\'s "1"', "old-1", "twin", "nobody-came", "grün*", "10.0.1.10", "10.0.1.1?", "%"),
        *("10.0.1.10' OR 1=1 --", "7", "12", "[wn]e*"),
    ),
    "--endpoint": (ENDPOINT, OTHER_ENDPOINT.upper(), "*a1", "eice-_"),
}


@pytest.mark.timeout(300)
def test_the_answers_to_a_filter_are_those_of_the_log_files(trail: Any, eicctl: Eicctl) -> None:
    store(hostile_records())
    set_up(eicctl)
    assert len(queried(eicctl, *ALL)) > 80
    seen, every = 0, 1 if os.environ.get("EICCTL_FUZZ") else 2  # a query takes half a second
    for option, values in FILTERS.items():
        for value in values[::every]:
            words = (option, value) if option == "--since" else (*ALL, option, value)
            found = queried(eicctl, *words)
            assert found == from_files(eicctl, *words), words
            seen += bool(found)
    denied = queried(eicctl, *ALL, "--denied")
    assert denied == from_files(eicctl, *ALL, "--denied")
    assert len(denied) > 20
    assert seen > 35 // every


def test_the_answers_to_several_filters_are_those_of_the_log_files(trail: Any, eicctl: Eicctl) -> None:
    store(hostile_records())
    set_up(eicctl)
    wanted = os.environ.get("EICCTL_FUZZ")
    chance, seen = random.Random(None if wanted else 7), 0
    for _ in range(int(wanted or 10)):
        words = list(ALL)
        for option in ("--user", "--target", "--endpoint", "--until"):
            if chance.random() < 0.45:
                words += [option, chance.choice(FILTERS[option])]
        if chance.random() < 0.4:
            words[1] = chance.choice(FILTERS["--since"])
        words += ["--denied"] if chance.random() < 0.3 else []
        if "--until" in words and words[words.index("--until") + 1] <= words[1]:
            continue
        found = queried(eicctl, *words)
        assert found == from_files(eicctl, *words), words
        seen += bool(found)
    assert seen > 2


def test_only_the_partitions_of_the_period_are_scanned(trail: Any, eicctl: Eicctl) -> None:
    keys = store(tunnel(START + number * DAY) for number in range(10))
    sizes = [trail.head_object(Bucket=BUCKET, Key=each)["ContentLength"] for each in keys]
    set_up(eicctl)
    done = ran(eicctl, "--since", "2026-11-04T12:00Z", "--until", "2026-11-06T12:00Z", "--output", "csv")
    assert len(done.out.splitlines()) == 3
    # Of the 4th to the 7th: what is delivered a day late counts.
    assert f"scanned {sum(sizes[2:6]) / 1024:.1f} KB, less than 0.01 USD" in done.err
    late = tunnel(START + 3 * DAY, who="dev/late")
    store([late], delay=timedelta(hours=23))
    found = queried(eicctl, "--since", "2026-11-04T12:00Z", "--until", "2026-11-05T12:00Z")
    assert {row["Principal"] for row in found} == {"dev/ann", "dev/late"}


def test_accounts_and_regions_of_an_organization(trail: Any, eicctl: Eicctl) -> None:
    accounts = ("111111111111", "222222222222")
    for account in accounts:
        regions = ("us-east-1", "eu-west-1")
        records = [tunnel(START, who=f"dev/{account}", awsRegion=region) for region in regions]
        store(records, prefix="logs/", folder="AWSLogs/o-abcdefghij", account=account)
    set_up(eicctl, f"s3://{BUCKET}/logs")
    assert len(queried(eicctl, *ALL)) == 4
    one = queried(eicctl, *ALL, "--log-account", accounts[0], "--log-region", "eu-west-1")
    path = f"s3://{BUCKET}/logs/AWSLogs/o-abcdefghij/{accounts[0]}/CloudTrail/eu-west-1/"
    assert one == from_files(eicctl, *ALL, path=path)
    assert len(one) == 1
    store([tunnel(START)], prefix="logs/", folder="AWSLogs/o-abcdefghij", account="333333333333")
    store([tunnel(START, awsRegion="il-central-1")], prefix="logs/", folder="AWSLogs/o-abcdefghij", account=accounts[0])
    done = ran(eicctl, *ALL, "--output", "json")
    assert len(json.loads(done.out)) == 4
    assert "note: eicctl.cloudtrail_logs does not have these accounts of the trail: 333333333333\n" in done.err
    assert "note: eicctl.cloudtrail_logs does not have these regions of the trail: il-central-1\n" in done.err
    add = (
        f"eicctl audit --athena-setup s3://{BUCKET}/logs/AWSLogs/o-abcdefghij/ --table eicctl.cloudtrail_logs --execute"
    )
    assert f"{add} --region us-east-1\n" in done.err
    set_up(eicctl, f"s3://{BUCKET}/logs/AWSLogs/o-abcdefghij/{accounts[0]}/CloudTrail/")  # again
    assert len(queried(eicctl, *ALL)) == 6


def test_a_table_of_another_trail_stays_as_it_is(trail: Any, eicctl: Eicctl) -> None:
    store([tunnel(START)])
    store([tunnel(START)], prefix="other/")
    set_up(eicctl)
    done = eicctl("audit", "--athena-setup", f"s3://{BUCKET}/other/", "--execute", "--output-location", RESULTS)
    assert done.code == 6
    assert f"eicctl.cloudtrail_logs exists, with the log files of s3://{BUCKET}/AWSLogs/" in done.err
    assert "--table eicctl.OTHER" in done.err
    set_up(eicctl, f"s3://{BUCKET}/other/", "--table", "Audit.Other-Trail")
    assert len(queried(eicctl, *ALL, "--table", "audit.other-trail")) == 1


def test_statements_are_printed_without_aws(home: Path, eicctl: Eicctl, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    words = ("--log-account", "123456789012", "--log-region", "us-east-1")
    done = eicctl("audit", "--athena-setup", "s3://my-trail/p/AWSLogs/o-abcdefghij/", *words)
    assert done.code == 0, done.err
    assert "'s3://my-trail/p/AWSLogs/o-abcdefghij/${account}/CloudTrail/${region}/${day}'" in done.out
    done = eicctl("audit", "--athena", "--print-sql", "--user", "o'brien\n; DROP", "--since", "7d", *words)
    assert done.code == 0, done.err
    assert "LIKE 'o''brien_; drop' ESCAPE" in done.out
    done = eicctl("policy", "connect", "--from-audit", "--athena", "--print-sql", "--user", "ann")
    assert (done.code, done.out.count("LIKE 'ann'")) == (0, 6), done.err


def test_no_log_files_to_set_up(trail: Any, eicctl: Eicctl) -> None:
    assert eicctl("audit", "--athena-setup", f"s3://{BUCKET}/").code == 3
    store([tunnel(START)], folder="AWSLogs/o-abcdefghij")
    store([tunnel(START)])
    done = eicctl("audit", "--athena-setup", f"s3://{BUCKET}/")
    assert done.code == 2
    assert f"eicctl audit --athena-setup s3://{BUCKET}/AWSLogs/o-abcdefghij/" in done.err


def by_hand(statement: str) -> str:
    """Run a statement of one's own."""
    athena = boto3.client("athena")
    query_id = athena.start_query_execution(QueryString=statement, ResultConfiguration={"OutputLocation": RESULTS})[
        "QueryExecutionId"
    ]
    wait_for(lambda: state_of(query_id)["State"] not in ("QUEUED", "RUNNING"), "the end of the statement")
    return query_id


def state_of(query_id: str) -> dict[str, Any]:
    found: Any = boto3.client("athena").get_query_execution(QueryExecutionId=query_id)
    return dict(found["QueryExecution"]["Status"])


TABLES = {
    "day": (
        "`timestamp` string",
        {
            "projection.timestamp.type": "date",
            "projection.timestamp.format": "yyyy/MM/dd",
            "projection.timestamp.range": "2020/01/01,NOW",
            "storage.location.template": f"s3://{BUCKET}/AWSLogs/{ACCOUNT}/CloudTrail/us-east-1/${{timestamp}}",
        },
    ),
    "parts": (
        "region string, year string, month string, day string",
        {
            "storage.location.template": f"s3://{BUCKET}/AWSLogs/{ACCOUNT}/CloudTrail/${{region}}/${{year}}/${{month}}/${{day}}"
        },
    ),
    "plain": ("", {}),
}
"""Tables as AWS's documentation has them: partition keys, and properties."""


@pytest.mark.parametrize("name", TABLES)
def test_tables_of_other_forms(trail: Any, eicctl: Eicctl, name: str) -> None:
    keys = store([tunnel(START), tunnel(START + 5 * DAY), tunnel(START + 5 * DAY, awsRegion="eu-west-1")])
    parts, properties = TABLES[name]
    location = Location(BUCKET, "AWSLogs/")
    create = statements(location, Table("default", name), Logs())[1]
    create, _, _ = create.partition("TBLPROPERTIES")
    listed = ", ".join(f"'{key}' = '{value}'" for key, value in {"projection.enabled": "true", **properties}.items())
    partitioned = re.sub(r"PARTITIONED BY .*\n", f"PARTITIONED BY ({parts})\n" if parts else "", create)
    assert state_of(by_hand(f"{partitioned} TBLPROPERTIES ({listed})"))["State"] == "SUCCEEDED"
    words = ("--since", "2026-11-06", "--until", "2026-11-09", "--log-region", "us-east-1")
    done = ran(eicctl, "--table", name, "--output", "json", *words)
    assert done.code == 0, done.err
    (row,) = json.loads(done.out)
    assert row["EventTime"] == "2026-11-07T09:00:00Z"
    sizes = [trail.head_object(Bucket=BUCKET, Key=each)["ContentLength"] for each in keys]
    scanned = {"day": sizes[1], "parts": sizes[1], "plain": sum(sizes)}[name]
    assert f"scanned {scanned} bytes" in done.err if scanned < 1024 else f"scanned {scanned / 1024:.1f} KB" in done.err
    assert ("has no partitions by day" in done.err) is (name == "plain")


def test_the_result_is_read_by_pages_where_its_object_cannot_be_read(trail: Any, eicctl: Eicctl) -> None:
    store(tunnel(START + timedelta(seconds=number)) for number in range(1_500))
    set_up(eicctl)
    query_id = by_hand(eicctl("audit", "--athena", "--print-sql", *ALL).out)
    trail.delete_object(Bucket="results", Key=f"audit/{query_id}.csv")
    found = queried(eicctl, "--query-id", query_id)
    assert len(found) == 1_500
    assert found == from_files(eicctl, *ALL)


def test_a_query_is_resumed_with_its_filters(trail: Any, eicctl: Eicctl, tmp_path: Path) -> None:
    store([tunnel(START), tunnel(START, who="ops/eve", error="AccessDenied"), tunnel(START + DAY, who="ops/eve")])
    set_up(eicctl)
    query_id = by_hand(eicctl("audit", "--athena", "--print-sql", *ALL, "--user", "ops/*", "--denied").out)
    store([tunnel(START, who="ops/new", error="AccessDenied")])  # is not in the result
    (row,) = queried(eicctl, "--query-id", query_id)
    assert (row["Principal"], row["Outcome"]) == ("ops/eve", "denied")
    done = eicctl("audit", "--query-id", query_id, "--report", str(tmp_path / "report.html"))
    assert "wrote" in done.err
    assert "user ops/*, refused calls only" in (tmp_path / "report.html").read_text()
    done = ran(eicctl, "--query-id", query_id, "--user", "dev/*")
    assert done.code == 2
    assert "--query-id and --user cannot be combined" in done.err
    assert f"hint: eicctl audit --athena --output-location {RESULTS} --query-id {query_id} --region" in done.err
    done = eicctl("policy", "connect", "--from-audit", "--athena", "--query-id", query_id, "--since", "7d", "--diff")
    assert f"hint: eicctl policy connect --from-audit --athena --query-id {query_id} --diff --region" in done.err
    done = ran(eicctl, "--query-id", by_hand("SELECT 1"))
    assert done.code == 2
    assert "is not one of eicctl audit" in done.err
    assert ran(eicctl, "--query-id", "0f0f0f0f-0000-0000-0000-000000000000").code == 3
    assert ran(eicctl, "--query-id", "no such; id").code == 2


def test_the_least_policy_by_athena(trail: Any, eicctl: Eicctl) -> None:
    store([key(START, "i-0db"), tunnel(START, duration="600"), tunnel(START, "10.0.1.11", who="ops/eve")])
    set_up(eicctl)
    words = ("policy", "connect", "--from-audit", "--since", "2026-11-01", "--user", "*/ann")
    by_files = eicctl(*words, "--from", f"s3://{BUCKET}/")
    by_query = eicctl(*words, "--athena", "--output-location", RESULTS)
    assert by_query.code == 0, by_query.err
    assert json.loads(by_query.out) == json.loads(by_files.out)
    assert "role dev: tunnels: 1, pushed keys: 1" in by_query.err


def test_many_records(trail: Any, eicctl: Eicctl) -> None:
    """Of a log as that of the benchmark, one in twenty matches; `python -m benchmarks.athena` has a million."""
    found: list[Record] = [dict(one) for one in benchmark_records(6_000, 20)]
    store(found, minutes=24 * 60)
    set_up(eicctl)
    for words in (("--since", "2026-08-31"), ("--since", "2026-09-10", "--until", "2026-10-01", "--user", "*/user-1*")):
        rows = queried(eicctl, *words)
        assert rows == from_files(eicctl, *words)
        assert len(rows) > 15


# What goes wrong


def test_a_table_that_is_missing(trail: Any, eicctl: Eicctl) -> None:
    done = ran(eicctl, *ALL)
    assert done.code == 3
    assert "error: Athena has no table eicctl.cloudtrail_logs in us-east-1\n" in done.err
    setup = "eicctl audit --athena-setup s3://BUCKET/PREFIX --table eicctl.cloudtrail_logs --region us-east-1"
    assert f"hint: {setup}\n" in done.err


@pytest.mark.parametrize("table", ["a.b.c", "x'; DROP TABLE y --", 'a"b', "a b", "", "db.", ".t", "`t`", "t\n", "ü"])
def test_invalid_names_of_tables(trail: Any, eicctl: Eicctl, table: str) -> None:
    done = ran(eicctl, "--table", table)
    assert done.code == 2 if table else done.code == 3
    if table:
        assert "Invalid --table" in done.err


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--from", "x"), "--athena and --from"),
        (("--follow",), "--athena and --follow"),
        (("--all-regions",), "--athena and --all-regions"),
        (("--log-account", "1' OR '1'='1"), "Invalid --log-account"),
        (("--log-region", "us-east-1'"), "Invalid --log-region"),
        (("--output-location", "results"), "Invalid --output-location"),
        (("--output-location", "s3://"), "bucket"),
        (("--execute",), "--athena-setup"),
        (("--athena-setup", "trail"), "Invalid location"),
        (("--athena-setup", "s3://trail/it's"), "Invalid location"),
        (("--athena-setup", "s3://trail", "--denied"), "--athena-setup and --denied"),
        (("--athena-setup", "s3://trail", "--print-sql"), "--athena-setup and --print-sql"),
    ],
)
def test_words_that_do_not_fit(trail: Any, eicctl: Eicctl, words: tuple[str, ...], why: str) -> None:
    done = eicctl("audit", "--athena", *words)
    assert done.code == 2
    assert why in done.err


@pytest.mark.parametrize(
    ("words", "why", "hint"),
    [
        (
            ("--from", "x", "--profile", "o*", "--denied"),
            "--from takes one --profile",
            "--from x --denied --profile own",
        ),
        (("--athena", "--profile", "own", "--profile", "o*"), "--athena takes one --profile", "--athena --profile own"),
        (("--athena-setup", "s3://b", "--profile=o*"), "--athena-setup takes", "--athena-setup s3://b --profile own"),
        (
            ("--athena", "--accounts", f"{ACCOUNT},222233334444", "--role", "R", "--since", "7d"),
            "--athena and --accounts cannot be combined",
            f"--athena --since 7d --log-account {ACCOUNT} --log-account 222233334444",
        ),
        (("--from", "x", "--accounts", "all", "--role", "R"), "--from and --accounts", "--from x"),
        (("--athena", "--profile", "none-*"), 'No AWS profile matches "none-*"', ""),
    ],
)
def test_several_accounts_are_those_of_the_log_files(
    home: Path, eicctl: Eicctl, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], why: str, hint: str
) -> None:
    (home / "config").write_text("[profile own]\nregion = us-east-1\n[profile other]\nregion = us-east-1\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(home / "config"))
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    done = eicctl("audit", *words)
    assert (done.code, why in done.err) == (2, True), done.err
    assert not hint or f"hint: eicctl audit {hint} --region us-east-1\n" in done.err.replace("other", "own")


def test_no_place_for_results(trail: Any, eicctl: Eicctl) -> None:
    store([tunnel(START)])
    set_up(eicctl)
    done = eicctl("audit", "--athena", *ALL)
    assert done.code == 2
    assert "error: The Athena workgroup primary has no location for query results\n" in done.err
    again = "--since 2026-11-01 --output-location s3://BUCKET/PREFIX/ --region us-east-1"
    assert f"hint: eicctl audit --athena {again}\n" in done.err
    done = eicctl("audit", "--athena-setup", "s3://trail", "--execute")
    assert "hint: eicctl audit --athena-setup s3://trail --execute --output-location s3://BUCKET/PREFIX/" in done.err
    done = eicctl("audit", "--athena", "--output-location", "s3://no-such-bucket/", *ALL)
    assert done.code == 6
    assert "Unable to verify/create output bucket no-such-bucket" in done.err
    assert "hint: aws s3api get-bucket-location --bucket no-such-bucket\n" in done.err
    done = ran(eicctl, "--workgroup", "nobody", *ALL)
    assert done.code == 3
    assert "No Athena workgroup named 'nobody' in us-east-1" in done.err
    assert "hint: aws athena list-work-groups --region us-east-1\n" in done.err
    boto3.client("athena").create_work_group(
        Name="auditors", Configuration={"ResultConfiguration": {"OutputLocation": RESULTS}}
    )
    done = eicctl("audit", "--athena", "--workgroup", "auditors", "--output", "csv", *ALL)
    assert done.code == 0, done.err
    assert len(done.out.splitlines()) == 2


def test_a_damaged_file_fails_the_query(trail: Any, eicctl: Eicctl) -> None:
    """Log files that are read here give the records before the damage; Athena gives none."""
    (path,) = store(tunnel(START + timedelta(seconds=number)) for number in range(300))
    body = trail.get_object(Bucket=BUCKET, Key=path)["Body"].read()
    set_up(eicctl)
    for damaged in (body[:-100], b"no gzip", gzip.compress(b'{"Records": [')):
        trail.put_object(Bucket=BUCKET, Key=path, Body=damaged)
        done = ran(eicctl, *ALL)
        assert done.code == 6
        assert "HIVE_CURSOR_ERROR" in done.err
        assert f"hint: eicctl audit --from s3://{BUCKET}/{path} --region us-east-1\n" in done.err
    assert len(queried(eicctl, "--since", "2026-11-20")) == 0  # not of that day


def test_missing_permissions(trail: Any, eicctl: Eicctl, monkeypatch: pytest.MonkeyPatch) -> None:
    store([tunnel(START)])
    set_up(eicctl)
    steps: list[tuple[list[str], int, str]] = [
        (["ec2:Describe*"], 4, "hint: Missing IAM permission: athena:StartQueryExecution"),
        (["athena:StartQueryExecution"], 4, "hint: Missing IAM permission: athena:GetQueryExecution"),
        (
            ["athena:StartQueryExecution", "athena:GetQueryExecution"],
            4,
            f"Permission denied on S3 path: s3://{BUCKET}/",
        ),
        (["athena:*", "s3:GetObject"], 0, "cannot read the partition keys of eicctl.cloudtrail_logs (glue:GetTable)"),
        (["athena:*", "s3:GetObject", "glue:GetTable"], 0, "rows: 1"),
    ]
    for number, (actions, code, text) in enumerate(steps):
        keys = user_with(f"ann{number}", {"Effect": "Allow", "Action": actions, "Resource": "*"})
        with monkeypatch.context() as patch:
            for name, value in keys.items():
                patch.setenv(name.upper(), value)
            done = ran(eicctl, *ALL)
            assert (done.code, text in done.err) == (code, True), done.err
            secret = ran(eicctl, *ALL, "--debug")
            assert keys["aws_secret_access_key"] not in secret.err + secret.out


def test_a_table_that_is_not_of_cloudtrail(trail: Any, eicctl: Eicctl) -> None:
    by_hand(f"CREATE EXTERNAL TABLE other (eventname string, a int) LOCATION 's3://{BUCKET}/'")
    done = ran(eicctl, "--table", "other")
    assert done.code == 6
    assert "COLUMN_NOT_FOUND" in done.err
    assert "hint: eicctl audit --athena-setup s3://BUCKET/PREFIX --table DATABASE.OTHER" in done.err


def test_a_query_that_somebody_stops(trail: Any, emulator: Emulator, eicctl: Eicctl) -> None:
    store([tunnel(START)])
    set_up(eicctl)
    emulator.state.behave(athena_seconds=60.0)
    athena = boto3.client("athena")
    query_id = athena.start_query_execution(
        QueryString=eicctl("audit", "--athena", "--print-sql", *ALL).out,
        ResultConfiguration={"OutputLocation": RESULTS},
    )["QueryExecutionId"]
    athena.stop_query_execution(QueryExecutionId=query_id)
    done = ran(eicctl, "--query-id", query_id)
    assert done.code == 6
    assert f"Athena's query {query_id} was canceled: Query cancelled by user" in done.err
