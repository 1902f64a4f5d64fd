"""How much the fuzz tests try: a little and always the same in the suite, much and by chance with `make fuzz`."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

_WANTED = os.environ.get("EICCTL_FUZZ", "")

fuzz = settings(
    max_examples=int(_WANTED or 25),
    derandomize=not _WANTED,
    database=None,
    deadline=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)
"""Settings of a fuzz test. `EICCTL_FUZZ` is the number of examples; with it they are random."""

any_text = st.text(st.characters(exclude_categories=()))
"""Text with everything that a `str` can hold: controls, overrides, half surrogates."""

file_text = st.binary(max_size=300).map(lambda data: data.decode("utf-8", "surrogateescape"))
"""What reading any file gives."""
