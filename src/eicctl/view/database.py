"""Ready lines for database clients: what to type, or to fill in, to use a local port."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from eicctl.core.model import DIRECT_PORTS

if TYPE_CHECKING:
    from eicctl.aws.databases import Database

POSTGRES, MYSQL, SQLSERVER, ORACLE, MONGO, REDIS = "postgresql", "mysql", "sqlserver", "oracle", "mongodb", "redis"

_BY_ENGINE = (
    ("aurora-postgresql", POSTGRES),
    ("postgres", POSTGRES),
    ("aurora", MYSQL),
    ("mysql", MYSQL),
    ("mariadb", MYSQL),
    ("sqlserver", SQLSERVER),
    ("custom-sqlserver", SQLSERVER),
    ("oracle", ORACLE),
    ("custom-oracle", ORACLE),
    ("docdb", MONGO),
)
_BY_PORT = {5432: POSTGRES, 3306: MYSQL, 1433: SQLSERVER, 1521: ORACLE, 27017: MONGO, 6379: REDIS}


@dataclass(frozen=True, slots=True)
class LocalDatabase:
    """A database behind a local port.

    Attributes:
        engine: RDS's name of the engine, or an empty string.
        host: The database's own host name.
        remote_port: Its own port, which shows the kind if the engine is unknown.
        address: The local address.
        port: The local port.
        user: The database user, or an empty string.
        name: The database, or an empty string.
        password_file: A file that a client reads the password from, or None.
    """

    engine: str
    host: str
    remote_port: int
    address: str
    port: int
    user: str = ""
    name: str = ""
    password_file: Path | None = None

    @property
    def kind(self) -> str:
        """The protocol that it speaks; empty if that is not known."""
        found = (kind for start, kind in _BY_ENGINE if self.engine.startswith(start))
        return next(
            found, "" if self.engine or self.remote_port in DIRECT_PORTS else _BY_PORT.get(self.remote_port, "")
        )

    @property
    def url(self) -> str:
        """The connection URL without a password; with the scheme `tcp` where the protocol is not known."""
        user = f"{quote(self.user, safe='')}@" if self.user else ""
        name = f"/{quote(self.name, safe='')}" if self.name else ""
        return f"{self.kind or 'tcp'}://{user}{self._bracketed}:{self.port}{name}"

    @property
    def _bracketed(self) -> str:
        return f"[{self.address}]" if ":" in self.address else self.address

    @property
    def command(self) -> str:
        """The line for the engine's own client, or an empty string."""
        if self.kind == POSTGRES:
            return self._psql()
        if self.kind == MYSQL:
            return self._mysql()
        words = {
            SQLSERVER: ["sqlcmd", "-S", f"tcp:{self.address},{self.port}", *(["-U", self.user] if self.user else [])],
            ORACLE: ["sqlplus", f"{self.user}@//{self._bracketed}:{self.port}/{self.name}"],
            MONGO: ["mongosh", self.url, "--tls", "--tlsAllowInvalidHostnames", "--retryWrites=false"],
            REDIS: ["redis-cli", "-h", self.address, "-p", str(self.port)],
        }
        return shlex.join(words.get(self.kind, []))

    def lines(self) -> dict[str, str]:
        """How to use it, by label; a text may be empty."""
        return {"command": self.command, "URL": self.url, "GUI tools": self.fields()}

    def fields(self) -> str:
        """What graphical tools ask for."""
        parts = [f"host {self.address}", f"port {self.port}"]
        parts += [f"user {self.user}"] if self.user else []
        parts += [f"database {self.name}"] if self.name else []
        return ", ".join(parts)

    def _psql(self) -> str:
        # With `hostaddr`, `host` is only the name that the certificate is checked for, and that .pgpass is searched by.
        settings = {"host": self.host, "hostaddr": self.address, "port": str(self.port), "user": self.user}
        settings |= {"dbname": self.name} | ({"sslmode": "require"} if self.password_file else {})
        text = " ".join(f"{key}={_conninfo(value)}" for key, value in settings.items() if value)
        before = f"PGPASSFILE={shlex.quote(str(self.password_file))} " if self.password_file else ""
        return before + shlex.join(["psql", text])

    def _mysql(self) -> str:
        words = ["mysql"]
        if self.password_file:
            words += [f"--defaults-extra-file={self.password_file}", "--ssl-mode=REQUIRED"]
        # With the name localhost the client would take its Unix socket.
        words += [f"--host={self.address}", f"--port={self.port}", *([f"--user={self.user}"] if self.user else [])]
        words += [] if self.password_file else ["--password"]
        if self.name:
            words.append(f"--database={self.name}" if self.name.startswith("-") else self.name)
        return shlex.join(words)


def local_database(
    found: Database | None, remote: tuple[str, int], local: tuple[str, int], *, user: str = "", name: str = ""
) -> LocalDatabase:
    """Return a database behind a local port.

    Args:
        found: The database; None if RDS does not know it.
        remote: Its host name and port.
        local: The local address and port.
        user: The database user; empty for none.
        name: The name of the database; empty for the initial one.
    """
    address = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(local[0], local[0])  # noqa: S104 - a comparison
    made = LocalDatabase(found.engine if found else "", *remote, address, local[1], user)
    name = name or (found.name if found else "")
    # libpq would take the user's name; RDS makes the database postgres in any case.
    return replace(made, name=name or ("postgres" if made.kind == POSTGRES else ""))


def _conninfo(value: str) -> str:
    """A value in libpq's form (libpq, Keyword/Value Connection Strings)."""
    if value and not any(char in value for char in " '\\"):
        return value
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


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
