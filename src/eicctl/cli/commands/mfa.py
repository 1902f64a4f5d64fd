"""`eicctl mfa`: sessions that were opened with an MFA code."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from eicctl.cli import Group, options
from eicctl.cli.param_types import PROFILE
from eicctl.core.errors import NotFoundError, UsageError
from eicctl.view import messages, render

if TYPE_CHECKING:
    from eicctl.aws.session import Session


@click.group(cls=Group)
@click.pass_context
def command(ctx: click.Context) -> None:
    """Manage MFA sessions: log in, show the status, log out.

    \b
    Examples:
      eicctl mfa login --profile work
      eicctl mfa status
      eicctl mfa logout work-mfa
    """
    # What is given before `mfa` counts for `login`.
    ctx.default_map = {"login": ctx.default_map or {}}


@command.command()
@click.option(
    "--into", metavar="NAME", help="Profile for the session; default: the base profile's name with -mfa appended."
)
@click.option("--serial", metavar="ARN", help="MFA device; default: the profile's mfa_serial, or your only device.")
@click.option("--token-code", metavar="CODE", help="MFA code; - reads it from stdin. Default: prompt.")
@click.option(
    "--duration",
    type=int,
    metavar="SECONDS",
    help="Session duration, 900 to 129600 (root: 3600); default: AWS's, 12 hours.",
)
@options.with_session
def login(
    *, session: Session, into: str | None, serial: str | None, token_code: str | None, duration: int | None
) -> None:
    """Open an MFA session and store it in a separate profile.

    The profile with the long-lived keys and the rest of the AWS configuration stay unchanged.

    \b
    Examples:
      eicctl mfa login
      eicctl mfa login --profile work --into work-today --duration 3600
      eicctl local mfa-code | eicctl mfa login --token-code -
    """
    from eicctl.aws import mfa
    from eicctl.aws.credentials import ask_code, checked_code

    if token_code not in (None, "-"):
        checked_code(token_code)  # before anything is asked of AWS

    def code(device: str) -> str:
        if token_code == "-":  # noqa: S105 - the word for stdin
            return sys.stdin.readline()
        return token_code if token_code is not None else ask_code(f"MFA code for {device}: ")

    done = mfa.login(session, into=into, serial=serial, duration=duration, code=code)
    end = f"{done.expires.astimezone():%Y-%m-%d %H:%M:%S %Z}"
    messages.line(f"{done.arn}: session expires {end} (in {_left(done.expires)})")
    messages.line(f"To use it: export AWS_PROFILE={done.profile}, or --profile {done.profile}")
    if os.environ.get("AWS_ACCESS_KEY_ID"):
        messages.line(f"AWS_ACCESS_KEY_ID overrides AWS_PROFILE; use --profile {done.profile}")


@command.command()
@options.output_options
def status(*, output: str, query: str | None) -> None:
    """List MFA sessions and their time left.

    \b
    Examples:
      eicctl mfa status
      eicctl mfa status --output json --query '[?SecondsLeft > `600`].Profile'
    """
    from eicctl.aws.profile_files import stored

    table = output == "table" and not query
    rows = [
        {
            "Profile": one.profile,
            "BaseProfile": one.base,
            "Expiration": one.expires,
            "SecondsLeft": _seconds(one.expires),
            **({"Left": _left(one.expires)} if table else {}),
        }
        for one in stored()
    ]
    if table and not rows:
        messages.line("No MFA sessions")
        messages.line("hint: eicctl mfa login")
        return
    columns = {"Profile": "Profile", "Base": "BaseProfile", "Until": "Expiration", "Left": "Left"}
    render.show(rows, output=output, query=query, columns=columns)


@command.command()
@click.argument("name", required=False, type=PROFILE)
@click.option("--all", "every", is_flag=True, help="Remove all sessions.")
def logout(*, name: str | None, every: bool) -> None:
    """Remove an MFA session from the AWS configuration.

    Without NAME, removes the only one. AWS cannot revoke a session: a copy of its keys is valid until it expires.

    \b
    Examples:
      eicctl mfa logout work-mfa
      eicctl mfa logout --all
    """
    from eicctl.aws.profile_files import remove, stored

    if name and every:
        raise UsageError("NAME and --all are mutually exclusive")
    known = [one.profile for one in stored()]
    if name and name not in known:
        raise NotFoundError(f"Profile {name!r} has no MFA session", hint="eicctl mfa status")
    if not name and not every and len(known) > 1:
        raise UsageError(f"Multiple MFA sessions: {', '.join(known)}", hint="eicctl mfa logout --all")
    for profile in [name] if name else known:
        remove(profile)
        messages.line(f"Removed the MFA session in profile {profile}")
    if not known:
        messages.line("No MFA sessions")


def _seconds(expires: datetime | None) -> int:
    return max(0, int((expires - datetime.now(UTC)).total_seconds())) if expires else 0


def _left(expires: datetime | None) -> str:
    seconds = _seconds(expires)
    return f"{seconds // 3600} h {seconds % 3600 // 60} min" if seconds else "expired"
