"""What the service answered, without what identifies an account, and what that says about the protocol page's facts."""

from __future__ import annotations

import functools
import json
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
RECORDINGS = Path(__file__).with_name("recordings")
FACTS = ROOT / "docs" / "explanation" / "protocol.md"

LOCAL = RECORDINGS / "local-aws.json"
"""What the local AWS answers: what a recording of AWS is compared with."""

_PATTERNS = (
    ("account", re.compile(r"(?<![0-9A-Za-z])[0-9]{12}(?![0-9A-Za-z])"), "1234567890{:02d}"),
    ("key", re.compile(r"\b(?:AKIA|ASIA|AROA|AIDA)[0-9A-Z]{12,}\b"), "AKIAEXAMPLE{:02d}"),
    ("request", re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"), "request-{}"),
    ("id", re.compile(r"\b(i|eice|eni|sg|sgr|vpc|subnet|ami|vol)-[0-9a-f]{8,17}\b"), "{kind}-{:017x}"),
    ("address", re.compile(r"(?<![\d.])(?!10\.9[89]\.)\d{1,3}(?:\.\d{1,3}){3}(?![\d.])"), "203.0.113.{}"),
    ("address6", re.compile(r"(?<![\w:])(?:[0-9a-f]{1,4}:){3,7}[0-9a-f]{0,4}(?![\w:])"), "2001:db8::{}"),
    ("person", re.compile(r"(?<=:user/)[^\s\"',]+|(?<=:assumed-role/)[^\s\"',]+"), "person-{}"),
)
"""What is replaced; the template's own addresses are not. The same text always gets the same number."""


class Redactor:
    """Replaces account IDs, keys, addresses, IDs and names in whatever is recorded."""

    def __init__(self) -> None:
        self._known: dict[str, dict[str, str]] = {}

    def text(self, text: str) -> str:
        """Return a text without them."""
        for name, pattern, form in _PATTERNS:
            known = self._known.setdefault(name, {})

            def replaced(match: re.Match[str], known: dict[str, str] = known, form: str = form) -> str:
                found = match.group()
                if found not in known:
                    known[found] = form.format(len(known) + 1, kind=match.group(1) if match.re.groups else "")
                return known[found]

            text = pattern.sub(replaced, text)
        return text

    def value(self, value: Any) -> Any:
        """Return a value without them, and without secrets."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {str(key): self.value(each) for key, each in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(each) for each in value]
        return value if isinstance(value, bool | int | float | None) else self.text(str(value))


@dataclass(frozen=True)
class Fact:
    """A row of the protocol page.

    Attributes:
        section: The heading.
        text: The fact.
        source: How it is known: documented, client, seen or unknown.
    """

    section: str
    text: str
    source: str

    @property
    def known_by(self) -> str:
        """`documented`, `inferred`, `reported` or `unknown`."""
        words = {"client": "inferred", "seen": "reported"}
        first = re.split(r"[;,]", self.source)[0].strip()
        return words.get(first, first)


@functools.cache
def read_facts() -> list[Fact]:
    """Return the facts of the protocol page, in its order."""
    facts = []
    section = ""
    for line in FACTS.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            section = line[3:]
        elif line.startswith("| ") and not line.startswith(("| fact ", "| ---")):
            text, source = (cell.strip() for cell in line.strip("|").rsplit("|", 1))
            facts.append(Fact(section, text.strip(), source))
    return facts


@dataclass
class Observation:
    """What a run has seen of a fact."""

    holds: bool | None
    seen: str


@dataclass
class Recording:
    """A run's record.

    Attributes:
        about: Date, region, versions, and whether it was AWS.
        entries: What was answered: `Case`, `Kind`, and more by kind.
        observations: By the fact's beginning.
    """

    about: dict[str, Any]
    redactor: Redactor = field(default_factory=Redactor)
    entries: list[dict[str, Any]] = field(default_factory=list)
    observations: dict[str, Observation] = field(default_factory=dict)

    def add(self, case: str, kind: str, **fields: Any) -> None:
        """Add an answer."""
        self.entries.append({"Case": case, "Kind": kind, **self.redactor.value(fields)})

    def observe(self, fact: str, holds: bool | None, seen: object) -> None:
        """Note what was seen of a fact, which is named by its beginning. `holds` is None for what was unknown.

        Raises:
            LookupError: The protocol page has no such fact, or several.
        """
        if sum(each.text.startswith(fact) for each in read_facts()) != 1:
            raise LookupError(f"not one fact of {FACTS.name}: {fact}")
        before = self.observations.get(fact)
        if before and before.holds is False:
            return
        self.observations[fact] = Observation(holds, self.redactor.text(str(seen)))

    def save(self, path: Path) -> None:
        """Write it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        observed = {fact: {"Holds": each.holds, "Seen": each.seen} for fact, each in sorted(self.observations.items())}
        record = {"About": self.redactor.value(self.about), "Observed": observed, "Entries": self.entries}
        path.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Recording:
        """Read one."""
        record = json.loads(path.read_text(encoding="utf-8"))
        observed = {fact: Observation(each["Holds"], each["Seen"]) for fact, each in record["Observed"].items()}
        return cls(record["About"], entries=record["Entries"], observations=observed)


def recordings() -> list[Path]:
    """Return the recordings of AWS, the oldest first."""
    return sorted(path for path in RECORDINGS.glob("*.json") if path != LOCAL)


_COMPARED = ("Status", "ErrorCode", "CloseCode", "CloseReason", "Text", "Allowed", "Parameters")
"""What two services should answer alike; request IDs, times and messages may differ."""


def differences(one: Recording, other: Recording) -> Iterator[str]:
    """What two services answered differently in the same place."""

    def by_place(recording: Recording) -> dict[tuple[str, str], dict[str, Any]]:
        return {(entry["Case"], entry["Kind"]): entry for entry in recording.entries}

    others = by_place(other)
    for place, entry in by_place(one).items():
        for key in _COMPARED:
            if place in others and (now := entry.get(key)) != (before := others[place].get(key)):
                yield f"{' / '.join(place)}: {key} is {now!r} here and {before!r} on the local AWS"


def report(recording: Recording, width: int = 120) -> str:
    """The fidelity report in so many columns: every fact, how it is known, and what this run saw of it."""
    lines = []
    indent = 28
    section = ""
    counts = {"confirmed": 0, "DIFFERS": 0, "observed": 0, "not observed": 0}
    for fact in read_facts():
        if fact.section != section:
            section = fact.section
            lines.append(f"\n{section}")
        seen = next((each for start, each in recording.observations.items() if fact.text.startswith(start)), None)
        words = {True: "confirmed", False: "DIFFERS", None: "observed"}
        verdict = words[seen.holds] if seen else "not observed"
        counts[verdict] += 1
        text = re.sub(r"[`*]", "", fact.text)
        short = text if len(text) <= width - indent else text[: width - indent - 1] + "…"
        lines.append(f"  {fact.known_by:<10}  {verdict:<12}  {short}")
        if seen and (seen.holds is not True):
            lines += textwrap.wrap(
                f"seen: {seen.seen}", width, initial_indent=" " * indent, subsequent_indent=" " * indent
            )
    known = "AWS" if recording.about["Service"] == "AWS" else "the local AWS (so this says nothing about AWS)"
    totals = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    return "\n".join([f"Fidelity report of {known}", totals, *lines])
