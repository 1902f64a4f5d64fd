"""The greeting of an RDP server: TPKT around X.224, byte by byte."""

from __future__ import annotations

import pytest

from eicctl.emulator.machines import rdp_confirm


@pytest.mark.parametrize("negotiates", [True, False])
def test_the_lengths_are_right(negotiates: bool) -> None:
    answer = rdp_confirm(source=b"\xab\xcd", negotiates=negotiates)
    version, _, high, low, x224_length, kind = answer[:6]
    assert version == 3
    assert high << 8 | low == len(answer) == (19 if negotiates else 11)
    assert x224_length == len(answer) - 5
    assert kind == 0xD0
    assert answer[6:8] == b"\xab\xcd"  # the client's source reference comes back as the destination's


def test_the_negotiation_response_chooses_tls() -> None:
    answer = rdp_confirm(source=b"\0\0", negotiates=True)
    assert answer[11] == 2  # TYPE_RDP_NEG_RSP
    assert int.from_bytes(answer[13:15], "little") == 8
    assert int.from_bytes(answer[15:19], "little") == 1  # PROTOCOL_SSL
