"""Several AWS accounts in one command: those of profiles, or those in which a role is assumed.

An account that refuses is reported, and the others are read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import partial
from typing import Any, Generic, TypeVar

from eicctl.aws.assumed_role import RoleSession, session_name
from eicctl.aws.config_files import sections
from eicctl.aws.credentials import share_mfa
from eicctl.aws.errors import translated
from eicctl.aws.identity import caller_identity
from eicctl.aws.regions import used_regions
from eicctl.aws.session import Session
from eicctl.core.errors import DeniedError, EicctlError, RefusedError, UsageError
from eicctl.core.names import natural_key
from eicctl.support import pins
from eicctl.support.threads import for_each, together

T = TypeVar("T")

ALL = "all"
"""Stands for all active accounts of the organization."""

_ROLE = re.compile(r"[\w+=,.@/-]{1,512}", re.ASCII)
_EXTERNAL_ID = re.compile(r"[\w+=,.@:/-]{2,1224}", re.ASCII)
"""What STS accepts as `ExternalId` (its service model)."""


@dataclass(frozen=True, slots=True)
class Selection:
    """The accounts that a command reads.

    Attributes:
        profiles: Profiles, and patterns of their names with `*`, `?` and `[…]`.
        accounts: Account IDs, or `all`; empty for the accounts of the profiles.
        role: The name of the role to assume in them, with its path if it has one.
        external_id: The external ID that its trust policy requires, or empty.
    """

    profiles: tuple[str, ...] = ()
    accounts: tuple[str, ...] = ()
    role: str = ""
    external_id: str = ""

    @property
    def several(self) -> bool:
        """Whether it may be more than the account of one profile."""
        return bool(self.accounts) or len(self.profiles) > 1 or any(map(_is_pattern, self.profiles))


def selection(profiles: Sequence[str], accounts: str | None, role: str | None, external_id: str | None) -> Selection:
    """Return the accounts that options select.

    Args:
        profiles: Profiles, and patterns of their names.
        accounts: Account IDs, separated by commas, or `all`.
        role: The name of the role to assume in them.
        external_id: The external ID that its trust policy requires.

    Raises:
        UsageError: The options do not fit together, or one of them cannot be right.
    """
    profiles = tuple(dict.fromkeys(filter(None, profiles)))
    if accounts is None:
        for option, value in (("--role", role), ("--external-id", external_id)):
            if value is not None:
                raise UsageError(f"{option} requires --accounts", hint="--accounts all, or account IDs")
        return Selection(profiles)
    ids = tuple(dict.fromkeys(word for word in re.split(r"[,\s]+", accounts) if word))
    wrong = [word for word in ids if not re.fullmatch(r"[0-9]{12}", word)]
    if ids != (ALL,) and (wrong or not ids):
        raise UsageError(f"Not an account ID: {(wrong or [accounts])[0]!r}", hint="--accounts 111122223333,…, or all")
    if not role:
        raise UsageError("--accounts requires --role", hint="--role NAME: a role that each of the accounts has")
    if not _ROLE.fullmatch(role):
        raise UsageError(f"Not the name of a role: {role!r}", hint="--role takes a name, not an ARN")
    if external_id is not None and not _EXTERNAL_ID.fullmatch(external_id):
        raise UsageError("--external-id must have 2 to 1224 letters, digits, or characters of +=,.@:/-")
    if Selection(profiles).several:
        raise UsageError("--accounts takes one --profile: the one that assumes the role")
    return Selection(profiles, ids, role, external_id or "")


@dataclass(frozen=True, slots=True)
class Account:
    """An account, and access to it.

    Attributes:
        session: Access to it.
        id: Its ID; empty if it is not known.
        name: Its name in the organization, or empty.
        profile: The profile that leads to it; empty for the default, or where none does.
        role_arn: The role that is assumed in it, or empty.
    """

    session: Session
    id: str = ""
    name: str = ""
    profile: str = ""
    role_arn: str = ""

    @property
    def label(self) -> str:
        """What to call it in a message: `account 111122223333 (dev)`."""
        name = self.name or self.profile
        return f"account {self.id} ({name})" if self.id and name else f"account {self.id}" if self.id else self._source

    @property
    def _source(self) -> str:
        return f"profile {self.session.profile_name}"

    @property
    def order(self) -> tuple[str, str]:
        """By what results are sorted."""
        return (self.id, self.profile)

    @property
    def keys(self) -> dict[str, str | None]:
        """What rows have of it as JSON."""
        return {"AccountId": self.id, "AccountName": self.name or None, "Profile": self.profile or None}

    @property
    def profile_for_commands(self) -> str:
        """A profile that leads, or would lead, to the account: `new_profile` creates one that does not exist."""
        return self.profile or (self.role_arn and self._suggested) or self.session.profile or ""

    @property
    def _suggested(self) -> str:
        word = re.sub(r"[^A-Za-z0-9._-]+", "-", self.name).strip("-")
        return word if word and word not in sections() else self.id

    @property
    def new_profile(self) -> str:
        """The command that creates `profile_for_commands`; empty where it exists."""
        if self.profile or not self.role_arn:
            return ""
        name, source = self._suggested, self.session.pinned_profile
        settings = {"role_arn": self.role_arn}
        settings |= {"source_profile": source} if source else {"credential_source": "Environment"}
        settings |= {"external_id": self.session.external_id} if isinstance(self.session, RoleSession) else {}
        words = ("aws", "configure", "set")
        pairs = ((key, value) for key, value in settings.items() if value)
        return " && ".join(pins.command(*words, key, value, "--profile", name) for key, value in pairs)

    def command(self, *words: str, region: str) -> str:
        """Return a command line that works in this account."""
        return pins.command_line(words, profile=self.profile_for_commands, region=region)


@dataclass(frozen=True, slots=True)
class Failure:
    """An account, or a region of one, that could not be read, and why. `region` is empty for the whole account."""

    account: Account
    error: EicctlError
    region: str = ""

    @property
    def label(self) -> str:
        """What to call it in a message."""
        return f"{self.account.label} {self.region}".rstrip()

    @property
    def hint(self) -> str:
        """The error's hint, with the account's profile; empty where there is none."""
        account, hint = self.account, self.error.hint or ""
        profile = account.session.profile if account.profile or not account.role_arn else account.profile_for_commands
        return pins.pinned(hint, profile or None, self.region or None)


@dataclass(frozen=True, slots=True)
class Opened:
    """The accounts of a selection, and those that refuse."""

    accounts: list[Account] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)


def open_accounts(session: Session, selected: Selection) -> Opened:
    """Return access to each account, with credentials that work. A single one is not asked who it is.

    Args:
        session: The profile that assumes the role; of several profiles, one whose other options all have.
        selected: The accounts.

    Raises:
        UsageError: No profile matches.
        EicctlError: The role's source is refused, or may not list the accounts.
    """
    if not selected.several:
        return Opened([Account(session, profile=session.profile or "")])
    if selected.accounts:
        tries = _role_accounts(session, selected)
    else:
        share_mfa()
        tries = [
            partial(_of_profile, session.of(profile=name, region=session.given_region), name)
            for name in matching_profiles(session, selected.profiles)
        ]
    found = together(tries)
    accounts = [each for each in found if isinstance(each, Account)]
    return Opened(accounts, [each for each in found if isinstance(each, Failure)])


def matching_profiles(session: Session, words: Iterable[str]) -> list[str]:
    """Return the profiles that match, each once.

    Raises:
        UsageError: A pattern matches none.
    """
    known = session.of(profile=None, region=None).profiles()
    found: list[str] = []
    for word in words:
        matching = (
            [word] if word in known or not _is_pattern(word) else sorted(n for n in known if fnmatchcase(n, word))
        )
        if not matching:
            raise UsageError(f'No AWS profile matches "{word}"', hint="aws configure list-profiles")
        found += matching
    return list(dict.fromkeys(found))


def _is_pattern(word: str) -> bool:
    return any(char in word for char in "*?[")


def _of_profile(session: Session, name: str) -> Account | Failure:
    try:
        return Account(session, caller_identity(session).account, profile=name)
    except EicctlError as error:
        return Failure(Account(session, _expected_id(name), profile=name), error)


def _expected_id(profile: str) -> str:
    """The account ID of a profile by its settings; empty where they do not say."""
    settings = sections().get(profile, {})
    role = settings.get("role_arn", "").split(":")
    return settings.get("sso_account_id", "") or (role[4] if len(role) > 4 else "")


def _role_accounts(session: Session, selected: Selection) -> list[Callable[[], Account | Failure]]:
    """Return what assumes the role in each account; the caller's own account is read with the caller's own rights."""
    caller = caller_identity(session)
    names = list_accounts(session) if selected.accounts == (ALL,) else dict.fromkeys(selected.accounts, "")
    partition = caller.arn.split(":")[1]
    by_role: dict[str, str] = {}
    for name, options in sections().items():
        by_role.setdefault(options.get("role_arn", ""), name)
    tries: list[Callable[[], Account | Failure]] = []
    for account_id, name in names.items():
        if account_id == caller.account:
            own = Account(session, account_id, name, session.profile or "")
            tries.append(lambda own=own: own)  # type: ignore[misc]
            continue
        arn = f"arn:{partition}:iam::{account_id}:role/{selected.role.strip('/')}"
        assumed = RoleSession(session, arn, session_name(caller), selected.external_id)
        tries.append(partial(_assumed, Account(assumed, account_id, name, by_role.get(arn, ""), arn)))
    return tries


def _assumed(account: Account) -> Account | Failure:
    role = account.role_arn.partition(":role/")[2]
    try:
        with translated(f"assume the role {role}"):
            account.session.botocore_credentials().get_frozen_credentials()
        account.session.credentials()  # which no log shows from here on
    except DeniedError as error:
        error.hint = f"role {role} must exist in the account and trust the caller, which needs sts:AssumeRole on it"
        return Failure(account, error)
    except EicctlError as error:
        return Failure(account, error)
    return account


def list_accounts(session: Session) -> dict[str, str]:
    """Return the organization's active accounts: names by IDs, in the order of the names (Organizations, ListAccounts).

    Raises:
        DeniedError: The account is neither the management account nor a delegated administrator, or a policy refuses.
        RefusedError: The account is in no organization.
    """
    try:
        with translated("list the accounts of the organization"):
            pages = session.client("organizations").get_paginator("list_accounts").paginate()
            rows: list[Any] = [row for page in pages for row in page["Accounts"]]
    except DeniedError as error:
        error.hint = (
            "Missing IAM permission: organizations:ListAccounts, of the management account or a delegated "
            "administrator; or specify the IDs: --accounts 111122223333,…"
        )
        raise
    except RefusedError as error:
        error.hint = error.hint or "specify the account IDs: --accounts 111122223333,…"
        raise
    # `Status` retires in favor of `State`.
    active = [row for row in rows if (row.get("State") or row.get("Status")) == "ACTIVE"]
    names = {str(row["Id"]): str(row.get("Name", "")) for row in active}
    return dict(sorted(names.items(), key=lambda pair: (natural_key(pair[1]), pair[0])))


@dataclass(frozen=True, slots=True)
class Results(Generic[T]):
    """What calls in accounts and regions have returned, in order, and those that failed."""

    found: list[tuple[Account, str, T]]
    failures: list[Failure]


def in_accounts(
    session: Session, selected: Selection, look: Callable[[Session, str], T], *, all_regions: bool
) -> Results[T]:
    """Make a call in each region of each account, several at once; of two profiles of one account, in a region once.

    Args:
        session: See `open_accounts`.
        selected: The accounts.
        look: The call: takes a session and a region.
        all_regions: Whether to call in all regions that an account uses, instead of the session's.

    Raises:
        EicctlError: The only account, or its only region, does not respond.
    """
    opened = open_accounts(session, selected)
    only = not selected.several

    def regions(account: Account) -> list[str] | Failure:
        try:
            return used_regions(account.session) if all_regions else [account.session.region]
        except EicctlError as error:
            if only:
                raise
            return Failure(account, error)

    def tried(job: tuple[Account, str]) -> T | Failure:
        account, region = job
        try:
            return look(account.session, region)
        except EicctlError as error:
            if only and not all_regions:
                raise
            return Failure(account, error, region)
        finally:
            if selected.several:  # descriptors are fewer than the regions of all accounts
                account.session.close(region)

    listed = for_each(regions, opened.accounts)
    jobs: dict[tuple[str, str], tuple[Account, str]] = {}
    for account, names in zip(opened.accounts, listed, strict=True):
        for region in [] if isinstance(names, Failure) else names:
            jobs.setdefault((account.id, region), (account, region))
    answers = for_each(tried, jobs.values())
    found = [
        (account, region, answer)
        for (account, region), answer in zip(jobs.values(), answers, strict=True)
        if not isinstance(answer, Failure)
    ]
    failures = [each for each in (*opened.failures, *listed, *answers) if isinstance(each, Failure)]
    return Results(found, failures)
