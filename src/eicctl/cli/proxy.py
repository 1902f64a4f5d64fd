"""`eicctl proxy`: stdin and stdout as one tunnel."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from eicctl import errors
from eicctl.cli import options, report
from eicctl.model import Target, TargetRequest

if TYPE_CHECKING:
    from eicctl.aws.remembered import RememberedTargets
    from eicctl.aws.session import Session
    from eicctl.ssh.host_keys import Check
    from eicctl.tunnel.dial import Link


@click.command
@options.with_request
@click.option(
    "--remote-port",
    type=click.IntRange(1, 65535),
    default=22,
    show_default=True,
    help="Port of the target: 22 or 3389.",
)
@click.option(
    "--ssh-login",
    metavar="USER@HOST",
    help="Push a key for OpenSSH's login, to be found at ~/.ssh/eicctl/keys/USER@HOST, and pin HOST's keys.",
)
@click.option(
    "--host-key-check",
    type=click.Choice(["console", "accept-new", "strict", "off"]),
    default="console",
    show_default=True,
    help="With --ssh-login: where the keys to pin are from.",
)
@click.option("--no-cache", is_flag=True, help="Look the target up, also where it was found some minutes ago.")
@options.with_session
def command(
    *,
    session: Session,
    request: TargetRequest,
    max_tunnel_duration: int | None,
    ssh_login: str | None,
    host_key_check: Check,
    no_cache: bool,
) -> int:
    """Carry stdin and stdout to the target, as an OpenSSH ProxyCommand.

    Stdout carries the target's bytes and nothing else. The tunnel ends with stdin.

    \b
    Examples:
      ssh -o ProxyCommand='eicctl proxy %h --remote-port %p' ec2-user@i-0123456789abcdef0
      scp -o ProxyCommand='eicctl proxy %h --remote-port %p' file.tar ec2-user@web-1:
      rsync -e "ssh -o ProxyCommand='eicctl proxy %h'" -a site/ ec2-user@web-1:site/
    """
    session, request = _by_host_name(session, request)
    if ssh_login:
        from eicctl.cli.target import resolve_target

        target = resolve_target(session, request, ask=False)
        from eicctl.ssh.proxied import logged_in

        login = logged_in(
            session,
            target,
            ssh_login,
            check=host_key_check,
            max_tunnel_duration=max_tunnel_duration,
            say=report.line,
        )
        with login as link:
            return _carry(link)

    link, remembered = _dialled(session, request, max_tunnel_duration, cache=not no_cache)
    return _carry(link, on_unreachable=lambda: remembered.forget(request) if remembered else None)


def _dialled(
    session: Session, request: TargetRequest, max_tunnel_duration: int | None, *, cache: bool
) -> tuple[Link, RememberedTargets | None]:
    """Open a tunnel, to the target as it was found some minutes ago if that is still right.

    Also returns what remembers the target; None where there is nothing to remember.
    """
    from eicctl.aws.told import check_port, told_in_full
    from eicctl.cli.diagnosis import remember
    from eicctl.tunnel.dial import Dialer

    def dialer(target: Target) -> Dialer:
        remember(session, target)
        return Dialer(target, session.credentials, session.ca_bundle, max_tunnel_duration)

    check_port(request)
    if target := told_in_full(session, request):
        return dialer(target).open(), None
    remembered = None
    if cache and (request.words or request.instance_id or request.private_ip_address):
        from eicctl.aws.remembered import RememberedTargets

        remembered = RememberedTargets(session)
        if target := remembered.get(request):
            try:
                return dialer(target).open(retry_budget=0), remembered
            except (errors.CredentialsError, errors.ThrottledError):
                raise
            except errors.EicctlError:
                remembered.forget(request)

    from eicctl.cli.target import resolve_target

    found = resolve_target(session, request, ask=False)
    link = dialer(found).open()
    if remembered:
        remembered.put(request, found)
    return link, remembered


def _by_host_name(session: Session, request: TargetRequest) -> tuple[Session, TargetRequest]:
    """Where the target is a name of ssh_config, take profile, region and target from it."""
    if not request.words.endswith(".eic"):
        return session, request
    from eicctl.ssh.host_names import parse

    name = parse(request.words, session.profiles())
    if not name:
        return session, request
    found = session.of(profile=session.profile or name.profile, region=name.region)
    return found, replace(request, words=name.target)


def _carry(link: Link, on_unreachable: Callable[[], object] = lambda: None) -> int:
    from eicctl.tunnel.stdio import StdioTunnel

    tunnel = StdioTunnel(link, sys.stdin.fileno(), sys.stdout.fileno())
    interrupted = False

    def end(_signal: int, _frame: object) -> None:
        nonlocal interrupted
        interrupted = True
        tunnel.close()

    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), end)
    ending = tunnel.run()
    if isinstance(ending.error, errors.TargetUnreachableError):
        on_unreachable()
    if ending.error:
        ending.error.request_id = ending.request_id or None
        return report.failure(ending.error)
    return errors.INTERRUPTED if interrupted else 0
