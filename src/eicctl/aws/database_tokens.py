"""IAM authentication of RDS: tokens in the place of passwords, and files in which database clients find them.

A token is good for 15 minutes, for new connections (RDS user guide, IAM database authentication). It is a password: it
is in no argument, no message and no log.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from eicctl.aws.errors import translated
from eicctl.aws.session import Session
from eicctl.core.errors import EicctlError
from eicctl.support import files
from eicctl.support.redact import register

RENEWED_EVERY = 600.0
"""Seconds after which a token in a file is replaced: well before its 15 minutes are over."""

TRIED_EVERY = 30.0
"""Seconds after which replacing it is tried again."""


def auth_token(session: Session, host: str, port: int, user: str) -> str:
    """Return a token for a database user at a real endpoint of RDS (not at a local port); nothing is sent.

    Raises:
        CredentialsError: There are no credentials.
    """
    with translated("sign a token for the database"):
        token: str = session.client("rds").generate_db_auth_token(
            DBHostname=host, Port=port, DBUsername=user, Region=session.region
        )
    register(token)
    return token


def pgpass(host: str, addresses: list[str], port: int, user: str, token: str) -> str:
    """Return a password file of libpq for the local port, by the database's host name and by the local addresses.

    `host` is what libpq looks up when the connection has `hostaddr` too (libpq, The Password File).
    """
    fields = [(name, str(port), user, token) for name in (host, *addresses)]
    escaped = [[field.replace("\\", "\\\\").replace(":", "\\:") for field in row] for row in fields]
    return "".join(f"{name}:{number}:*:{who}:{word}\n" for name, number, who, word in escaped)


def my_cnf(token: str) -> str:
    """Return an option file of the MySQL client."""
    return f'[client]\npassword="{token}"\nenable-cleartext-plugin\n'


@contextlib.contextmanager
def kept_fresh(path: Path, content: Callable[[], str], failed: Callable[[EicctlError], None]) -> Iterator[None]:
    """Keep a file (0600) with what `content` returns as long as the block lasts.

    Later failures are told to `failed`, in a thread of its own.

    Raises:
        EicctlError: The first content cannot be had, or not written.
    """
    files.write_whole(path, content())
    over = threading.Event()

    def renew() -> None:
        pause = RENEWED_EVERY
        while not over.wait(pause):
            try:
                files.write_whole(path, content())
                pause = RENEWED_EVERY
            except EicctlError as error:
                failed(error)
                pause = TRIED_EVERY

    threading.Thread(target=renew, daemon=True).start()
    try:
        yield
    finally:
        over.set()
        path.unlink(missing_ok=True)
