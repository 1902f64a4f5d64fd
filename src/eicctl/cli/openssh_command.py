"""Shared by the commands that run OpenSSH: argument parsing, options, the run, and the explanation of a failure."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from eicctl.cli import options
from eicctl.core.errors import (
    CredentialsError,
    DurationReachedError,
    NetworkError,
    NotFoundError,
    RefusedError,
    UnavailableError,
    UnreachableError,
    UsageError,
)
from eicctl.core.request import ConnectRequest
from eicctl.ssh.arguments import SCP, SSH, Arguments, Grammar, split
from eicctl.ssh.destination import parse_destination, parse_remote_path
from eicctl.support import defaults, log, pins
from eicctl.support.activity import export_target
from eicctl.view import messages

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from eicctl.aws.caches import LoginSettings
    from eicctl.aws.session import Session
    from eicctl.core.model import Target
    from eicctl.ssh.login import Login
    from eicctl.ssh.openssh_options import OpensshOptions
    from eicctl.ssh.process import Outcome

Command = TypeVar("Command", bound=Callable[..., Any])

_WORDS = "eicctl.openssh.words"

FAILED = 255
"""OpenSSH's exit code for a connection that failed."""


class _TargetGoneError(Exception):
    """A cached target does not exist any more; nothing has been connected to."""


class OpensshCommand(click.Command):
    """Click for the long options; the rest is read as the program of OpenSSH reads it."""

    def __init__(self, *args: Any, grammar: Grammar, usage: str, **rest: Any) -> None:
        super().__init__(*args, **rest)
        self.grammar = grammar
        self._usage = usage

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        own = {
            name: not (parameter.is_flag or parameter.count or isinstance(parameter.flag_value, (str, float)))
            for parameter in self.params
            if isinstance(parameter, click.Option)
            for name in (*parameter.opts, *parameter.secondary_opts)
        }
        if ctx.resilient_parsing:
            return self._parse_unfinished(ctx, args, own)
        if args == ["-h"]:
            args = ["--help"]
        ours, words = split(args, own, self.grammar)
        ctx.meta[_WORDS] = words
        ctx.meta[options.HOST] = self._host(words)
        return super().parse_args(ctx, ours)

    def _host(self, words: Arguments) -> str:
        """The host that the operands name; the first of several."""
        for word in words.operands if self.grammar is SCP else words.operands[:1]:
            with contextlib.suppress(UsageError):  # the command reports it
                found = parse_remote_path(word, self.grammar.name)
                if not found and self.grammar is not SCP:
                    found = parse_destination(word, self.grammar.name)
                if found:
                    return found.host
        return ""

    def _parse_unfinished(self, ctx: click.Context, args: list[str], own: Mapping[str, bool]) -> list[str]:
        try:
            ours, ctx.meta[_WORDS] = split(args, own, self.grammar)
        except UsageError:  # the argument of a short option is to come
            ours = []
        return super().parse_args(ctx, ours)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem[Any]]:
        """Complete long options, targets, and for the argument of a short option files."""
        from eicctl.cli.param_types import COPY, FILE, LOGIN

        words: Arguments | None = ctx.meta.get(_WORDS)
        if not words:
            return FILE.shell_complete(ctx, self.params[0], incomplete)
        if self.grammar.operands_end_options and len(words.operands) > 1:
            return []
        if incomplete.startswith("-"):
            return super().shell_complete(ctx, incomplete)
        if self.grammar is SCP:
            return COPY.shell_complete(ctx, self.params[0], incomplete)
        return [] if words.operands else LOGIN.shell_complete(ctx, self.params[0], incomplete)

    def invoke(self, ctx: click.Context) -> Any:
        words: Arguments = ctx.meta[_WORDS]
        if words.asks_program:
            from eicctl.ssh.process import run

            return run([self.grammar.name, *words.to_argv()])[0]
        quiet = bool(ctx.params.get("quiet")) or words.quiet
        messages.set_level(quiet=quiet, verbose=not quiet and (bool(ctx.params.get("verbose")) or words.verbose))
        return super().invoke(ctx)

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return ["[OPTIONS]", *self._usage.split()]


@dataclass(frozen=True, slots=True)
class Invocation:
    """A run of OpenSSH, as the options describe it.

    Attributes:
        session: Access to AWS.
        words: The words that are OpenSSH's.
        request: The target by options, how to reach it and how to log in.
        print_command: Whether only the command line is printed.
        settings: Those in force for the host (`support.defaults.in_force`).
    """

    session: Session
    words: Arguments
    request: ConnectRequest
    print_command: bool
    settings: defaults.Settings

    @property
    def pushes(self) -> bool:
        """Whether a key is pushed."""
        return not self.own_key if self.request.send_key is None else self.request.send_key

    @property
    def own_key(self) -> Path | None:
        """The private key that the user gives, to eicctl or to OpenSSH."""
        given = self.request.private_key_file or self.words.key_file
        return Path(given).expanduser() if given else None

    def request_for(self, target: str, port: int = 0) -> ConnectRequest:
        """Return the request for a target, with the port of its own words or 0."""
        return self.request.replace(target=defaults.alias(target), remote_port=self.words.port or port or 22)

    def specified(self, target: str, port: int = 0) -> tuple[Invocation, ConnectRequest]:
        """Return the request for a target, which the user may choose, and the invocation with the session for it."""
        from eicctl.cli.target_prompt import specified

        named = self.request_for(target, port)
        session, request = specified(self.session, named, self.words.grammar.name)
        if request.target == named.target:
            return replace(self, session=session), request
        from eicctl.aws.caches import INSTANCES, known_names

        name = known_names(INSTANCES, session.profile, session.region).get(request.target, "")
        settings = defaults.in_force(session.profile, session.given_region, request.target, name)
        chosen = replace(self, session=session, settings=settings).with_key_file()
        return chosen, request.replace(private_key_file=chosen.request.private_key_file)

    def with_key_file(self) -> Invocation:
        """Return the invocation with the private key that the files name for the host, if the user gives none."""
        if self.own_key or not (key_file := self.settings.get("private_key_file")):
            return self
        return replace(self, request=self.request.replace(private_key_file=key_file))

    def openssh_options(self, address: str = "") -> OpensshOptions:
        """Return how OpenSSH gets to the hosts.

        Args:
            address: The address to connect to, where the user has named one.
        """
        from eicctl.ssh.openssh_options import OpensshOptions, for_proxy, pinned

        # A key that OpenSSH's own options name is repeated only if its public half is to be pushed.
        key_file = str(self.own_key) if self.pushes and self.own_key else self.request.private_key_file
        request = self.request.replace(
            instance_id=None, private_ip_address=address, private_key_file=key_file, send_key=self.pushes
        )
        return OpensshOptions((pinned if self.print_command else for_proxy)(self.session, request))

    def login(self, request: ConnectRequest, user: str) -> Login:
        """Resolve a request, choose the OS user, and return the login.

        Args:
            request: The target.
            user: The user of its own words, or an empty string.
        """
        from eicctl.cli.target_prompt import explain_login
        from eicctl.ssh.keys import check_pushable
        from eicctl.ssh.login import Login
        from eicctl.ssh.os_user import choose

        target = self._target(request)
        who = choose(
            self.session,
            target,
            self.words.user or self.request.os_user or user or request.os_user or self.settings.get("os_user"),
        )
        if self.pushes:
            check_pushable(target)
        if who.note:
            messages.line(who.note)
        login = Login(self.session, target, who, self.pushes, self.request.host_key_check or "console")
        explain_login(login)
        return login

    def _target(self, request: ConnectRequest) -> Target:
        """Return the target of a request, from the cache if it was resolved some minutes ago."""
        from eicctl.aws.caches import TargetCache
        from eicctl.cli.target_prompt import CHOSEN, explain_target, resolve_target
        from eicctl.doctor.likely_cause import remember

        cache = TargetCache(self.session)
        if not (request.no_cache or request.wait or request.start) and request.label and (target := cache.get(request)):
            remember(self.session, target)
            explain_target(self.session, target)
            return target
        from eicctl.ssh.login import by_host

        target = resolve_target(self.session, request.replace(wait=None) if self.print_command else request)
        own = by_host(request, target)
        chosen = click.get_current_context().meta.get(CHOSEN)
        cache.put(target, *([request, own] if request.label and not chosen else [own]))
        return target


def login_options(function: Command) -> Command:
    """Add the options of a login; the command takes the `invocation` that they make."""

    @functools.wraps(function)
    def wrapper(*args: Any, session: Session, request: ConnectRequest, print_command: bool, **rest: Any) -> Any:
        words = click.get_current_context().meta[_WORDS]
        invocation = Invocation(session, words, request, print_command, options.in_force({})).with_key_file()
        try:
            return function(*args, invocation=invocation, **rest)
        except _TargetGoneError:
            return function(*args, invocation=replace(invocation, request=request.replace(no_cache=True)), **rest)

    decorated: Any = options.as_request(cast("Command", wrapper))
    for option in reversed(
        (
            options.login_settings,
            click.option("--print-command", is_flag=True, help="Print the command line without running it."),
            options.wait_option,
            options.request_option("--no-agent"),
            options.request_option("--quiet", help="Print errors only: no notes, no progress. -q: OpenSSH's, too."),
            options.request_option("--verbose", help="Explain what is done, and how long it takes. -v: OpenSSH, too."),
            options.endpoint_settings,
            options.tunnel_options,
            options.keepalive_option,
            options.with_session,
        )
    ):
        decorated = option(decorated)
    return cast("Command", decorated)


def run_or_print(
    invocation: Invocation,
    logins: Sequence[Login],
    build: Callable[[list[str]], list[str]],
    folder: Path,
    *,
    keep: bool = False,
) -> int:
    """Run a program of OpenSSH and explain its failure, or print its command line.

    Args:
        invocation: How to log in.
        logins: One for each host and user.
        build: Returns the command line with eicctl's options in it.
        folder: A folder of this user alone, for this run alone.
        keep: Run it again whenever its connection is lost.

    Returns:
        The program's exit code.
    """
    from eicctl.ssh.known_hosts import by_instance
    from eicctl.ssh.login import strictness
    from eicctl.ssh.openssh_options import as_options
    from eicctl.ssh.process import run_program

    address = invocation.request.private_ip_address
    openssh = invocation.openssh_options(logins[0].target.address if address else "")
    if invocation.print_command:
        click.echo(pins.command(*build(as_options(openssh.settings(by_instance())))))
        return 0
    from eicctl.ssh import reconnect as keeping

    strict = strictness(logins, messages.line)
    session = replace(
        openssh, request=openssh.request.replace(quiet=messages.quiet(), verbose=messages.verbose())
    ).in_session(folder)
    settings = session.settings(by_instance(), strict=strict)
    if len(names := {login.name for login in logins}) == 1:
        settings["HostKeyAlias"] = names.pop()
        export_target(logins[0].target.label)
    command = build(as_options(settings))

    def connect() -> Outcome:
        if invocation.words.has_proxy:  # and eicctl's is not started
            _push(invocation, logins, folder)
        return run_program(command, folder)

    _remember_login(
        invocation,
        logins,
        openssh,
        plain=not (address or keep or invocation.request.announce_end or messages.quiet() or log.debugging()),
    )
    from eicctl.cli.target_prompt import recording

    kept = (lambda: keeping.keep(connect, logins[0].target.label, messages.line)) if keep else connect
    with contextlib.ExitStack() as cleanup:
        begun = [
            cleanup.enter_context(
                recording(invocation.words.grammar.name, invocation.session, login.target, login.user.name)
            )
            for login in logins
        ]
        keepable = invocation.words.grammar is SSH and not keep
        code = _run(kept, logins, keepable=keepable, cached=not invocation.request.no_cache)
        for each in begun:
            each.failed = code == FAILED
    return code


def _push(invocation: Invocation, logins: Sequence[Login], folder: Path) -> None:
    from eicctl.ssh.keys import own_key, session_key, suited

    for login in logins:
        if login.pushes:
            name, kind = f"{login.user.name}@{login.name}", suited(invocation.request.key_type, login.name)
            login.push((own_key(invocation.own_key) if invocation.own_key else session_key(folder, name, kind)).public)


def _remember_login(invocation: Invocation, logins: Sequence[Login], openssh: OpensshOptions, *, plain: bool) -> None:
    """Remember a login of the usual form, for the next one's `fastpath.ssh`."""
    from eicctl.cli.target_prompt import CHOSEN
    from eicctl.fastpath import ssh as quick

    plain = plain and not click.get_current_context().meta.get(CHOSEN)
    if quick.new_logins and plain and invocation.pushes and len(logins) == 1:
        from eicctl.aws.caches import note_login
        from eicctl.ssh.openssh_options import login_settings

        note_login(quick.new_logins[0], login_settings(logins[0], openssh))


def _run(connect: Callable[[], Outcome], logins: Sequence[Login], *, keepable: bool, cached: bool) -> int:
    """Connect, and explain a failure; return the exit code.

    Args:
        connect: Runs the program.
        logins: One for each host and user.
        keepable: Whether `--keep` would have run it again when its connection was lost.
        cached: Whether the targets may be those of some minutes ago.

    Raises:
        _TargetGoneError: One of them does not exist any more.
    """
    from eicctl.ssh.login import explain

    try:
        outcome = connect()
    except (NotFoundError, UnavailableError) as error:
        if cached:
            raise _TargetGoneError from error
        raise
    except (UnreachableError, RefusedError) as error:
        messages.failure(error)
        return FAILED
    for cause in outcome.errors:
        if keepable and outcome.lived and isinstance(cause, (DurationReachedError, NetworkError)):
            line = pins.command("eicctl", "ssh", "--keep", logins[0].target.label)
            cause.hint = f"{line}; it runs the shell in tmux on the instance and reconnects"
        messages.failure(cause)
    for login in logins:
        if hint := explain(outcome.code, outcome.stderr, login):
            messages.line(f"hint: {hint}")
            break
    return outcome.code


def explained(known: LoginSettings, request: ConnectRequest, code: int, stderr: str, folder: str) -> int | None:
    """Explain how a login of `fastpath.ssh` has failed; return the exit code, or None if it is to be made anew.

    That is where its target does not exist any more, and where the user may have to log in to AWS, which is asked then.

    Args:
        known: The login; see `openssh_options.login_settings`.
        request: What was asked for.
        code: OpenSSH's exit code.
        stderr: The end of what it wrote.
        folder: The session's folder.
    """
    from eicctl.core.model import Target
    from eicctl.doctor.likely_cause import remember
    from eicctl.ssh.login import Login
    from eicctl.ssh.os_user import OsUser
    from eicctl.ssh.process import outcome, take_failures

    session = options.session(request.profile, request.region, request.ca_bundle, request.fips)
    target = Target(**known["Target"])
    remember(session, target)
    login = Login(session, target, OsUser(**known["User"]), pushes=True)
    failures = take_failures(Path(folder))
    try:
        return _run(lambda: outcome(code, stderr, failures), [login], keepable=True, cached=True)
    except CredentialsError:
        return None
    except _TargetGoneError:
        from eicctl.aws.caches import TargetCache

        TargetCache(session).forget(request)
        return None
