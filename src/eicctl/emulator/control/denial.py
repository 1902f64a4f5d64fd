"""Actions of EC2 that the caller may not do: the setting `denied`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qs

_SCOPE = re.compile(r"Credential=[^/]+/\d+/([\w-]+)/")


def denied_action(denied: str, environ: dict[str, Any]) -> str | None:
    """Return the request's action if it is denied.

    Args:
        denied: Actions, separated by spaces, each with or without a region: `DescribeSubnets eu-west-1:DescribeVpcs`.
        environ: The request; its body, a `BytesIO`, can be read again afterwards.
    """
    if not denied:
        return None
    body = environ["wsgi.input"].read()
    environ["wsgi.input"].seek(0)
    action = parse_qs(body.decode("latin-1")).get("Action", [""])[0]
    scope = _SCOPE.search(environ.get("HTTP_AUTHORIZATION", ""))
    region = scope[1] if scope else ""
    return action if {action, f"{region}:{action}"} & set(denied.split()) else None


def refuse(start_response: Callable[..., Any], action: str) -> Iterable[bytes]:
    """Answer as EC2 does where a policy does not allow an action."""
    start_response("403 Forbidden", [("Content-Type", "text/xml")])
    message = f"You are not authorized to perform this operation. User is not authorized to perform: ec2:{action}"
    return [
        (
            "<Response><Errors><Error><Code>UnauthorizedOperation</Code>"
            f"<Message>{message}</Message></Error></Errors><RequestID>denied</RequestID></Response>"
        ).encode()
    ]
