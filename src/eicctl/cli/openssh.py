"""What the commands that run OpenSSH share: how their words are read, their options, and how their end is told."""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from eicctl import logs
from eicctl.cli import options, report
from eicctl.errors import RefusedError, UnreachableError, UsageError
from eicctl.model import TargetRequest
from eicctl.ssh.arguments import Arguments, Grammar, split

if TYPE_CHECKING:
    from eicctl.agent.lent_login import LentTunnel
    from eicctl.aws.session import Session
    from eicctl.model import Target
    from eicctl.ssh.command import Access, Wiring
    from eicctl.ssh.host_keys import Check
    from eicctl.ssh.keys import Key
    from eicctl.ssh.login import Login
    from eicctl.ssh.openssh import Outcome
    from eicctl.ssh.os_user import OsUser

Command = TypeVar("Command", bound=Callable[..., Any])

_WORDS = "eicctl.openssh.words"

FAILED = 255
"""OpenSSH's exit code for a connection that failed."""


class OpensshCommand(click.Command):
    """Click for the long options; the rest is read as the program of OpenSSH reads it."""

    def __init__(self, *args: Any, grammar: Grammar, usage: str, operands: str, **rest: Any) -> None:
        super().__init__(*args, **rest)
        self.grammar = grammar
        self._usage = usage
        self._operands = operands

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        own = {
            name: not (parameter.is_flag or parameter.count or isinstance(parameter.flag_value, (str, float)))
            for parameter in self.params
            if isinstance(parameter, click.Option)
            for name in (*parameter.opts, *parameter.secondary_opts)
        }
        if not args:
            raise click.UsageError(f"Missing argument '{self._operands}'.", ctx)
        if args == ["-h"]:
            args = ["--help"]
        ours, words = split(args, own, self.grammar)
        ctx.meta[_WORDS] = words
        return super().parse_args(ctx, ours)

    def invoke(self, ctx: click.Context) -> Any:
        words: Arguments = ctx.meta[_WORDS]
        if words.asks_program:
            from eicctl.ssh.run import run

            return run([self.grammar.name, *words.passed_on()])[0]
        with report.quietly(words.quiet):
            return super().invoke(ctx)

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return ["[OPTIONS]", *self._usage.split()]


@dataclass(frozen=True, slots=True)
class Wish:
    """How to log in, as the options say."""

    session: Session
    words: Arguments
    os_user: str | None
    private_key_file: Path | None
    no_send_key: bool
    host_key_check: Check
    print_command: bool
    max_tunnel_duration: int | None
    allow_any_port: bool
    endpoint_id: str
    endpoint_dns_name: str
    wait: float | None
    no_agent: bool

    @property
    def pushes(self) -> bool:
        """Whether a key is made and pushed."""
        return not (self.private_key_file or self.no_send_key or self.words.has_key)

    @property
    def access(self) -> Access:
        """How a proxy of its own gets at AWS."""
        from eicctl.ssh.command import Access

        session = self.session
        return Access(session.region, session.profile, session.given_ca_bundle, self.max_tunnel_duration, session.fips)

    def request(self, words: str, port: int = 0, *, instance_id: str = "", address: str = "") -> TargetRequest:
        """Return the request for a target."""
        return TargetRequest(
            remote_port=self.words.port or port or 22,
            words=words,
            instance_id=instance_id,
            private_ip_address=address,
            endpoint_id=self.endpoint_id,
            endpoint_dns_name=self.endpoint_dns_name,
            allow_any_port=self.allow_any_port,
        )

    def new_key(self, folder: Path) -> Callable[[], Key] | None:
        """Begin to make a key; return what waits for it, or None where no key is to be pushed."""
        from eicctl.aws.parallel import begin
        from eicctl.ssh.keys import make_key

        return begin(lambda: make_key(folder / "key")).result if self.pushes and not self.print_command else None

    def settled(self, wiring: Wiring, logins: Sequence[Login]) -> list[str]:
        """Return the options of OpenSSH for a connection that this process carries."""
        from eicctl.ssh.command import settled

        names = {login.name for login in logins}
        key = next((login.key.file for login in logins if login.key), self.private_key_file)
        return settled(wiring, alias=names.pop() if len(names) == 1 else None, key=key)

    def standing(self) -> list[str]:
        """Return the options of OpenSSH for a connection that works without this process."""
        from eicctl.ssh.command import Access, quoted
        from eicctl.ssh.known_hosts import by_instance
        from eicctl.ssh.standing import Standing

        endpoint = []
        for option, value in (
            ("--instance-connect-endpoint-id", self.endpoint_id),
            ("--instance-connect-endpoint-dns-name", self.endpoint_dns_name),
        ):
            endpoint += [option, value] if value else []
        if self.allow_any_port:
            endpoint.append("--allow-any-port")
        access = Access.pinned(self.session, self.max_tunnel_duration)
        settings = Standing(access, self.pushes, self.host_key_check, tuple(endpoint)).settings(by_instance())
        if self.private_key_file:
            settings |= {"IdentityFile": quoted(self.private_key_file.absolute()), "IdentitiesOnly": "yes"}
        return [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]

    def login(self, request: TargetRequest, user: str, key: Callable[[], Key] | None) -> Login:
        """Resolve a request, choose the OS user, and return the login, which is not begun.

        Args:
            request: The target.
            user: The user of its own words, or an empty string.
            key: Gives the key to push; None for none.
        """
        if lent := self._lent(request, user):
            from eicctl.agent.lent_login import LentLogin
            from eicctl.cli.diagnosis import remember

            remember(self.session, lent.target)
            self._look_at(lent.target, lent.user)
            pushed = key() if key else None
            duration = self.max_tunnel_duration
            return LentLogin(self.session, lent.target, lent.user, pushed, self.host_key_check, duration, lent=lent)
        from eicctl.cli.target import resolve_target
        from eicctl.ssh.login import Login
        from eicctl.ssh.os_user import choose

        wait = None if self.print_command else self.wait
        target = resolve_target(self.session, request, wait=wait, max_tunnel_duration=self.max_tunnel_duration)
        who = choose(self.session, target, self.words.user or self.os_user or user)
        self._look_at(target, who)
        pushed = key() if key else None
        if not self.no_agent and not self.print_command:
            from eicctl.agent.soon import start_soon

            start_soon()
        return Login(self.session, target, who, pushed, self.host_key_check, self.max_tunnel_duration)

    def _lent(self, request: TargetRequest, user: str) -> LentTunnel | None:
        """Have the login prepared by the background process; None where this process is to do it."""
        from eicctl.agent.lend import ask_for_login, drop_early
        from eicctl.agent.words import words_of
        from eicctl.ssh import doors

        # What happens in another process is not in the log of this one.
        if self.no_agent or self.print_command or self.wait or logs.on() or not doors.available():
            drop_early()
            return None
        words = words_of(self.session, request, self.max_tunnel_duration, check=self.host_key_check)
        if not (sock := ask_for_login(words, self.words.user or self.os_user or user)):
            return None
        from eicctl.agent.lent_login import begun  # while the tunnel is opened

        return begun(sock)

    def _look_at(self, target: Target, who: OsUser) -> None:
        if target.platform == "windows":
            raise UsageError(
                f"{target.label} runs Windows",
                hint=f"eicctl tunnel {target.label} --remote-port 3389, and an RDP client",
            )
        if who.note:
            report.line(who.note)


def login_options(function: Command) -> Command:
    """Add the options of a login; the command takes the `wish` that they make."""

    @functools.wraps(function)
    def wrapper(
        *args: Any,
        session: Session,
        os_user: str | None,
        private_key_file: Path | None,
        no_send_key: bool,
        host_key_check: Check,
        print_command: bool,
        max_tunnel_duration: int | None,
        allow_any_port: bool,
        instance_connect_endpoint_id: str | None,
        instance_connect_endpoint_dns_name: str | None,
        wait: float | None,
        no_agent: bool,
        **rest: Any,
    ) -> Any:
        wish = Wish(
            session,
            click.get_current_context().meta[_WORDS],
            os_user,
            private_key_file,
            no_send_key,
            host_key_check,
            print_command,
            max_tunnel_duration,
            allow_any_port,
            instance_connect_endpoint_id or "",
            instance_connect_endpoint_dns_name or "",
            wait,
            no_agent,
        )
        if not no_agent:
            from eicctl.ssh.doors import NotCarriedError

            with contextlib.suppress(NotCarriedError):
                return function(*args, wish=wish, **rest)
        return function(*args, wish=replace(wish, no_agent=True), **rest)

    decorated: Any = wrapper
    for option in reversed(
        (
            options.login_settings,
            click.option("--no-send-key", is_flag=True, help="Push no key; OpenSSH uses the keys that it has."),
            click.option(
                "--print-command", is_flag=True, help="Print the command line, for a shell, and do not run it."
            ),
            options.wait_option,
            options.agent_option,
            options.endpoint_settings,
            options.tunnel_options,
            options.with_session,
        )
    ):
        decorated = option(decorated)
    return cast("Command", decorated)


def run_or_print(
    wish: Wish,
    logins: Sequence[Login],
    build: Callable[[list[str]], list[str]],
    folder: Path,
    *,
    keep: bool = False,
    announce: float = 0,
) -> int:
    """Run a program of OpenSSH and tell what went wrong, or print its command line.

    Args:
        wish: How to log in.
        logins: One for each host and user.
        build: Makes the command line from the options that eicctl settles.
        folder: A folder of this user alone, for this run alone.
        keep: Run it again whenever its connection is lost.
        announce: Seconds before a tunnel's end at which it is announced; 0 for no announcement.

    Returns:
        The program's exit code.
    """
    if wish.print_command:
        from eicctl.ssh.command import joined

        click.echo(joined(build(wish.standing())))
        return 0
    from eicctl.errors import DurationReachedError
    from eicctl.ssh import keep as keeping
    from eicctl.ssh.explain import explain
    from eicctl.ssh.openssh import run_program

    announcer = keeping.Announcer(announce, _announce)

    def connect() -> Outcome:
        return run_program(
            logins,
            lambda wiring: build(wish.settled(wiring, logins)),
            wish.access,
            folder,
            say=report.line,
            on_open=announcer.opened if announce else lambda _link: None,
        )

    try:
        outcome = keeping.keep(connect, logins[0].target.label, report.line) if keep else connect()
    except (UnreachableError, RefusedError) as error:
        report.failure(error)
        return FAILED
    finally:
        announcer.stop()
    for cause in outcome.errors:
        report.failure(cause)
        if isinstance(cause, DurationReachedError) and not keep:
            report.line("hint: eicctl ssh --keep runs the shell in tmux on the instance, and attaches to it again")
    for login in logins:
        if hint := explain(outcome.code, outcome.stderr, login):
            report.line(f"hint: {hint}")
            break
    return outcome.code


def _announce(text: str) -> None:
    text = report.printable(text)
    # The terminal may be in raw mode, where a newline alone does not return to the first column.
    sys.stderr.write(f"\r\n{text}\r\n" if sys.stderr.isatty() else f"{text}\n")
    sys.stderr.flush()
