"""Requests to EC2: filters of Describe calls, dry runs, and changes that can be undone."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from eicctl.aws.errors import code_of, translated
from eicctl.aws.session import Session
from eicctl.core.errors import EicctlError

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import FilterTypeDef


def make_change(session: Session, operation: str, parameters: Mapping[str, Any], *, region: str = "") -> list[str]:
    """Make a call of EC2 that changes something; return the IDs of the security-group rules that it has added.

    Args:
        session: Access to AWS.
        operation: As botocore's clients name it.
        parameters: In EC2's spelling.
        region: Another region than the session's.

    Raises:
        DeniedError: The caller may not.
        EicctlError: By EC2's error.
    """
    with translated(f"change the network ({operation})"):
        answer = getattr(session.client("ec2", region or None), operation)(**parameters)
    return [row["SecurityGroupRuleId"] for row in answer.get("SecurityGroupRules", []) if "SecurityGroupRuleId" in row]


def check_dry_run(action: str, call: Callable[..., Any], **request: Any) -> None:
    """Make a call with `DryRun`; EC2 answers with the error `DryRunOperation` where it would have done it."""
    try:
        with translated(action):
            call(**request, DryRun=True)
    except EicctlError as error:
        if code_of(error) != "DryRunOperation":
            raise


def check_change(session: Session, operation: str, parameters: Mapping[str, Any]) -> None:
    """Ask EC2 whether it would make a change (DryRun).

    Raises:
        EicctlError: Why it would not.
    """
    check_dry_run("change the network", getattr(session.client("ec2"), operation), **parameters)


def is_there(error: EicctlError) -> bool:
    """Whether a change failed because the rule exists already."""
    return code_of(error) == "InvalidPermission.Duplicate"


def is_gone(error: EicctlError) -> bool:
    """Whether undoing a change failed because the rule, or its group, no longer exists."""
    return code_of(error).endswith(".NotFound")


def exact_filters(values: Mapping[str, Sequence[str]]) -> list[FilterTypeDef]:
    """Return filters that match these values and no others, although EC2 takes `*` and `?` for wildcards.

    Args:
        values: The accepted values of each filter, by its name (`tag:Name`, `vpc-id`, …).
    """
    return [{"Name": name, "Values": [_literal(value) for value in each]} for name, each in values.items()]


def pattern_filters(values: Mapping[str, Sequence[str]]) -> list[FilterTypeDef]:
    """Return filters in whose values `*` and `?` are wildcards: for patterns that a user gives."""
    return [{"Name": name, "Values": list(each)} for name, each in values.items()]


def _literal(text: str) -> str:
    return re.sub(r"([\\*?])", r"\\\1", text)
