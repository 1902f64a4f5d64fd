"""`[LOCAL:]HOST:PORT` in words."""

from __future__ import annotations

from pathlib import Path

import pytest

from eicctl.core.errors import UsageError
from eicctl.ssh.destination import ForwardSpec, parse_forward


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("web-1:80", ForwardSpec("web-1", 80)),
        ("5432", ForwardSpec("", 5432)),
        ("8080:web-1:80", ForwardSpec("web-1", 80, 8080)),
        ("0:web-1:80", ForwardSpec("web-1", 80, 0)),
        ("[fd00::1]:80", ForwardSpec("fd00::1", 80)),
        ("8080:[fd00::1]:80", ForwardSpec("fd00::1", 80, 8080)),
        ("10.0.1.1:80", ForwardSpec("10.0.1.1", 80)),
        ("./db.sock:db.internal:5432", ForwardSpec("db.internal", 5432, local_path=Path("db.sock"))),
        ("web-1:/run/docker.sock", ForwardSpec("web-1", 0, 0, remote_path="/run/docker.sock")),
        ("2375:web-1:/run/docker.sock", ForwardSpec("web-1", 0, 2375, remote_path="/run/docker.sock")),
    ],
)
def test_forms(text: str, spec: ForwardSpec) -> None:
    assert parse_forward(text) == spec


@pytest.mark.parametrize(
    "text",
    ["", ":", "web-1", "web-1:", ":80", "web-1:http", "web-1:0", "web-1:65536", "x:web-1:80", "1:2:3:4", "8080:80",
     "fd00::1:80", "70000:web-1:80", "./db.sock:5432", "web-1:\uff18\uff10", "web-1:80:"],
)  # fmt: skip
def test_what_is_none(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_forward(text)
    assert "HOST:PORT" in str(caught.value.hint)
