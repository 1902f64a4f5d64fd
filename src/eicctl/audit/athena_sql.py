"""The SQL of an audit by Athena: one scan of a CloudTrail table, which returns the records that the filters may need.

Athena charges by the bytes that it scans, so the partitions (account, region, day) are chosen first, and no record is
read twice. SQL never decides alone: it returns all records that may match, and `Choice` decides as it does for log
files. Where SQL cannot compare as Python does (letters beyond ASCII, other forms of time), it returns the record.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from eicctl.audit.correlation import AFTER, BEFORE
from eicctl.audit.filters import Choice
from eicctl.audit.records import CHANGES, END, EVENT_NAMES, KEY, LAUNCH, LONGEST_TEXT, TUNNEL
from eicctl.core.errors import UsageError

DELIVERY = timedelta(days=1)
"""How late a log file may be delivered. The day in its path is that of the delivery, not of its events."""

COLUMNS: Mapping[str, str] = {
    "eventid": "eventid",
    "eventname": "eventname",
    "eventtime": "eventtime",
    "awsregion": "awsregion",
    "sourceipaddress": "sourceipaddress",
    "useragent": "useragent",
    "errorcode": "errorcode",
    "errormessage": "errormessage",
    "requestid": "requestid",
    "recipientaccountid": "recipientaccountid",
    "usertype": "useridentity.type",
    "userarn": "useridentity.arn",
    "username": "useridentity.username",
    "invokedby": "useridentity.invokedby",
    "accesskeyid": "useridentity.accesskeyid",
    "issuerarn": "useridentity.sessioncontext.sessionissuer.arn",
    "issuername": "useridentity.sessioncontext.sessionissuer.username",
    "mfa": "useridentity.sessioncontext.attributes.mfaauthenticated",
    "requestparameters": "requestparameters",
    "responseelements": "responseelements",
}
"""What is read of a record: the names of the result's columns, and the columns of the table."""

_MARK = "-- eicctl audit "
_TABLE = re.compile(r"(?:([A-Za-z0-9_-]{1,128})\.)?([A-Za-z0-9_-]{1,128})")
_LIVES = (LAUNCH, END)
_PLAIN_ODD = "[^ -~]"
_JSON_ODD = r"[^ -~]|\\"
_ODD_TIME = "NOT regexp_like(eventtime, '^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$')"


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the AWS Glue Data Catalog."""

    database: str
    name: str

    def __str__(self) -> str:
        return f"{self.database}.{self.name}"


def parse_table(text: str) -> Table:
    """Return the table that `--table` names: `DATABASE.TABLE`, or `TABLE` of the database `default`.

    Raises:
        UsageError: The text is not such a name.
    """
    if not (found := _TABLE.fullmatch(text)):
        raise UsageError(f"Invalid --table {text!r}", hint="use DATABASE.TABLE: letters, digits, _ and -")
    return Table((found[1] or "default").lower(), found[2].lower())


DEFAULT_TABLE = parse_table("eicctl.cloudtrail_logs")


@dataclass(frozen=True, slots=True)
class Layout:
    """The partition keys of a table; empty where it has none.

    Attributes:
        account: The key with the account ID.
        region: The key with the region.
        day: The key with a date, in `day_format` (of strftime); or the keys of year, month and day of the month.
        day_format: How a date is written.
        needs_account: Whether queries must name accounts (an injected projection).
    """

    account: str = ""
    region: str = ""
    day: tuple[str, ...] = ()
    day_format: str = ""
    needs_account: bool = False


LAYOUT = Layout("account", "region", ("day",), "%Y/%m/%d")
"""The partition keys of a table of `--athena-setup`."""


def layout_of(keys: Iterable[str], parameters: Mapping[str, str]) -> Layout:
    """Return the partition keys that have an account, a region or a day.

    Args:
        keys: The names of all partition keys.
        parameters: The table's properties, which have the form of projected dates.
    """
    account = region = form = ""
    day: tuple[str, ...] = ()
    names = {key.lower(): key for key in keys}
    for name, key in names.items():
        kind = parameters.get(f"projection.{key}.type", "").strip().lower()
        if name in ("account", "accountid", "account_id"):
            account = key
        elif name in ("region", "awsregion", "aws_region"):
            region = key
        elif kind == "date" and (found := _strftime(parameters.get(f"projection.{key}.format", ""))):
            day, form = (key,), found
    if not day and {"year", "month", "day"} <= names.keys():
        day, form = (names["year"], names["month"], names["day"]), "%Y%m%d"
    injected = parameters.get(f"projection.{account}.type", "").strip().lower() == "injected"
    return Layout(account, region, day, form, injected)


def _strftime(form: str) -> str:
    """A date format of Java's for strftime; empty where it is not one of whole days that sorts by time."""
    if not re.fullmatch(r"yyyy\W?MM\W?dd", form):
        return ""
    return form.replace("yyyy", "%Y").replace("MM", "%m").replace("dd", "%d")


@dataclass(frozen=True, slots=True)
class Logs:
    """The log files to query: of these accounts and regions; empty means all."""

    accounts: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()


def query(table: Table, layout: Layout, choice: Choice, logs: Logs) -> str:
    """Return the query for the records that the filters may need.

    The result's columns are those of `COLUMNS`; `item`: one instance, as JSON, of a launch or a termination; and
    `certain`. Launches are returned for addresses of tunnels that match in time and caller, whatever the other
    filters; they are `certain` unless this is left to Python.
    """
    steps = {
        "logs": f"SELECT\n{_selected(COLUMNS)}\nFROM {_name(table.database)}.{_name(table.name)}\n"
        f"WHERE {_all([*_partitions(layout, choice, logs), _wanted(choice)])}",
        "callers": f"SELECT *,\n  {_CALLER}\nFROM logs",
        "compared": f"SELECT *,\n{_selected({'isodd': _is_odd()})}\nFROM callers",
        "picked": f"SELECT *\nFROM compared\n{_ITEMS}\nWHERE eventname IN {_listed(_LIVES)} OR {_is_user(choice.user)}",
        "addressed": f"SELECT *,\n{_selected(_ADDRESSED)}\nFROM picked",
        "reached": f"SELECT *,\n{_selected(_reached(choice.target))}\nFROM addressed",
        "related": f"SELECT *,\n{_selected(_related(choice.target))}\nFROM reached",
    }
    names = [name for name in COLUMNS if name not in ("requestparameters", "responseelements")]
    result = dict(zip(names, names, strict=True)) | {
        "requestparameters": f"CASE WHEN eventname NOT IN {_listed(_LIVES)} THEN requestparameters END",
        "responseelements": f"CASE WHEN eventname IN {_listed(CHANGES)} THEN responseelements END",
        "item": "CASE WHEN item IS NOT NULL THEN json_format(item) END",
        "certain": "CASE WHEN iscertain THEN 'yes' END",
    }
    with_steps = ",\n".join(f"{name} AS (\n{_indented(body)}\n)" for name, body in steps.items())
    return (
        f"{_mark(choice, logs)}\nWITH {with_steps}\nSELECT\n{_selected(result)}\nFROM related\nWHERE {_kept(choice)}\n"
    )


def filters_of(sql: str) -> tuple[Choice, Logs] | None:
    """Return the filters of a query that `query` has made; None for another one."""
    line = sql.partition("\n")[0]
    if not line.startswith(_MARK):
        return None
    try:
        found = json.loads(line.removeprefix(_MARK))
        since, until = (datetime.fromisoformat(found[name]) if found[name] else None for name in ("since", "until"))
        user, target, endpoint = (str(found[name]) for name in ("user", "target", "endpoint"))
        return (
            Choice(since, until, user, target, endpoint, bool(found["denied"])),
            Logs(tuple(map(str, found["accounts"])), tuple(map(str, found["regions"]))),
        )
    except (ValueError, TypeError, KeyError):
        return None


def _mark(choice: Choice, logs: Logs) -> str:
    """The filters as a comment, in one line of ASCII: a resumed query has those with which it was started."""
    times = {"since": choice.since, "until": choice.until}
    found = {name: time.isoformat() if time else None for name, time in times.items()} | {
        "user": choice.user,
        "target": choice.target,
        "endpoint": choice.endpoint,
        "denied": choice.denied,
        "accounts": logs.accounts,
        "regions": logs.regions,
    }
    return _MARK + json.dumps(found).replace(";", "\\u003b")  # Athena takes one statement a query


# Which records


def _partitions(layout: Layout, choice: Choice, logs: Logs) -> list[str]:
    """The conditions on partition keys; where a table has none for accounts or regions, those on columns."""
    found = []
    if logs.accounts:
        found.append(f"{_name(layout.account or 'recipientaccountid')} IN {_listed(logs.accounts)}")
    if logs.regions:
        found.append(f"{_name(layout.region or 'awsregion')} IN {_listed(logs.regions)}")
    if layout.day:
        parts = [_name(part) for part in layout.day]
        padded = [f"lpad(CAST({part} AS varchar), 2, '0')" for part in parts[1:]]
        day = f"concat({', '.join([f'CAST({parts[0]} AS varchar)', *padded])})" if padded else parts[0]
        if choice.since:
            found.append(f"{day} >= {_text((choice.since - BEFORE).astimezone(UTC).strftime(layout.day_format))}")
        if choice.until:
            last = (choice.until + AFTER + DELIVERY).astimezone(UTC)
            found.append(f"{day} <= {_text(last.strftime(layout.day_format))}")
    return found


def _wanted(choice: Choice) -> str:
    """The condition on names and times."""
    times = []
    if choice.since:
        earliest = choice.since - BEFORE
        times.append(
            f"eventtime >= {_text(_iso(earliest + timedelta(microseconds=-earliest.microsecond % 1_000_000)))}"
        )
    if choice.until:
        times.append(f"eventtime <= {_text(_iso(choice.until + AFTER))}")
    if not times:
        return f"eventname IN {_listed([*EVENT_NAMES, *_LIVES])}"
    in_time = f"({_all(times, ' ')} OR {_ODD_TIME})"
    return f"(eventname IN {_listed(_LIVES)} OR (eventname IN {_listed(EVENT_NAMES)} AND {in_time}))"


def _iso(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


_LAST = "regexp_extract(userarn, '[^:]*$')"
_ASSUMED = f"(coalesce(usertype, '') = 'AssumedRole' OR split_part({_LAST}, '/', 1) = 'assumed-role')"
_CALLER = f"""coalesce(nullif(userarn, ''), nullif(issuerarn, ''), nullif(invokedby, '')) AS callerarn,
  coalesce(
    nullif(username, ''),
    nullif(issuername, ''),
    CASE
      WHEN strpos({_LAST}, '/') = 0 THEN NULL
      WHEN {_ASSUMED} THEN nullif(split_part({_LAST}, '/', 2), '')
      ELSE nullif(regexp_extract({_LAST}, '[^/]*$'), '')
    END,
    CASE WHEN usertype = 'Root' THEN 'root' END,
    nullif(invokedby, '')
  ) AS callername,
  CASE WHEN {_ASSUMED} THEN nullif(regexp_extract({_LAST}, '^[^/]*/[^/]*/(.*)$', 1), '') END AS callersession"""
"""The caller as `records.Principal` has it."""


_CALLER_TEXTS = ("callerarn", "username", "issuername", "invokedby", "accesskeyid")


def _is_odd() -> str:
    """Whether only Python can tell if the caller or the time matches: `Choice` decides, and SQL leaves nothing out."""
    callers = [f"{_odd(name)} OR length({name}) > {LONGEST_TEXT}" for name in _CALLER_TEXTS]
    return f"coalesce({_any([_ODD_TIME, *callers])}, FALSE)"


def _is_user(pattern: str) -> str:
    """The condition on the caller (`Choice`)."""
    if not pattern:
        return "TRUE"
    names = [
        "callerarn",
        "callername",
        "callersession",
        "concat(callername, '/', callersession)",
        "accesskeyid",
        "CASE WHEN coalesce(callername, callersession, callerarn) IS NULL "
        "THEN coalesce(nullif(usertype, ''), 'unknown') END",
    ]
    return _any([*(_like(name, pattern) for name in names), "isodd"])


_ITEMS = f"""CROSS JOIN UNNEST(coalesce(
  TRY_CAST(json_extract(
    CASE eventname
      WHEN {f"'{LAUNCH}'"} THEN responseelements
      WHEN {f"'{END}'"} THEN requestparameters
    END,
    '$.instancesSet.items'
  ) AS array(json)),
  CAST(ARRAY[NULL] AS array(json))
)) AS launched (item)"""
"""A row for each instance of a launch or a termination, and one for every other record."""

_ADDRESSED = {
    "instance": "coalesce(json_extract_scalar(item, '$.instanceId'), "
    "json_extract_scalar(requestparameters, '$.instanceId'))",
    "address": "coalesce(json_extract_scalar(item, '$.privateIpAddress'), "
    "json_extract_scalar(requestparameters, '$.privateIpAddress'))",
}


def _over(condition: str, key: str) -> str:
    """Whether a condition holds for any record with the same key. Those without one have a group each."""
    return f"bool_or({condition}) OVER (PARTITION BY coalesce({key}, eventid))"


def _reached(target: str) -> dict[str, str]:
    tunnel = f"eventname = '{TUNNEL}'"
    found = {"isreached": _over(tunnel, "address"), "iscertain": _over(f"{tunnel} AND NOT isodd", "address")}
    if target:
        named = _in_json("json_format(json_extract(item, '$.tagSet'))", target)
        launched = f"eventname = '{LAUNCH}'"
        found["istarget"] = _over(f"{launched} AND ({_like('instance', target)} OR {named})", "address")
        found["isnamed"] = _over(f"{launched} AND {named}", "instance")
    return found


def _related(target: str) -> dict[str, str]:
    found = {"islaunched": _over(f"eventname = '{LAUNCH}' AND isreached", "instance")}
    if target:
        key = f"eventname = '{KEY}' AND (isnamed OR {_like('instance', target)} OR {_odd('instance')})"
        found["isaccessed"] = _over(key, "coalesce(callerarn, accesskeyid)")
    return found


def _kept(choice: Choice) -> str:
    """Which of the records are returned.

    A key is always: it may belong to a tunnel. A change is, whatever its outcome: it tells the endpoint's VPC.
    """
    at_endpoint = "TRUE"
    if choice.endpoint:
        at_endpoint = _any(_in_json(name, choice.endpoint) for name in ("requestparameters", "responseelements"))
    tunnel = [f"eventname = '{TUNNEL}'", at_endpoint]
    if choice.denied:
        tunnel.append("errorcode <> ''")
    if choice.target:
        named = [f"{_like(name, choice.target)} OR {_odd(name)}" for name in ("address", "instance")]
        tunnel.append(_any([*named, "istarget", "isaccessed"]))
    return _any(
        [
            f"eventname = '{KEY}'",
            f"eventname IN {_listed(CHANGES)} AND {at_endpoint}",
            _all(tunnel, " "),
            f"eventname = '{TUNNEL}' AND isodd",
            f"eventname = '{LAUNCH}' AND isreached",
            f"eventname = '{END}' AND islaunched",
        ],
        "\n  OR ",
    )


# How SQL is written


def _text(value: str) -> str:
    """A literal. Athena's have no escapes but the doubled quote."""
    return "'" + value.replace("'", "''") + "'"


def _name(value: str) -> str:
    return '"' + value.replace('"', '""') + '"'


def _listed(values: Iterable[str]) -> str:
    return f"({', '.join(map(_text, values))})"


def _all(conditions: Iterable[str], gap: str = "\n  ") -> str:
    return f"{gap}AND ".join(conditions)


def _any(conditions: Iterable[str], separator: str = " OR ") -> str:
    return f"({separator.join(f'({one})' for one in conditions)})"


def _selected(columns: Mapping[str, str]) -> str:
    return ",\n".join(f"  {body}" if body == name else f"  {body} AS {name}" for name, body in columns.items())


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())


def _like(name: str, pattern: str) -> str:
    """Whether a text of ASCII matches a pattern of `Choice`; a set of characters counts as any character."""
    return f"lower({name}) LIKE {_text(_sql_pattern(pattern))} ESCAPE '!'"


def _in_json(name: str, pattern: str) -> str:
    """Whether a text in JSON may match a pattern: the JSON has a text like it, or has escapes."""
    inner = re.sub(r"[\"\\]", "%", _sql_pattern(pattern))
    return f"(lower({name}) LIKE {_text(f'%{inner}%')} ESCAPE '!' OR {_odd(name, _JSON_ODD)})"


def _odd(name: str, form: str = _PLAIN_ODD) -> str:
    """Whether a text has characters that SQL and Python may compare in different ways."""
    return f"regexp_like({name}, {_text(form)})"


def _sql_pattern(pattern: str) -> str:
    """A pattern of Python's fnmatch, in lower case, for LIKE."""
    found = []
    for part in re.findall(r"\[!?+\]?+[^\]]*+\]|.", pattern.lower(), re.DOTALL):
        if part == "*":
            found.append("%")
        elif part == "?" or len(part) > 1 or re.match(_PLAIN_ODD, part):
            found.append("_")  # characters beyond ASCII only match texts that SQL does not leave out
        else:
            found.append(f"!{part}" if part in "!%_" else part)
    return "".join(found)
