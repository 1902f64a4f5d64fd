"""Dialogs over the panes: the keys, a question, a value to type."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import ActiveBinding, Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Static

from eicctl.core import sanitize

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
    """

    AUTO_FOCUS = "Button"

    BINDINGS: ClassVar[list[BindingType]] = [Binding("y", "dismiss('yes')", "Yes"), Binding("n", "dismiss('')", "No")]

    def __init__(self, text: str, yes: str = "Yes") -> None:
        super().__init__()
        self._text = text
        self._yes = yes

    def compose(self) -> ComposeResult:
        with VerticalScroll():
            yield Static(Content(sanitize.message(self._text)))
            with Horizontal():
                yield Button(f"{self._yes} (y)", variant="warning", id="yes", compact=True)
                yield Button("Cancel (n)", id="no", compact=True)

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
