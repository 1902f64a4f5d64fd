"""The one rule that mends a security group: made, written down, and taken back."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from eicctl.aws.network_changes import check_change, is_gone, is_there, make_change
from eicctl.aws.session import Session
from eicctl.core.errors import ConflictError, EicctlError, LocalError, NetworkError
from eicctl.reachability.remedies import Change, GroupRule, command_line
from eicctl.support import files, settings
from eicctl.support.documents import parse_json


@dataclass(frozen=True, slots=True)
class Made:
    """A rule that was made.

    Attributes:
        account: The AWS account, where it is.
        region: The region.
        target: What the diagnosis was about, as the user would call it, and its ID or address.
        summary: What the rule does, in words.
        operation: The call that takes it back.
        parameters: Its parameters, which name the rule by what it says.
        rule_ids: The rule's IDs, by which it is taken back where they are known.
        made_at: When (ISO 8601).
    """

    account: str
    region: str
    target: tuple[str, ...]
    summary: str
    operation: str
    parameters: Mapping[str, Any]
    rule_ids: tuple[str, ...] = ()
    made_at: str = ""

    @property
    def group_id(self) -> str:
        """The security group that has it."""
        return str(self.parameters.get("GroupId", ""))


def offered(change: Change | None) -> GroupRule | None:
    """Return the change if it is one that is made here: one rule of a security group."""
    return change if isinstance(change, GroupRule) else None


def line_of(session: Session, change: GroupRule) -> str:
    """Return a change as a line of the AWS CLI."""
    return command_line(change, region=session.region, profile=session.profile)


def check(session: Session, change: GroupRule) -> None:
    """Ask EC2 whether it would make the change (DryRun).

    Raises:
        EicctlError: Why it would not.
    """
    check_change(session, change.call.operation, change.call.parameters)


def make(session: Session, change: GroupRule, *, account: str, target: Sequence[str]) -> Made:
    """Make the change; it is written down before, so that nothing that was made is forgotten.

    Args:
        session: Access to AWS.
        change: The rule.
        account: The account that the caller is of.
        target: What the diagnosis was about.

    Raises:
        ConflictError: The rule is there already.
        NetworkError: EC2 does not answer. It may have made the rule, so it stays written down.
        EicctlError: By EC2's error; nothing was changed then.
    """
    made = Made(
        account,
        session.region,
        tuple(target),
        change.summary,
        change.undo.operation,
        change.undo.parameters,
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    _update(lambda known: [*known, made])
    try:
        ids = make_change(session, change.call.operation, change.call.parameters)
    except NetworkError:
        raise
    except EicctlError as error:
        _forget(made)
        if is_there(error):
            raise ConflictError("the rule is there already", hint="run doctor again") from error
        raise
    finished = replace(made, rule_ids=tuple(ids))
    _update(lambda known: [finished if one == made else one for one in known])
    return finished


def remembered(words: str = "") -> list[Made]:
    """Return the rules that were made and not taken back, newest first; those of one target if it is named."""
    return [made for made in reversed(_load()) if not words or words in made.target]


def take_back(session: Session, made: Made) -> bool:
    """Take a rule back, and forget it; return whether it was still there.

    A rule that has been removed and made again since is another one, and stays.

    Raises:
        EicctlError: By EC2's error; the rule is still remembered then.
    """
    by_id = {"GroupId": made.group_id, "SecurityGroupRuleIds": list(made.rule_ids)}
    try:
        make_change(session, made.operation, by_id if made.rule_ids else made.parameters, region=made.region)
    except EicctlError as error:
        if not is_gone(error):
            raise
        _forget(made)
        return False
    _forget(made)
    return True


def _file() -> Path:
    return settings.state_dir() / "doctor.json"


def _load() -> list[Made]:
    path = _file()
    try:
        rows = parse_json(files.read_text(path) or "[]")
        return [Made(**{**row, "target": tuple(row["target"]), "rule_ids": tuple(row["rule_ids"])}) for row in rows]
    except (ValueError, TypeError, KeyError) as error:
        raise LocalError(f"{path} is not as eicctl has written it: {error}", hint="move it away") from error


def _update(change: Callable[[list[Made]], list[Made]]) -> None:
    path = _file()
    with files.locked(path):
        files.write_whole(path, json.dumps([asdict(made) for made in change(_load())], indent=1))


def _forget(made: Made) -> None:
    _update(lambda known: [one for one in known if one != made])
