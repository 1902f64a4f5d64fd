"""How a connection has failed that the background process carried."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eicctl.aws.session import Session
from eicctl.core.errors import from_json
from eicctl.core.model import Target

if TYPE_CHECKING:
    from eicctl.agent.protocol import Message
    from eicctl.agent.words import Words
    from eicctl.fastpath.proxy import Teller


def failed(message: Message, words: Words, tell: Teller) -> int:
    """Tell of the error that a message holds; return the exit code."""
    known = message.get("Target")
    target = Target(**known) if isinstance(known, dict) else None
    profile, region = message.get("Profile"), message.get("Region")
    session = Session(profile=profile, region=region, ca_bundle=words["ca_bundle"], fips=words["fips"])
    return tell.failure(from_json(message), session, target, float(message.get("Lived") or 0))
