"""The one security-group rule that fixes a cause: added, recorded, and removed."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime

from eicctl.aws.ec2_requests import change_network, is_gone, is_there
from eicctl.aws.session import Session
from eicctl.core.errors import ConflictError, EicctlError, LocalError, NetworkError
from eicctl.reachability.remedies import Change
from eicctl.support import files, paths
from eicctl.support.bare import parse_json


@dataclass(frozen=True, slots=True)
class AddedRule:
    """A rule that was added.

    Attributes:
        account: The account of its security group.
        region: The region.
        target: The names of the target that was diagnosed.
        summary: What the rule allows, as text.
        operation: The call that removes it.
        parameters: The call's parameters, which name the rule by its content.
        rule_ids: The rule's IDs, by which it is removed if they are known.
        added_at: When (ISO 8601).
    """

    account: str
    region: str
    target: tuple[str, ...]
    summary: str
    operation: str
    parameters: Mapping[str, object]
    rule_ids: tuple[str, ...] = ()
    added_at: str = ""


def add_rule(session: Session, rule: Change, *, account: str, target: Sequence[str]) -> AddedRule:
    """Add a rule. It is recorded first, so that no added rule is forgotten.

    Args:
        session: Access to AWS.
        rule: The rule.
        account: The caller's account.
        target: The names of the target that was diagnosed.

    Raises:
        ConflictError: The rule already exists.
        NetworkError: EC2 does not respond. It may have added the rule, so it stays recorded.
        EicctlError: By EC2's error; nothing was changed then.
    """
    now = datetime.now(UTC).isoformat(timespec="seconds")
    operation, parameters = rule.undo_operation, rule.parameters
    added = AddedRule(account, session.region, tuple(target), rule.summary, operation, parameters, added_at=now)
    with _records() as rules:
        rules.append(added)
    try:
        ids = change_network(session, rule.operation, parameters)
    except NetworkError:
        raise
    except EicctlError as error:
        _forget(added)
        if is_there(error):
            raise ConflictError("The rule already exists", hint="run doctor again") from error
        raise
    finished = replace(added, rule_ids=tuple(ids))
    with _records() as rules:
        rules[:] = [finished if rule == added else rule for rule in rules]
    return finished


def added_rules(target: str = "") -> list[AddedRule]:
    """Return the rules that were added and not removed, newest first; those of one target if it is specified."""
    return [added for added in reversed(_load()) if not target or target in added.target]


def remove_rule(session: Session, added: AddedRule) -> bool:
    """Remove a rule and its record; return whether the rule still existed.

    A rule that has been removed and added again since is another one, and stays.

    Raises:
        EicctlError: By EC2's error; the rule is still recorded then.
    """
    by_id = {"GroupId": added.parameters.get("GroupId", ""), "SecurityGroupRuleIds": list(added.rule_ids)}
    try:
        change_network(session, added.operation, by_id if added.rule_ids else added.parameters, region=added.region)
    except EicctlError as error:
        if not is_gone(error):
            raise
        _forget(added)
        return False
    _forget(added)
    return True


def _load() -> list[AddedRule]:
    """The records. Unlike a cache, a damaged file is an error: it cannot be recovered from AWS."""
    path = paths.state_dir() / "doctor.json"
    try:
        rows = parse_json(files.read_text(path) or "[]")
        return [AddedRule(**{**row, **{key: tuple(row[key]) for key in ("target", "rule_ids")}}) for row in rows]
    except (ValueError, TypeError, KeyError) as error:
        raise LocalError(f"{path} is damaged: {error}", hint="move it elsewhere, or delete it") from error


@contextlib.contextmanager
def _records() -> Iterator[list[AddedRule]]:
    """The records, to be changed."""
    path = paths.state_dir() / "doctor.json"
    with files.locked(path):
        yield (rules := _load())
        files.write_whole(path, json.dumps([asdict(added) for added in rules], indent=1))


def _forget(added: AddedRule) -> None:
    with _records() as rules:
        rules[:] = [rule for rule in rules if rule != added]
