"""`eicctl ssh-config`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import click

from eicctl.cli import options
from eicctl.cli.param_types import INSTANCE
from eicctl.core import sanitize as foreign
from eicctl.core.errors import UsageError
from eicctl.support import paths
from eicctl.view import messages

if TYPE_CHECKING:
    from eicctl.aws.session import Session
    from eicctl.core.request import ConnectRequest
    from eicctl.ssh.config_file import Block, Change, Section


@click.command
@click.argument("targets", nargs=-1, type=INSTANCE)
@click.option("--all", "everything", is_flag=True, help="All running instances; entries of others are removed.")
@click.option("--pattern", is_flag=True, help="All names NAME[.PROFILE][.REGION].eic, looked up on use.")
@click.option("--install", is_flag=True, help="Write ~/.ssh/eicctl/config and include it in ~/.ssh/config.")
@click.option("--print", "shown", is_flag=True, help="Print the blocks (the default).")
@click.option("--remove", is_flag=True, help="Remove what --install added.")
@click.option("--dry-run", is_flag=True, help="With --install or --remove: show the diff, and write nothing.")
@click.option("--multiplex", is_flag=True, help="Share one connection per host (one of the endpoint's 20).")
@options.login_settings
@options.endpoint_settings
@options.as_request
@options.with_session
def command(
    *,
    session: Session,
    targets: tuple[str, ...],
    everything: bool,
    pattern: bool,
    install: bool,
    shown: bool,
    remove: bool,
    dry_run: bool,
    multiplex: bool,
    request: ConnectRequest,
) -> None:
    """Make ssh, scp, rsync, git and Ansible reach instances as NAME.eic.

    For each connection, OpenSSH starts eicctl proxy, which pushes a key and pins the host's keys.

    \b
    Examples:
      eicctl ssh-config --all --pattern --install && ssh web-1.eic
      eicctl ssh-config web-1 app-1 --multiplex --install --dry-run
      eicctl ssh-config - --install
      eicctl ssh-config --remove
    """
    if sum((install, shown, remove)) > 1:
        raise UsageError("--install, --print and --remove are mutually exclusive")
    if dry_run and not (install or remove):
        raise UsageError("--dry-run requires --install or --remove")
    from eicctl.ssh import config_file

    if remove:
        if targets or everything or pattern:
            raise UsageError("--remove takes no targets: it removes everything")
        _change(config_file.removal(), dry_run)
        return
    if targets and everything:
        raise UsageError("Specify targets or --all, not both")
    if not (targets or everything or pattern):
        raise UsageError("No target specified", hint="use --all, --pattern, or names of instances")

    from eicctl.cli.target_prompt import with_last
    from eicctl.ssh.openssh_options import OpensshOptions, pinned

    session, targets = with_last(session, request, targets, "ssh-config")
    request = pinned(session, request)
    if multiplex and not dry_run:
        paths.private(config_file.mux_folder())
    layout = config_file.Layout(OpensshOptions(request), request.os_user or None, multiplex)
    pushes = request.pushes_key
    instances = config_file.running(session) if everything else config_file.named(session, targets, pushes=pushes)
    blocks: list[Block] = config_file.for_instances(session, instances, layout)
    if pattern:
        blocks.append(config_file.for_pattern(layout))
    if not install:
        click.echo(foreign.printable("\n".join(block.text() for block in blocks)), nl=False)
        return
    from eicctl.aws.identity import caller_identity

    account = caller_identity(session).account
    section = config_file.Section(account, request.region or "", request.profile or "")
    changes, merged = config_file.installation(section, blocks, whole=everything)
    _change(changes, dry_run)
    if not dry_run:
        hosts = [[host for host in block.hosts if host not in merged.refused][:1] for block in blocks]
        messages.line(f"Hosts: {' '.join(host for named in hosts for host in named)}")
    if merged.gone:
        messages.line(f"Removed (not running in {section}): {' '.join(merged.gone)}")
    for owner, names in _by_section(merged.moved):
        messages.line(f"Changed from {owner} to {section}: {' '.join(names)}")
    for owner, names in _by_section(merged.refused):
        messages.line(f"Kept for {owner}, so not added for {section}: {' '.join(names)}")


def _by_section(names: Mapping[str, Section]) -> Iterator[tuple[Section, list[str]]]:
    for owner in dict.fromkeys(names.values()):
        yield owner, [name for name in names if names[name] == owner]


def _change(changes: list[Change], dry_run: bool) -> None:
    """Make the changes, or show them."""
    for change in changes:
        if dry_run:
            click.echo(foreign.printable(change.diff()), nl=False)
        else:
            change.make()
            if change.before != change.after:
                messages.line(f"Changed {change.path}")
    if all(change.before == change.after for change in changes):
        messages.line("No changes")
