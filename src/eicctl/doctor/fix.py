"""The one security-group rule that fixes a cause: added, recorded, and removed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from eicctl.aws.ec2_requests import is_gone, is_there, make_change
from eicctl.aws.session import Session
from eicctl.core.errors import ConflictError, EicctlError, LocalError, NetworkError
from eicctl.reachability.remedies import Change
from eicctl.support import files, paths
from eicctl.support.documents import parse_json


@dataclass(frozen=True, slots=True)
class AddedRule:
    """A rule that was added.

    Attributes:
        account: The AWS account that has it.
        region: The region.
        target: What the diagnosis was about: all that the user may call it.
        summary: What the rule does, in words.
        operation: The call that removes it.
        parameters: Its parameters, which name the rule by its content.
        rule_ids: The rule's IDs, by which it is removed where they are known.
        added_at: When (ISO 8601).
    """

    account: str
    region: str
    target: tuple[str, ...]
    summary: str
    operation: str
    parameters: Mapping[str, Any]
    rule_ids: tuple[str, ...] = ()
    added_at: str = ""

    @property
    def group_id(self) -> str:
        """The security group that has it."""
        return str(self.parameters.get("GroupId", ""))


def add_rule(session: Session, rule: Change, *, account: str, target: Sequence[str]) -> AddedRule:
    """Add a rule. It is recorded before, so that nothing that was added is forgotten.

    Args:
        session: Access to AWS.
        rule: The rule.
        account: The account that the caller is of.
        target: What the diagnosis was about.

    Raises:
        ConflictError: The rule exists already.
        NetworkError: EC2 does not respond. It may have added the rule, so it stays recorded.
        EicctlError: By EC2's error; nothing was changed then.
    """
    added = AddedRule(
        account,
        session.region,
        tuple(target),
        rule.summary,
        rule.undo_operation,
        rule.parameters,
        added_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    _update(lambda known: [*known, added])
    try:
        ids = make_change(session, rule.operation, rule.parameters)
    except NetworkError:
        raise
    except EicctlError as error:
        _forget(added)
        if is_there(error):
            raise ConflictError("the rule already exists", hint="run doctor again") from error
        raise
    finished = replace(added, rule_ids=tuple(ids))
    _update(lambda known: [finished if one == added else one for one in known])
    return finished


def added_rules(target: str = "") -> list[AddedRule]:
    """Return the rules that were added and not removed, newest first; those of one target if it is named."""
    return [added for added in reversed(_load()) if not target or target in added.target]


def remove_rule(session: Session, added: AddedRule) -> bool:
    """Remove a rule, and forget it; return whether it was still there.

    A rule that has been removed and added again since is another one, and stays.

    Raises:
        EicctlError: By EC2's error; the rule is still recorded then.
    """
    by_id = {"GroupId": added.group_id, "SecurityGroupRuleIds": list(added.rule_ids)}
    try:
        make_change(session, added.operation, by_id if added.rule_ids else added.parameters, region=added.region)
    except EicctlError as error:
        if not is_gone(error):
            raise
        _forget(added)
        return False
    _forget(added)
    return True


def _file() -> Path:
    return paths.state_dir() / "doctor.json"


def _load() -> list[AddedRule]:
    path = _file()
    try:
        rows = parse_json(files.read_text(path) or "[]")
        return [
            AddedRule(**{**row, "target": tuple(row["target"]), "rule_ids": tuple(row["rule_ids"])}) for row in rows
        ]
    except (ValueError, TypeError, KeyError) as error:
        raise LocalError(f"{path} is not as eicctl has written it: {error}", hint="move it away") from error


def _update(change: Callable[[list[AddedRule]], list[AddedRule]]) -> None:
    path = _file()
    with files.locked(path):
        files.write_whole(path, json.dumps([asdict(added) for added in change(_load())], indent=1))


def _forget(added: AddedRule) -> None:
    _update(lambda known: [one for one in known if one != added])
