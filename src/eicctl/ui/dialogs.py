"""Dialogs over the panes: the keys, a question, a value to type, something to read or to copy, and forms."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar

from textual import work
from textual.app import ComposeResult
from textual.binding import ActiveBinding, Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Button, Input, Static

from eicctl.core import sanitize
from eicctl.ui.pane import ErrorBar

if TYPE_CHECKING:
    from eicctl.ui.app import Console

T = TypeVar("T")

_KEYS = {
    "slash": "/",
    "question_mark": "?",
    "colon": ":",
    "left_square_bracket": "[",
    "right_square_bracket": "]",
    "space": "Space",
    "enter": "Enter",
    "escape": "Esc",
}
"""What is printed on keys, by Textual's names."""

_TEXTUALS = ("Scroll", "Page Left", "Page Right", "Copy selected", "Focus")
"""Beginnings of what keys do that every widget of Textual's has."""


class _Dialog(ModalScreen[str]):
    """A box in the middle; Esc closes it with an empty result."""

    DEFAULT_CSS = """
    _Dialog { align: center middle; background: $background 60%; }
    _Dialog > VerticalScroll {
        width: 76; max-width: 95%; height: auto; max-height: 90%; border: round $primary; padding: 0 1;
        background: $surface;
    }
    _Dialog Horizontal { height: auto; margin-top: 1; }
    _Dialog Button { margin-right: 2; }
    _Dialog .title { text-style: bold; margin-bottom: 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss('')", "Close")]


class Keys(_Dialog):
    """Every key that does something where the cursor is."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("question_mark,q", "dismiss('')", "Close", show=False)]

    def __init__(self, bindings: Iterable[ActiveBinding]) -> None:
        super().__init__()
        self._keys: dict[str, list[str]] = {}
        for active in bindings:
            binding = active.binding
            if binding.description and not binding.description.startswith(_TEXTUALS):
                self._keys.setdefault(binding.description, []).append(_KEYS.get(binding.key, binding.key))

    def compose(self) -> ComposeResult:
        width = max(len(" ".join(keys)) for keys in self._keys.values())
        lines = [f"{' '.join(keys):{width}}  {what}" for what, keys in self._keys.items()]
        with VerticalScroll():
            yield Static("Keys", classes="title")
            yield Static(Content("\n".join(lines)))


class Question(_Dialog):
    """A question. The result is `yes`, or empty.

    Args:
        text: What is to be decided, and what it means.
        yes: The label of the button that does it.
        no: The label of the button that does not.
    """

    AUTO_FOCUS = "Button"

    BINDINGS: ClassVar[list[BindingType]] = [Binding("y", "dismiss('yes')", "Yes"), Binding("n", "dismiss('')", "No")]

    def __init__(self, text: str, yes: str = "Yes", no: str = "Cancel") -> None:
        super().__init__()
        self._text = text
        self._yes = yes
        self._no = no

    def compose(self) -> ComposeResult:
        with VerticalScroll():
            yield Static(Content(sanitize.message(self._text)))
            with Horizontal():
                yield Button(f"{self._yes} (y)", variant="warning", id="yes", compact=True)
                yield Button(f"{self._no} (n)", id="no", compact=True)

    def on_button_pressed(self, event: Button.Pressed) -> None:
        self.dismiss("yes" if event.button.id == "yes" else "")


class Ask(_Dialog):
    """One line to type. The result is the line, or empty.

    Args:
        text: What to type.
        value: What stands there already.
        secret: Whether it is hidden.
    """

    AUTO_FOCUS = "Input"

    def __init__(self, text: str, value: str = "", *, secret: bool = False) -> None:
        super().__init__()
        self._text = text
        self._value = value
        self._secret = secret

    def compose(self) -> ComposeResult:
        with VerticalScroll():
            yield Static(Content(sanitize.message(self._text)))
            yield Input(self._value, password=self._secret, compact=True)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.dismiss(event.value.strip())


class Text(_Dialog):
    """Something to read."""

    def __init__(self, title: str, text: str) -> None:
        super().__init__()
        self._title = title
        self._text = text

    def compose(self) -> ComposeResult:
        with VerticalScroll():
            yield Static(Content(sanitize.line(self._title)), classes="title")
            yield Static(Content(sanitize.message(self._text)))


class Details(_Dialog):
    """What there is to know of one thing.

    Args:
        title: Its name.
        values: The values by their labels; empty ones are left out.
        copy: What `c` copies; empty for nothing.
    """

    DEFAULT_CSS = """
    Details .pair { height: auto; margin: 0; }
    Details .label { width: auto; color: $text-muted; }
    Details .value { width: 1fr; height: auto; }
    Details > VerticalScroll { width: 110; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("c", "copy", "Copy")]

    app: Console

    def __init__(self, title: str, values: Mapping[str, str], *, copy: str = "") -> None:
        super().__init__()
        self._title = title
        self._values = values
        self._copy = copy

    def compose(self) -> ComposeResult:
        values = {sanitize.line(label): sanitize.printable(value) for label, value in self._values.items() if value}
        width = max(map(len, values)) + 2
        with VerticalScroll():
            yield Static(Content(sanitize.line(self._title)), classes="title")
            for label, value in values.items():
                with Horizontal(classes="pair"):
                    yield Static(Content(label.ljust(width)), classes="label")
                    yield Static(Content(value), classes="value")
            if self._copy:
                with Horizontal():
                    yield Button("Copy (c)", compact=True)

    def on_button_pressed(self) -> None:
        self.action_copy()

    def action_copy(self) -> None:
        if self._copy:
            self.app.copy(self._copy)
            self.dismiss("")


class Preview(_Dialog):
    """The same thing in several languages, one at a time.

    Args:
        title: What it is.
        texts: The texts by the names of their languages, the first one to begin with.
        notes: What is to be known of some of them.
    """

    DEFAULT_CSS = """
    Preview > VerticalScroll { width: 124; }
    Preview Horizontal { margin: 0 0 1 0; }
    Preview .note { color: $text-warning; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("c", "copy", "Copy"),
        Binding("right", "next(1)", "Next language"),
        Binding("left", "next(-1)", "Previous language"),
    ]

    app: Console

    def __init__(self, title: str, texts: Mapping[str, str], notes: Mapping[str, str]) -> None:
        super().__init__()
        self._title = title
        self._texts = texts
        self._notes = notes
        self._shown = 0

    def compose(self) -> ComposeResult:
        with VerticalScroll():
            yield Static(Content(sanitize.line(self._title)), classes="title")
            with Horizontal():
                for at, language in enumerate(self._texts):
                    yield Button(language, id=f"language-{at}", compact=True)
                yield Button("Copy (c)", id="copy", compact=True)
            yield Static(classes="note")
            yield Static(classes="text")

    def on_mount(self) -> None:
        self._show(0)

    def on_button_pressed(self, event: Button.Pressed) -> None:
        if event.button.id == "copy":
            self.action_copy()
        else:
            self._show(int((event.button.id or "").rpartition("-")[2]))

    def action_next(self, by: int) -> None:
        self._show((self._shown + by) % len(self._texts))

    def action_copy(self) -> None:
        self.app.copy([*self._texts.values()][self._shown])
        self.dismiss("")

    def _show(self, at: int) -> None:
        self._shown = at
        for number, language in enumerate(self._texts):
            button = self.query_one(f"#language-{number}", Button)
            button.variant = "primary" if number == at else "default"
            if number == at:
                button.focus()
                note = self.query_one(".note", Static)
                note.update(Content(self._notes.get(language, "")))
                note.display = language in self._notes
                self.query_one(".text", Static).update(Content(sanitize.printable(self._texts[language].rstrip())))


class Field(Horizontal):
    """A field of a form: its label, what is filled in, and an explanation beside it."""

    DEFAULT_CSS = """
    Field { height: auto; margin-bottom: 1; }
    Field > .label { width: 16; }
    Field > .value { width: 1fr; height: auto; }
    Field > .help { width: 38%; height: auto; color: $text-muted; padding-left: 2; }
    Field SelectionList { max-height: 6; padding: 0; border: none; }
    Field SelectCurrent #label { text-wrap: nowrap; text-overflow: ellipsis; }
    Field Checkbox > .toggle--button { color: $panel; }
    Field Checkbox.-on > .toggle--button { color: $text-success; text-style: bold; }
    Field SelectionList > .selection-list--button { color: $panel; }
    Field SelectionList > .selection-list--button-highlighted { color: $panel; }
    """

    def __init__(self, label: str, widget: Widget, help: str = "") -> None:
        super().__init__()
        self._parts = (Static(Content(label), classes="label"), widget, Static(Content(help), classes="help"))
        widget.add_class("value")

    def compose(self) -> ComposeResult:
        yield from self._parts


class Form(ModalScreen["T | None"], Generic[T]):
    """Fields to fill in. The result is what `submit` returns, or None.

    Args:
        title: What is done.
        action: The label of the button that does it.
    """

    DEFAULT_CSS = """
    Form { align: center middle; background: $background 60%; }
    Form > Vertical {
        width: 116; max-width: 98%; height: 96%; max-height: 40;
        border: round $primary; padding: 0 1; background: $surface;
    }
    Form .title { text-style: bold; margin-bottom: 1; }
    Form .fields { height: 1fr; scrollbar-size-vertical: 1; }
    Form ErrorBar VerticalScroll { max-height: 3; }
    Form .buttons { height: 1; }
    Form .buttons Button { margin-right: 2; }
    Form .busy { width: 1fr; color: $text-muted; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "Cancel"),
        Binding("ctrl+s", "submit", "Submit"),
        Binding("f2", "preview", "Preview"),
    ]

    app: Console
    previews: ClassVar[bool] = False

    def __init__(self, title: str, action: str) -> None:
        super().__init__()
        self._title = title
        self._action = action
        self._busy = False

    def fields(self) -> Sequence[Field]:
        """Return the fields."""
        raise NotImplementedError

    async def submit(self) -> T:
        """Do it.

        Raises:
            EicctlError: Why not; the form stays as it is.
        """
        raise NotImplementedError

    async def preview(self) -> None:
        """Show what would be done."""

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Static(Content(sanitize.line(self._title)), classes="title")
            with VerticalScroll(classes="fields", can_focus=False):
                yield from self.fields()
            yield ErrorBar()
            with Horizontal(classes="buttons"):
                yield Button(f"{self._action} (Ctrl+S)", id="submit", variant="primary", compact=True)
                if self.previews:
                    yield Button("Preview (F2)", id="preview", compact=True)
                yield Button("Cancel (Esc)", id="cancel", compact=True)
                yield Static(classes="busy")

    def on_button_pressed(self, event: Button.Pressed) -> None:
        if event.button.id in ("submit", "preview", "cancel"):
            getattr(self, f"action_{event.button.id}")()

    def say(self, text: str) -> None:
        """Say what is waited for."""
        self.query_one(".busy", Static).update(Content(sanitize.line(text)))

    def action_cancel(self) -> None:
        """Leave the form, but not while it does something: what fails then is undone and reported here."""
        if not self._busy:
            self.dismiss(None)

    @work
    async def action_submit(self) -> None:
        if not self._busy:
            await self._do(submitting=True)

    @work
    async def action_preview(self) -> None:
        if self.previews and not self._busy:
            await self._do(submitting=False)

    async def _do(self, *, submitting: bool) -> None:
        bar = self.query_one(ErrorBar)
        bar.remove_class("shown")
        self._busy = True
        try:
            if submitting:
                self.dismiss(await self.submit())
            else:
                await self.preview()
        except Exception as error:  # whatever it is, a person should read it
            bar.show(error)
        finally:
            self._busy = False
            if self.is_attached:
                self.say("")
