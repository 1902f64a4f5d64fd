"""The words of `eicctl proxy`, read without Click, whose import takes longer than a TLS handshake.

Only what is plain is read here: every option in full, with a good value. Anything else is Click's, which knows what to
say about it.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from eicctl.agent.words import Words

TEXTS = {
    "--instance-id": "instance_id",
    "--private-ip-address": "private_ip_address",
    "--instance-connect-endpoint-id": "endpoint_id",
    "--instance-connect-endpoint-dns-name": "endpoint_dns_name",
    "--ssh-login": "ssh_login",
    "--private-key-file": "private_key_file",
    "--session-folder": "session_folder",
    "--profile": "profile",
    "--region": "region",
    "--ca-bundle": "ca_bundle",
}
NUMBERS = {
    "--remote-port": ("remote_port", 1, 65535),
    "--max-tunnel-duration": ("max_tunnel_duration", 1, 3600),
    "--linger": ("linger", 0, 3600),
    "--keepalive": ("keepalive", 0, 3600),
    "--announce-end": ("announce_end", 1, 3599),
}
"""The options, with the least and the most that each may be."""
ENVIRONMENT = {
    "--aws-config-file": "AWS_CONFIG_FILE",
    "--aws-shared-credentials-file": "AWS_SHARED_CREDENTIALS_FILE",
}
"""Options that say what a variable would: each is that variable from then on."""
FLAGS = {
    "-q": "quiet",
    "--quiet": "quiet",
    "--allow-any-port": "allow_any_port",
    "--no-cache": "no_cache",
    "--no-agent": "no_agent",
    "--fips": "fips",
}
CHECK = "--host-key-check"
CHECKS = ("console", "accept-new", "strict", "off")
KEY_TYPE = "--key-type"
KEY_TYPES = ("auto", "ed25519", "ecdsa", "rsa")


def nothing_said() -> Words:
    """Return the words where nothing is said."""
    return {
        "words": "",
        "instance_id": "",
        "private_ip_address": "",
        "endpoint_id": "",
        "endpoint_dns_name": "",
        "remote_port": 22,
        "allow_any_port": False,
        "max_tunnel_duration": None,
        "linger": None,
        "keepalive": None,
        "ssh_login": "",
        "host_key_check": "console",
        "private_key_file": "",
        "key_type": "auto",
        "session_folder": "",
        "announce_end": 0,
        "quiet": False,
        "no_cache": False,
        "no_agent": False,
        "profile": None,
        "region": None,
        "ca_bundle": None,
        "fips": False,
    }


def read(arguments: Sequence[str]) -> Words | None:
    """Return what the arguments after `proxy` say, or None where Click is to read them."""
    found: dict[str, object] = {**nothing_said()}
    environment: dict[str, str] = {}
    rest = list(arguments)
    operands = []
    while rest:
        word = rest.pop(0)
        if word == "--":
            operands += rest
            break
        if not word.startswith("-"):
            operands.append(word)
            continue
        if word in FLAGS:
            found[FLAGS[word]] = True
            continue
        option, equals, value = word.partition("=")
        if not equals:
            if not rest:
                return None
            value = rest.pop(0)
        if option in TEXTS:
            found[TEXTS[option]] = value
        elif option in ENVIRONMENT:
            environment[ENVIRONMENT[option]] = value
        elif option in NUMBERS:
            name, least, most = NUMBERS[option]
            if not (value.isascii() and value.isdigit() and least <= int(value) <= most):
                return None
            found[name] = int(value)
        elif option == CHECK and value in CHECKS:
            found["host_key_check"] = value
        elif option == KEY_TYPE and value in KEY_TYPES:
            found["key_type"] = value
        else:
            return None
    if len(operands) > 1:
        return None
    os.environ.update(environment)
    found["words"] = operands[0] if operands else ""
    return found  # type: ignore[return-value]
