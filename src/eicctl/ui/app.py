"""The application: the bar of panes, the line that says what is waited for, errors with their hints, and commands."""

from __future__ import annotations

import asyncio
import contextlib
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

from textual import events, work
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.message_pump import MessagePump
from textual.widgets import ContentSwitcher, Static

from eicctl.aws.session import Sessions
from eicctl.core import sanitize
from eicctl.core.errors import EicctlError, LocalError
from eicctl.core.names import counted
from eicctl.support import pins, threads
from eicctl.ui import PANES
from eicctl.ui.commands import CommandLine
from eicctl.ui.pane import ErrorBar, Pane

if TYPE_CHECKING:
    import click

    from eicctl.aws.session import Session

T = TypeVar("T")


@dataclass(frozen=True)
class Scope:
    """Which accounts and regions are shown: a session for each profile, regions (none: each session's own)."""

    sessions: Sequence[Session]
    regions: Sequence[str] = ()
    all_regions: bool = False

    def known_locations(self) -> Iterator[tuple[Session, str]]:
        """Return the accounts and regions of which something may be known, without a call of AWS's."""
        from eicctl.aws import caches

        for session in self.sessions:
            try:
                regions = self.regions or ([*caches.known_regions()] if self.all_regions else [session.region])
            except EicctlError:
                continue
            yield from ((session, region) for region in regions)

    @property
    def label(self) -> str:
        """In words, for the bar."""
        profiles = ", ".join(session.profile or "default" for session in self.sessions)
        try:
            regions = "all regions" if self.all_regions else ", ".join(self.regions) or self.sessions[0].region
        except EicctlError:
            regions = "no region"
        return f"{profiles} · {regions}"


class KeyLine(Static):
    """The keys that do something where the cursor is: as many as fit whole, the application's own last.

    Textual's footer cuts what does not fit, and takes a widget for each key, which the first frame waits for.
    """

    def on_mount(self) -> None:
        self.screen.bindings_updated_signal.subscribe(self, lambda _: self.show())

    def on_resize(self) -> None:
        self.show()

    def show(self) -> None:
        """Show the keys of the widget that has the focus."""
        own, common = list[tuple[str, str]](), list[tuple[str, str]]()
        for active in self.screen.active_bindings.values():
            if active.binding.show and active.enabled:
                key = self.app.get_key_display(active.binding)
                (common if active.node is self.app else own).append((key, active.binding.description))
        own.sort(key=lambda pair: pair[1] == "Filter")  # which all panes have, so it comes after their own
        room = self.size.width - sum(map(_key_width, common))
        kept = list[tuple[str, str]]()
        for pair in own:
            room -= _key_width(pair)
            if room < 0:
                break
            kept.append(pair)
        pieces = [((key, "bold $accent"), f" {what}  ") for key, what in [*kept, *common]]
        self.update(Content.assemble(*(part for pair in pieces for part in pair)))


def _key_width(pair: tuple[str, str]) -> int:
    return sum(map(len, pair)) + 3


async def _called(node: MessagePump, call: Callable[..., Awaitable[None]] | None = None, *args: Any) -> None:
    """Call something in a node's turn, and wait for the end; without a call, for what it has to do before.

    Not for long, as a node that is removed meanwhile does no more.
    """
    ended = asyncio.Event()

    async def run() -> None:
        try:
            if call:
                await call(*args)
        finally:
            ended.set()

    if node.call_later(run):
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(ended.wait(), 0.5)


class Console(App[None]):
    """The console.

    Args:
        scope: What to show.
        commands: The commands that `:` runs.
        first: The pane to begin with.
    """

    TITLE = "eicctl"
    ENABLE_COMMAND_PALETTE = False
    CSS = """
    #tabs { height: 1; background: $panel; color: $foreground; }
    #tabs { link-style: none; link-color: $foreground; link-style-hover: bold; }
    #keys { height: 1; background: $panel; color: $foreground; padding: 0 1; }
    #panes { height: 1fr; }
    #status { height: 1; color: $text-muted; padding: 0 1; }
    #waiting { width: 1fr; height: 1; }
    #scope { width: auto; max-width: 50%; height: 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        *(Binding(str(at), f"pane('{name}')", title, show=False) for at, (name, title) in enumerate(PANES.items(), 1)),
        Binding("right_square_bracket", "next(1)", "Next pane", show=False),
        Binding("left_square_bracket", "next(-1)", "Previous pane", show=False),
        Binding("question_mark", "keys", "Keys"),
        Binding("colon", "command", "Command"),
        Binding("ctrl+r,f5", "reload", "Reload", show=False),
        Binding("ctrl+t", "theme", "Light or dark", show=False),
        Binding("q", "quit", "Quit"),
    ]

    def __init__(self, scope: Scope, commands: click.Group, *, first: str = "instances") -> None:
        super().__init__()
        self.scope = scope
        self._commands = commands
        self._first = first
        self._sessions = Sessions()
        self._waits: dict[int, tuple[str, float]] = {}
        self._note = ""
        self._number = 0
        self._away = False
        self._typed = deque[events.Event]()

    def compose(self) -> ComposeResult:
        yield Static(id="tabs")
        yield ContentSwitcher(id="panes")
        yield ErrorBar()
        with Horizontal(id="status"):
            yield Static(id="waiting")
            yield Static(Content(sanitize.line(self.scope.label)), id="scope")
        yield CommandLine(self._commands, id="command", compact=True)
        yield KeyLine(id="keys")

    async def on_mount(self) -> None:
        await self.action_pane(self._first)
        self.set_interval(0.25, self._show_waiting)

    # Keys

    async def on_event(self, event: events.Event) -> None:
        """Handle a key after all that the one before has done: a slow line brings several at once."""
        if not isinstance(event, events.Key | events.Paste) or event.is_forwarded:
            await super().on_event(event)
            return
        self._typed.append(event)
        if len(self._typed) == 1:
            self.run_worker(self._handle_typed(), group="typed")

    async def _handle_typed(self) -> None:
        while self._typed:
            nodes = (self.focused or self.screen).ancestors_with_self
            await _called(self, super().on_event, self._typed[0])
            for node in nodes:  # which a message of the one before may pass through
                await _called(node)
            await _called(self.screen)
            self._typed.popleft()

    # Panes

    async def action_pane(self, name: str) -> None:
        """Show a pane; it is made when it is first shown."""
        await self.pane(name)
        switcher = self.query_one("#panes", ContentSwitcher)
        switcher.current = name
        self._show_tabs(self.size.width)
        self.current.focus_first()

    def on_resize(self, event: events.Resize) -> None:
        self._show_tabs(event.size.width)

    def _show_tabs(self, width: int) -> None:
        """Show the panes, on a narrow terminal those that are not open by their numbers only."""
        shown = self.query_one("#panes", ContentSwitcher).current
        labels = {key: f"{at} {title}" for at, (key, title) in enumerate(PANES.items(), 1)}
        if len("  ".join(labels.values())) > width:
            labels = {key: label if key == shown else label[0] for key, label in labels.items()}
        tabs = [
            Content.from_markup(f"[{'bold reverse ' * (key == shown)}@click=app.pane('{key}')]{label}[/]")
            for key, label in labels.items()
        ]
        self.query_one("#tabs", Static).update(Content("  ").join(tabs))

    async def pane(self, name: str) -> Pane:
        """Return a pane, whether it is shown or not."""
        switcher = self.query_one("#panes", ContentSwitcher)
        for child in switcher.children:
            if child.id == name:
                return child  # type: ignore[return-value]
        made: Pane = import_module(f"eicctl.ui.{name}").PANE(id=name)
        await switcher.add_content(made)
        return made

    @property
    def current(self) -> Pane:
        """The pane that is shown."""
        return self.query_one("#panes", ContentSwitcher).visible_content  # type: ignore[return-value]

    async def action_next(self, by: int) -> None:
        names = list(PANES)
        await self.action_pane(names[(names.index(self.current.id or "") + by) % len(names)])

    def action_reload(self) -> None:
        self.current.reload()

    def action_theme(self) -> None:
        """Draw light instead of dark, or dark instead of light, as long as the console runs."""
        self.theme = "textual-light" if self.current_theme.dark else "textual-dark"

    def action_keys(self) -> None:
        from eicctl.ui.dialogs import Keys

        self.push_screen(Keys(self.active_bindings.values()))

    async def action_quit(self) -> None:
        """Leave, after a yes where that ends tunnels."""
        self._leave()

    @work
    async def _leave(self) -> None:
        from eicctl.ui.dialogs import Question

        panes = self.query_one("#panes", ContentSwitcher).children
        ending = sum(cast("Pane", pane).open_here for pane in panes)
        text = f"{counted(ending, 'tunnel')} of this console will be closed. Quit?"
        if ending and not await self.push_screen_wait(Question(text, "Quit")):
            return
        self.exit()

    def session(self, profile: str | None = None, region: str | None = None) -> Session:
        """Return the access to an account and a region; what is shown first where none is named."""
        first = self.scope.sessions[0]
        given = first.given_region or (self.scope.regions[0] if self.scope.regions else None)
        return self._sessions.of(
            profile or first.profile, region or given, first.given_ca_bundle, fips=first.given_fips
        )

    def locations(self) -> list[Session]:
        """Return the access to each account and region that is shown; it blocks where AWS is asked for the regions."""
        from eicctl.aws.regions import used_regions

        found = []
        for session in self.scope.sessions:
            every = used_regions(session) if self.scope.all_regions else self.scope.regions or (session.region,)
            found += [self.session(session.profile, region) for region in every]
        return found

    def call_from_thread(self, callback: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call something in the console's thread, from another one, and wait for it.

        Raises:
            RuntimeError: The console has ended, which ends what the other thread does for it.
        """
        if not self.is_running:  # Textual would create a coroutine that nobody awaits
            raise RuntimeError("the console has ended")
        return super().call_from_thread(callback, *args, **kwargs)

    async def read_everywhere(self, label: str, read: Callable[[Session], Iterable[T]]) -> list[T]:
        """Call something that blocks for each account and region that is shown, all at once.

        The first error is shown: of several accounts and regions with its own, and with the number that failed.
        """

        def tried(session: Session) -> tuple[list[T], EicctlError | None]:
            try:
                return list(read(session)), None
            except EicctlError as error:
                error.hint = error.hint and pins.pinned(error.hint, session.profile, session.region)
                if len(sessions) > 1:
                    error.message = f"{session.location}: {error.message}"
                return [], error

        sessions: list[Session] = []
        try:
            sessions = await self.wait_for(label, self.locations)
            answers = await self.wait_for(label, lambda: threads.for_each(tried, sessions))
        except EicctlError as error:
            answers = [([], error)]
        if troubles := [error for _, error in answers if error]:
            if len(troubles) > 1:
                self.note(f"{len(troubles)} of {len(answers)} accounts and regions could not be read")
            self.show_error(troubles[0])
        return [row for rows, _ in answers for row in rows]

    # Work beside the interface

    @property
    def is_waiting(self) -> bool:
        """Whether something is waited for."""
        return bool(self._waits)

    async def wait_for(self, label: str, call: Callable[[], T]) -> T:
        """Call something that blocks in a thread, and say meanwhile what is waited for.

        Args:
            label: What is done, for the line below the panes: `Reading instances`.
            call: What blocks. The application does not wait for it when it ends.
        """
        with self.waiting(label):
            return await self.quietly(call)

    @contextlib.contextmanager
    def waiting(self, label: str) -> Iterator[None]:
        """Say what is waited for as long as the block lasts."""
        self._number += 1
        number = self._number
        self._waits[number] = (label, time.monotonic())
        self._show_waiting()
        try:
            yield
        finally:
            del self._waits[number]
            self._show_waiting()

    async def quietly(self, call: Callable[[], T]) -> T:
        """Call something that blocks in a thread, without a word: what is looked at again and again."""
        try:
            return await asyncio.wrap_future(threads.begin(call))
        except Exception:
            if self.is_running:
                raise
            raise asyncio.CancelledError from None  # the console has ended, and with it who would read the error

    def work(self, label: str, call: Callable[[], T], then: Callable[[T], object], *, group: str = "") -> None:
        """Call something that blocks, and then something with its result; an error is shown.

        Args:
            label: As in `wait_for`.
            call: What blocks.
            then: Called with the result, here.
            group: Of two calls of a group only the last one's result counts.
        """

        async def run() -> None:
            try:
                result = await self.wait_for(label, call)
            except Exception as error:  # whatever it is, a person should read it
                self.show_error(error)
            else:
                then(result)

        self.run_worker(run(), group=group or label, exclusive=True)

    def show_error(self, error: BaseException) -> None:
        """Show an error, with its hint."""
        self.query_one(ErrorBar).show(error)

    def hide_error(self) -> None:
        """Close the bar with an error."""
        self.query_one(ErrorBar).remove_class("shown")

    def note(self, text: str) -> None:
        """Say what was done, on the line below the panes."""
        self._note = sanitize.line(text)
        self._show_waiting()

    def copy(self, text: str) -> None:
        """Put a text on the clipboard, by the terminal (OSC 52)."""
        self.copy_to_clipboard(text)
        self.note("Copied" if "\n" in text else f"Copied: {text}")

    def _show_waiting(self) -> None:
        if not self.is_running:
            return
        now = time.monotonic()
        text = " · ".join(f"{label} {now - since:.0f} s" for label, since in self._waits.values()) or self._note
        self.query_one("#waiting", Static).update(Content(text))

    # Commands

    def action_command(self, text: str = "") -> None:
        """Ask for a command of eicctl's."""
        line = self.query_one(CommandLine)
        line.begin(text)

    def on_command_line_entered(self, event: CommandLine.Entered) -> None:
        self.current.focus_first()
        try:
            words = self.query_one(CommandLine).words(event)
        except EicctlError as error:
            self.show_error(error)
            return
        if event.of_eicctl and words:
            self.run_command(words, wait=True)
        elif words:
            self.run_program(words, wait=True)

    def run_command(self, words: Sequence[str], *, wait: bool = False) -> None:
        """Give the terminal to a command of eicctl's, and come back.

        Args:
            words: Its words, without `eicctl`.
            wait: Whether to let the result be read before the console is drawn again; always after a failure.
        """
        self.run_program([sys.executable, "-P", "-m", "eicctl", *words], ["eicctl", *words], wait=wait)

    def run_program(self, command: Sequence[str], shown: Sequence[str] = (), *, wait: bool = False) -> None:
        """Give the terminal to a program, and come back. Tunnels of the console go on meanwhile.

        Args:
            command: Its words.
            shown: What is shown of them; all of them by default.
            wait: As in `run_command`.
        """
        if not self._away:
            self._away = True
            self.run_worker(self._run_program(command, shlex.join(shown or command), wait))

    async def _run_program(self, command: Sequence[str], shown: str, wait: bool) -> None:
        try:
            with self.batch_update(), self.suspend(), _interrupts_noted() as interrupted:
                await self.quietly(lambda: _on_terminal(command, shown, wait, interrupted))
        except OSError as error:
            name = error.filename or command[0]
            self.show_error(LocalError(f"Cannot run {name}: {error.strerror}"))
        finally:
            self._away = False
        self.refresh(layout=True)
        self.current.reload()


def _on_terminal(command: Sequence[str], shown: str, wait: bool, interrupted: threading.Event) -> None:
    """Run a program on this process's terminal, and let a person read what it has written."""
    sys.stdout.write(f"$ {sanitize.line(shown)}\n")
    sys.stdout.flush()
    with subprocess.Popen(command, stdin=sys.stdin) as program:
        if interrupted.is_set():  # before it had the terminal
            program.send_signal(signal.SIGINT)
        code = program.wait()
    if wait or code:
        sys.stdout.write(f"\n[exit code {code}] Press Enter to return to the console.")
        sys.stdout.flush()
        sys.stdin.readline()


@contextlib.contextmanager
def _interrupts_noted() -> Iterator[threading.Event]:
    """Let Ctrl-C end the program that has the terminal, and not the console; the event is whether it was pressed."""
    pressed = threading.Event()
    before = signal.signal(signal.SIGINT, lambda *_: pressed.set())
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, before)
