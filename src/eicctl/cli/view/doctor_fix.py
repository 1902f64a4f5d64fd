"""`eicctl doctor --fix` and `--undo`: what is asked, and what is told."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from eicctl.cli.view import messages
from eicctl.core.errors import UsageError
from eicctl.support import pins

if TYPE_CHECKING:
    from eicctl.aws.session import Session
    from eicctl.doctor.context import Context
    from eicctl.doctor.diagnosis import Diagnosis
    from eicctl.reachability.remedies import GroupRule

    Examination = tuple[Context, Diagnosis]

MOST = 3
"""Rules that one run offers; each is followed by a new examination."""

SETTLING = 5.0
"""Seconds after which a tunnel that does not come up is tried again: EC2 does not say when a new rule counts."""


def mend(examine: Callable[[], Examination], *, yes: bool, dry_run: bool) -> Examination:
    """Offer the rule that mends the cause, make it and examine again, while a rule mends it; return the last result.

    Args:
        examine: Makes and shows an examination.
        yes: Do not ask.
        dry_run: Only ask EC2 whether it would make the rule.
    """
    context, found = examine()
    if not found.cause:
        messages.line("there is nothing to mend")
    for _ in range(MOST):
        if not found.cause or not _mended(context, found, yes, dry_run):
            break
        context, found = examine()
        if found.cause and found.cause.key == "tunnel":
            messages.line("\na new rule may take some seconds to count: once more\n")
            time.sleep(SETTLING)
            context, found = examine()
    return context, found


def _mended(context: Context, found: Diagnosis, yes: bool, dry_run: bool) -> bool:
    """Offer the rule that mends the cause, and make it; return whether it was made."""
    from eicctl.doctor import fix

    assert found.cause  # noqa: S101 - there is one to mend
    change = fix.offered(found.cause.change)
    if not change:
        instead = f"; instead: {found.cause.mend}" if found.cause.mend else ""
        messages.line(f"no single security-group rule mends this{instead}")
        return False
    messages.line(f"\nThis rule mends it: {change.summary}")
    messages.line(f"  {fix.line_of(context.session, change)}")
    if dry_run:
        fix.check(context.session, change)
        messages.line("EC2 would make it (DryRun); nothing was changed")
        return False
    if not _agreed("Make this rule?", yes):
        return False
    _make(context, change)
    return True


def _make(context: Context, change: GroupRule) -> None:
    from eicctl.doctor import fix

    account = context.identity.account if context.identity else ""
    made = fix.make(context.session, change, account=account, target=context.names)
    name = f" ({', '.join(made.rule_ids)})" if made.rule_ids else ""
    undo = pins.command("eicctl", "doctor", context.label, "--undo")
    messages.line(f"Added{name}. Undo: {undo}")
    messages.line("Checking again:\n")


def take_back(session: Session, words: str, *, yes: bool, dry_run: bool) -> int:
    """Take back the rules that `--fix` has made and that are still remembered; return the exit code.

    Args:
        session: Access to AWS.
        words: The target that they were made for; all of the account where empty.
        yes: Do not ask.
        dry_run: Only say what would be done.
    """
    from eicctl.aws.identity import caller_identity
    from eicctl.doctor import fix

    known = fix.remembered(words)
    if not known:
        messages.line(f"doctor --fix has made no rule{f' for {words}' if words else ''} that is still remembered")
        return 0
    account = caller_identity(session).account
    ours = [made for made in known if made.account == account]
    for made in known:
        if made.account != account:
            messages.line(f"left alone, as it is in the account {made.account}: {made.summary}")
    for made in ours:
        messages.line(f"{made.summary} ({made.region}, made {made.made_at}{''.join(f', {i}' for i in made.rule_ids)})")
    if dry_run or not ours:
        return 0
    if not _agreed(f"Take {'it' if len(ours) == 1 else 'them'} back?", yes):
        return 1
    for made in ours:
        there = fix.take_back(session, made)
        messages.line(f"taken back: {made.summary}" if there else f"gone already: {made.summary}")
    return 0


def _agreed(question: str, yes: bool) -> bool:
    if yes:
        return True
    if not sys.stdin.isatty():
        raise UsageError("changing a security group needs a yes, and there is no terminal to ask on", hint="--yes")
    if click.confirm(question, err=True):
        return True
    messages.line("nothing was changed")
    return False
