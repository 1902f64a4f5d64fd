"""The arguments of `eicctl proxy`, read without Click, whose import takes longer than a TLS handshake.

Only what is plain is read here: every option in full, with a good value. Anything else is Click's, which knows what to
say about it.
"""

from __future__ import annotations

import os

from eicctl.core.request import PROXY_OPTIONS, ConnectRequest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

ENVIRONMENT = {
    "--aws-config-file": "AWS_CONFIG_FILE",
    "--aws-shared-credentials-file": "AWS_SHARED_CREDENTIALS_FILE",
}
"""Options that say what a variable would: each is that variable from then on."""


def read(arguments: Sequence[str]) -> ConnectRequest | None:
    """Return what the arguments after `proxy` ask for, or None where Click is to read them."""
    found: dict[str, object] = {"remote_port": 22}
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
        name, equals, value = word.partition("=")
        option = PROXY_OPTIONS.get("--quiet" if name == "-q" else name)
        if option is None or (option.is_flag and equals):
            return None
        if option.is_flag:
            found[option.field] = True
            continue
        if not equals:
            if not rest:
                return None
            value = rest.pop(0)
        if option.choices and value not in option.choices:
            return None
        if option.limits:
            least, most = option.limits
            if not (value.isascii() and value.isdigit() and least <= int(value) <= most):
                return None
            found[option.field] = int(value)
        elif name in ENVIRONMENT:
            environment[ENVIRONMENT[name]] = value
        else:
            found[option.field] = value
    if len(operands) > 1:
        return None
    os.environ.update(environment)
    found["target"] = operands[0] if operands else ""
    return ConnectRequest.from_json(found)
