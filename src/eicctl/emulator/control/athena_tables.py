"""Athena's tables over log files in S3: what their DDL says, which files a query reads, and the records in these.

A table is as `CREATE EXTERNAL TABLE` defines it, for CloudTrail's input format: each file is `{"Records": […]}`,
gzipped or not. Partitions come from a projection; other tables have all files below `LOCATION`.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec
from moto.s3.models import s3_backends
from sqlglot import exp

from eicctl.emulator.control.backends import ACCOUNT, LOCK

_UNWRITTEN = re.compile(r"[_.]")
"""How the names of files begin that Hive ignores."""


class QueryFailed(Exception):
    """A query that ends in the state FAILED; its text is the `StateChangeReason`."""


@dataclass(frozen=True, slots=True)
class File:
    """A log file, and the values of its partition keys."""

    bucket: str
    key: str
    size: int
    values: Mapping[str, str]

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"


@dataclass(slots=True)
class CatalogTable:
    """A table of the catalog. `columns` have the types of the DDL; all names are in lower case."""

    database: str
    name: str
    columns: dict[str, exp.DataType]
    keys: dict[str, exp.DataType]
    location: str
    properties: dict[str, str]

    def files(self) -> Iterator[File]:
        """Yield the files in all partitions that the projection has."""
        template = self.properties.get("storage.location.template") or self.location.rstrip("/")
        bucket, _, pattern = template.removeprefix("s3://").partition("/")
        folder, known = _folder(pattern, self._projection), pattern.partition("${")[0]
        for key, size in objects(bucket, known):
            if not _UNWRITTEN.match(key.rpartition("/")[2]) and (found := folder.match(key)):
                values = found.groupdict()
                if all(self._projects(name, value) for name, value in values.items()):
                    yield File(bucket, key, size, values)

    def _projection(self, name: str, setting: str) -> str:
        return self.properties.get(f"projection.{name}.{setting}", "").strip()

    def _projects(self, name: str, value: str) -> bool:
        """Whether the projection of a partition key has a value."""
        kind = self._projection(name, "type").lower()
        if kind == "enum":
            return value in self._projection(name, "values").split(",")
        if kind == "date":
            first, _, last = self._projection(name, "range").partition(",")
            now = datetime.now(UTC).strftime(_strftime(self._projection(name, "format")))
            return first <= value <= (now if last == "NOW" else last)
        return True


def _strftime(form: str) -> str:
    return form.replace("yyyy", "%Y").replace("MM", "%m").replace("dd", "%d")


def _folder(pattern: str, projection: Callable[[str, str], str]) -> re.Pattern[str]:
    """The form of keys in the folders of a location template, with a group for each partition key."""

    def group(found: re.Match[str]) -> str:
        form = projection(found[1], "format") if projection(found[1], "type").lower() == "date" else ""
        return f"(?P<{found[1]}>{re.sub('[a-zA-Z]', '[0-9]', form) if form else '[^/]+'})"

    parts = re.split(r"(\$\{\w+\})", pattern.rstrip("/"))
    whole = "".join(re.sub(r"\$\{(\w+)\}", group, part) if part[:2] == "${" else re.escape(part) for part in parts)
    return re.compile(f"{whole}/" if whole else "")


@dataclass(slots=True)
class Catalog:
    """The AWS Glue Data Catalog of a region, as far as Athena's DDL changes it."""

    databases: set[str] = field(default_factory=lambda: {"default"})
    tables: dict[tuple[str, str], CatalogTable] = field(default_factory=dict)

    def table(self, database: str, name: str) -> CatalogTable:
        """Return a table.

        Raises:
            QueryFailed: It does not exist.
        """
        found = self.tables.get((database.lower(), name.lower()))
        if not found:
            raise QueryFailed(
                f"TABLE_NOT_FOUND: line 1:1: Table 'awsdatacatalog.{database.lower()}.{name.lower()}' does not exist"
            )
        return found

    def change(self, statement: exp.Expr) -> None:
        """Execute DDL.

        Raises:
            QueryFailed: It cannot be executed.
        """
        kind = str(statement.args.get("kind", "")).upper()
        if isinstance(statement, exp.Create) and kind in ("DATABASE", "SCHEMA"):
            self._create_database(statement)
        elif isinstance(statement, exp.Create) and kind == "TABLE":
            self._create_table(statement)
        elif isinstance(statement, exp.Alter) and isinstance(statement.args["actions"][0], exp.AlterSet):
            self._named(statement).properties.update(_properties(statement))
        elif isinstance(statement, exp.Drop) and kind == "TABLE":
            table = statement.this
            known = self.tables.pop((table.db.lower() or "default", table.name.lower()), None)
            if not known and not statement.args.get("exists"):
                raise QueryFailed(f"FAILED: SemanticException [Error 10001]: Table not found {table.name}")
        else:
            raise QueryFailed("NOT_SUPPORTED: the local AWS does not support this statement")

    def _create_database(self, statement: exp.Create) -> None:
        name = statement.this.name.lower()
        if name in self.databases and not statement.args.get("exists"):
            raise QueryFailed(f"FAILED: Execution Error: AlreadyExistsException: Database {name} already exists")
        self.databases.add(name)

    def _create_table(self, statement: exp.Create) -> None:
        schema = statement.this
        if not isinstance(schema, exp.Schema):
            raise QueryFailed("NOT_SUPPORTED: the local AWS creates external tables only")
        database, name = schema.this.db.lower() or "default", schema.this.name.lower()
        if database not in self.databases:
            raise QueryFailed(f"FAILED: SemanticException [Error 10072]: Database does not exist: {database}")
        if (database, name) in self.tables:
            if not statement.args.get("exists"):
                raise QueryFailed(f"FAILED: Execution Error: AlreadyExistsException: Table {name} already exists")
            return
        parts = statement.find(exp.PartitionedByProperty)
        location = statement.find(exp.LocationProperty)
        self.tables[database, name] = CatalogTable(
            database,
            name,
            _types(schema),
            _types(parts.this) if parts else {},
            location.this.name if location else "",
            _properties(statement),
        )

    def _named(self, statement: exp.Alter) -> CatalogTable:
        return self.table(statement.this.db or "default", statement.this.name)


def _types(schema: exp.Expr) -> dict[str, exp.DataType]:
    return {column.name.lower(): column.args["kind"] for column in schema.expressions}


def _properties(statement: exp.Expr) -> dict[str, str]:
    found = (each for each in statement.find_all(exp.Property) if type(each) is exp.Property)
    return {each.this.name: each.args["value"].name for each in found}


# Objects in the emulator's S3


def objects(bucket: str, prefix: str) -> list[tuple[str, int]]:
    """Return the keys and sizes of the objects below a prefix; none if the bucket does not exist."""
    with LOCK:
        found = s3_backends[ACCOUNT]["aws"].buckets.get(bucket)
        rows = [(key, int(one.size)) for key, one in found.keys.items()] if found else []
    return sorted((key, size) for key, size in rows if key.startswith(prefix))


def content(bucket: str, key: str) -> bytes:
    """Return the bytes of an object."""
    with LOCK:
        return bytes(s3_backends[ACCOUNT]["aws"].buckets[bucket].keys[key].value)


def write(bucket: str, key: str, body: bytes) -> None:
    """Write an object."""
    with LOCK:
        s3_backends[ACCOUNT]["aws"].put_object(bucket, key, body)


def has_bucket(bucket: str) -> bool:
    """Whether a bucket exists."""
    with LOCK:
        return bucket in s3_backends[ACCOUNT]["aws"].buckets


# Records


def records(file: File) -> list[Any]:
    """Return the records of a log file.

    Raises:
        QueryFailed: It is truncated or malformed: Athena fails then, and reads nothing.
    """
    data = content(file.bucket, file.key)
    try:
        text = gzip.decompress(data) if data[:2] == b"\x1f\x8b" or file.key.endswith(".gz") else data
        found = _decoded(text)
        rows = found.get("Records", []) if isinstance(found, dict) else None
        if not isinstance(rows, list):
            raise ValueError("no Records")
    except (ValueError, RecursionError, EOFError, OSError, zlib.error) as error:
        raise QueryFailed(f"HIVE_CURSOR_ERROR: Failed to read file at {file}") from error
    return rows


def _decoded(text: bytes) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return json.loads(text)  # which takes halves of surrogate pairs, as Java does


def converter(kind: exp.DataType) -> Callable[[Any], Any]:
    """Return what turns a JSON value into a column's, as the JSON SerDe does: names of fields in any case."""
    if kind.is_type("struct"):
        fields = {column.name.lower(): converter(column.args["kind"]) for column in kind.expressions}

        def struct(value: Any) -> Any:
            if not isinstance(value, dict):
                return None
            given = {name.lower(): each for name, each in value.items()}
            return {name: convert(given.get(name)) for name, convert in fields.items()}

        return struct
    if kind.is_type("array"):
        inner = converter(kind.expressions[0])
        return lambda value: [inner(each) for each in value] if isinstance(value, list) else None
    return _text


def _text(value: Any) -> str | None:
    """A value of a text column. CloudTrail's input format writes objects as JSON."""
    if value is None or isinstance(value, str):
        text = value
    else:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return None if text is None else text.encode("utf-8", "replace").decode()
