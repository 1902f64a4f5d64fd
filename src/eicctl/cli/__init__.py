"""The command line. One module a command; a module is imported when its command is named."""

from __future__ import annotations

import io
import sys

import click

from eicctl import __version__
from eicctl.cli.lazy_group import LazyGroup
from eicctl.cli.param_types import FILE, PROFILE, REGION
from eicctl.cli.view import messages
from eicctl.core import errors
from eicctl.support.log import configure, ended

COMMANDS = {
    "create-endpoint": "Create an endpoint, with the security group that it needs.",
    "list-endpoints": "List endpoints, in one region or in all.",
    "show-endpoint": "Show one endpoint in full.",
    "modify-endpoint": "Change an endpoint's groups, address type or client IP preservation.",
    "delete-endpoint": "Delete an endpoint.",
    "instances": "List instances and the endpoint that would serve each.",
    "coverage": "Say which running instances can be reached, and why the others cannot.",
    "ssh": "Log in to an instance, or run a command on it.",
    "scp": "Copy files to, from, or between instances.",
    "sftp": "Move files to and from an instance, interactively or by a batch.",
    "ssh-config": "Let plain ssh, scp, rsync, git and Ansible reach instances as NAME.eic.",
    "run": "Run a command on many instances at a time.",
    "tunnel": "Listen on a local port and carry each connection to the target.",
    "forward": "Forward local ports to any port, through SSH on an instance.",
    "db": "Connect a local port to a database, directly or through an instance.",
    "rdp": "Open a Remote Desktop session through the endpoint; it ends with the client.",
    "up": "Open named tunnels, and keep them open.",
    "ps": "List the tunnels that are open in the background.",
    "logs": "Show the log of a named tunnel.",
    "down": "End tunnels that are open in the background.",
    "proxy": "Carry stdin and stdout to the target, as an OpenSSH ProxyCommand.",
    "doctor": "Find out why a target is unreachable, and how to fix it.",
    "policy": "IAM policies of least privilege: write, examine, check.",
    "audit": "Show who has used the endpoints: tunnels, keys and endpoint changes, from CloudTrail.",
    "mfa": "Open an MFA session in a profile of its own, list the sessions, end them.",
    "local": "A local AWS for trying and testing, without an account.",
    "completion": "Print the script that completes command lines in a shell, or install it.",
    "man": "Show the manual page of a command, or install all pages.",
    "version": "Show the versions, folders and surroundings that a bug report needs.",
    "demo": "Show the main job from end to end on the local AWS.",
}
"""The commands in the order in which help lists them, with the first line of each one's help."""


@click.group(
    cls=LazyGroup,
    package="eicctl.cli.commands",
    summaries=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Run `eicctl COMMAND --help` for a command's options and examples.",
)
@click.option("--profile", type=PROFILE, metavar="NAME", help="Profile in the AWS configuration, for any command.")
@click.option("--region", type=REGION, metavar="REGION", help="AWS region, for any command.")
@click.option("--ca-bundle", type=FILE, metavar="FILE", help="CA certificates (PEM) to trust, for any command.")
@click.option("--debug", is_flag=True, help="Show tracebacks and log what happens, on stderr.")
@click.option(
    "--log-file",
    type=FILE,
    metavar="FILE",
    help="Log what happens to a file; default: log_file of config.toml, or none.",
)
@click.version_option(__version__)
@click.pass_context
def eicctl(
    ctx: click.Context,
    *,
    profile: str | None,
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
    defaults = {name: value for name, value in given.items() if value is not None}
    ctx.default_map = {command: dict(defaults) for command in COMMANDS}
    configure(debug=debug, log_file=log_file, command=ctx.invoked_subcommand or "")


def main(argv: list[str] | None = None) -> int:
    """Run one command and return the process's exit code; errors are printed on stderr."""
    code = _run(argv)
    ended(code)
    return code


def _run(argv: list[str] | None) -> int:
    messages.arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        code = eicctl.main(args=argv, prog_name="eicctl", standalone_mode=False)
    except BaseException as error:
        return explained(error)
    return code if isinstance(code, int) else 0


def explained(error: BaseException) -> int:
    """Tell on stderr why a command has ended, and return the process's exit code."""
    if isinstance(error, click.exceptions.Exit):
        return error.exit_code
    if isinstance(error, click.ClickException):
        said = io.StringIO()
        error.show(file=said)
        click.echo(messages.printable(said.getvalue()), nl=False, err=True)
        return error.exit_code
    if isinstance(error, errors.EicctlError):
        return messages.failure(error)
    if isinstance(error, (KeyboardInterrupt, click.Abort)):
        messages.line("interrupted")
        return errors.INTERRUPTED
    if isinstance(error, BrokenPipeError):
        return messages.broken_pipe()
    if isinstance(error, Exception):
        return messages.bug(error)
    raise error


if __name__ == "__main__":
    sys.exit(main())
