"""The map of `eicctl coverage`: one HTML page without scripts, that loads nothing, for light and dark screens."""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from html import escape
from importlib import resources
from itertools import groupby
from typing import TYPE_CHECKING

from eicctl.core import sanitize
from eicctl.reachability.coverage import summary

if TYPE_CHECKING:
    from eicctl.core.model import Endpoint
    from eicctl.reachability.connection import Verdict
    from eicctl.reachability.coverage import Reach
    from eicctl.reachability.coverage_scan import Coverage, Covered

_MARKS: dict[Verdict, str] = {"ok": "✓", "failed": "✕", "unknown": "?"}
_WORDS: dict[Verdict, str] = {"ok": "reachable", "failed": "unreachable", "unknown": "unknown"}
_CLASSES: dict[Verdict, str] = {"ok": "ok", "failed": "no", "unknown": "dim"}
_LONG = 50
_NOWHERE = "(no subnet)"


def page_of(coverage: Coverage, now: datetime) -> str:
    """Return the page.

    Args:
        coverage: What to show.
        now: When it was looked at.
    """
    style = resources.files("eicctl.cli").joinpath("coverage_page.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    head = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'sha256-{digest}'\">"
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="referrer" content="no-referrer">'
        f"<title>Coverage: {_t(_count(coverage))}</title><style>{style}</style></head>\n<body>\n"
    )
    return head + "\n".join(_body(coverage, now)) + "\n</body></html>\n"


def _body(coverage: Coverage, now: datetime) -> Iterator[str]:
    yield "<header><h1>Coverage</h1>"
    yield f'<p class="sub">Which running instances EC2 Instance Connect Endpoint reaches · {now:%Y-%m-%d %H:%M} UTC</p>'
    yield from _figures(coverage.reaches)
    yield "</header><main>"
    if coverage.notices:
        yield '<section class="notices"><h2>Could not be read</h2><ul>'
        yield from (f"<li>{_t(notice)}</li>" for notice in coverage.notices)
        yield "</ul></section>"
    for account, of_account in groupby(coverage.covered, key=lambda covered: covered.place.account_id):
        yield from _account(account, list(of_account))
    if not coverage.reaches:
        yield '<p class="empty">No instance is running in what was looked at.</p>'
    yield "</main><footer>"
    yield '<p class="legend">' + " ".join(
        f'<span class="tile {_CLASSES[verdict]}"><b>{_MARKS[verdict]}</b> {word}</span>'
        for verdict, word in _WORDS.items()
    )
    yield "</p><p>Thought through from endpoints, security groups, network ACLs and routes; nothing was connected. "
    yield "Made by <code>eicctl coverage</code>.</p></footer>"


def _figures(reaches: Sequence[Reach]) -> Iterator[str]:
    count = Counter(reach.verdict for reach in reaches)
    yield '<div class="figures">'
    for verdict, word in _WORDS.items():
        kind = _CLASSES[verdict] if count[verdict] else "none-of-it"
        yield (
            f'<div class="figure {kind}"><span class="number"><b>{_MARKS[verdict]}</b> {count[verdict]}</span>'
            f"<span>{word}</span></div>"
        )
    causes = Counter(reach.cause for reach in reaches if reach.verdict != "ok").most_common()
    if causes:
        yield '<table class="causes"><caption>Top causes</caption>'
        most = causes[0][1]
        for cause, number in causes:
            yield (
                f'<tr><th scope="row">{_t(cause)}</th><td class="n">{number}</td>'
                '<td><svg class="bar" viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true">'
                f'<rect width="100" height="6"/><rect width="{100 * number / most:.0f}" height="6"/></svg></td></tr>'
            )
        yield "</table>"
    yield "</div>"


def _account(account: str, covered: Sequence[Covered]) -> Iterator[str]:
    profiles = ", ".join(sorted({each.place.profile for each in covered if each.place.profile}))
    yield f'<section class="account"><h2>Account {_t(account or "(unknown)")}'
    yield f" <small>{_t(profiles)}</small></h2>" if profiles else "</h2>"
    for each in covered:
        if each.reaches:
            yield from _region(each)
    quiet = [each.place.region for each in covered if not each.reaches]
    if quiet:
        yield f'<p class="quiet">No running instances: {_t(", ".join(quiet))}</p>'
    yield "</section>"


def _region(covered: Covered) -> Iterator[str]:
    count = Counter(reach.verdict for reach in covered.reaches)
    yield f'<section class="region"><h3>{_t(covered.place.region)} '
    yield f"<small>{count['ok']} of {len(covered.reaches)} reachable</small></h3>"
    ordered = sorted(covered.reaches, key=lambda reach: (reach.instance.vpc_id, reach.instance.subnet_id))
    for vpc_id, of_vpc in groupby(ordered, key=lambda reach: reach.instance.vpc_id):
        yield from _vpc(covered, vpc_id, list(of_vpc))
    yield "</section>"


def _vpc(covered: Covered, vpc_id: str, reaches: Sequence[Reach]) -> Iterator[str]:
    vpc = (covered.survey.facts.vpcs or {}).get(vpc_id)
    title = _named(vpc.name if vpc else "", vpc_id)
    cidrs = f" <small>{_t(', '.join(vpc.cidrs))}</small>" if vpc else ""
    yield f'<article class="vpc"><h4>VPC {title}{cidrs}</h4>'
    endpoints = [each for each in covered.survey.endpoints if each.vpc_id == vpc_id]
    if not endpoints:
        yield '<p class="none">✕ no endpoint in this VPC</p>'
    yield '<div class="subnets">'
    subnets = {reach.instance.subnet_id for reach in reaches} | {endpoint.subnet_id for endpoint in endpoints}
    for subnet_id in sorted(subnets, key=lambda each: (_subnet_title(covered, each), each)):
        inside = [reach for reach in reaches if reach.instance.subnet_id == subnet_id]
        yield from _subnet(covered, subnet_id, [e for e in endpoints if e.subnet_id == subnet_id], inside)
    yield "</div>"
    yield from _reasons(covered, reaches)
    yield "</article>"


def _subnet_title(covered: Covered, subnet_id: str) -> str:
    subnet = (covered.survey.facts.subnets or {}).get(subnet_id)
    return subnet.name if subnet else ""


def _subnet(covered: Covered, subnet_id: str, endpoints: Sequence[Endpoint], reaches: Sequence[Reach]) -> Iterator[str]:
    subnet = (covered.survey.facts.subnets or {}).get(subnet_id)
    told = [subnet_id, *subnet.cidrs, subnet.availability_zone] if subnet else []
    small = " · ".join(f"<span>{_t(each)}</span>" for each in told if each)
    title = _subnet_title(covered, subnet_id) or ("subnet" if subnet_id else _NOWHERE)
    yield f'<div class="subnet"><h5><bdi>{_t(title)}</bdi> <small>{small or _t(subnet_id)}</small></h5>'
    for endpoint in endpoints:
        kind = "usable" if endpoint.usable else "unusable"
        mark = "⇥" if endpoint.usable else "✕"
        keeps = " · preserves client IP" if endpoint.preserve_client_ip else ""
        yield (
            f'<p class="endpoint {kind}"><b>{mark}</b> endpoint {_named(endpoint.name, endpoint.id)} '
            f'<small class="state">{_t(endpoint.state)} · {_t(endpoint.ip_address_type)}{keeps}</small></p>'
        )
    yield '<ul class="tiles">'
    for reach in sorted(reaches, key=lambda each: (each.instance.name, each.instance.id)):
        yield _tile(reach)
    yield "</ul></div>"


def _tile(reach: Reach) -> str:
    instance = reach.instance
    words = _WORDS[reach.verdict] + (f": {reach.reason}" if reach.reason else "")
    cause = f'<span class="cause">{_t(reach.cause)}</span>' if reach.cause else ""
    return (
        f'<li class="tile {_CLASSES[reach.verdict]}" title="{_t(words)}">'
        f'<b aria-label="{_WORDS[reach.verdict]}">{_MARKS[reach.verdict]}</b>'
        f'<span class="name"><bdi>{_t(instance.name or instance.id)}</bdi></span>'
        f'<span class="where">{_t(instance.private_ip or instance.ipv6)}:{reach.port}'
        f"{' Windows' if instance.platform == 'windows' else ''}</span>{cause}</li>"
    )


def _reasons(covered: Covered, reaches: Iterable[Reach]) -> Iterator[str]:
    """What keeps instances from being reached, once for all that have it in common."""
    together: dict[tuple[Verdict, str, str], list[Reach]] = {}
    for reach in reaches:
        if reach.reason:
            together.setdefault((reach.verdict, reach.reason, covered.command(reach)), []).append(reach)
    if not together:
        return
    yield '<table class="why"><thead><tr><th>Instance</th><th>Why</th><th>Fix</th></tr></thead><tbody>'
    for (verdict, reason, command), those in together.items():
        names = ", ".join(f"<bdi>{_t(reach.instance.name or reach.instance.id)}</bdi>" for reach in those)
        yield (
            f'<tr class="{_CLASSES[verdict]}"><td><b>{_MARKS[verdict]}</b> {names}</td>'
            f"<td>{_whole(reason)}</td><td><code>{_whole(command)}</code></td></tr>"
        )
    yield "</tbody></table>"


def _whole(text: str) -> str:
    """Text that breaks between words only, and not at the hyphens of an ID; a very long word may break."""
    words = ((word, _t(word)) for word in text.split(" "))
    return " ".join(f"<span>{safe}</span>" if "-" in word and len(word) < _LONG else safe for word, safe in words)


def _named(name: str, identifier: str) -> str:
    """A name with its ID, or the ID alone."""
    return f"<bdi>{_t(name)}</bdi> <small>{_t(identifier)}</small>" if name else _t(identifier)


def _count(coverage: Coverage) -> str:
    return summary(coverage.reaches).partition(";")[0]


def _t(text: str) -> str:
    """Text for HTML, in an element or a quoted attribute; control characters are shown."""
    return escape(sanitize.printable(text), quote=True)
