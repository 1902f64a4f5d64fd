"""Options that many commands share, as decorators."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from eicctl.cli.param_types import ENDPOINT_ID, FILE, INSTANCE, INSTANCE_ID, PROFILE, REGION
from eicctl.core.errors import UsageError
from eicctl.core.model import MAX_TUNNEL_DURATION
from eicctl.core.request import ConnectRequest
from eicctl.support import log, pins

if TYPE_CHECKING:
    from eicctl.aws.session import Session
    from eicctl.ssh.host_keys import Check

Command = TypeVar("Command", bound=Callable[..., Any])


def _all(*decorators: Callable[[Command], Command]) -> Callable[[Command], Command]:
    def apply(function: Command) -> Command:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return apply


def _debug(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        log.configure(debug=True, command=_path(ctx))


def _log_file(ctx: click.Context, _param: click.Parameter, value: str | None) -> None:
    if value and not ctx.resilient_parsing:
        log.configure(log_file=value, command=_path(ctx))


def _path(ctx: click.Context) -> str:
    return ctx.command_path.removeprefix("eicctl ")


log_options = _all(
    click.option(
        "--debug",
        is_flag=True,
        expose_value=False,
        callback=_debug,
        help="Log to stderr, and show tracebacks.",
    ),
    click.option(
        "--log-file",
        type=FILE,
        metavar="FILE",
        expose_value=False,
        callback=_log_file,
        help="Write a log to this file; default: log_file in config.toml, else none.",
    ),
)
"""Where to log. The command takes nothing."""

wire_options = _all(
    click.option(
        "--ca-bundle", type=FILE, metavar="FILE", help="CA certificates (PEM) to trust; default: the system's."
    ),
    click.option("--fips", is_flag=True, help="Use FIPS endpoints for the API and for tunnels."),
    log_options,
)
"""How to speak with AWS, whoever and wherever. The command takes `ca_bundle` and `fips`."""

aws_options = _all(
    click.option("--profile", type=PROFILE, metavar="NAME", help="AWS profile."),
    click.option("--region", type=REGION, metavar="REGION", help="AWS region; default: the profile's."),
    wire_options,
)
"""How to reach AWS. The command takes `profile`, `region`, `ca_bundle` and `fips`, and gives them to `session`."""

output_options = _all(
    click.option(
        "--output",
        type=click.Choice(["table", "json", "text"]),
        default="table",
        show_default=True,
        help="Output format.",
    ),
    click.option("--query", metavar="JMESPATH", help="JMESPath query on the JSON output."),
)
"""How to show a result. The command takes `output` and `query`, and gives them to `render.show`."""

messages_option = click.option(
    "--output",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="Output format; json: one object per line on stdout.",
)
"""How a command that runs on tells what happens. The command takes `output`."""


def _everybody(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from eicctl.tunnel.peer_uid import let_everybody_in

        let_everybody_in()


others_option = click.option(
    "--allow-other-users",
    is_flag=True,
    expose_value=False,
    callback=_everybody,
    help="Allow other users of this machine to connect to the local port.",
)
"""Who may connect to a local port. The command takes nothing."""

bind_option = _all(
    click.option(
        "--bind", metavar="ADDRESS", help="Listen on this address instead of loopback; other hosts can then connect."
    ),
    others_option,
)
"""Where to listen, and for whom. The command takes `bind`."""

dry_run_option = click.option(
    "--dry-run", is_flag=True, help="Show the API calls without making them; EC2's dry run checks permissions."
)
"""Whether EC2 is only asked if it would. The command takes `dry_run`."""

timeout_option = click.option(
    "--timeout",
    type=click.FloatRange(min=1),
    default=600.0,
    show_default=True,
    metavar="SECONDS",
    help="Timeout of --wait.",
)
"""How long to wait. The command takes `timeout`."""

queue_option = click.option(
    "--queue-timeout",
    type=click.FloatRange(min=0),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="How long a connection may queue for one of the endpoint's 20 slots.",
)
"""How long to wait for one of the endpoint's 20 places. The command takes `queue_timeout`."""

linger_option = click.option(
    "--linger",
    type=click.FloatRange(0, 3600),
    metavar="SECONDS",
    help="Idle timeout after the client's EOF; default: 60 while the client waits for a response.",
)
"""How long to wait for an answer. The command takes `linger`."""


def _keepalive(ctx: click.Context, _param: click.Parameter, value: float | None) -> None:
    if value is not None and not ctx.resilient_parsing:
        from eicctl.tunnel.keepalive import set_interval

        set_interval(value)


keepalive_option = click.option(
    "--keepalive",
    type=click.FloatRange(0, MAX_TUNNEL_DURATION),
    metavar="SECONDS",
    expose_value=False,
    callback=_keepalive,
    help="Ping an idle tunnel at this interval; 0: never. Default: keepalive in config.toml, else 30.",
)
"""How to keep idle tunnels alive. The command takes nothing."""

agent_option = click.option(
    "--no-agent", is_flag=True, help="Run in this process; neither use nor start the background process."
)
"""Whether to do without the background process. The command takes `no_agent`."""

WAIT = 300.0
"""Seconds for which `--wait` alone waits."""


def separate_wait(args: list[str]) -> list[str]:
    """Return words in which `--wait` has its usual value. Click alone would take the word after it for its value."""
    end = args.index("--") if "--" in args else len(args)
    return [f"--wait={WAIT:g}" if word == "--wait" else word for word in args[:end]] + args[end:]


class WaitingCommand(click.Command):
    """A command with `wait_option`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, separate_wait(args))


wait_option = click.option(
    "--wait",
    type=click.FloatRange(min=1),
    is_flag=False,
    flag_value=WAIT,
    metavar="[=SECONDS]",
    help="Wait until the instance is running and its port responds; for 300 s by default.",
)
"""Whether to wait for the machine. The command is a `WaitingCommand` and takes `wait`: seconds, or None. It gives it to
`cli.target.resolve_target`."""


def _configured_check() -> Check:
    if click.get_current_context().resilient_parsing:
        return "console"
    from eicctl.ssh.host_keys import configured_check

    return configured_check()


login_settings = _all(
    click.option("--os-user", metavar="NAME", help="OS user to log in as; default: the image's default user."),
    click.option(
        "--private-key-file",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        metavar="FILE",
        help="Log in with this key; with --send-key, its public key is pushed.",
    ),
    click.option(
        "--send-key/--no-send-key",
        default=None,
        help="Push a public key; default: unless --private-key-file is specified.",
    ),
    click.option(
        "--key-type",
        type=click.Choice(["auto", "ed25519", "ecdsa", "rsa"]),
        default="auto",
        show_default=True,
        help="Type of the generated key; auto: ed25519, or ECDSA P-256 or RSA if unsupported.",
    ),
    click.option(
        "--host-key-check",
        type=click.Choice(["console", "accept-new", "strict", "off"]),
        default=_configured_check,
        help="Trust the host keys on the instance's console, else the first seen; the first seen; known ones; or any."
        " Default: console, or what config.toml says.",
    ),
)
"""How to log in. The command takes `os_user`, `private_key_file`, `send_key` (or None), `key_type`, and
`host_key_check`: the given one, else what the user has configured."""


def pushes(send_key: bool | None, *, own_key: bool) -> bool:
    """Return whether a key is pushed, by `--send-key` and whether the user has given a key."""
    return not own_key if send_key is None else send_key


endpoint_settings = _all(
    click.option(
        "--instance-connect-endpoint-id", type=ENDPOINT_ID, metavar="ID", help="Endpoint to use; default: the nearest."
    ),
    click.option(
        "--instance-connect-endpoint-dns-name",
        metavar="HOST[:PORT]",
        help="The endpoint's DNS name. With its ID and the target's address, no AWS API is called.",
    ),
)
"""Which endpoint to use. Takes `instance_connect_endpoint_id` and `instance_connect_endpoint_dns_name`."""

instance_settings = _all(
    click.option("--instance-id", type=INSTANCE_ID, metavar="ID", help="The target's instance ID, as in the AWS CLI."),
    click.option(
        "--private-ip-address", metavar="ADDRESS", help="Address or DNS name to connect to; default: the instance's."
    ),
)
"""Which instance or address. Takes `instance_id` and `private_ip_address`."""

target_settings = _all(instance_settings, endpoint_settings)
"""What to connect to, by options. Takes `instance_id`, `private_ip_address` and the two of the endpoint."""

target_options = _all(click.argument("target", required=False, type=INSTANCE), target_settings)
"""What to connect to. The command takes `target` and what `target_settings` give."""


duration_option = click.option(
    "--max-tunnel-duration",
    type=click.IntRange(1, MAX_TUNNEL_DURATION),
    metavar="SECONDS",
    help="Maximum connection duration, 1 to 3600; default: the service's, 3600.",
)
"""How long a connection may live. The command takes `max_tunnel_duration`."""

tunnel_options = _all(
    duration_option,
    click.option(
        "--allow-any-port", is_flag=True, help="Allow remote ports other than 22 and 3389, which the service refuses."
    ),
)
"""How long a connection may live, and any port. Takes `max_tunnel_duration` and `allow_any_port`."""


def parse_tags(words: Iterable[str]) -> dict[str, str]:
    """Return `{KEY: VALUE}`.

    Raises:
        UsageError: A word is not of the form KEY=VALUE.
    """
    tags = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise UsageError(f"Invalid tag {word!r}", hint="--tag KEY=VALUE")
        tags[key] = value
    return tags


def with_filters(what: str, state_filter: str, state: str) -> Callable[[Command], Command]:
    """Add `--vpc-id`, `--state` and `--tag`; the command takes them as `filters` for EC2.

    Args:
        what: The resources, for the help texts.
        state_filter: EC2's name of the filter by state.
        state: An example of a state.
    """
    filter_options = _all(
        click.option("--vpc-id", metavar="ID", multiple=True, help=f"Only {what} in this VPC; repeatable."),
        click.option(
            "--state", metavar="STATE", multiple=True, help=f"Only {what} in this state ({state}, …); repeatable."
        ),
        click.option(
            "--tag", "tags", metavar="KEY=VALUE", multiple=True, help=f"Only {what} with this tag; repeatable."
        ),
    )

    def apply(function: Command) -> Command:
        @functools.wraps(function)
        def wrapper(
            *args: Any, vpc_id: tuple[str, ...], state: tuple[str, ...], tags: tuple[str, ...], **rest: Any
        ) -> Any:
            filters = {f"tag:{key}": [value] for key, value in parse_tags(tags).items()}
            filters |= {"vpc-id": list(vpc_id)} if vpc_id else {}
            filters |= {state_filter: list(state)} if state else {}
            return function(*args, filters=filters, **rest)

        return filter_options(cast("Command", wrapper))

    return apply


class Repeatable(click.Option):
    """An option that may be given several times, also where the group's own option gives it one value."""

    def __init__(self, *args: Any, **attributes: Any) -> None:
        super().__init__(*args, **{**attributes, "multiple": True})

    def consume_value(self, ctx: click.Context, opts: Any) -> tuple[Any, Any]:
        """Return the values and where they are from."""
        value, source = super().consume_value(ctx, opts)
        return ((value,) if isinstance(value, str) else value), source


def with_session(function: Command) -> Command:
    """Add `aws_options`; the command takes the `session` that they describe."""

    @functools.wraps(function)
    def wrapper(
        *args: Any, profile: str | None, region: str | None, ca_bundle: str | None, fips: bool, **rest: Any
    ) -> Any:
        pins.use(profile, region)
        return function(*args, session=session(profile, region, ca_bundle, fips), **rest)

    return aws_options(cast("Command", wrapper))


def with_request(function: Command) -> Command:
    """Add `target_options` and `tunnel_options`; the command takes the `request` that they and `remote_port` make."""

    @functools.wraps(function)
    def wrapper(
        *args: Any,
        target: str | None,
        instance_id: str | None,
        private_ip_address: str | None,
        instance_connect_endpoint_id: str | None,
        instance_connect_endpoint_dns_name: str | None,
        allow_any_port: bool,
        remote_port: int | None,
        **rest: Any,
    ) -> Any:
        request = ConnectRequest(
            remote_port=remote_port,
            target=target or "",
            instance_id=instance_id or "",
            private_ip_address=private_ip_address or "",
            endpoint_id=instance_connect_endpoint_id or "",
            endpoint_dns_name=instance_connect_endpoint_dns_name or "",
            allow_any_port=allow_any_port,
        )
        return function(*args, request=request, **rest)

    return target_options(tunnel_options(cast("Command", wrapper)))


def session(profile: str | None, region: str | None, ca_bundle: str | None, fips: bool) -> Session:
    """Return the session that `aws_options` describe."""
    from eicctl.aws.session import Session

    return Session(profile=profile, region=region, ca_bundle=ca_bundle, fips=fips)
