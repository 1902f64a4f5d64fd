"""Doctor: the checks of one target while they run, the path as a drawing, the cause, and the one rule that fixes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from eicctl.core import sanitize
from eicctl.core.errors import EicctlError
from eicctl.core.request import ConnectRequest
from eicctl.doctor.check import Status
from eicctl.doctor.context import Context
from eicctl.doctor.diagnosis import Diagnosis, diagnose, run
from eicctl.doctor.fix import add_rule, added_rules, remove_rule
from eicctl.doctor.path import UNICODE, draw
from eicctl.reachability.remedies import change_command
from eicctl.ui.dialogs import Ask, Question
from eicctl.ui.pane import Pane
from eicctl.ui.table import Column, Row

if TYPE_CHECKING:
    from eicctl.doctor.check import Result

_STYLES = {
    "ok": "$text-success",
    "failed": "bold $text-error",
    "unknown": "$text-warning",
    "faint": "dim",
    "strong": "bold",
}
_ROW_STYLES = {Status.OK: "green", Status.FAILED: "bold red", Status.UNKNOWN: "yellow"}


class Doctor(Pane):
    """The pane."""

    NOUN = "the checks"
    DEFAULT_CSS = """
    Doctor > .cause { height: auto; max-height: 6; padding: 0 1; }
    Doctor > .path { height: auto; max-height: 40%; padding: 0 1; border-top: solid $panel; }
    Doctor > .path { scrollbar-size-vertical: 1; }
    """
    COLUMNS = (Column("", 9), Column("Check", 8), Column("Result", 7, 20), Column("To fix", 1))
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("t", "target", "Target"),
        Binding("f", "fix", "Fix"),
        Binding("u", "undo", "Undo"),
        Binding("c", "copy", "Copy the command", show=False),
    ]

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id)
        self._request = ConnectRequest()
        self._about: Context | None = None
        self._diagnosis: Diagnosis | None = None

    def compose(self) -> ComposeResult:
        yield Static(classes="cause")
        yield from super().compose()
        with VerticalScroll(classes="path", can_focus=False):
            yield Static(classes="drawing")

    def check(self, request: ConnectRequest) -> None:
        """Check a target."""
        self._request = request
        self.reload()

    def reload(self) -> None:
        self._check()

    @work(group="doctor", exclusive=True)
    async def _check(self) -> None:
        app = self.app
        context = Context(app.session(self._request.profile, self._request.region), self._request)
        self._about, self._diagnosis = context, None
        self.table.set_rows(())
        self._say(f"Checking {context.label or 'what needs no target'}…")
        self.query_one(".drawing", Static).update("")

        def checked() -> list[Result]:
            results: list[Result] = []
            for result in run(context.checks, context):
                results.append(result)
                app.call_from_thread(self._show, context, tuple(results))
            return results

        results = await app.wait_for(f"Checking {context.label}".rstrip(), checked)
        self._show(context, results)
        self._conclude(diagnose(context, results))

    def _show(self, context: Context, results: Sequence[Result]) -> None:
        """Show the results so far."""
        if context is not self._about:
            return
        found = diagnose(context, results)
        ended = {result.key: result for result in found.results}
        self.table.set_rows(self._row(check.key, check.title, ended.get(check.key)) for check in context.checks)
        lines = [
            Content.assemble(*((sanitize.line(span.text), _STYLES.get(span.style, "")) for span in spans))
            for spans in draw(found.path, UNICODE)
        ]
        self.query_one(".drawing", Static).update(Content("\n").join(lines))
        self.query_one(".path").scroll_end(animate=False)

    def _row(self, key: str, title: str, result: Result | None) -> Row:
        if result is None:
            return Row(key, ("…", title, "", ""), "dim")
        if result.skipped_because:
            return Row(key, (UNICODE.skipped, title, f"skipped ({result.skipped_because} failed)", ""), "dim")
        outcome = result.outcome
        fix = outcome.remediation if result.status is not Status.OK else ""
        cells = (UNICODE.marks[result.status], title, outcome.message, fix)
        return Row(key, cells, styles={0: _ROW_STYLES[result.status]})

    def _conclude(self, found: Diagnosis) -> None:
        self._diagnosis = found
        if cause := found.cause:
            fix = f"\nTo fix: {cause.remediation}" if cause.remediation else ""
            offer = "\nPress f to add the rule" if cause.change and cause.change.is_group_rule else ""
            self._say(f"{UNICODE.marks[Status.FAILED]} {cause.summary}{fix}{offer}", "$text-error")
            self.table.move_to(cause.key)
        else:
            unknown = sum(result.status is Status.UNKNOWN for result in found.results)
            passed = f"No check failed ({unknown} unknown)" if unknown else "All checks passed"
            self._say(f"{UNICODE.marks[Status.OK]} {passed}", "$text-success")

    def _say(self, text: str, style: str = "") -> None:
        self.query_one(".cause", Static).update(Content.styled(sanitize.message(text), style))

    @work
    async def action_target(self) -> None:
        """Ask for a target."""
        if text := await self.app.push_screen_wait(Ask("Target (empty: checks that need none):", self._request.label)):
            self.check(ConnectRequest(target=text))

    @work
    async def action_fix(self) -> None:
        """Show the rule that fixes the cause, and add it after a yes."""
        context, found, app = self._about, self._diagnosis, self.app
        change = found.cause.change if found and found.cause else None
        if not context or not change or not change.is_group_rule:
            app.note("No single security-group rule fixes this")
            return
        session = context.session
        line = change_command(change, region=session.region, profile=session.profile)
        if not await app.push_screen_wait(Question(f"Proposed fix: {change.summary}\n\n{line}", "Add this rule")):
            return
        account = context.identity.account if context.identity else ""
        try:
            added = await app.wait_for(
                "Adding the rule", lambda: add_rule(session, change, account=account, target=context.names)
            )
        except EicctlError as error:
            app.show_error(error)
            return
        app.note(f"Added {', '.join(added.rule_ids) or 'the rule'}; u removes it")
        self.reload()

    @work
    async def action_undo(self) -> None:
        """Remove the rules that were added for this target, after a yes."""
        app, request = self.app, self._request
        session = app.session(request.profile, request.region)
        account = self._about.identity.account if self._about and self._about.identity else ""
        known = [rule for rule in added_rules(request.label) if rule.account == account]
        if not known:
            app.note("Nothing to undo")
            return
        text = "\n".join(f"{rule.summary} ({rule.region}, added {rule.added_at})" for rule in known)
        if not await app.push_screen_wait(Question(f"Remove?\n\n{text}", "Remove")):
            return
        try:
            await app.wait_for("Removing rules", lambda: [remove_rule(session, rule) for rule in known])
        except EicctlError as error:
            app.show_error(error)
            return
        app.note(f"Removed: {'; '.join(rule.summary for rule in known)}")
        self.reload()

    def action_copy(self) -> None:
        if (row := self.table.current) and row.cells[3]:
            self.app.copy(row.cells[3])


PANE = Doctor
