"""Questions on a terminal whose default is the fix: for no region, no credentials, a login that has expired, a VPC
without an endpoint, and an instance that is stopped. Elsewhere the error's hint is the command to run.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING

import click

from eicctl.aws.config_files import sections
from eicctl.aws.endpoint_selection import NoEndpointError
from eicctl.aws.targets import InstanceStateError
from eicctl.cli.picker import on_terminal
from eicctl.core.errors import EicctlError, LocalError, LoginRequiredError, NoCredentialsError, NoRegionError
from eicctl.core.request import WAIT
from eicctl.support import pins, settings
from eicctl.support.activity import Hidden
from eicctl.view import messages
from eicctl.view.progress import Waiting

if TYPE_CHECKING:
    from eicctl.aws.session import Session
    from eicctl.core.request import ConnectRequest

_USUAL_REGION = "us-east-1"


def agreed(question: str, error: EicctlError | None = None) -> bool:
    """Ask for confirmation, after the error that is the reason, with yes as the default; return False without a
    terminal."""
    if not on_terminal():
        return False
    whole = f"{error}. {question}" if error else question
    text = messages.fitted(messages.printable(f"{whole} [Y/n]:"), sys.stderr)
    with Hidden():
        return click.confirm(text, default=True, err=True, show_default=False, prompt_suffix=" ")


def fixed_target(error: EicctlError, session: Session, request: ConnectRequest) -> ConnectRequest | None:
    """Fix what keeps a target from being resolved; return the request to try again, or None if it is not fixed.

    Args:
        error: Why it was not resolved; it gets the hint that fixes it.
        session: Access to AWS.
        request: What was asked for.

    Raises:
        EicctlError: The fix has failed.
    """
    if isinstance(error, InstanceStateError) and error.instance_id:
        error.hint = messages.again("--start", first=True)
        if not request.start and not agreed(f"Instance {error.label} is stopped. Start it?"):
            return None
        from eicctl.aws.instances import start_instance

        with Waiting(f"Starting {error.label}") as waiting:
            start_instance(session, error.instance_id, timeout=request.wait or WAIT, progress=waiting.show)
        return request.replace(wait=request.wait or WAIT)
    if isinstance(error, NoEndpointError) and error.location:
        if not agreed("Create one (takes about 3 minutes)?", error):
            return None
        _create_endpoint(session, error)
        return request
    return None


def _create_endpoint(session: Session, error: NoEndpointError) -> None:
    """Create an endpoint with a group of its own that the target's group allows, and wait; a failure undoes it."""
    from eicctl.api.endpoints import plan_endpoint
    from eicctl.aws.endpoints import wait_usable

    assert error.location  # noqa: S101 - the caller has looked
    plan = plan_endpoint(
        session,
        subnet_id=error.location.subnet_id or None,
        vpc_id=error.location.vpc_id,
        create_security_group=True,
        allow_to=error.group_ids[:1],
    )
    endpoint = plan.existing or plan.create(messages.line)
    if plan.group:
        allowed = f", allowed by {error.group_ids[0]}" if error.group_ids else ""
        messages.line(f"Created {endpoint.id} with security group {plan.group.group_id}{allowed}")
    look = session.command("eicctl", "show-endpoint", endpoint.id)
    with Waiting(endpoint.id, interrupted=f"{endpoint.id} is still being created: {look}") as waiting:
        wait_usable(session, endpoint.id, progress=waiting.show)


def fixed_access(error: EicctlError, session: Session) -> tuple[str | None, str | None] | None:
    """Fix what keeps a command from AWS; return the profile and region to try again with, or None if it is not fixed.

    Raises:
        EicctlError: The fix has failed.
    """
    if not on_terminal():
        return None
    if isinstance(error, LoginRequiredError):
        return (session.profile, session.given_region) if _log_in(error, session) else None
    missing = error if isinstance(error, NoCredentialsError) else None
    if isinstance(error, NoRegionError) and not (missing := _without_credentials(session)):
        return session.profile, _ask_region(session)
    if not missing or pins.named_profile(session.profile) is not None or pins.has_keys():
        return None
    fixed = _choose_profile(session, missing)
    if not fixed and missing is not error:
        raise missing
    return fixed


def _without_credentials(session: Session) -> NoCredentialsError | None:
    """Return the error for no credentials, or None: without any, a region would be asked for in vain."""
    try:
        session.botocore_credentials()
    except NoCredentialsError as error:
        return error
    except EicctlError:
        pass
    return None


def _ask_region(session: Session) -> str:
    """Ask for the region, and save it as the default."""
    known = session.known_regions("ec2")
    usual: Counter[str] = Counter(row["region"] for row in sections().values() if row.get("region"))

    def checked(answer: str) -> str:
        if answer not in known:
            raise click.BadParameter(f"No region named {answer!r}.")
        return answer

    with Hidden():
        region: str = click.prompt(
            "AWS region, saved as the default",
            default=next(iter(usual.most_common(1)), (_USUAL_REGION,))[0],
            value_proc=checked,
            err=True,
        )
    settings.store((), "region", region)
    return region


def _choose_profile(session: Session, error: NoCredentialsError) -> tuple[str | None, str | None] | None:
    """Let the user choose a profile, and save it as the default; without any, run `aws configure sso`."""
    profiles = session.profiles()
    if not profiles:
        command = ["aws", "configure", "sso"]
        if not (shutil.which("aws") and agreed(f"Run {pins.command(*command)}?", error)):
            return None
        _run(command)
        profiles = session.of(profile=None, region=None).profiles()
        return (profiles[-1], session.given_region) if profiles else None
    if len(profiles) == 1:
        profile = profiles[0]
        if not agreed(f"Use profile {profile}, and save it as the default?", error):
            return None
    else:
        with Hidden():
            profile = click.prompt(
                "AWS profile, saved as the default",
                type=click.Choice(profiles),
                default=profiles[0],
                err=True,
            )
    settings.store((), "profile", profile)
    return profile, session.given_region


def _log_in(error: LoginRequiredError, session: Session) -> bool:
    """Renew the session of a profile: by the AWS CLI, else by the device flow of IAM Identity Center."""
    from eicctl.aws import sso

    profile = sso.profile_of(session)
    command = [*error.command, *(["--profile", profile] if profile else [])]
    if shutil.which("aws"):
        if not agreed(f"Run {pins.command(*command)}?", error):
            return False
        _run(command)
        return True
    if error.command != LoginRequiredError.SSO or not agreed(
        f"Log in to IAM Identity Center for profile {profile}?", error
    ):
        return False

    def show(url: str, code: str) -> None:
        messages.line(f"Open {url} and confirm the code {code}")
        click.launch(url)

    with Waiting("Waiting for the confirmation in the browser"):
        sso.log_in(session, profile, show)
    return True


def _run(command: list[str]) -> None:
    """Run a command of the AWS CLI on this terminal.

    Raises:
        LocalError: It has failed.
    """
    with Hidden():
        code = subprocess.run(command, stdin=sys.stdin, check=False).returncode
    if code:
        raise LocalError(f"{pins.command(*command)} ended with exit code {code}")
