"""What the words of a request mean."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, cast

from eicctl.aws.config_files import LEFT_KEYS
from eicctl.aws.session import Session
from eicctl.aws.sessions import Sessions
from eicctl.core.model import TargetRequest
from eicctl.ssh.proxy_tunnel import Wanted

if TYPE_CHECKING:
    from eicctl.agent.words import Words
    from eicctl.ssh.host_keys import Check
    from eicctl.ssh.keys import KeyType


def session_for(words: Words, sessions: Sessions) -> Session:
    """Return the access to AWS that the words ask for."""
    folder = words["session_folder"]
    if folder and os.path.exists(f"{folder}/{LEFT_KEYS}"):  # noqa: PTH110
        from eicctl.aws.credential_process import take

        take(folder)
    return sessions.of(words["profile"], words["region"], words["ca_bundle"], fips=words["fips"])


def wanted(words: Words, session: Session) -> Wanted:
    """Return what is to be opened."""
    request = TargetRequest(
        remote_port=words["remote_port"],
        words=words["words"],
        instance_id=words["instance_id"],
        private_ip_address=words["private_ip_address"],
        endpoint_id=words["endpoint_id"],
        endpoint_dns_name=words["endpoint_dns_name"],
        allow_any_port=words["allow_any_port"],
    )
    return Wanted(
        session,
        request,
        words["max_tunnel_duration"],
        words["ssh_login"],
        cast("Check", words["host_key_check"]),
        words["session_folder"],
        not words["no_cache"],
        words["keepalive"],
        words["private_key_file"],
        cast("KeyType", words["key_type"]),
    )
