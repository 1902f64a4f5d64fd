"""Connection files of Remote Desktop (`.rdp`): one `NAME:TYPE:VALUE` a line, where TYPE is `s` or `i`."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

from eicctl.core.errors import UsageError


@dataclass(frozen=True, slots=True)
class Connection:
    """What a client connects to: the local end of a tunnel, and the user; `label` is the window's title."""

    port: int
    user: str
    label: str
    address: str = "127.0.0.1"

    @property
    def where(self) -> str:
        """Address and port in one word."""
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


def file_text(connection: Connection) -> str:
    """Return the file's text, with CRLF line ends. It holds no password.

    Raises:
        UsageError: The user's name would break the line.
    """
    check_user(connection.user)
    rows = [
        f"full address:s:{connection.where}",
        f"username:s:{connection.user}",
        "prompt for credentials:i:0",
        # The certificate is the machine's own, for another name.
        "authentication level:i:0",
        "enablecredsspsupport:i:1",
        "redirectclipboard:i:1",
        "autoreconnection enabled:i:1",
    ]
    return "".join(f"{row}\r\n" for row in rows)


def check_user(user: str) -> None:
    """Raise `UsageError` if a name of a user cannot be one."""
    if any(unicodedata.category(char) in ("Cc", "Zl", "Zp", "Cs") for char in user):
        raise UsageError("the user's name has a control character")


def title(label: str) -> str:
    """Return a label as a window's title: one line."""
    return "".join(" " if unicodedata.category(char)[0] in "CZ" else char for char in label)
