"""The application: the bar of panes, the line that says what is waited for, errors with their hints, and commands."""

from __future__ import annotations

import asyncio
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, ClassVar, TypeVar, cast

from textual import work
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.widgets import Button, ContentSwitcher, Footer, Input, Static

from eicctl.aws.session import Sessions
from eicctl.core import errors, sanitize
from eicctl.support import threads
from eicctl.ui import PANES

if TYPE_CHECKING:
    from eicctl.aws.session import Session
    from eicctl.ui.pane import Pane

T = TypeVar("T")


@dataclass(frozen=True)
class Scope:
    """Which accounts and regions are shown: a session for each profile, regions (none: each session's own)."""

    sessions: Sequence[Session]
    regions: Sequence[str] = ()
    all_regions: bool = False

    @property
    def label(self) -> str:
        """In words, for the bar."""
        profiles = ", ".join(session.profile or "default" for session in self.sessions)
        try:
            regions = "all regions" if self.all_regions else ", ".join(self.regions) or self.sessions[0].region
        except errors.EicctlError:
            regions = "no region"
        return f"{profiles} · {regions}"


class ErrorBar(Horizontal):
    """An error, and its hint as a button that puts the command where it can be run."""

    DEFAULT_CSS = """
    ErrorBar { height: auto; max-height: 8; display: none; background: $error-muted; color: $text; padding: 0 1; }
    ErrorBar.shown { display: block; }
    ErrorBar Static { width: 1fr; height: auto; }
    ErrorBar Button { height: 1; min-width: 0; border: none; margin-left: 1; }
    """

    def __init__(self) -> None:
        super().__init__()
        self.hint = ""

    def compose(self) -> ComposeResult:
        yield Static(id="error-text")
        yield Button("Hint", id="error-hint", compact=True)
        yield Button("Close", id="error-close", compact=True)

    def show(self, error: BaseException) -> None:
        """Show an error as the command line prints it."""
        from eicctl.cli.view.messages import is_command

        message = (
            error.message if isinstance(error, errors.EicctlError) else f"unexpected {type(error).__name__}: {error}"
        )
        hint = (error.hint if isinstance(error, errors.EicctlError) else None) or ""
        self.hint = hint if is_command(hint) else ""
        text = Content(sanitize.message(f"error: {message}" + (f"\nhint: {hint}" if hint else "")))
        self.query_one("#error-text", Static).update(text)
        button = self.query_one("#error-hint", Button)
        button.display = bool(self.hint)
        self.add_class("shown")

    def on_button_pressed(self, event: Button.Pressed) -> None:
        event.stop()
        self.remove_class("shown")
        if event.button.id == "error-hint":
            self.app.action_command(self.hint.removeprefix("eicctl "))  # type: ignore[attr-defined]


class Console(App[None]):
    """The console.

    Args:
        scope: What to show.
        first: The pane to begin with.
    """

    TITLE = "eicctl"
    ENABLE_COMMAND_PALETTE = False
    CSS = """
    #tabs { height: 1; background: $panel; color: $foreground; }
    #panes { height: 1fr; }
    #status { height: 1; color: $text-muted; padding: 0 1; }
    #waiting { width: 1fr; height: 1; }
    #scope { width: auto; max-width: 50%; height: 1; }
    #command { dock: bottom; height: 1; border: none; padding: 0 1; display: none; }
    #command.shown { display: block; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        *(Binding(str(at), f"pane('{name}')", title, show=False) for at, (name, title) in enumerate(PANES.items(), 1)),
        Binding("right_square_bracket", "next(1)", "Next pane", show=False),
        Binding("left_square_bracket", "next(-1)", "Previous pane", show=False),
        Binding("question_mark", "keys", "Keys"),
        Binding("colon", "command", "Command"),
        Binding("ctrl+r,f5", "reload", "Reload", show=False),
        Binding("q", "quit", "Quit"),
    ]

    def __init__(self, scope: Scope, *, first: str = "instances") -> None:
        super().__init__()
        self.scope = scope
        self._first = first
        self._sessions = Sessions()
        self._waits: dict[int, tuple[str, float]] = {}
        self._note = ""
        self._number = 0

    def compose(self) -> ComposeResult:
        yield Static(id="tabs")
        yield ContentSwitcher(id="panes")
        yield ErrorBar()
        with Horizontal(id="status"):
            yield Static(id="waiting")
            yield Static(Content(sanitize.line(self.scope.label)), id="scope")
        yield Input(id="command", compact=True)
        yield Footer(show_command_palette=False)

    async def on_mount(self) -> None:
        await self.action_pane(self._first)
        self.set_interval(0.25, self._show_waiting)

    # Panes

    async def action_pane(self, name: str) -> None:
        """Show a pane; it is made when it is first shown."""
        await self.pane(name)
        switcher = self.query_one("#panes", ContentSwitcher)
        switcher.current = name
        tabs = Content("  ").join(
            Content.styled(f"{at} {title}", "bold reverse" if key == name else "")
            for at, (key, title) in enumerate(PANES.items(), 1)
        )
        self.query_one("#tabs", Static).update(tabs)
        self.current.focus_first()

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
        text = f"{ending} tunnel{'s' if ending > 1 else ''} of this console will be closed. Quit?"
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

    # Work beside the interface

    async def wait_for(self, label: str, call: Callable[[], T]) -> T:
        """Call something that blocks in a thread, and say meanwhile what is waited for.

        Args:
            label: What is done, for the line below the panes: `Reading instances`.
            call: What blocks. The application does not wait for it when it ends.
        """
        self._number += 1
        number = self._number
        self._waits[number] = (label, time.monotonic())
        self._show_waiting()
        try:
            return await self.quietly(call)
        finally:
            del self._waits[number]
            self._show_waiting()

    async def quietly(self, call: Callable[[], T]) -> T:
        """Call something that blocks in a thread, without a word: what is looked at again and again."""
        return await asyncio.wrap_future(threads.begin(call))

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

    def note(self, text: str) -> None:
        """Say what was done, on the line below the panes."""
        self._note = sanitize.line(text)
        self._show_waiting()

    def copy(self, text: str) -> None:
        """Put a text on the clipboard, by the terminal (OSC 52)."""
        self.copy_to_clipboard(text)
        self.note(f"Copied: {text}")

    def _show_waiting(self) -> None:
        if not self.is_running:
            return
        now = time.monotonic()
        text = " · ".join(f"{label} {now - since:.0f} s" for label, since in self._waits.values()) or self._note
        self.query_one("#waiting", Static).update(Content(text))

    # Commands

    def action_command(self, text: str = "") -> None:
        """Ask for a command of eicctl's."""
        from eicctl.ui.commands import completer

        line = self.query_one("#command", Input)
        line.suggester = completer()
        line.placeholder = "eicctl … (Enter runs it, Esc leaves)"
        line.value = text
        line.add_class("shown")
        line.focus()
        line.cursor_position = len(text)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        if event.input.id == "command":
            self._leave_command()
            if words := shlex.split(event.value):
                self.run_command(words, wait=True)

    def on_key(self, event: object) -> None:
        if getattr(event, "key", "") == "escape" and self.query_one("#command").has_class("shown"):
            self._leave_command()

    def _leave_command(self) -> None:
        self.query_one("#command").remove_class("shown")
        self.current.focus_first()

    def run_command(self, words: Sequence[str], *, wait: bool = False) -> int:
        """Give the terminal to a command of eicctl's, and come back.

        Args:
            words: Its words, without `eicctl`.
            wait: Whether to let the result be read before the console is drawn again; always after a failure.
        """
        return self.run_program([sys.executable, "-P", "-m", "eicctl", *words], ["eicctl", *words], wait=wait)

    def run_program(self, command: Sequence[str], shown: Sequence[str] = (), *, wait: bool = False) -> int:
        """Give the terminal to a program, and come back.

        Args:
            command: Its words.
            shown: What is shown of them; all of them by default.
            wait: As in `run_command`.
        """
        with self.suspend():
            sys.stdout.write(f"$ {shlex.join(shown or command)}\n")
            sys.stdout.flush()
            code = subprocess.run(command, stdin=sys.stdin, check=False).returncode
            if wait or code:
                sys.stdout.write(f"\n[exit code {code}] Press Enter to return to the console.")
                sys.stdout.flush()
                sys.stdin.readline()
        self.refresh(layout=True)
        self.current.reload()
        return code
