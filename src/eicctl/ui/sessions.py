"""Sessions: MFA sessions that eicctl has stored, and logins to IAM Identity Center, with the time that is left."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import ClassVar

from textual import work
from textual.binding import Binding, BindingType

from eicctl.aws import mfa, sso
from eicctl.aws.config_files import sections
from eicctl.aws.profile_files import remove, stored
from eicctl.core.errors import EicctlError
from eicctl.ui.dialogs import Ask, Question
from eicctl.ui.pane import Pane
from eicctl.ui.table import Column, Row

EVERY = 20.0
"""Seconds between two looks at the files."""

_SOON = 600


class SessionList(Pane):
    """The pane."""

    NOUN = "sessions"
    COLUMNS = (Column("Profile", 9), Column("Kind", 7), Column("Of", 3), Column("Expires", 5), Column("Left", 8))
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "renew", "Renew"),
        Binding("n", "log_in", "MFA login"),
        Binding("x", "log_out", "Log out"),
    ]

    def on_mount(self) -> None:
        super().on_mount()
        self.set_interval(EVERY, self.reload)

    def reload(self) -> None:
        self.table.set_empty("No sessions: press n for one with an MFA code")
        try:
            self.table.set_rows(_rows())
        except EicctlError as error:
            self.app.show_error(error)

    def on_table_selected(self) -> None:
        self.action_renew()

    def action_renew(self) -> None:
        """Open the session again: by a code, or by a confirmation in a browser."""
        if (row := self.table.current) is None:
            return
        if row.cells[1] == "MFA":
            self._mfa(row.cells[2], row.cells[0])
        else:
            self._sso(row.cells[0])

    @work
    async def action_log_in(self) -> None:
        """Open an MFA session for a profile."""
        known = self.app.scope.sessions[0].profile_name
        if profile := await self.app.push_screen_wait(Ask("Profile with long-lived keys:", known)):
            self._mfa(profile, None)

    @work
    async def action_log_out(self) -> None:
        """Remove an MFA session."""
        if (row := self.table.current) is None or row.cells[1] != "MFA":
            return
        text = f"Remove the MFA session in profile {row.cells[0]}? AWS cannot revoke it."
        if await self.app.push_screen_wait(Question(text, "Remove")):
            self.app.work("Removing the session", lambda: remove(row.cells[0]), lambda _: self.reload())

    @work
    async def _mfa(self, base: str, into: str | None) -> None:
        app = self.app
        session = app.session(base)
        codes: queue.SimpleQueue[str] = queue.SimpleQueue()

        def code(device: str) -> str:
            app.call_from_thread(self._ask_code, device, codes.put)
            return codes.get()

        try:
            done = await app.wait_for(
                "Opening the session",
                lambda: mfa.login(session, into=into, serial=None, duration=None, code=code),
            )
        except EicctlError as error:
            app.show_error(error)
        else:
            app.note(f"Session in profile {done.profile}, {_left(done.expires)} left")
        self.reload()

    def _ask_code(self, device: str, then: Callable[[str], None]) -> None:
        self.app.push_screen(Ask(f"MFA code for {device}:", secret=True), lambda code: then(code or ""))

    @work
    async def _sso(self, profile: str) -> None:
        app = self.app
        session = app.session(profile)

        def show(url: str, code: str) -> None:
            app.call_from_thread(app.note, f"Open {url} and compare the code {code}")

        try:
            await app.wait_for("Waiting for the login", lambda: sso.log_in(session, profile, show))
        except EicctlError as error:
            app.show_error(error)
        self.reload()


PANE = SessionList


def _rows() -> Iterator[Row]:
    for one in stored():
        yield _row(one.profile, "MFA", one.base, one.expires)
    for name, options in sections().items():
        if "sso_session" in options or "sso_start_url" in options:
            source = options.get("sso_session") or options["sso_start_url"]
            yield _row(name, "SSO", source, sso.expiry(source))


def _row(profile: str, kind: str, source: str, expires: datetime | None) -> Row:
    seconds = (expires - datetime.now(UTC)).total_seconds() if expires else 0
    style = "red" if seconds <= 0 else "yellow" if seconds < _SOON else "green"
    until = f"{expires.astimezone():%Y-%m-%d %H:%M}" if expires else ""
    return Row(profile, (profile, kind, source, until, _left(expires)), styles={4: style})


def _left(expires: datetime | None) -> str:
    seconds = int((expires - datetime.now(UTC)).total_seconds()) if expires else 0
    return f"{seconds // 3600} h {seconds % 3600 // 60} min" if seconds > 0 else "expired"
