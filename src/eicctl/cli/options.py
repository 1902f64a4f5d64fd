"""Options that many commands share, as decorators."""

from __future__ import annotations

import fnmatch
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from eicctl.cli.param_types import ENDPOINT_ID, FILE, INSTANCE, INSTANCE_ID, PORT, PROFILE, REGION, Integer, Number
from eicctl.core.errors import CredentialsError, NoRegionError, UsageError
from eicctl.core.names import parse_tags
from eicctl.core.request import PROXY_OPTIONS, WAIT, ConnectRequest
from eicctl.support import defaults, log, pins
from eicctl.view import messages

if TYPE_CHECKING:
    from eicctl.aws.session import Session
    from eicctl.ssh.host_keys import Check

Command = TypeVar("Command", bound=Callable[..., Any])


def combined(*decorators: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Return several decorators as one."""

    def apply(function: Command) -> Command:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return apply


def refuse_together(option: str, others: Mapping[str, object], hint: str | None = None) -> None:
    """Refuse options that have no meaning beside another one.

    Args:
        option: The option that was given.
        others: The others, each with its value.
        hint: What to do instead.

    Raises:
        UsageError: One of them was given, too.
    """
    for other, value in others.items():
        if value:
            raise UsageError(f"{option} and {other} cannot be combined", hint=hint)


def _when_given(act: Callable[[click.Context, Any], None]) -> Callable[[click.Context, click.Parameter, Any], Any]:
    """Return a callback that acts at once on an option that is given, except while the shell completes."""

    def callback(ctx: click.Context, _param: click.Parameter, value: Any) -> Any:
        if value is not None and value is not False and not ctx.resilient_parsing:
            act(ctx, value)
        return value

    return callback


def _path(ctx: click.Context) -> str:
    return ctx.command_path.removeprefix("eicctl ")


class CommonOption(click.Option):
    """An option that every command has. Help folds all of them into one line; `eicctl help options` explains them."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Return the line for all of them where this is the command's first one, else None."""
        first = next(param for param in ctx.command.params if isinstance(param, CommonOption))
        return (f"{self.opts[0]}, …", "Common options: eicctl help options.") if first is self else None


log_options = combined(
    click.option(
        "--debug",
        cls=CommonOption,
        is_flag=True,
        expose_value=False,
        callback=_when_given(lambda ctx, _: log.configure(debug=True, command=_path(ctx))),
        help="Log to stderr, and show tracebacks.",
    ),
    click.option(
        "--log-file",
        cls=CommonOption,
        type=FILE,
        metavar="FILE",
        expose_value=False,
        callback=_when_given(lambda ctx, path: log.configure(log_file=path, command=_path(ctx))),
        help="Write a log to this file; default: log_file in config.toml, else none.",
    ),
)
"""Where to log. The command takes nothing."""

_TYPES: dict[str, click.ParamType[Any]] = {
    "aws_config_file": FILE,
    "aws_shared_credentials_file": FILE,
    "ca_bundle": FILE,
    "endpoint_id": ENDPOINT_ID,
    "instance_id": INSTANCE_ID,
    "private_key_file": FILE,
    "profile": PROFILE,
    "region": REGION,
}


def request_option(name: str, *others: str, **changes: Any) -> Callable[[Command], Command]:
    """Return the decorator of an option that `core.request` has.

    Args:
        name: The option.
        others: Other names of it.
        changes: Attributes of Click's that differ for a command.
    """
    option = PROXY_OPTIONS[name]
    kind = _TYPES.get(option.field)
    if option.limits:
        kind = Integer(*option.limits) if option.whole else Number(*option.limits)
    elif option.choices:
        kind = click.Choice(option.choices)
    attributes = {"type": kind, "metavar": option.metavar or None, "is_flag": option.is_flag, "help": option.help}
    return click.option(*others, name, option.field, **{**attributes, **changes})


wire_options = combined(
    request_option("--ca-bundle", cls=CommonOption), request_option("--fips", cls=CommonOption), log_options
)
"""How to speak with AWS, whoever and wherever. The command takes `ca_bundle` and `fips`."""

aws_options = combined(
    request_option("--profile", cls=CommonOption), request_option("--region", cls=CommonOption), wire_options
)
"""How to reach AWS. The command takes `profile`, `region`, `ca_bundle` and `fips`, and gives them to `session`."""


def _display(key: str) -> Callable[[click.Context, click.Parameter, bool], None]:
    def keep(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
        ctx.meta[key] = value

    return keep


table_options = combined(
    click.option(
        "--wide",
        is_flag=True,
        expose_value=False,
        callback=_display("eicctl.wide"),
        help="Show all columns of the table, even if they do not fit the terminal.",
    ),
    click.option(
        "--no-header",
        is_flag=True,
        expose_value=False,
        callback=_display("eicctl.no_header"),
        help="Print the table without its headings.",
    ),
)
"""How a table looks. The command takes nothing; `render.show` knows."""

output_options = combined(
    click.option(
        "--output",
        type=click.Choice(["table", "json", "text"]),
        default="table",
        show_default=True,
        help="Output format.",
    ),
    click.option("--query", metavar="JMESPATH", help="JMESPath query on the JSON output."),
    table_options,
)
"""How to show a result. The command takes `output` and `query`, and gives them to `render.show`."""

messages_option = click.option(
    "--output",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="Output format; json: one object per line on stdout.",
)
"""How a long-running command reports events. The command takes `output`."""


level_options = combined(
    request_option("--quiet", "-q", callback=_when_given(lambda *_: messages.set_level(quiet=True))),
    request_option("--verbose", "-v", callback=_when_given(lambda *_: messages.set_level(verbose=True))),
)
"""How much is printed on stderr. The command takes a request."""


def _everybody(*_: object) -> None:
    from eicctl.tunnel.peer_uid import allow_everybody

    allow_everybody()


others_option = click.option(
    "--allow-other-users",
    is_flag=True,
    expose_value=False,
    callback=_when_given(_everybody),
    help="Allow other users of this machine to connect to the local port.",
)
"""Who may connect to a local port. The command takes nothing."""

bind_option = combined(
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

port_option = click.option(
    "--port",
    "--remote-port",
    "remote_port",
    type=PORT,
    help="Port of the target, 22 or 3389; default: 3389 for Windows, else 22.",
)
"""Which port of the target is meant. The command takes `remote_port`."""

timeout_option = click.option(
    "--timeout",
    type=Number(min=1),
    default=600.0,
    show_default=True,
    metavar="SECONDS",
    help="Timeout of --wait.",
)
"""How long to wait. The command takes `timeout`."""

queue_option = click.option(
    "--queue-timeout",
    type=Number(min=0),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="How long a connection may queue for one of the endpoint's 20 slots.",
)
"""How long to wait for one of the endpoint's 20 slots. The command takes `queue_timeout`."""


def _keepalive(_ctx: click.Context, seconds: float) -> None:
    from eicctl.tunnel.keepalive import set_interval

    set_interval(seconds)


keepalive_option = request_option("--keepalive", expose_value=False, callback=_when_given(_keepalive))
"""How to keep idle tunnels alive. The command takes nothing."""


def separate_wait(args: list[str]) -> list[str]:
    """Return words in which `--wait` has its usual value. Click alone would take the word after it for its value."""
    end = args.index("--") if "--" in args else len(args)
    return [f"--wait={WAIT:g}" if word == "--wait" else word for word in args[:end]] + args[end:]


class WaitingCommand(click.Command):
    """A command with `wait_option`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, separate_wait(args))


wait_option = combined(
    click.option(
        "--wait",
        type=Number(min=1),
        is_flag=False,
        flag_value=WAIT,
        metavar="[=SECONDS]",
        help="Wait until the instance is running and its port responds; for 300 s by default.",
    ),
    click.option(
        "--start", is_flag=True, help="Start the instance if it is stopped, and wait until its port responds."
    ),
)
"""Whether to wait for the machine, and to start it. The command is a `WaitingCommand` and takes a request, which it
gives to `target_prompt.resolve_target`."""


def _configured_check() -> Check:
    if click.get_current_context().resilient_parsing:
        return "console"
    return defaults.host_key_check()


login_settings = combined(
    click.option("--os-user", metavar="NAME", help="OS user to log in as; default: the image's default user."),
    request_option(
        "--private-key-file",
        type=click.Path(exists=True, dir_okay=False),
        help="Log in with this key; with --send-key, its public key is pushed.",
    ),
    click.option(
        "--send-key/--no-send-key",
        default=None,
        help="Push a public key; default: unless --private-key-file is specified.",
    ),
    request_option(
        "--key-type",
        default="auto",
        show_default=True,
        help="Type of the generated key; auto: ed25519, or ECDSA P-256 or RSA if unsupported.",
    ),
    request_option(
        "--host-key-check",
        default=_configured_check,
        help="console: trust the host keys on the instance's console, else the first seen; accept-new: the first seen;"
        " strict: only known ones; off: any. Default: host_key_check in config.toml, else console.",
    ),
)
"""How to log in. The command takes `os_user`, `private_key_file`, `send_key` (or None), `key_type`, and
`host_key_check`: the given one, else what the user has configured."""


endpoint_settings = combined(
    request_option("--instance-connect-endpoint-id"), request_option("--instance-connect-endpoint-dns-name")
)
"""Which endpoint to use. The command takes a request."""

instance_settings = combined(request_option("--instance-id"), request_option("--private-ip-address"))
"""Which instance or address. The command takes a request."""

target_settings = combined(instance_settings, endpoint_settings)
"""What to connect to, by options. The command takes a request."""

target_options = combined(click.argument("target", required=False, type=INSTANCE), target_settings)
"""What to connect to. The command takes a request."""

tunnel_options = combined(request_option("--max-tunnel-duration"), request_option("--allow-any-port"))
"""How long a connection may live, and any port. The command takes a request."""


def with_filters(what: str, state_filter: str, *states: str, vpc: bool = True) -> Callable[[Command], Command]:
    """Add `--vpc-id`, `--state` and `--tag`; the command takes them as `filters` for EC2.

    Args:
        what: The resources, for the help texts.
        state_filter: EC2's name of the filter by state.
        states: The states that they may have, a usual one first.
        vpc: False for a command that has an option of its own for VPCs.
    """

    def known(_ctx: click.Context, _param: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
        for value in values:
            if not fnmatch.filter(states, value):  # EC2 takes patterns as well
                raise click.BadParameter(f"{value!r} is not one of {', '.join(dict.fromkeys(states))}")
        return values

    def complete(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
        return [state for state in dict.fromkeys(states) if state.startswith(incomplete)]

    filter_options = combined(
        click.option(
            "--state",
            metavar="STATE",
            multiple=True,
            callback=known,
            shell_complete=complete,
            help=f"Only {what} in this state ({states[0]}, …); repeatable.",
        ),
        click.option(
            "--tag", "tags", metavar="KEY=VALUE", multiple=True, help=f"Only {what} with this tag; repeatable."
        ),
    )

    if vpc:
        vpc_option = click.option("--vpc-id", metavar="ID", multiple=True, help=f"Only {what} in this VPC; repeatable.")
        filter_options = combined(vpc_option, filter_options)

    def apply(function: Command) -> Command:
        @functools.wraps(function)
        def wrapper(
            *args: Any, state: tuple[str, ...], vpc_id: tuple[str, ...] = (), tags: tuple[str, ...], **rest: Any
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
    return aws_options(pick_profile_option(giving_session(function)))


def giving_session(function: Command) -> Command:
    """Give the command the `session` that the values of `aws_options` and `pick_profile_option` describe."""

    @functools.wraps(function)
    def wrapper(
        *args: Any,
        profile: str | None,
        pick_profile: bool,
        region: str | None,
        ca_bundle: str | None,
        fips: bool,
        **rest: Any,
    ) -> Any:
        profile = _picked_profile(profile) if pick_profile else profile
        found = in_force({**rest, "profile": profile, "region": region})
        profile, region = found.get("profile") or profile, found.get("region") or region
        while True:
            pins.use(profile, region)
            access = session(profile, region, ca_bundle, fips)
            try:
                return function(*args, session=access, **rest)
            except (NoRegionError, CredentialsError) as error:
                from eicctl.cli.fixes import fixed_access

                if (fixed := fixed_access(error, access)) is None:
                    raise
                profile, region = fixed

    return cast("Command", wrapper)


pick_profile_option = click.option("--pick-profile", is_flag=True, help="Choose the AWS profile from a list.")
"""Whether to choose the profile on the terminal. The command takes `pick_profile`."""


def _picked_profile(given: str | None) -> str:
    from eicctl.cli import picker

    if given:
        raise UsageError("--profile and --pick-profile are mutually exclusive")
    if not picker.on_terminal():
        raise UsageError("--pick-profile requires a terminal", hint="aws configure list-profiles")
    return picker.profile()


IN_FORCE = "eicctl.in_force"
HOST = "eicctl.host"
"""What a command's context knows: the settings in force, and the host that OpenSSH's words name."""


def in_force(values: Mapping[str, Any]) -> defaults.Settings:
    """Return the settings in force for this command (`support.defaults.in_force`).

    Args:
        values: The values of its parameters; the first call decides.
    """
    meta = click.get_current_context().meta
    if IN_FORCE not in meta:
        names = [values.get(name) for name in ("target", "instance_id", "private_ip_address", "via", "database")]
        words = [word for word in (meta.get(HOST), *names, _forwarded(values.get("forwards"))) if word]
        meanings = [defaults.alias(word) for word in words]
        meta[IN_FORCE] = defaults.in_force(values.get("profile"), values.get("region"), *words, *meanings)
    found: defaults.Settings = meta[IN_FORCE]
    return found


def _forwarded(forwards: Sequence[str] | None) -> str:
    """The first host that words of `eicctl forward` name."""
    from eicctl.ssh.destination import parse_forward

    try:
        return parse_forward(forwards[0]).host if forwards else ""
    except UsageError:  # the command reports it
        return ""


_FIELDS = frozenset(ConnectRequest.__annotations__)
_OF_LOGIN = frozenset({"os_user", "private_key_file"})
_SESSION = frozenset({"profile", "region", "ca_bundle", "fips"})


def as_request(function: Command) -> Command:
    """Replace the options that `ConnectRequest` has by one `request`."""

    @functools.wraps(function)
    def wrapper(*args: Any, **values: Any) -> Any:
        asked = {name: values[name] for name in _FIELDS & values.keys()}
        rest = {name: value for name, value in values.items() if name not in asked or name in _SESSION}
        found = in_force(values)
        # OpenSSH's own words may have them, and a ProxyCommand has all that it needs.
        if not click.get_current_context().meta.get(HOST) and "ssh_login" not in values:
            of_login = {name: value for name, value in found.items() if name in _OF_LOGIN}
            asked |= {name: value for name, value in of_login.items() if name in asked and not asked[name]}
        return function(*args, request=defaults.filled(ConnectRequest(**asked), found), **rest)

    return cast("Command", wrapper)


def with_request(function: Command) -> Command:
    """Add `target_options` and `tunnel_options`; the command takes the `request` that all its options make."""
    return target_options(tunnel_options(as_request(function)))


def session(profile: str | None, region: str | None, ca_bundle: str | None, fips: bool) -> Session:
    """Return the session that `aws_options` describe."""
    from eicctl.aws.session import Session

    return Session(profile=profile, region=region, ca_bundle=ca_bundle, fips=fips)
