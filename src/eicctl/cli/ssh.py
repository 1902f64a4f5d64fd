"""`eicctl ssh`."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from eicctl.cli import options, report
from eicctl.errors import UsageError
from eicctl.model import TargetRequest
from eicctl.ssh.arguments import Arguments, parse_destination, split

if TYPE_CHECKING:
    from eicctl.aws.session import Session
    from eicctl.model import Target

_WORDS = "eicctl.ssh.words"


class _SshCommand(click.Command):
    """Click for the long options; the rest is read as ssh(1) reads it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        own = {
            name: not parameter.is_flag and not parameter.count
            for parameter in self.params
            if isinstance(parameter, click.Option)
            for name in (*parameter.opts, *parameter.secondary_opts)
        }
        if args in (["-h"], []):
            args = ["--help"]
        ours, words = split(args, own)
        ctx.meta[_WORDS] = words
        return super().parse_args(ctx, ours)

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return ["[OPTIONS]", "[USER@]TARGET", "[SSH OPTIONS]", "[-- COMMAND…]"]


@click.command(cls=_SshCommand)
@options.target_settings
@click.option("--os-user", metavar="NAME", help="OS user to log in as; default: that of the instance's image.")
@click.option(
    "--private-key-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Log in with this key; none is pushed.",
)
@click.option("--no-send-key", is_flag=True, help="Push no key; OpenSSH uses the keys that it has.")
@options.tunnel_options
@options.with_session
@click.pass_context
def command(
    ctx: click.Context,
    /,
    *,
    session: Session,
    os_user: str | None,
    private_key_file: Path | None,
    no_send_key: bool,
    max_tunnel_duration: int | None,
    allow_any_port: bool,
    **where: Any,
) -> int:
    """Log in to an instance, or run a command on it.

    A key is made for this connection, pushed to the instance for 60 seconds, and removed at the end. Short options are
    OpenSSH's and go to it (-L, -D, -N, -v, -o, …); the exit code is OpenSSH's.

    \b
    Examples:
      eicctl ssh web-1
      eicctl ssh ubuntu@i-0123456789abcdef0 -L 8080:localhost:80
      eicctl ssh web-1 -- sudo systemctl status nginx
    """
    words: Arguments = ctx.meta[_WORDS]
    destination = parse_destination(words.destination)
    request = TargetRequest(
        remote_port=_port(words, destination.port),
        words=destination.host,
        instance_id=where["instance_id"] or "",
        private_ip_address=where["private_ip_address"] or "",
        endpoint_id=where["instance_connect_endpoint_id"] or "",
        endpoint_dns_name=where["instance_connect_endpoint_dns_name"] or "",
        allow_any_port=allow_any_port,
    )
    user = words.setting("user") or words.last("l") or os_user or destination.user
    own_key = bool(private_key_file or no_send_key or words.last("i"))

    from eicctl.cli.target import resolve_target
    from eicctl.ssh.command import Access, proxy_command, ssh_command
    from eicctl.ssh.explain import Login, explain
    from eicctl.ssh.keys import private_folder
    from eicctl.ssh.run import run

    target = resolve_target(session, request)
    if target.platform == "windows":
        raise UsageError(
            f"{target.label} runs Windows", hint=f"eicctl tunnel {target.label} --remote-port 3389, and an RDP client"
        )
    expected = _image_user(session, target) if not user or not own_key else None
    if not user:
        user = _guess(expected)
    with contextlib.ExitStack() as cleanup:
        folder = cleanup.enter_context(private_folder())
        key = private_key_file
        if not own_key:
            key = _push(session, target, user, folder)
        proxy = proxy_command(target, Access(session.profile, session.given_ca_bundle, max_tunnel_duration))
        line = ssh_command(target, user=user, proxy=proxy, key=key, options=words.passed_on(), command=words.command)
        code, said = run(line)
    if hint := explain(code, said, Login(target, user, expected, not own_key)):
        report.line(f"hint: {hint}")
    return code


def _port(words: Arguments, port: int) -> int:
    given = words.setting("port") or words.last("p")
    if given is None:
        return port or 22
    if not given.isdigit() or not 0 < int(given) < 65536:
        raise UsageError(f"not a port: {given}")
    return int(given)


def _image_user(session: Session, target: Target) -> str | None:
    """The OS user that the instance's image has, or None where that cannot be known."""
    from eicctl.aws.images import describe_image
    from eicctl.errors import EicctlError
    from eicctl.ssh.users import user_of

    if not target.image_id:
        return None
    with contextlib.suppress(EicctlError):  # without the right to look, the default must do
        return user_of(describe_image(session, target.image_id).name)
    return None


def _guess(expected: str | None) -> str:
    from eicctl.ssh.users import DEFAULT

    user = expected or DEFAULT
    report.line(f"using OS user {user} ({'from the AMI' if expected else 'the usual one; --os-user gives another'})")
    return user


def _push(session: Session, target: Target, user: str, folder: Path) -> Path:
    """Make a key and push it; return its file."""
    from eicctl.aws.keys import send_ssh_public_key
    from eicctl.ssh.keys import make_key

    if not target.instance_id:
        raise UsageError(
            f"no key can be pushed to {target.address}: it belongs to no known instance",
            hint="--instance-id names it; or log in with a key of your own: --private-key-file, --no-send-key",
        )
    path, public_key = make_key(folder)
    send_ssh_public_key(
        session,
        instance_id=target.instance_id,
        os_user=user,
        public_key=public_key,
        availability_zone=target.availability_zone,
    )
    return path
