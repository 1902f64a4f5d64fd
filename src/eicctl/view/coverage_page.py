"""The map of `eicctl coverage`: one HTML page for light and dark screens."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from importlib import resources
from itertools import groupby
from typing import TYPE_CHECKING

from eicctl.core.names import natural_key
from eicctl.reachability.coverage import summary
from eicctl.support.html import Child, Markup, command, document, element, joined, table

if TYPE_CHECKING:
    from eicctl.core.model import Endpoint
    from eicctl.reachability.connection import Verdict
    from eicctl.reachability.coverage import Coverage, Inventory, Reach

_MARKS: dict[Verdict, str] = {"ok": "✓", "failed": "✕", "unknown": "?"}
_WORDS: dict[Verdict, str] = {"ok": "reachable", "failed": "unreachable", "unknown": "unknown"}
_CLASSES: dict[Verdict, str] = {"ok": "ok", "failed": "no", "unknown": "dim"}
_LONG = 50


def page_of(coverage: Coverage, now: datetime) -> str:
    """Return the page for a result as of `now`."""
    style = resources.files("eicctl.view").joinpath("coverage_page.css").read_text(encoding="utf-8")
    subtitle = f"Which running instances EC2 Instance Connect Endpoint reaches · {now:%Y-%m-%d %H:%M} UTC"
    return document(
        f"Coverage: {summary(coverage.reaches).partition(';')[0]}",
        style,
        element("header", element("h1", "Coverage"), element("p", subtitle, class_="sub"), _figures(coverage.reaches)),
        element("div", data_search=""),
        element("main", _main(coverage)),
        element(
            "footer",
            element(
                "p",
                [
                    (element("span", _mark(verdict), word, class_=f"tile {_CLASSES[verdict]}"), " ")
                    for verdict, word in _WORDS.items()
                ],
                class_="legend",
            ),
            element(
                "p",
                "Evaluated from endpoints, security groups, network ACLs and routes; nothing was connected. Made by ",
                element("code", "eicctl coverage"),
                ".",
            ),
        ),
    )


def _mark(verdict: Verdict) -> Markup:
    return element("b", f"{_MARKS[verdict]} ")


def _main(coverage: Coverage) -> Iterable[Child]:
    if coverage.notices:
        notices = [element("li", notice) for notice in coverage.notices]
        yield element("section", element("h2", "Could not be read"), element("ul", notices), class_="notices")
    for account, of_account in groupby(coverage.covered, key=lambda covered: covered.location.account_id):
        yield _account(account, list(of_account))
    if not coverage.reaches:
        yield element("p", "No running instances.", class_="empty")


def _figures(reaches: Sequence[Reach]) -> Markup:
    count = Counter(reach.verdict for reach in reaches)
    figures = [
        element(
            "div",
            element("span", _mark(verdict), count[verdict], class_="number"),
            element("span", word),
            class_=f"figure {_CLASSES[verdict] if count[verdict] else 'none-of-it'}",
        )
        for verdict, word in _WORDS.items()
    ]
    causes = Counter(reach.cause for reach in reaches if reach.verdict != "ok").most_common()
    rows = [
        element(
            "tr",
            element("th", cause, scope="row"),
            element("td", number, class_="n"),
            element("td", _bar(100 * number / causes[0][1])),
        )
        for cause, number in causes
    ]
    top = element("table", element("caption", "Top causes"), rows, class_="causes") if rows else None
    return element("div", figures, top, class_="figures")


def _bar(percent: float) -> Markup:
    rects = (element("rect", width=width, height=6) for width in ("100", f"{percent:.0f}"))
    return element("svg", *rects, class_="bar", viewBox="0 0 100 6", preserveAspectRatio="none", aria_hidden="true")


def _account(account: str, covered: Sequence[Inventory]) -> Markup:
    profiles = ", ".join(sorted({each.location.profile for each in covered if each.location.profile}))
    quiet = ", ".join(each.location.region for each in covered if not each.reaches)
    return element(
        "section",
        element("h2", f"Account {account or '(unknown)'} ", _small(profiles)),
        [_region(each) for each in covered if each.reaches],
        element("p", f"No running instances: {quiet}", class_="quiet") if quiet else None,
        class_="account",
    )


def _region(covered: Inventory) -> Markup:
    reachable = sum(reach.verdict == "ok" for reach in covered.reaches)
    ordered = sorted(covered.reaches, key=lambda reach: (reach.instance.vpc_id, reach.instance.subnet_id))
    return element(
        "section",
        element("h3", f"{covered.location.region} ", _small(f"{reachable} of {len(covered.reaches)} reachable")),
        [
            _vpc(covered, vpc_id, list(of_vpc))
            for vpc_id, of_vpc in groupby(ordered, key=lambda reach: reach.instance.vpc_id)
        ],
        class_="region",
        data_group="",
    )


def _vpc(covered: Inventory, vpc_id: str, reaches: Sequence[Reach]) -> Markup:
    vpc = (covered.facts.vpcs or {}).get(vpc_id)
    endpoints = [each for each in covered.endpoints if each.vpc_id == vpc_id]
    subnets = {reach.instance.subnet_id for reach in reaches} | {endpoint.subnet_id for endpoint in endpoints}
    return element(
        "article",
        element(
            "h4", "VPC ", _named(vpc.name if vpc else "", vpc_id), " ", _small(", ".join(vpc.cidrs) if vpc else "")
        ),
        None if endpoints else element("p", "✕ no endpoint in this VPC", class_="none"),
        element(
            "div",
            [
                _subnet(
                    covered,
                    subnet_id,
                    [endpoint for endpoint in endpoints if endpoint.subnet_id == subnet_id],
                    [reach for reach in reaches if reach.instance.subnet_id == subnet_id],
                )
                for subnet_id in sorted(subnets, key=lambda each: natural_key(_subnet_name(covered, each)))
            ],
            class_="subnets",
        ),
        _reasons(covered, reaches),
        class_="vpc",
        data_group="",
    )


def _subnet_name(covered: Inventory, subnet_id: str) -> str:
    subnet = (covered.facts.subnets or {}).get(subnet_id)
    return subnet.name if subnet else ""


def _subnet(covered: Inventory, subnet_id: str, endpoints: Sequence[Endpoint], reaches: Sequence[Reach]) -> Markup:
    subnet = (covered.facts.subnets or {}).get(subnet_id)
    details = filter(None, [subnet_id, *subnet.cidrs, subnet.availability_zone] if subnet else [subnet_id])
    title = _subnet_name(covered, subnet_id) or ("subnet" if subnet_id else "(no subnet)")
    ordered = sorted(reaches, key=lambda each: (each.instance.name, each.instance.id))
    small = _separated(" · ", (element("span", text) for text in details))
    return element(
        "div",
        element("h5", element("bdi", title), " ", element("small", small)),
        [_endpoint(endpoint) for endpoint in endpoints],
        element("ul", [_tile(reach) for reach in ordered], class_="tiles"),
        class_="subnet",
        data_group="",
    )


def _endpoint(endpoint: Endpoint) -> Markup:
    state = f"{endpoint.state} · {endpoint.ip_address_type}"
    state += " · preserves client IP" if endpoint.preserve_client_ip else ""
    return element(
        "p",
        element("b", "⇥" if endpoint.usable else "✕"),
        " endpoint ",
        _named(endpoint.name, endpoint.id),
        " ",
        element("small", state, class_="state"),
        class_=f"endpoint {'usable' if endpoint.usable else 'unusable'}",
    )


def _tile(reach: Reach) -> Markup:
    instance, word = reach.instance, _WORDS[reach.verdict]
    windows = " Windows" if instance.platform == "windows" else ""
    return element(
        "li",
        element("b", _MARKS[reach.verdict], aria_label=word),
        element("span", element("bdi", instance.name or instance.id), class_="name"),
        element("span", f"{instance.private_ip or instance.ipv6}:{reach.port}{windows}", class_="where"),
        element("span", reach.cause, class_="cause") if reach.cause else None,
        class_=f"tile {_CLASSES[reach.verdict]}",
        data_item="",
        title=f"{word}: {reach.reason}" if reach.reason else word,
    )


def _reasons(covered: Inventory, reaches: Iterable[Reach]) -> Markup | None:
    """The reasons why instances are not reachable, one row for all instances with the same one."""
    together: dict[tuple[Verdict, str, str], list[Reach]] = {}
    for reach in reaches:
        if reach.reason:
            together.setdefault((reach.verdict, reach.reason, covered.command(reach)), []).append(reach)
    if not together:
        return None
    rows = [
        ([[_mark(verdict), _names(those)], _whole(reason), command(_whole(line)) if line else None], _CLASSES[verdict])
        for (verdict, reason, line), those in together.items()
    ]
    return table(("Instance", "Reason", "Fix"), rows, class_="why")


def _names(reaches: Iterable[Reach]) -> Markup:
    return _separated(", ", (element("bdi", reach.instance.name or reach.instance.id) for reach in reaches))


def _whole(text: str) -> Markup:
    """Text that breaks between words only, and not at the hyphens of an ID; a very long word may break."""
    words = (element("span", word) if "-" in word and len(word) < _LONG else word for word in text.split(" "))
    return _separated(" ", words)


def _separated(separator: str, parts: Iterable[Child]) -> Markup:
    return joined((separator if number else None, part) for number, part in enumerate(parts))


def _small(text: str) -> Markup | None:
    return element("small", text) if text else None


def _named(name: str, identifier: str) -> Child:
    """A name with its ID, or the ID alone."""
    return [element("bdi", name), " ", element("small", identifier)] if name else identifier
