"""The target of a command: what was specified, what the user chooses on a terminal, or that of the last connection."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from eicctl.cli import picker
from eicctl.core.errors import EicctlError, NotFoundError, UsageError
from eicctl.core.model import Target
from eicctl.core.request import ConnectRequest
from eicctl.support import pins, recents
from eicctl.support.activity import Hidden
from eicctl.support.signals import end_by_exception
from eicctl.view import messages

if TYPE_CHECKING:
    from collections.abc import Callable

    from eicctl.aws.databases import Database
    from eicctl.aws.session import Session
    from eicctl.core.model import Target
    from eicctl.ssh.login import Login


CHOSEN = "eicctl.chosen"
"""Whether the user has chosen one of several instances of a name; the next login by that name asks again."""

LAST = "-"
"""The target of the last connection, as `cd -` has it."""


def resolve_target(session: Session, request: ConnectRequest, *, ask: bool = True) -> Target:
    """Return the target of a request, after waiting for it if the request says so.

    Args:
        session: Access to AWS.
        request: The request.
        ask: On a terminal, let the user choose an instance if several match.
    """

    def resolve() -> Target:
        from eicctl.doctor.likely_cause import remember

        started = time.monotonic()
        target = _resolved(session, request, ask=ask)
        remember(session, target)
        explain_target(session, target, started)
        return target

    label = request.label or "a target"
    while True:
        try:
            return waited(session, request, resolve, label)
        except EicctlError as error:
            from eicctl.cli import fixes

            if not ask or (fixed := fixes.fixed_target(error, session, request)) is None:
                raise
            request = fixed


def specified(
    session: Session, request: ConnectRequest, command: str, *, platform: str = ""
) -> tuple[Session, ConnectRequest]:
    """Return a request with a target, and the session for it.

    The target `-` is that of the last connection, with its profile and region unless options name others. On a
    terminal, the user chooses one if none is specified.

    Args:
        session: Access to AWS.
        request: The request.
        command: The command that it is for.
        platform: The only platform of instances to choose from, or an empty string.

    Raises:
        UsageError: None is specified, and nobody can be asked: no TTY.
        NotFoundError: There was no connection yet.
    """
    from eicctl.aws.explicit_target import check_named, check_port

    check_port(request)
    if request.target == LAST:
        last = recents.last(command)
        if not last:
            databases = session.command("aws", "rds", "describe-db-instances")
            raise NotFoundError(
                "No recent target", hint=databases if command == recents.DATABASE else "eicctl instances"
            )
        messages.line(f"Last target: {last.target}{f' ({last.instance_id})' if last.instance_id else ''}")
        return _with(session, request, picker.Chosen.of(last))
    if not request.label and picker.on_terminal():
        return _with(session, request, picker.instance(session, command=command, platform=platform))
    check_named(request)
    return session, request


def with_last(
    session: Session, request: ConnectRequest, targets: tuple[str, ...], command: str
) -> tuple[Session, tuple[str, ...]]:
    """Return targets with the last connection's in the place of `-`, and the session for it; see `specified`."""
    if LAST not in targets:
        return session, targets
    session, last = specified(session, request.replace(target=LAST), command)
    return session, tuple(last.target if word == LAST else word for word in targets)


def specified_or_none(
    session: Session, request: ConnectRequest, command: str, *, ask: bool
) -> tuple[Session, ConnectRequest]:
    """Return what `specified` does, for a command that also works without a target; see there.

    Args:
        session: Access to AWS.
        request: The request.
        command: The command that it is for.
        ask: On a terminal, let the user choose a target or none.
    """
    if request.label or not (ask and picker.on_terminal()):
        return specified(session, request, command) if request.label else (session, request)
    chosen = picker.instance(session, command=command, none="no target")
    return _with(session, request, chosen) if chosen.word else (session, request)


def specified_database(session: Session, word: str) -> tuple[Session, str]:
    """Return the database that a word means, which is the last one for `-`, and the session for it.

    Raises:
        UsageError: None is specified, and nobody can be asked: no TTY.
        NotFoundError: There was no connection yet.
    """
    if word == LAST:
        session, request = specified(session, ConnectRequest(target=word), recents.DATABASE)
        return session, request.target
    if not word and not picker.on_terminal():
        hint = session.command("aws", "rds", "describe-db-instances", "--query", "DBInstances[].DBInstanceIdentifier")
        raise UsageError("No database specified: give an identifier or a host name", hint=hint)
    return session, word or picker.database(session)


def specified_endpoint(session: Session, word: str | None) -> str:
    """Return the endpoint that was specified, or that the user chooses on a terminal.

    Raises:
        UsageError: None is specified, and nobody can be asked: no TTY.
    """
    if not word and not picker.on_terminal():
        raise UsageError("No endpoint specified: give an ID or a Name tag", hint="eicctl list-endpoints")
    return word or picker.endpoint(session)


def passphrase(path: str) -> str:
    """Ask for the passphrase of a key file."""
    with Hidden(), end_by_exception():
        answer: str = click.prompt(f"Passphrase of {path}", hide_input=True, err=True)
    return answer


def _with(session: Session, request: ConnectRequest, chosen: picker.Chosen) -> tuple[Session, ConnectRequest]:
    """Return the session and the request for a target that was chosen, as if options had named all of it."""
    given = click.get_current_context().params
    profile = session.profile if given.get("pick_profile") else given.get("profile") or chosen.profile
    region = given.get("region") or chosen.region
    if (profile or session.profile, region or session.given_region) != (session.profile, session.given_region):
        session = session.of(profile=profile, region=region)
        pins.use(session.profile, session.given_region)
        request = request.replace(endpoint_id=given.get("endpoint_id") or "")  # that of the settings is elsewhere
    return session, request.replace(target=chosen.word, os_user=request.os_user or chosen.user)


@contextlib.contextmanager
def recording(
    command: str, session: Session, target: Target | Database | str, user: str = ""
) -> Iterator[recents.Connection]:
    """Note a connection for `eicctl recent`, as long as the block lasts; one that ends by an error is none."""
    instance_id = target.instance_id if isinstance(target, Target) else ""
    name = target if isinstance(target, str) else target.label if isinstance(target, Target) else target.id
    profile = pins.profile_in_force(session.profile)
    connection = recents.Connection(
        command, name, instance_id=instance_id, profile=profile, region=session.region, user=user
    )
    try:
        yield connection
    except Exception:
        connection.failed = True
        raise
    finally:
        connection.end()


def waited(
    session: Session,
    request: ConnectRequest,
    resolve: Callable[[], Target],
    label: str,
    *,
    greeting: bytes | None = None,
) -> Target:
    """Return a target; with the request's `wait`, once it responds. Shows progress on stderr.

    Args:
        session: Access to AWS.
        request: How long to wait, and the maximum duration of test tunnels meanwhile.
        resolve: Returns the target.
        label: Name of the target for the progress line.
        greeting: First bytes to send to a server at port 3389; None for those of an RDP client.
    """
    if request.wait is None:
        return resolve()
    from eicctl.api.targets import wait_until_ready
    from eicctl.tunnel.probe import RDP_REQUEST
    from eicctl.view.progress import Waiting

    with Waiting(f"Waiting for {label}") as waiting:
        return wait_until_ready(
            session,
            resolve,
            seconds=request.wait,
            label=label,
            max_tunnel_duration=request.max_tunnel_duration,
            greeting=RDP_REQUEST if greeting is None else greeting,
            show=waiting.show,
        )


def _resolved(session: Session, request: ConnectRequest, *, ask: bool) -> Target:
    from eicctl.aws.explicit_target import check_port, explicit_target

    check_port(request)
    if target := explicit_target(session, request):
        return target

    from eicctl.aws.targets import SeveralInstancesError, resolve

    try:
        return resolve(session, request)
    except SeveralInstancesError as several:
        if not (ask and picker.on_terminal()):
            raise
        chosen = picker.one_of(session, several.candidates)
        click.get_current_context().meta[CHOSEN] = True
        return resolve(session, request.replace(target="", instance_id=chosen))


def explain_target(session: Session, found: Target, started: float | None = None) -> None:
    """Print, with `--verbose`, where a connection goes.

    Args:
        session: Access to AWS.
        found: The target.
        started: When it began to be looked up, by `time.monotonic()`; None if it is from the cache.
    """
    if not messages.verbose():
        return
    origin = f"looked up in {time.monotonic() - started:.2f} s" if started is not None else "from the cache"
    name = f"{found.label} ({found.instance_id})" if found.instance_name else found.label
    messages.explain(f"Credentials: {session.source or 'none'}, in {session.location}")
    messages.explain(f"Target: {name}, {found.address} port {found.remote_port}, {origin}")
    messages.explain(f"Endpoint: {found.endpoint_id} ({found.endpoint_dns_name})")


def explain_login(found: Login) -> None:
    """Print, with `--verbose`, who logs in, and how; AWS may be asked for the host's keys."""
    if not messages.verbose():
        return
    from eicctl.agent.delegate import connect

    messages.explain(f"OS user: {found.user.explanation}")
    messages.explain(f"Key: {'a new one, pushed for 60 s' if found.pushes else 'your own, not pushed'}")
    messages.explain(f"Host keys: {found.verdict().detail or 'not verified'}")
    if warm := connect(os.environ):
        warm.close()
    messages.explain(f"Background process: {'running (warm)' if warm else 'none (cold)'}")
