"""`eicctl policy lint`."""

from __future__ import annotations

import click

from eicctl.cli import options
from eicctl.cli.param_types import FILE
from eicctl.cli.view import messages
from eicctl.core.errors import UsageError


@click.command
@click.argument("file", type=FILE, metavar="FILE")
@options.output_options
def command(*, file: str, output: str, query: str | None) -> int:
    """Lint a policy document: missing permissions, and too broad ones. FILE - is stdin.

    The exit code is 1 if there are findings, else 0.

    \b
    Examples:
      eicctl policy lint policy.json
      eicctl policy connect --port 22 | eicctl policy lint -
      eicctl policy lint policy.json --output json
    """
    from eicctl.cli.view import render
    from eicctl.policy.lint import lint

    try:
        with click.open_file(file, encoding="utf-8") as stream:
            text = stream.read()
    except OSError as error:
        raise UsageError(f"cannot read {file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"cannot read {file}: it is not UTF-8") from error
    findings = lint(text)
    if query or output != "table":
        rows = [
            {"Severity": one.severity, "Statement": one.statement, "Problem": one.problem, "Change": one.change}
            for one in findings
        ]
        render.show(rows, output=output, query=query, columns={})
    else:
        for one in findings:  # sentences are too wide for columns
            where = f" {one.statement}" if one.statement else ""
            messages.out(f"{one.severity}{where}: {one.problem}\n  → {one.change}")
    if not findings:
        messages.line("nothing to change")
    return 1 if findings else 0
