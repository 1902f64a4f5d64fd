"""The options of `--athena`, which `audit` and `policy connect` share; what they do is in `cli/athena.py`.

`policy` imports this, and nothing of the audit before it is needed.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from eicctl.cli.options import combined
from eicctl.core.errors import UsageError

if TYPE_CHECKING:
    from eicctl.audit.athena_sql import Logs, Table


@dataclass(frozen=True, slots=True)
class Athena:
    """The options of a query.

    Attributes:
        table: The table of CloudTrail's logs.
        workgroup: The workgroup; empty for `primary`.
        output: Where in S3 results go; empty for the workgroup's location.
        logs: The accounts and regions.
        query_id: The execution to resume; empty to start a query.
        print_sql: Only print the query.
    """

    table: Table
    workgroup: str
    output: str
    logs: Logs
    query_id: str
    print_sql: bool


def athena_of(
    *,
    table: str | None = None,
    workgroup: str | None = None,
    output_location: str | None = None,
    log_account: tuple[str, ...] = (),
    log_region: tuple[str, ...] = (),
    query_id: str | None = None,
    print_sql: bool = False,
) -> Athena:
    """Return the options of a query.

    Raises:
        UsageError: One is invalid.
    """
    from eicctl.audit.athena_sql import DEFAULT_TABLE, parse_table

    return Athena(
        parse_table(table) if table else DEFAULT_TABLE,
        workgroup or "",
        _checked_output(output_location or ""),
        _checked_logs(log_account, log_region),
        query_id or "",
        print_sql,
    )


def _checked_output(text: str) -> str:
    if text and not text.removeprefix("s3://").partition("/")[0]:
        raise UsageError(f"{text} has no bucket name", hint="s3://BUCKET/PREFIX/")
    if text and not text.startswith("s3://"):
        raise UsageError(f"Invalid --output-location {text!r}", hint="s3://BUCKET/PREFIX/")
    return text


def _checked_logs(accounts: tuple[str, ...], regions: tuple[str, ...]) -> Logs:
    from eicctl.audit.athena_setup import REGION
    from eicctl.audit.athena_sql import Logs

    for option, values, form in (("account", accounts, r"[0-9]{12}"), ("region", regions, REGION)):
        for value in values:
            if not re.fullmatch(form, value, re.ASCII):
                raise UsageError(f"Invalid --log-{option} {value!r}", hint="123456789012, and us-east-1")
    return Logs(accounts, regions)


_OPTIONS = (
    click.option("--athena", is_flag=True, help="Query a trail's log files with Amazon Athena, in the AWS account."),
    click.option(
        "--table",
        metavar="DATABASE.TABLE",
        help="With --athena: the table of CloudTrail's logs; default: eicctl.cloudtrail_logs.",
    ),
    click.option("--workgroup", metavar="NAME", help="With --athena: the workgroup; default: primary."),
    click.option(
        "--output-location",
        metavar="s3://BUCKET/PREFIX/",
        help="With --athena: where results go; default: the workgroup's location.",
    ),
    click.option("--log-account", multiple=True, metavar="ID", help="With --athena: only this account; repeatable."),
    click.option("--log-region", multiple=True, metavar="REGION", help="With --athena: only this region; repeatable."),
    click.option("--query-id", metavar="ID", help="With --athena: read the result of a query that was interrupted."),
    click.option("--print-sql", is_flag=True, help="With --athena: print the query, and run nothing."),
)

NAMES: dict[str, str] = {
    "athena": "--athena",
    "table": "--table",
    "workgroup": "--workgroup",
    "output_location": "--output-location",
    "log_account": "--log-account",
    "log_region": "--log-region",
    "query_id": "--query-id",
    "print_sql": "--print-sql",
}
"""The parameters, and the options."""


def athena_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of a query; the command takes them as `athena`, which is None without any of them."""

    @functools.wraps(function)
    def wrapper(*args: Any, **given: Any) -> Any:
        values = {name: given.pop(name) for name in NAMES}
        found = None
        if any(values.values()):
            values.pop("athena")
            found = athena_of(**values)
        return function(*args, athena=found, **given)

    return combined(*_OPTIONS)(wrapper)
