"""Every error that eicctl reports.

::

    EicctlError                     1
    ├── UsageError                  2    the words of the call are wrong
    │   └── NoRegionError           2    no region is configured
    ├── NotFoundError               3    no such target, endpoint, subnet …
    │   └── AmbiguousError          3    several match
    ├── AccessError                 4
    │   ├── CredentialsError        4    none, expired, or not accepted
    │   │   ├── NoCredentialsError  4    none anywhere
    │   │   └── LoginRequiredError  4    a session that its user can renew
    │   └── DeniedError             4    the policy says no
    ├── UnreachableError            5
    │   ├── NetworkError            5    the path to AWS: DNS, TCP, TLS, proxy
    │   ├── UnavailableError        5    a target or endpoint in a state that serves no connection
    │   ├── TargetUnreachableError  5    the endpoint cannot reach the target
    │   ├── SilentTargetError       5    a client waited for an answer that did not come
    │   └── DurationReachedError    5    the tunnel has lived as long as it may
    ├── RefusedError                6    the service refused
    │   ├── ThrottledError          6    too many requests or connections
    │   └── ConflictError           6    it exists already, or is in use
    └── LocalError                  1    this machine: a busy port, a missing program, a file

The number is the exit code, which is part of the interface.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import ClassVar

INTERRUPTED = 130
"""Exit code after Ctrl-C or SIGTERM (128 + SIGINT)."""


class EicctlError(Exception):
    """Something that the user should know.

    Args:
        message: What happened, in one sentence without a full stop. Never holds a secret.
        hint: What to do next, or None.
        exit_code: The process's exit code; the class's own where None.
        transient: Whether the same call may succeed in a moment.
        request_id: AWS's request ID, where one is known.

    Attributes:
        needs_terminal: Whether it may succeed in a process that has a terminal, and this one has none.
        correction: A word of the call that names nothing, the one that may have been meant, and the profile and the
            region in which that is; empty for those in force. None if nothing like it is known.
    """

    default_exit_code: ClassVar[int] = 1
    needs_terminal = False
    correction: tuple[str, str, str, str] | None = None

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        exit_code: int | None = None,
        transient: bool = False,
        request_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.exit_code = self.default_exit_code if exit_code is None else exit_code
        self.transient = transient
        self.request_id = request_id

    def __str__(self) -> str:
        return self.message


class UsageError(EicctlError):
    """The words of the call are wrong."""

    default_exit_code = 2


class NoRegionError(UsageError):
    """Neither an option, nor the environment, nor a file says which region."""


class NotFoundError(EicctlError):
    """What was named does not exist, or not where we looked."""

    default_exit_code = 3


class AmbiguousError(NotFoundError):
    """Several things match; the message lists them."""


class AccessError(EicctlError):
    """Authentication or authorization failed."""

    default_exit_code = 4


class CredentialsError(AccessError):
    """No credentials, expired ones, or ones that AWS does not accept."""


class NoCredentialsError(CredentialsError):
    """There are no credentials anywhere."""


class LoginRequiredError(CredentialsError):
    """The profile's session has expired, and its user can renew it; the hint is the command of the AWS CLI."""

    SSO = ("aws", "sso", "login")
    LOGIN = ("aws", "login")

    @property
    def command(self) -> tuple[str, ...]:
        """The command of the AWS CLI, without options."""
        return self.LOGIN if (self.hint or "").startswith("aws login") else self.SSO


class DeniedError(AccessError):
    """The credentials are good, but a policy refuses the call."""


class UnreachableError(EicctlError):
    """Bytes cannot get where they should."""

    default_exit_code = 5


class NetworkError(UnreachableError):
    """The network path to AWS: name resolution, TCP, TLS, a proxy."""


class UnavailableError(UnreachableError):
    """A target or an endpoint in a state in which it serves no connection."""


class TargetUnreachableError(UnreachableError):
    """The endpoint accepted us but cannot reach the target; `address` is the target's."""

    address = ""


class SilentTargetError(UnreachableError):
    """A client sent EOF and waited for a response, but the target sent none in time."""


class DurationReachedError(UnreachableError):
    """The tunnel has lived as long as it may; another one can be opened."""


class RefusedError(EicctlError):
    """The service refused the request as it stands."""

    default_exit_code = 6


class ThrottledError(RefusedError):
    """Too many requests, or too many connections, at the moment."""


class ConflictError(RefusedError):
    """It exists already, or something else uses it."""


class LocalError(EicctlError):
    """This machine: a busy port, a missing program, a file that cannot be written."""


def kind_of(error: EicctlError) -> str:
    """Return the name of an error's class, or of its base class here."""
    return next(kind.__name__ for kind in type(error).__mro__ if kind.__module__ == __name__)


def to_json(error: EicctlError) -> dict[str, object]:
    """Return an error as a JSON object, for another process."""
    return {
        "Kind": kind_of(error),
        "Error": error.message,
        "Hint": error.hint,
        "ExitCode": error.exit_code,
        "Transient": error.transient,
        "RequestId": error.request_id,
        "Address": error.address if isinstance(error, TargetUnreachableError) else "",
    }


def from_json(fields: Mapping[str, object]) -> EicctlError:
    """Return the error that `to_json` has described; one of the base class where its kind is not known here."""
    kind = globals().get(str(fields.get("Kind")))
    if not (isinstance(kind, type) and issubclass(kind, EicctlError)):
        kind = EicctlError
    hint, request_id = fields.get("Hint"), fields.get("RequestId")
    error = kind(
        str(fields.get("Error")),
        hint=str(hint) if hint else None,
        exit_code=int(str(fields.get("ExitCode") or 1)),
        transient=bool(fields.get("Transient")),
        request_id=str(request_id) if request_id else None,
    )
    if isinstance(error, TargetUnreachableError):
        error.address = str(fields.get("Address") or "")
    return error
