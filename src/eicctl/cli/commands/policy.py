"""`eicctl policy`: IAM policies of least privilege."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import click
from click.core import ParameterSource

from eicctl.cli import Group, athena_options, options
from eicctl.cli.param_types import ENDPOINT, FILE, INSTANCE, REGION, Integer
from eicctl.core.errors import DeniedError, UsageError
from eicctl.core.names import parse_tags
from eicctl.core.request import ConnectRequest
from eicctl.view import messages

if TYPE_CHECKING:
    from eicctl.aws.session import Session


@click.group(cls=Group)
@click.pass_context
def command(ctx: click.Context) -> None:
    """Generate, lint and simulate least-privilege IAM policies.

    Connecting (the data plane) and managing endpoints (the control plane) are separate permissions.

    \b
    Examples:
      eicctl policy connect --endpoint eice-0123456789abcdef0 --port 22 --cidr 10.0.1.0/24 --os-user ec2-user
      eicctl policy connect --from-audit --user ann --diff
      eicctl policy lint policy.json
      eicctl policy check web-1
    """
    defaults = dict(ctx.default_map or {})
    ctx.default_map = {name: dict(defaults) for name in cast("click.Group", ctx.command).commands}


_FROM_RECORDS = ""
"""The value of `--source-ip` without one."""

_OF_CONNECTIONS = ("--port", "--cidr", "--max-duration", "--os-user", "--instance-tag", "--allow-start")
"""Options that limit connections only; policies of other kinds refuse them."""


def _scope_options(*refused: str) -> Callable[[options.Command], options.Command]:
    """Return the options that limit a policy. Help does not show those that its kind refuses, with the reason."""

    def option(name: str, *others: str, **attributes: Any) -> Callable[[options.Command], options.Command]:
        return click.option(name, *others, hidden=name in refused, **attributes)

    return options.combined(
        option("--endpoint", type=ENDPOINT, multiple=True, metavar="ID|ARN", help="Only this endpoint; repeatable."),
        option(
            "--port", type=int, multiple=True, metavar="PORT", help="Only this remote port, 22 or 3389; repeatable."
        ),
        option(
            "--cidr",
            multiple=True,
            metavar="RANGE",
            help="Only targets with private addresses in this range; repeatable.",
        ),
        option("--max-duration", type=int, metavar="SECONDS", help="Maximum tunnel duration, 1 to 3600."),
        option("--os-user", multiple=True, metavar="NAME", help="OS user that keys may be pushed for; repeatable."),
        option(
            "--instance-tag",
            multiple=True,
            metavar="KEY=VALUE",
            help="Keys may only be pushed to instances with this tag; repeatable.",
        ),
        option(
            "--source-ip",
            multiple=True,
            is_flag=False,
            flag_value=_FROM_RECORDS,
            metavar="RANGE",
            help="Only callers with public addresses in this range; repeatable.",
        ),
        option(
            "--allow-start",
            is_flag=True,
            help="Also allow starting stopped instances (--start); with --instance-tag, only those.",
        ),
        option("--account", default="*", metavar="ID", help="Account of the resources; default: any."),
        option("--region", type=REGION, metavar="REGION", help="Region of the resources; default: AWS_REGION, or any."),
        option(
            "--partition",
            type=click.Choice(["aws", "aws-cn", "aws-us-gov"]),
            default="aws",
            show_default=True,
            help="Partition of the resources.",
        ),
        option(
            "--format",
            "form",
            type=click.Choice(["json", "terraform", "cloudformation"]),
            default="json",
            show_default=True,
            help="Output format.",
        ),
    )


def write(kind: Any, form: str, **given: Any) -> None:
    """Write the policy to stdout and notes on it to stderr, without any AWS call."""
    from eicctl.policy.documents import FORMATS, Scope, checked, document, notes

    if _FROM_RECORDS in given["source_ip"]:
        raise UsageError("Option '--source-ip' requires a range", hint="--from-audit takes ranges from the records")
    scope = checked(
        Scope(
            kind,
            endpoints=given["endpoint"],
            ports=given["port"],
            cidrs=given["cidr"],
            max_duration=given["max_duration"],
            os_users=given["os_user"],
            instance_tags=parse_tags(given["instance_tag"], "--instance-tag"),
            source_ips=given["source_ip"],
            start=given["allow_start"],
            account=given["account"],
            region=given["region"] or os.environ.get("AWS_REGION") or "*",
            partition=given["partition"],
        )
    )
    click.echo(FORMATS[form](kind, {"": document(scope)}))
    for note in notes(scope):
        messages.line(f"note: {note}")


_audit_options = options.combined(
    click.option("--from-audit", is_flag=True, help="Allow only what CloudTrail recorded."),
    click.option(
        "--user", metavar="NAME", help="With --from-audit: only this user, role session or ARN; * is a wildcard."
    ),
    click.option(
        "--since",
        metavar="WHEN",
        help="With --from-audit: start, such as 7d or a date; default: 30d, or all of --from.",
    ),
    click.option(
        "--from",
        "paths",
        type=FILE,
        multiple=True,
        metavar="PATH",
        help="With --from-audit: CloudTrail log files, from a file, a folder or s3://BUCKET/PREFIX; repeatable.",
    ),
    click.option(
        "--all-regions", is_flag=True, help="With --from-audit: the event history of all regions that are enabled."
    ),
    click.option(
        "--max-unused",
        type=Integer(min=0),
        default=0,
        show_default=True,
        metavar="N",
        help="With --from-audit: fold addresses into ranges that cover up to N unused addresses.",
    ),
    click.option(
        "--diff", is_flag=True, help="With --from-audit: show what the current policies allow beyond that, instead."
    ),
    click.option(
        "--policy",
        "policy_file",
        type=FILE,
        metavar="FILE",
        help="With --diff: the current policy; default: the policies of the user or role in IAM.",
    ),
    click.option(
        "--output",
        type=click.Choice(["table", "json", "text"]),
        default="table",
        show_default=True,
        help="With --diff: output format.",
    ),
    click.option("--query", metavar="JMESPATH", help="With --diff: JMESPath query on the JSON output."),
)
_FROM_AUDIT = {
    **{"user": "--user", "since": "--since", "paths": "--from", "all_regions": "--all-regions"},
    **{"max_unused": "--max-unused"},
    **{"diff": "--diff", "policy_file": "--policy", "output": "--output", "query": "--query"},
    **athena_options.NAMES,
}
"""Options that need `--from-audit`."""

_NOT_FROM_AUDIT = {
    **{"endpoint": "--endpoint", "port": "--port", "cidr": "--cidr", "max_duration": "--max-duration"},
    **{"os_user": "--os-user", "allow_start": "--allow-start", "account": "--account", "partition": "--partition"},
}
"""Options whose values the records have."""


@command.command("connect", short_help="Generate a policy for connecting.")
@_scope_options()
@_audit_options
@athena_options.athena_options
@options.request_option("--profile", cls=options.CommonOption)
@options.pick_profile_option
@options.wire_options
@click.pass_context
def connect(ctx: click.Context, /, **given: Any) -> int:
    """Generate a policy for connecting: opening tunnels, and pushing keys for the specified OS users.

    The policy is written to stdout, notes to stderr. Only --from-audit calls AWS.

    --from-audit reads CloudTrail and generates, for each user or role, a policy that allows only its tunnels and pushed
    keys. With it, --source-ip takes no value, and --instance-tag KEY uses values of that tag instead of instance IDs.
    --diff compares with the current policies; the exit code is 1 if they allow more.

    \b
    Examples:
      eicctl policy connect --endpoint eice-0123456789abcdef0 --port 22 --cidr 10.0.1.0/24 --max-duration 900
      eicctl policy connect --port 22 --os-user ec2-user --instance-tag Team=web --account 123456789012
      eicctl policy connect --port 3389 --source-ip 203.0.113.0/24 --format terraform
      eicctl policy connect --from-audit --user ann --since 30d --max-unused 8
      eicctl policy connect --from-audit --user ann --diff
      eicctl policy connect --from-audit --diff --query '[?AllowsMore].PrincipalArn' --output text
      eicctl policy connect --from-audit --athena --user ann --since 90d
    """
    from_audit = given.pop("from_audit")
    foreign = _NOT_FROM_AUDIT if from_audit else _FROM_AUDIT
    for name, option in foreign.items():
        if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            wrong = f"{option} and --from-audit cannot be combined" if from_audit else f"{option} requires --from-audit"
            raise UsageError(wrong)
    if from_audit:
        return int(_from_audit(**{name: value for name, value in given.items() if name not in foreign}))
    write("connect", **{name: value for name, value in given.items() if name not in foreign})
    return 0


@options.with_session
def _from_audit(*, session: Session, **given: Any) -> int:
    from eicctl.cli.policy_from_audit import Task, run
    from eicctl.policy.beyond import read_document

    ranges, tags, file = given.pop("source_ip"), given.pop("instance_tag"), given.pop("policy_file")
    if any(ranges):
        raise UsageError("--source-ip RANGE and --from-audit cannot be combined", hint="--source-ip, without a range")
    if len(tags) > 1 or any("=" in key for key in tags):
        raise UsageError("--from-audit takes one --instance-tag KEY", hint="--instance-tag Team")
    if file and not given["diff"]:
        raise UsageError("--policy requires --diff")
    if not given["diff"] and (given["output"] != "table" or given["query"]):
        hint = messages.again(without=("--output", "--query"))
        raise UsageError("--output and --query require --diff; policies are JSON, or as --format specifies", hint=hint)
    if given["diff"] and (tags or given["max_unused"] or given["form"] != "json"):
        raise UsageError("--diff cannot be combined with --instance-tag, --max-unused and --format")
    try:
        policy = (file, read_document(_text_of(file))) if file else None
    except ValueError as error:
        raise UsageError(f"Cannot read {file}: {error}") from error
    return run(session, Task(**given, policy=policy, by_source=bool(ranges), tag="".join(tags)))


def _text_of(file: str) -> str:
    """Return the text of a file, or of stdin.

    Raises:
        UsageError: It cannot be read.
    """
    try:
        with click.open_file(file, encoding="utf-8") as stream:
            return str(stream.read())
    except OSError as error:
        raise UsageError(f"Cannot read {file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"Cannot read {file}: it is not UTF-8") from error


@command.command("admin", short_help="Generate a policy for managing endpoints.")
@_scope_options(*_OF_CONNECTIONS)
def admin(**given: Any) -> None:
    """Generate a policy for managing endpoints, without permission to connect.

    It allows both spellings of the service-linked role that creating an endpoint requires.

    \b
    Examples:
      eicctl policy admin --account 123456789012 --region eu-central-1
      eicctl policy admin --format cloudformation
    """
    write("admin", **given)


@command.command("auditor", short_help="Generate a policy for auditors: endpoints, and who connected.")
@_scope_options("--endpoint", *_OF_CONNECTIONS)
def auditor(**given: Any) -> None:
    """Generate a policy for viewing instances, endpoints and CloudTrail events, without permission to connect.

    \b
    Examples:
      eicctl policy auditor
      eicctl policy auditor --source-ip 203.0.113.0/24 --format terraform
    """
    write("auditor", **given)


@command.command("lint", short_help="Lint a policy for missing and overly broad permissions.")
@click.argument("file", type=FILE, metavar="FILE")
@options.output_options
def lint_document(*, file: str, output: str, query: str | None) -> int:
    """Lint a policy document for missing and overly broad permissions. FILE - is stdin.

    The exit code is 1 if there are findings, else 0.

    \b
    Examples:
      eicctl policy lint policy.json
      eicctl policy connect --port 22 | eicctl policy lint -
      eicctl policy lint policy.json --output json
    """
    from eicctl.policy.lint import lint
    from eicctl.view import render

    findings = lint(_text_of(file))
    if query or output != "table":
        rows = [
            {
                "Severity": one.severity,
                "Statement": one.statement,
                "Problem": one.problem,
                "Remediation": one.remediation,
            }
            for one in findings
        ]
        render.show(rows, output=output, query=query)
    else:
        for one in findings:  # sentences are too wide for columns
            where = f" {one.statement}" if one.statement else ""
            messages.out(f"{one.severity}{where}: {one.problem}\n  → {one.remediation}")
    if not findings:
        messages.line("No findings")
    return 1 if findings else 0


@command.command("check", short_help="Simulate whether the caller's policies allow a connection.")
@click.argument("target", required=False, type=INSTANCE)
@options.target_settings
@options.port_option
@options.request_option("--max-tunnel-duration", help="Connection duration to simulate; default: none.")
@click.option(
    "--os-user", "--user", "os_user", metavar="NAME", help="OS user to simulate pushing a key for; default: no key."
)
@options.output_options
@options.as_request
@options.with_session
def check(
    *,
    session: Session,
    request: ConnectRequest,
    output: str,
    query: str | None,
) -> int:
    """Simulate whether the caller's policies allow a connection. Nothing is opened.

    Uses IAM's policy simulator; without permission to use it, results are "unknown". The exit code is 4 if anything is
    denied, else 0.

    \b
    Examples:
      eicctl policy check web-1 --os-user ec2-user
      eicctl policy check --private-ip-address 10.0.1.20 --port 3389
      eicctl policy check web-1 --max-tunnel-duration 900 --output json
    """
    from eicctl.policy.check import check_target
    from eicctl.view import render

    checks = check_target(session, request, duration=request.max_tunnel_duration, os_user=request.os_user)
    rows = [
        {"Action": one.action, "Status": one.status, "Resource": one.resource, "Reason": one.reason} for one in checks
    ]
    reasons = {one.reason for one in checks}
    columns = {"Action": "Action", "Status": "Status"}
    if len(reasons) > 1:
        columns["Reason"] = "Reason"
    elif any(reasons) and output == "table":  # the same for all, as where the simulator may not be used
        messages.line(next(iter(reasons)))
    render.show(rows, output=output, query=query, columns=columns)
    return DeniedError.default_exit_code if any(one.status == "denied" for one in checks) else 0
