"""The report: one page of HTML with everything in it. Pure; no I/O.

Nothing is loaded from elsewhere and no script runs; the page's own Content-Security-Policy holds that, whatever the
names in it say.

The report's style sheet: light and dark as the reader has it, and plain on paper.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from eicctl.audit.charts import heat, timeline
from eicctl.audit.findings import Finding, findings
from eicctl.audit.markup import Child, Markup, element, joined
from eicctl.audit.records import TUNNEL
from eicctl.audit.rows import Row
from eicctl.audit.summary import Entry, Summary

CSS = """
:root{color-scheme:light dark;--bg:#f6f7f9;--card:#fff;--line:#dfe3e8;--text:#1b2530;--soft:#5d6b7a;--accent:#2563eb;
--ok:#2f6fed;--other:#8fb4f5;--refused:#d6453d;--high:#b42318;--high-bg:#fdecea;--medium:#8a5a00;--medium-bg:#fff4dc;
--low:#475569;--low-bg:#eef1f5;--good:#1a7f4b;--s0:#edf0f4;--s1:#cfe0fb;--s2:#9cc1f7;--s3:#5f9af0;--s4:#2f6fed;--s5:#1746a8}
@media (prefers-color-scheme:dark){:root{--bg:#0f151c;--card:#18202a;--line:#2b3642;--text:#e4e9ef;--soft:#98a6b5;
--accent:#7aa7ff;--ok:#5b93ff;--other:#33558f;--refused:#ef6a62;--high:#ff9b94;--high-bg:#43201e;--medium:#f5c76a;
--medium-bg:#3b2f16;--low:#b2bfcd;--low-bg:#26303b;--good:#5fd39a;--s0:#212b36;--s1:#21365c;--s2:#28498a;--s3:#3464bd;
--s4:#5b93ff;--s5:#a9c7ff}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--text);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:1080px;margin:0 auto;padding:32px 20px 48px}
h1{font-size:26px;line-height:1.2;margin:0 0 6px;letter-spacing:-.01em}
h2{font-size:17px;margin:0 0 12px}
p{margin:0 0 8px}
.sub,.note,footer{color:var(--soft)}
.sub{margin-bottom:22px}
.sub b{color:var(--text);font-weight:600}
section{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:18px 20px;margin:0 0 18px}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(124px,1fr));gap:12px;margin:0 0 18px}
.card{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:12px 14px}
.card .n{font-size:26px;font-weight:650;line-height:1.15;font-variant-numeric:tabular-nums}
.card .l{color:var(--soft);font-size:13px}
.card.bad .n{color:var(--refused)}
svg{display:block;width:100%;height:auto}
.axis{font-size:11px;fill:var(--soft);font-family:inherit}
.end{text-anchor:end}.middle{text-anchor:middle}
.grid{stroke:var(--line);stroke-width:1}.tick{stroke:var(--soft);stroke-width:1}
.ok{fill:var(--ok)}.other{fill:var(--other)}.refused{fill:var(--refused)}
.shade0{fill:var(--s0)}.shade1{fill:var(--s1)}.shade2{fill:var(--s2)}.shade3{fill:var(--s3)}.shade4{fill:var(--s4)}
.shade5{fill:var(--s5)}
.off.shade0{opacity:.5}
.legend{display:flex;flex-wrap:wrap;gap:18px;color:var(--soft);font-size:13px;margin:8px 0 0}
.legend svg{width:11px;height:11px;display:inline-block;margin-right:6px}
.finding{border-top:1px solid var(--line);padding:14px 0 12px;break-inside:avoid}
.finding:first-of-type{border-top:0;padding-top:2px}
.finding h3{font-size:15px;margin:0 0 2px}
.tag{display:inline-block;font-size:11px;font-weight:650;text-transform:uppercase;letter-spacing:.05em;border-radius:5px;
padding:2px 7px;margin-right:9px;vertical-align:1px}
.tag.high{color:var(--high);background:var(--high-bg)}.tag.medium{color:var(--medium);background:var(--medium-bg)}
.tag.low{color:var(--low);background:var(--low-bg)}
.finding p{color:var(--soft);margin:0 0 6px}
.items{display:grid;grid-template-columns:minmax(120px,max-content) 1fr;gap:2px 18px;margin:0;font-size:14px}
.items dt{font-weight:550;overflow-wrap:anywhere}
.items dd{margin:0;color:var(--soft);overflow-wrap:anywhere}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:13.5px}
th{text-align:left;color:var(--soft);font-weight:600;border-bottom:1px solid var(--line);padding:0 14px 6px 0;
white-space:nowrap}
td{border-bottom:1px solid var(--line);padding:7px 14px 7px 0;vertical-align:top}
tr:last-child td{border-bottom:0}
th:last-child,td:last-child{padding-right:0}
.num{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.when{white-space:nowrap;font-variant-numeric:tabular-nums}
.small{display:block;color:var(--soft);font-size:12px;overflow-wrap:anywhere}
span.bad{color:var(--refused);font-weight:600}
.good{color:var(--good)}
.empty{color:var(--soft)}
footer{font-size:13px;margin-top:24px}
@media print{:root{--bg:#fff;--card:#fff;--line:#ccc;--text:#000;--soft:#444}body{font-size:11px}
h1{font-size:20px}h2{font-size:14px}.card .n{font-size:19px}.items,.finding h3{font-size:11px}.card .l{font-size:11px}
main{max-width:none;padding:0}tr{break-inside:avoid}
section,.card{break-inside:avoid-page;border-radius:0;padding:10px 12px}section.long{break-inside:auto}
thead{display:table-header-group}rect,.tag{print-color-adjust:exact;-webkit-print-color-adjust:exact}table{font-size:10px}
.scroll{overflow:visible}}
""".strip()


MOST_LINES = 100
"""Principals and targets that the page lists."""


@dataclass(frozen=True, slots=True)
class Heading:
    """What the page says of itself: where events are from, which were asked for, and what is missing."""

    source: str
    filters: str
    made: datetime
    gaps: Sequence[str] = ()


def page(summary: Summary, heading: Heading) -> str:
    """Return the whole page."""
    found = findings(summary)
    body = element(
        "main",
        _head(summary, heading),
        _cards(summary),
        _section("Over time", timeline(summary), _legend()),
        _section("What stands out", _findings(found), long=True),
        _section("By hour of the week", heat(summary), _hours_note(summary)),
        _section("Principals", _principals(summary), long=True),
        _section("Targets", _targets(summary), long=True),
        _section("Endpoint changes", _rows(summary, summary.changes), long=True) if summary.changes else None,
        _section(f"Refused calls, the latest {len(summary.refusals)}", _rows(summary, summary.refusals), long=True)
        if summary.refusals
        else None,
        _section(f"All calls, the latest {len(summary.latest)}", _rows(summary, summary.latest), long=True),
        _foot(summary, heading),
    )
    digest = base64.b64encode(hashlib.sha256(CSS.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="referrer", content="no-referrer"),
        element("title", "EC2 Instance Connect Endpoint: access report"),
        element("style", Markup(CSS)),
    )
    return f"<!DOCTYPE html>\n{element('html', head, element('body', body), lang='en')}\n"


def _section(title: str, *children: Child, long: bool = False) -> Markup:
    return element("section", element("h2", title), *children, class_="long" if long else None)


def _head(summary: Summary, heading: Heading) -> Markup:
    period = f"{summary.local(summary.begins):%Y-%m-%d %H:%M} to {summary.local(summary.ends):%Y-%m-%d %H:%M}"
    return joined(
        [
            element("h1", "Access through EC2 Instance Connect Endpoints"),
            element(
                "p",
                element("b", period),
                f" ({summary.local(summary.ends):%Z}) · {heading.source}",
                f" · {heading.filters}" if heading.filters else None,
                class_="sub",
            ),
            [element("p", element("span", "incomplete", class_="tag high"), gap) for gap in heading.gaps],
        ]
    )


def _cards(summary: Summary) -> Markup:
    total = summary.total
    cards: list[tuple[str, str, bool]] = [
        (f"{total.tunnels:,}", "tunnels asked for", False),
        (f"{total.denied:,}", "calls denied", bool(total.denied)),
        (f"{len(summary.principals):,}", "principals", False),
        (f"{len(summary.targets):,}", "targets", False),
        (str(total.sources), "source addresses", False),
        (f"{total.no_mfa:,}", "calls without MFA", bool(total.no_mfa)),
        (f"{total.changes:,}", "endpoint changes", False),
    ]
    return element(
        "div",
        [
            element(
                "div",
                element("div", number, class_="n"),
                element("div", label, class_="l"),
                class_="card bad" if bad else "card",
            )
            for number, label, bad in cards
        ],
        class_="cards",
    )


def _legend() -> Markup:
    entries = (("ok", "tunnels"), ("other", "keys, endpoint changes and dry runs"), ("refused", "refused"))
    return element("div", [element("span", _swatch(name), label) for name, label in entries], class_="legend")


def _swatch(name: str) -> Markup:
    return element("svg", element("rect", width=11, height=11, rx=2, class_=name), viewBox="0 0 11 11")


def _hours_note(summary: Summary) -> Markup:
    hours = summary.hours
    return element(
        "p", f"Local time. Office hours: {hours.begins}:00 to {hours.ends}:00, Monday to Friday.", class_="note"
    )


def _findings(found: Sequence[Finding]) -> Markup:
    if not found:
        return element("p", "Nothing.", class_="empty")
    return joined(
        element(
            "div",
            element("h3", element("span", finding.severity, class_=f"tag {finding.severity}"), finding.title),
            element("p", finding.text),
            element(
                "dl", [(element("dt", what), element("dd", detail)) for what, detail in finding.items], class_="items"
            )
            if finding.items
            else None,
            class_="finding",
        )
        for finding in found
    )


def _principals(summary: Summary) -> Markup:
    heads = ("Principal", "#Tunnels", "#Keys", "#Refused", "#Off hours", "MFA", "From", "#Targets", "Last")
    entries = sorted(summary.principals.values(), key=lambda entry: (-entry.events, entry.label))
    lines = [
        (
            joined([entry.label, element("span", entry.detail, class_="small")]),
            f"{entry.tunnels:,}",
            f"{entry.keys:,}",
            _bad(entry.refused),
            f"{entry.off_hours:,}",
            element("span", _mfa(entry), class_="when"),
            _some(entry.sources.found, entry.sources.more),
            str(entry.peers),
            _when(summary, entry.last),
        )
        for entry in entries[:MOST_LINES]
    ]
    return _table(heads, lines, len(entries))


def _targets(summary: Summary) -> Markup:
    heads = ("Target", "#Tunnels", "#Refused", "#Off hours", "Ports", "Principals", "First", "Last")
    entries = sorted(summary.targets.values(), key=lambda entry: (-entry.events, entry.label))
    lines = [
        (
            joined([entry.label, element("span", entry.detail, class_="small")]),
            f"{entry.tunnels:,}",
            _bad(entry.refused),
            f"{entry.off_hours:,}",
            ", ".join(port for port, _ in entry.ports.most_common(4)),
            _some(entry.peers.found, entry.peers.more),
            _when(summary, entry.first),
            _when(summary, entry.last),
        )
        for entry in entries[:MOST_LINES]
    ]
    return _table(heads, lines, len(entries))


def _rows(summary: Summary, rows: Iterable[Row]) -> Markup:
    heads = ("When", "What", "Who", "MFA", "From", "Target", "Port", "Outcome")
    lines = [
        (
            _when(summary, row.event.time),
            "tunnel" if row.event.name == TUNNEL else row.event.name,
            joined([row.event.principal.label, _small(row.os_user and f"as {row.os_user}")]),
            {True: "yes", False: "no", None: "?"}[row.event.principal.mfa],
            joined([row.event.source_ip, _small(row.event.user_agent[:60])]),
            joined([row.target or row.event.endpoint_id, _small(_target_detail(row))]),
            str(row.event.port or ""),
            _outcome(row),
        )
        for row in reversed(list(rows))
    ]
    return _table(heads, lines, len(lines))


def _target_detail(row: Row) -> str:
    return " ".join(part for part in (row.instance_id, row.event.address) if part and part != row.target)


def _outcome(row: Row) -> Markup:
    if not row.event.refused:
        return element("span", row.event.outcome, class_="good")
    return joined([element("span", row.event.error_code, class_="bad"), _small(row.event.error_message[:300])])


def _small(text: str) -> Markup | None:
    return element("span", text, class_="small") if text else None


def _bad(count: int) -> Child:
    return element("span", f"{count:,}", class_="bad") if count else "0"


def _mfa(entry: Entry) -> str:
    unknown = entry.events - entry.mfa - entry.no_mfa
    parts = [f"{count:,} {word}" for count, word in ((entry.mfa, "yes"), (entry.no_mfa, "no"), (unknown, "?")) if count]
    return ", ".join(parts)


def _some(names: Iterable[str], more: bool) -> str:
    found = list(names)
    shown = ", ".join(found[:4])
    return f"{shown} and {len(found) - 4}{'+' if more else ''} more" if len(found) > 4 else shown


def _when(summary: Summary, time: datetime | None) -> Markup | None:
    return element("span", f"{summary.local(time):%Y-%m-%d %H:%M}", class_="when") if time else None


def _table(heads: Sequence[str], lines: Sequence[Sequence[Child]], total: int) -> Markup:
    """A table. A heading that begins with `#` is that of numbers."""
    if not lines:
        return element("p", "None.", class_="empty")
    kinds = ["num" if head.startswith("#") else None for head in heads]
    head = element("tr", [element("th", h.lstrip("#"), class_=kind) for h, kind in zip(heads, kinds, strict=True)])
    body = [
        element("tr", [element("td", cell, class_=kind) for cell, kind in zip(line, kinds, strict=True)])
        for line in lines
    ]
    more = element("p", f"{total - len(lines):,} more are not listed.", class_="note") if total > len(lines) else None
    return joined(
        [element("div", element("table", element("thead", head), element("tbody", body)), class_="scroll"), more]
    )


def _foot(summary: Summary, heading: Heading) -> Markup:
    return element(
        "footer",
        element(
            "p",
            "From CloudTrail. It has no event for the end of a tunnel, so how long one lasted is not known, and no "
            "instance ID in a tunnel's record: targets are found by address, launch and pushed key, and are not named "
            "where that is not certain. MFA “?” means that the record does not say.",
        ),
        element("p", f"Made by eicctl audit, {summary.local(heading.made):%Y-%m-%d %H:%M %Z}."),
    )
