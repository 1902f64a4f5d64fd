"""The accounts of an organization: ListAccounts, and which of their roles can be assumed."""

from __future__ import annotations

import json
from typing import Any

from eicctl.emulator.control.backends import ACCOUNT, ApiError, iam
from eicctl.emulator.control.policy_language import Context, trusts
from eicctl.emulator.state import Account, State

PAGE = 20
"""Most accounts of a page (Organizations API, ListAccounts)."""


def add_account(state: State, account: Account, role: str) -> None:
    """Add an account, and a role in it that its organization's management account may assume.

    Organizations creates such a role in each account that it creates, but in no invited one and not in the management
    account (AWS Organizations user guide).

    Args:
        state: The emulator's memory.
        account: The account.
        role: The role's name; empty for none.
    """
    state.accounts[account.id] = account
    if role and account.id != ACCOUNT:
        statement = {
            "Effect": "Allow",
            "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"},
            "Action": "sts:AssumeRole",
        }
        trust = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        iam(account.id).create_role(role, trust, "/", None, "", [], 3600)


def list_accounts(state: State, caller_account: str) -> list[dict[str, Any]]:
    """Return the accounts as ListAccounts has them.

    Raises:
        ApiError: The world has no organization, or the caller's account is not the management account.
    """
    if not state.accounts:
        raise ApiError("AWSOrganizationsNotInUseException", "Your account is not a member of an organization.")
    if caller_account != ACCOUNT:
        raise ApiError("AccessDeniedException", "You don't have permissions to access this resource.")
    return [
        {
            "Id": account.id,
            "Arn": f"arn:aws:organizations::{ACCOUNT}:account/o-local/{account.id}",
            "Email": f"aws+{account.id}@example.com",
            "Name": account.name,
            "State": account.state,
            "JoinedMethod": "CREATED",
        }
        for account in state.accounts.values()
    ]


def check_role(state: State, role_arn: str, caller_arn: str, context: Context) -> None:
    """Check that a role can be assumed: it trusts the caller and, in an organization, exists in an active account.

    Raises:
        ApiError: It cannot.
    """
    account_id = role_arn.split(":")[4]
    account = state.accounts.get(account_id)
    closed = account and account.state != "ACTIVE"  # the code is inferred
    strict = bool(state.accounts) and account_id != ACCOUNT
    if closed or not trusts(role_arn, caller_arn, context, strict=strict):
        message = f"User: {caller_arn} is not authorized to perform: sts:AssumeRole on resource: {role_arn}"
        raise ApiError("AccessDenied", message)
