"""The options of `--athena`, which `audit` and `policy connect` share; what they do is in `cli/athena.py`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click

from eicctl.cli.options import combined

_OPTIONS = (
    click.option("--athena", is_flag=True, help="Query a trail's log files with Amazon Athena, in the AWS account."),
    click.option(
        "--table",
        metavar="DATABASE.TABLE",
        help="Of --athena: the table of CloudTrail's logs; default: eicctl.cloudtrail_logs.",
    ),
    click.option("--workgroup", metavar="NAME", help="Of --athena: the workgroup; default: primary."),
    click.option(
        "--output-location",
        metavar="s3://BUCKET/PREFIX/",
        help="Of --athena: where results go; default: the workgroup's location.",
    ),
    click.option("--log-account", multiple=True, metavar="ID", help="Of --athena: only this account; repeatable."),
    click.option("--log-region", multiple=True, metavar="REGION", help="Of --athena: only this region; repeatable."),
    click.option("--query-id", metavar="ID", help="Of --athena: read the result of a query that was interrupted."),
    click.option("--print-sql", is_flag=True, help="Of --athena: print the query, and run nothing."),
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
            from eicctl.cli.athena import athena_of

            values.pop("athena")
            found = athena_of(**values)
        return function(*args, athena=found, **given)

    return combined(*_OPTIONS)(wrapper)
