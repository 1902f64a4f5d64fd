"""The protocol of a check, how one ends, and the registry.

A check is a `Check` in a file of `doctor/checks/`. The list, the drawing of the path, the search for the cause, the
JSON output and the reference come from its attributes.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING

from eicctl.core.errors import DeniedError, EicctlError
from eicctl.reachability.remedies import Change

if TYPE_CHECKING:
    from eicctl.doctor.context import Context


class Status(StrEnum):
    """How a check ended. `UNKNOWN` is for what could not be checked, and for what an earlier failure made pointless."""

    OK = "ok"
    FAILED = "failed"
    UNKNOWN = "unknown"


class Segment(IntEnum):
    """A part of the path of a connection, for the drawing."""

    LOCAL = 0
    """Before anything is sent to the endpoint."""
    TO_ENDPOINT = 1
    TO_TARGET = 2
    AT_TARGET = 3
    LOGIN = 4


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of running a check.

    Attributes:
        status: How it ended.
        message: What was observed, in some words for a person.
        remediation: The one command that fixes it, or advice; empty if nothing needs a fix.
        cause: The sentence that names this as the cause, without a full stop; empty if the message says it.
        exit_code: That of eicctl's error of this kind (errors.py); 0 for that of an unreachable target if it failed.
        change: The smallest change that fixes it, if there is one.
        details: More for programs, with AWS's names.
        resources: What decides it (security groups, subnets), for the drawing.
        belongs_to: The key of the check whose failure this is, where that is another one: a tunnel that AWS refuses
            because of a policy is a failure of the permission.
    """

    status: Status
    message: str
    remediation: str = ""
    cause: str = ""
    exit_code: int = 0
    change: Change | None = None
    details: Mapping[str, object] = field(default_factory=dict)
    resources: tuple[str, ...] = ()
    belongs_to: str = ""


def with_target(context: Context) -> bool:
    """Whether a target is given."""
    return context.has_target


def without_target(context: Context) -> bool:
    """Whether no target is given."""
    return not context.has_target


def always(_: Context) -> bool:
    """Whether a target is given or not."""
    return True


def for_ssh_login(context: Context) -> bool:
    """Whether the target is one that an SSH login with a pushed key is for."""
    return context.has_target and context.is_ssh


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that doctor checks.

    Attributes:
        key: Its name for programs.
        title: Its name for people.
        order: Its position in the list. The first check that failed is the likely cause.
        run: Checks. It may use what the checks that it needs have put into the context. An `EicctlError` that comes out
            of it is the check's failure.
        needs: The keys of checks that must not have failed for this one to make sense, as far as they apply.
        applies: Whether there is such a check for a context. It is asked again as more of the target is known.
        segment: Where a connection passes it; None if the drawing does not have it.
        step: Its name in the drawing; `{port}` stands for the target's port.
        predicts_tunnel: Whether it predicts that the tunnel opens. A tunnel that opens overrules it.
        inspects: What it looks at, for the reference.
        permissions: The IAM actions that it needs, for the reference.
    """

    key: str
    title: str
    order: int
    run: Callable[[Context], Outcome]
    needs: tuple[str, ...] = ()
    applies: Callable[[Context], bool] = with_target
    segment: Segment | None = None
    step: str = ""
    predicts_tunnel: bool = False
    inspects: str = ""
    permissions: tuple[str, ...] = ()

    @property
    def is_network_rule(self) -> bool:
        """Whether it evaluates AWS's rules between endpoint and target."""
        return self.predicts_tunnel and self.segment is Segment.TO_TARGET


@dataclass(frozen=True, slots=True)
class Result:
    """A check that was run, or skipped.

    `skipped_because` is the key of the check without which it makes no sense; its status is then `UNKNOWN`. `seconds`
    is how long it took.
    """

    check: Check
    outcome: Outcome
    skipped_because: str = ""
    seconds: float = 0.0

    @property
    def key(self) -> str:
        """The check's key."""
        return self.check.key

    @property
    def status(self) -> Status:
        """How it ended."""
        return self.outcome.status


def registry() -> tuple[Check, ...]:
    """Return all checks in order: the public `Check` values of the modules in `eicctl.doctor.checks`."""
    from eicctl.doctor import checks

    names = [f"{checks.__name__}.{module.name}" for module in pkgutil.iter_modules(checks.__path__)]
    found = (value for name in names for key, value in vars(importlib.import_module(name)).items() if key[0] != "_")
    return tuple(sorted((each for each in found if isinstance(each, Check)), key=lambda check: check.order))


def failed_outcome(error: EicctlError) -> Outcome:
    """Return the outcome of a check that an error ends."""
    details = {"RequestId": error.request_id} if error.request_id else {}
    return Outcome(Status.FAILED, error.message, error.hint or "", exit_code=error.exit_code, details=details)


def unknown_outcome(error: EicctlError) -> Outcome:
    """Return the outcome of a check that could not be made, which says nothing of whether it works."""
    why = "no permission to check" if isinstance(error, DeniedError) else "could not be checked"
    return Outcome(Status.UNKNOWN, f"{why}: {error.message}", error.hint or "")


def few(names: Sequence[str], what: str) -> str:
    """Return up to three names, or else how many of `what` there are: `Routes, Ingress` or `12 checks`."""
    return ", ".join(names) if len(names) <= 3 else f"{len(names)} {what}"


def duration(seconds: float) -> str:
    """Return a duration for a person: `4 ms`, `2.1 s`, `41 s`, `12 min`, `5 h`, `3 days`."""
    if seconds < 1:
        return f"{1000 * seconds:.0f} ms"
    if seconds < 10:
        return f"{seconds:.1f} s"
    for limit, unit, name in ((120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds / 86_400:.0f} days"
