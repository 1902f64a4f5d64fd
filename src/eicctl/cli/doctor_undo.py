"""`eicctl doctor --undo`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from eicctl.cli import report
from eicctl.errors import UsageError

if TYPE_CHECKING:
    from eicctl.aws.session import Session


def take_back(session: Session, words: str, yes: bool, dry_run: bool) -> int:
    """Take back the rules that `--fix` has made and that are still remembered; return the exit code.

    Args:
        session: Access to AWS.
        words: The target that they were made for; all of the account where empty.
        yes: Do not ask.
        dry_run: Only say what would be done.
    """
    from eicctl.aws.identity import who_am_i
    from eicctl.doctor import fix

    known = fix.remembered(words)
    if not known:
        report.line(f"eicctl doctor --fix has made no rule{f' for {words}' if words else ''} that is still remembered")
        return 0
    account = who_am_i(session).account
    ours = [made for made in known if made.account == account]
    for made in known:
        if made.account != account:
            report.line(f"left alone, as it is in the account {made.account}: {made.summary}")
    for made in ours:
        report.line(f"{made.summary} ({made.region}, made {made.made_at}{''.join(f', {i}' for i in made.rule_ids)})")
    if dry_run or not ours:
        return 0
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError("taking rules back needs a yes, and there is no terminal to ask on", hint="--yes")
        if not click.confirm(f"Take {'it' if len(ours) == 1 else 'them'} back?", err=True):
            report.line("nothing was changed")
            return 1
    for made in ours:
        there = fix.take_back(session, made)
        report.line(f"taken back: {made.summary}" if there else f"gone already: {made.summary}")
    return 0
