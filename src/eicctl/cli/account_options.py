"""Options that select several AWS accounts, and how what they refuse is reported."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import click

from eicctl.cli import options
from eicctl.cli.options import Command
from eicctl.cli.param_types import PROFILE
from eicctl.view import messages

if TYPE_CHECKING:
    from eicctl.aws.accounts import Account, Failure, Selection
    from eicctl.aws.session import Session

account_options = options.combined(
    click.option(
        "--profile",
        type=PROFILE,
        cls=options.Repeatable,
        metavar="NAME|GLOB",
        help="AWS profile, or a pattern such as 'dev-*'; repeatable.",
    ),
    click.option(
        "--accounts",
        metavar="ID,…|all",
        help="Read these accounts, or all active ones of the organization, with --role.",
    ),
    click.option("--role", metavar="NAME", help="With --accounts: the role to assume in each of them."),
    click.option(
        "--external-id", metavar="ID", help="With --accounts: the external ID that the role's trust policy requires."
    ),
)
"""Which accounts. The command takes `profile` (several), `accounts`, `role` and `external_id`, for `aws.accounts`."""


def with_accounts(function: Command) -> Command:
    """Add `account_options` and the other `aws_options`; the command takes `selected`, and the `session` from which
    `aws.accounts.in_accounts` reaches them."""
    inner = options.giving_session(function)

    @functools.wraps(function)
    def wrapper(
        *args: Any,
        profile: Sequence[str],
        accounts: str | None,
        role: str | None,
        external_id: str | None,
        **rest: Any,
    ) -> Any:
        from eicctl.aws.accounts import selection

        selected = selection(profile, accounts, role, external_id)
        single = selected.profiles[0] if selected.profiles and (selected.accounts or not selected.several) else None
        return inner(*args, profile=single, selected=selected, **rest)

    decorated = options.combined(
        account_options,
        options.request_option("--region", cls=options.CommonOption),
        options.wire_options,
        options.pick_profile_option,
    )
    return decorated(cast("Command", wrapper))


def columns(selected: Selection) -> dict[str, str]:
    """Return the columns that say whose a row is: none for one account."""
    if not selected.several:
        return {}
    if not selected.accounts:
        return {"Profile": "Profile", "Account ID": "AccountId"}
    named = {"Account": "AccountName", "Account ID": "AccountId"}
    return named if selected.accounts == ("all",) else {"Account": "AccountId"}


def keys(selected: Selection, account: Account) -> Mapping[str, str | None]:
    """Return what rows have of an account as JSON: nothing for one account."""
    return account.keys if selected.several else {}


def line(selected: Selection, failure: Failure) -> str:
    """Return what could not be read, and why, in one line."""
    from eicctl.aws.network import in_short

    label = failure.region if failure.region and not selected.several else failure.label
    return f"{label}: {in_short(failure.error)}"


def report(selected: Selection, failures: Sequence[Failure]) -> int:
    """Print what could not be read, a line each, and return the exit code: 1 if there is anything, else 0."""
    last = ""
    for failure in failures:
        messages.line(line(selected, failure), pin=False)
        if selected.several and failure.hint and failure.hint != last:
            messages.line(f"hint: {failure.hint}", pin=False)
            last = failure.hint
    return 1 if failures else 0


def explain(selected: Selection, rows: Sequence[Mapping[str, Any]], accounts: Sequence[Account]) -> None:
    """Print the first command for an account that no profile leads to, with those that add its profile.

    Args:
        selected: The accounts.
        rows: Rows with `AccountId` and `Command`.
        accounts: What has been read.
    """
    new = {account.id: account.new_profile for account in accounts if account.new_profile}
    if not selected.several:
        return
    if row := next((row for row in rows if row["AccountId"] in new and row["Command"]), None):
        messages.line(f"To run commands there: {new[row['AccountId']]} && {row['Command']}", pin=False)


def searched(selected: Selection, session: Session, *, all_regions: bool) -> str:
    """Return where a command has looked, for a message that it found nothing."""
    where = "any region" if all_regions else session.region if selected.several else session.location
    return f"{where} of these accounts" if selected.several else where
