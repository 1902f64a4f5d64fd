"""How today's policies differ from what was used, as a diff."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from eicctl.policy.beyond import Comparison


def diff_lines(owner: str, comparisons: Sequence[Comparison]) -> Iterator[str]:
    """Yield a diff of the statements that allow more than what was used: `-` is today's, `+` what was used."""
    wider = [one for one in comparisons if one.allows_more]
    if not wider:
        return
    yield f"--- today: {owner}"
    yield "+++ used"
    for one in wider:
        yield f"@@ {one.statement}: {one.action}, {f'{one.calls:,} calls' if one.calls else 'not used'} @@"
        for each in one.dimensions:
            today, used = set(each.today), set(each.used)
            for sign, values in (("-", today - used), (" ", today & used), ("+", used - today)):
                for value in sorted(values):
                    yield f"{sign} {each.name:12} {value}"
