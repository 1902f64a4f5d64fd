"""Requests to EC2: filters of Describe calls, dry runs, and changes that can be undone."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from eicctl.aws.errors import code_of, translated
from eicctl.aws.session import Session
from eicctl.core.errors import EicctlError

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import FilterTypeDef


R = TypeVar("R")


def request_change(action: str, call: Callable[..., R], *, dry_run: bool = False, **request: object) -> R | None:
    """Make a call of EC2 that changes something, and return its response.

    Args:
        action: What it does, after "cannot".
        call: The method of a client.
        dry_run: Only ask EC2 whether it would: it answers with the error `DryRunOperation` then, and None is returned.
        request: Its parameters.

    Raises:
        EicctlError: By EC2's error.
    """
    try:
        with translated(action):
            return call(**request, **({"DryRun": True} if dry_run else {}))
    except EicctlError as error:
        if not dry_run or code_of(error) != "DryRunOperation":
            raise
    return None


def change_network(
    session: Session, operation: str, parameters: Mapping[str, object], *, region: str = "", dry_run: bool = False
) -> list[str]:
    """Make a call that changes the network; return the IDs of the security-group rules that it has added.

    Args:
        session: Access to AWS.
        operation: As botocore's clients name it.
        parameters: In EC2's spelling.
        region: Another region than the session's.
        dry_run: Only ask EC2 whether it would.

    Raises:
        DeniedError: The caller may not.
        EicctlError: By EC2's error.
    """
    call: Callable[..., Mapping[str, Any]] = getattr(session.client("ec2", region or None), operation)
    response = request_change(f"change the network ({operation})", call, dry_run=dry_run, **parameters) or {}
    return [row["SecurityGroupRuleId"] for row in response.get("SecurityGroupRules", [])]


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
