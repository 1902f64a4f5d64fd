"""What the commands that write a policy have in common."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any, cast

import click

from eicctl.cli.options import Command
from eicctl.cli.param_types import ENDPOINT, REGION
from eicctl.cli.view import messages
from eicctl.core.errors import UsageError

_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    click.option("--endpoint", type=ENDPOINT, multiple=True, metavar="ID|ARN", help="Only this endpoint; repeatable."),
    click.option(
        "--port", type=int, multiple=True, metavar="PORT", help="Only this remote port, 22 or 3389; repeatable."
    ),
    click.option(
        "--cidr", multiple=True, metavar="RANGE", help="Only targets with private addresses in this range; repeatable."
    ),
    click.option("--max-duration", type=int, metavar="SECONDS", help="Maximum tunnel duration, 1 to 3600."),
    click.option("--os-user", multiple=True, metavar="NAME", help="OS user that keys may be pushed for; repeatable."),
    click.option(
        "--instance-tag",
        multiple=True,
        metavar="KEY=VALUE",
        help="Keys may only be pushed to instances with this tag; repeatable.",
    ),
    click.option(
        "--source-ip",
        multiple=True,
        metavar="RANGE",
        help="Only callers with public addresses in this range; repeatable.",
    ),
    click.option("--account", default="*", metavar="ID", help="Account of the resources; default: any."),
    click.option(
        "--region", type=REGION, metavar="REGION", help="Region of the resources; default: AWS_REGION, or any."
    ),
    click.option("--partition", type=click.Choice(["aws", "aws-cn", "aws-us-gov"]), default="aws", show_default=True),
    click.option(
        "--format",
        "form",
        type=click.Choice(["json", "terraform", "cloudformation"]),
        default="json",
        show_default=True,
        help="Output format.",
    ),
)


def scope_options(function: Command) -> Command:
    """Add what a policy is limited to; the command takes `form` and `given`, which `write` takes."""

    @functools.wraps(function)
    def wrapper(*args: Any, form: str, **given: Any) -> Any:
        return function(*args, form=form, given=given)

    decorated: Any = wrapper
    for option in reversed(_OPTIONS):
        decorated = option(decorated)
    return cast("Command", decorated)


def write(kind: Any, form: str, given: dict[str, Any]) -> None:
    """Write the policy on stdout, and what to know of it on stderr. AWS is asked nothing."""
    from eicctl.policy.documents import FORMATS, document, notes
    from eicctl.policy.scope import Scope, checked

    scope = checked(
        Scope(
            kind,
            endpoints=given["endpoint"],
            ports=given["port"],
            cidrs=given["cidr"],
            max_duration=given["max_duration"],
            os_users=given["os_user"],
            instance_tags=dict(_tag(text) for text in given["instance_tag"]),
            source_ips=given["source_ip"],
            account=given["account"],
            region=given["region"] or os.environ.get("AWS_REGION") or "*",
            partition=given["partition"],
        )
    )
    click.echo(FORMATS[form](kind, document(scope)))
    for note in notes(scope):
        messages.line(f"note: {note}")


def _tag(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise UsageError(f"--instance-tag {text!r}: not of the form KEY=VALUE")
    return key, value
