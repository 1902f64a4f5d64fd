"""Results on stdout: a table for people, JSON, or tab-separated text."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import click

from eicctl.core import sanitize as foreign
from eicctl.core.errors import UsageError

Row = Mapping[str, Any]


def show(result: Row | Sequence[Row], *, output: str, query: str | None, columns: Mapping[str, str]) -> None:
    """Write a result to stdout.

    Args:
        result: One object or a list of them, with AWS's names as keys.
        output: `table`, `json` or `text`.
        query: JMESPath expression on the JSON form, or None.
        columns: Headings of the table and the keys that they show. An object is shown with all its keys.
    """
    shown: Any = result
    if query:
        shown = _queried(result, query)
    if output == "json":
        click.echo(foreign.json_text(shown, indent=2, default=_plain))
    elif output == "text":
        for line in _text(shown):
            click.echo(line)
    elif query:
        _table(shown, {})
    else:
        _table(shown, columns)


def _queried(result: Any, query: str) -> Any:
    import jmespath
    from jmespath.exceptions import JMESPathError

    try:
        # Through JSON, so that a query sees the same values as the output shows.
        return jmespath.search(query, json.loads(json.dumps(result, default=_plain)))
    except JMESPathError as error:
        raise UsageError(f"--query is not a JMESPath expression: {error}".splitlines()[0]) from error


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        if value.keys() == {"Key", "Value"}:
            return f"{value['Key']}={value['Value']}"
        return ", ".join(f"{key}={_cell(item)}" for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(_cell(item) for item in value)
    if isinstance(value, datetime):
        return value.astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")
    return str(value)


def _text(value: Any) -> list[str]:
    """Lines as the AWS CLI's text: a row a line, its values separated by tabs."""
    if isinstance(value, Mapping):
        return ["\t".join(_one_line(item) for item in value.values())]
    if isinstance(value, (list, tuple)):
        if not any(isinstance(item, (list, tuple, Mapping)) for item in value):
            return ["\t".join(_one_line(item) for item in value)] if value else []
        return [line for item in value for line in _text(item)]
    return [_one_line(value)]


def _one_line(value: Any) -> str:
    return foreign.line(_cell(value))


def _table(value: Any, columns: Mapping[str, str]) -> None:
    from rich.console import Console

    from eicctl.cli.view import wrapped_table

    console = Console(highlight=False)
    # In a pipe a line is a row. On a terminal none is wider than that, and no ID is cut or broken.
    width = console.width if console.is_terminal else None
    if isinstance(value, Mapping):
        lines = wrapped_table.pairs([(foreign.line(str(key)), _one_line(item)) for key, item in value.items()], width)
    elif isinstance(value, (list, tuple)) and value and isinstance(value[0], Mapping):
        names = columns or {key: key for key in value[0]}
        cells = [
            (foreign.line(name), [_styled(_one_line(row.get(key))) for row in value]) for name, key in names.items()
        ]
        lines = wrapped_table.rows(cells, width)
    else:
        for line in _text(value):
            click.echo(line)
        return
    for part in lines:
        console.print(part, soft_wrap=True)


def _styled(text: str) -> Any:
    from rich.text import Text

    styles = {"create-complete": "green", "update-complete": "green", "running": "green", "stopped": "yellow"}
    style = styles.get(text, "red" if text.endswith("-failed") else "yellow" if text.endswith("-in-progress") else "")
    return Text(text, style=style)
