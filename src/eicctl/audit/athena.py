"""From the result of an Athena query into the store, and into a directory of instances, as from log files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from operator import attrgetter
from typing import Any

from eicctl.audit.correlation import Directory
from eicctl.audit.filters import Choice
from eicctl.audit.log_files import BATCH
from eicctl.audit.records import END, End, Event, Launch, ends_of, event_of, launches_of
from eicctl.audit.store import EventStore
from eicctl.support.bare import parse_json

Result = Mapping[str, str]
"""A row of the result: the columns of `athena_sql.query`; a NULL is an empty text."""


def load(rows: Iterable[Result], store: EventStore, choice: Choice) -> Directory:
    """Add the events of a result to the store; return who had which address.

    Args:
        rows: The result.
        store: Where events go.
        choice: The filters; SQL may return more than they need.
    """
    events: list[Event] = []
    launches: dict[tuple[str, str], Launch] = {}
    ends: dict[str, End] = {}
    addresses, uncertain = set(), set()
    for row in rows:
        record = record_of(row)
        if (event := event_of(record)) and choice.may_need(event):
            events.append(event)
            addresses.add(event.address)
        for launch in launches_of(record):
            launches.setdefault((launch.instance_id, launch.address), launch)
            if not row.get("certain"):
                uncertain.add(launch.address)
        for end in ends_of(record):
            ends.setdefault(end.instance_id, end)
        if len(events) >= BATCH:
            store.add(events)
            events = []
    store.add(events)
    # Not `store.lives`: it knows launches at addresses of events, and SQL has left out tunnels that do not match.
    unreached = uncertain - addresses
    known = (launch for launch in launches.values() if launch.address not in unreached)
    directory = Directory()
    directory.learn([*sorted(known, key=attrgetter("time")), *ends.values()])
    return directory


def record_of(row: Result) -> dict[str, Any]:
    """Return the record of a row, with the fields that the audit reads.

    A column may be missing: an earlier version of eicctl may have started the query.
    """

    def text(name: str) -> str:
        return row.get(name, "")

    asked, answered = _parsed(text("requestparameters")), _parsed(text("responseelements"))
    if text("item"):
        of_item = {"instancesSet": {"items": [_parsed(text("item"))]}}
        asked, answered = (of_item, None) if text("eventname") == END else (None, of_item)
    return {
        "eventID": text("eventid"),
        "eventName": text("eventname"),
        "eventTime": text("eventtime"),
        "awsRegion": text("awsregion"),
        "sourceIPAddress": text("sourceipaddress"),
        "userAgent": text("useragent"),
        "errorCode": text("errorcode"),
        "errorMessage": text("errormessage"),
        "requestID": text("requestid"),
        "recipientAccountId": text("recipientaccountid"),
        "userIdentity": {
            "type": text("usertype"),
            "arn": text("userarn"),
            "userName": text("username"),
            "invokedBy": text("invokedby"),
            "accessKeyId": text("accesskeyid"),
            "sessionContext": {
                "sessionIssuer": {"arn": text("issuerarn"), "userName": text("issuername")},
                "attributes": {"mfaAuthenticated": text("mfa")},
            },
        },
        "requestParameters": asked,
        "responseElements": answered,
    }


def _parsed(text: str) -> Any:
    try:
        return parse_json(text) if text else None
    except ValueError:
        return None
