"""Changes of a network, made and taken back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from eicctl.aws.endpoints import check_dry_run
from eicctl.aws.errors import code_of, translated
from eicctl.aws.session import Session
from eicctl.core.errors import EicctlError

_THERE = "InvalidPermission.Duplicate"


def make_change(session: Session, operation: str, parameters: Mapping[str, Any], *, region: str = "") -> list[str]:
    """Make a call of EC2 that changes something; return the IDs of the security-group rules that it has made.

    Args:
        session: Access to AWS.
        operation: As botocore's clients name it.
        parameters: In EC2's spelling.
        region: Another region than the session's.

    Raises:
        DeniedError: The caller may not.
        EicctlError: By EC2's error.
    """
    with translated(f"make the change ({operation})"):
        answer = getattr(session.client("ec2", region or None), operation)(**parameters)
    return [row["SecurityGroupRuleId"] for row in answer.get("SecurityGroupRules", []) if "SecurityGroupRuleId" in row]


def check_change(session: Session, operation: str, parameters: Mapping[str, Any]) -> None:
    """Ask EC2 whether it would make a change (DryRun).

    Raises:
        EicctlError: Why it would not.
    """
    check_dry_run("make the change", getattr(session.client("ec2"), operation), **parameters)


def is_there(error: EicctlError) -> bool:
    """Whether a change failed because the rule is there already."""
    return code_of(error) == _THERE


def is_gone(error: EicctlError) -> bool:
    """Whether taking a rule back failed because it, or its group, is gone already."""
    return code_of(error).endswith(".NotFound")
