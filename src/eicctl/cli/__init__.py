"""The command line. One module a command; a module is imported when its command is named."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable
from importlib import import_module
from typing import TYPE_CHECKING, Any

import click

from eicctl import __version__
from eicctl.cli.param_types import FILE, PROFILE, REGION
from eicctl.core import errors
from eicctl.support.log import configure, ended
from eicctl.view import messages, progress

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


_NO_BREAK = "\u2011"
"""A hyphen at which no line is broken."""


class _Formatter(click.HelpFormatter):
    """Breaks lines between words only: an option or a command can be copied."""

    def write_text(self, text: str) -> None:
        super().write_text(text.replace("-", _NO_BREAK))

    def write_dl(self, rows: Iterable[tuple[str, str]], *args: Any, **kwargs: Any) -> None:
        super().write_dl([(name, text.replace("-", _NO_BREAK)) for name, text in rows], *args, **kwargs)

    def getvalue(self) -> str:
        return super().getvalue().replace(_NO_BREAK, "-")


click.Context.formatter_class = _Formatter


class Group(click.Group):
    """A group whose help has the whole first line of each command, and that suggests a command for one that it has
    not."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        names = self.list_commands(ctx)
        if args and not args[0].startswith("-") and args[0] not in names and not ctx.resilient_parsing:
            near = difflib.get_close_matches(args[0], names, n=1)
            hint = f" Did you mean '{near[0]}'?" if near else ""
            raise click.UsageError(f"No such command {args[0]!r}.{hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        commands = {name: self.get_command(ctx, name) for name in self.list_commands(ctx)}
        with formatter.section("Commands"):
            formatter.write_dl([(name, found.get_short_help_str(200)) for name, found in commands.items() if found])


class LazyGroup(Group):
    """The group of `COMMANDS`, which are imported on demand.

    The module of `create-endpoint` is `commands/create_endpoint.py`, and its attribute `command` is the Click command.
    """

    def main(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().main(*args, **kwargs)
        except SystemExit as end:
            # Click and rich exit with 1 only if the reader of stdout has closed it, which has an exit code of its own.
            if end.code == 1:
                raise BrokenPipeError from end
            raise

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            progress.uninstall()  # before Click's line break, which would leave the line of a wait on the screen
            raise

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"eicctl.cli.commands.{cmd_name.replace('-', '_')}")
        command: click.Command = module.command
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem[Any]]:
        """Complete commands without importing them."""
        from click.shell_completion import CompletionItem

        found = [CompletionItem(name, help=what) for name, what in COMMANDS.items() if name.startswith(incomplete)]
        return [*found, *click.Command.shell_complete(self, ctx, incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        width = max(map(len, COMMANDS))  # the same in all sections
        for heading, section in SECTIONS.items():
            with formatter.section(heading):
                formatter.write_dl([(name.ljust(width), summary) for name, summary in section.items()])


SECTIONS = {
    "Connect": {
        "ssh": "Log in to an instance, or run a command on it.",
        "scp": "Copy files to, from, or between instances.",
        "sftp": "Transfer files to and from an instance, interactively or in batch mode.",
        "rdp": "Open a Remote Desktop session through the endpoint.",
        "db": "Forward a local port to a database, directly or through an instance.",
        "tunnel": "Listen on a local port and forward connections to the target.",
        "forward": "Forward local ports to any host and port, through SSH on an instance.",
        "run": "Run a command on many instances in parallel.",
        "instances": "List instances and the endpoint that serves each.",
        "doctor": "Find out why a target is unreachable, and how to fix it.",
    },
    "Endpoints": {
        "create-endpoint": "Create an endpoint, optionally with its own security group.",
        "list-endpoints": "List endpoints in one region or in all regions.",
        "show-endpoint": "Show an endpoint in detail.",
        "modify-endpoint": "Change an endpoint's security groups, address type or client IP preservation.",
        "delete-endpoint": "Delete an endpoint.",
        "coverage": "Show which running instances are reachable, and why the others are not.",
    },
    "Tunnels": {
        "up": "Open named tunnels and keep them open.",
        "ps": "List background tunnels.",
        "logs": "Show the log of a named tunnel.",
        "down": "Close background tunnels.",
        "recent": "List recent connections.",
    },
    "Access": {
        "policy": "Generate, lint and simulate least-privilege IAM policies.",
        "audit": "Show who used the endpoints, from CloudTrail: tunnels, keys, endpoint changes.",
        "mfa": "Manage MFA sessions: log in, show the status, log out.",
    },
    "Setup": {
        "ui": "Open the full-screen console: instances, endpoints, tunnels, databases, doctor, audit.",
        "config": "Show and change the defaults of all commands.",
        "ssh-config": "Make ssh, scp, rsync, git and Ansible reach instances as NAME.eic.",
        "proxy": "Relay stdin and stdout to the target; for use as an OpenSSH ProxyCommand.",
        "completion": "Print or install a shell completion script.",
        "man": "Show a command's manual page, or install all pages.",
        "help": "Show the help of a command, or of the options that all commands have.",
        "version": "Show version and environment information for bug reports.",
        "local": "Run a local AWS for trials and tests; no account needed.",
        "demo": "Run an end-to-end demonstration on the local AWS.",
    },
}
"""The commands as help lists them, the everyday ones first, with the first line of each one's help."""

COMMANDS = {name: summary for section in SECTIONS.values() for name, summary in section.items()}

_AWS_CLI_OPTIONS = {
    "--connection-type": "omit it: every connection is through an endpoint",
    "--eice-options": "--instance-connect-endpoint-id, --instance-connect-endpoint-dns-name, --max-tunnel-duration",
    "--instance-ip": "--private-ip-address ADDRESS",
    "--local-forwarding": "-L [ADDRESS:]PORT:HOST:HOSTPORT",
    "--ssh-port": "-p PORT",
}
"""Options of `aws ec2-instance-connect ssh` and `open-tunnel` that have other names here."""

_NO_PROGRESS = ("demo", "proxy")
"""Commands that have a display of their own, or whose terminal is OpenSSH's."""


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Options and examples of a command: `eicctl COMMAND --help`; options of all: `eicctl help options`.",
)
@click.option("--profile", type=PROFILE, metavar="NAME", help="AWS profile, for any command.")
@click.option("--pick-profile", is_flag=True, help="Choose the AWS profile from a list, for any command.")
@click.option("--region", type=REGION, metavar="REGION", help="AWS region, for any command.")
@click.option("--ca-bundle", type=FILE, metavar="FILE", help="CA certificates (PEM) to trust, for any command.")
@click.option("--debug", is_flag=True, help="Log to stderr, and show tracebacks.")
@click.option(
    "--log-file",
    type=FILE,
    metavar="FILE",
    help="Write a log to this file; default: log_file in config.toml, else none.",
)
@click.version_option(__version__)
@click.pass_context
def eicctl(
    ctx: click.Context,
    *,
    profile: str | None,
    pick_profile: bool,
    region: str | None,
    ca_bundle: str | None,
    debug: bool,
    log_file: str | None,
) -> None:
    """Reach machines in private AWS subnets through EC2 Instance Connect Endpoint.

    \b
    Examples:
      eicctl create-endpoint --subnet-id subnet-0123456789abcdef0 --wait
      eicctl ssh web-1
      eicctl tunnel win-1 --remote-port 3389 --local-port 13389
    """
    given = {"profile": profile, "region": region, "ca_bundle": ca_bundle, "debug": debug or None}
    given["pick_profile"] = pick_profile or None
    defaults = {name: value for name, value in given.items() if value is not None}
    ctx.default_map = {command: dict(defaults) for command in COMMANDS}
    if ctx.invoked_subcommand not in _NO_PROGRESS:
        progress.install()
    configure(debug=debug, log_file=log_file, command=ctx.invoked_subcommand or "")


def main(argv: list[str] | None = None) -> int:
    """Run one command and return the process's exit code; errors are printed on stderr."""
    code = _run(argv)
    progress.uninstall()
    ended(code)
    return code


def _run(argv: list[str] | None) -> int:
    messages.set_level()
    messages.arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        code = eicctl.main(args=argv, prog_name="eicctl", standalone_mode=False)
        if sys.stdout:
            sys.stdout.flush()
    except BaseException as error:
        progress.uninstall()
        return explained(error)
    return code if isinstance(code, int) else 0


def explained(error: BaseException) -> int:
    """Tell on stderr why a command has ended, and return the process's exit code."""
    if isinstance(error, click.exceptions.Exit):
        return error.exit_code
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
        return error.exit_code
    if isinstance(error, click.ClickException):
        ctx = error.ctx if isinstance(error, click.UsageError) else None
        named = ctx.command_path if ctx else " ".join(["eicctl", *[w for w in messages.arguments if w in COMMANDS][:1]])
        text = error.format_message().replace("\n\t", " ")  # the choices of a missing argument
        option = error.option_name if isinstance(error, click.NoSuchOption) else ""
        here = _AWS_CLI_OPTIONS.get(option)
        hint = f"instead of the AWS CLI's {option}: {here}" if here else f"{named} --help"
        messages.print_error("UsageError", text if messages.json_wanted() else text.rstrip("."), hint)
        return error.exit_code
    if isinstance(error, errors.EicctlError):
        return messages.failure(error)
    # An interrupt while a class is created arrives as a RuntimeError.
    if isinstance(error, (KeyboardInterrupt, click.Abort)) or isinstance(error.__cause__, KeyboardInterrupt):
        messages.print_error(messages.INTERRUPTED, "interrupted")
        return errors.INTERRUPTED
    if isinstance(error, BrokenPipeError):
        return messages.broken_pipe()
    if isinstance(error, Exception):
        return messages.bug(error)
    raise error
