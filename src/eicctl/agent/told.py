"""Errors on their way through a Unix socket."""

from __future__ import annotations

from eicctl import errors
from eicctl.errors import EicctlError, TargetUnreachableError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from eicctl.agent.wire import Message


def to_message(error: EicctlError) -> Message:
    """Return the fields of a message that tell of an error."""
    kinds = [kind.__name__ for kind in type(error).__mro__ if kind.__module__ == errors.__name__]
    return {
        "Kind": kinds[0],
        "Error": error.message,
        "Hint": error.hint,
        "ExitCode": error.exit_code,
        "RequestId": error.request_id,
        "Address": error.address if isinstance(error, TargetUnreachableError) else "",
    }


def from_message(message: Message) -> EicctlError:
    """Return the error that a message tells of; one of the base class where its kind is not known here."""
    kind = getattr(errors, str(message.get("Kind")), EicctlError)
    if not (isinstance(kind, type) and issubclass(kind, EicctlError)):
        kind = EicctlError
    hint, request_id = message.get("Hint"), message.get("RequestId")
    error = kind(
        str(message.get("Error")),
        hint=str(hint) if hint else None,
        exit_code=int(message.get("ExitCode") or 1),
        request_id=str(request_id) if request_id else None,
    )
    if isinstance(error, TargetUnreachableError):
        error.address = str(message.get("Address") or "")
    return error
