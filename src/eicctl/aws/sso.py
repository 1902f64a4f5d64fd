"""Logins to IAM Identity Center (SSO) by the device flow (RFC 8628), for machines without the AWS CLI.

The token is stored where the AWS CLI and botocore look for it: `~/.aws/sso/cache/SHA1.json`, named after the
`sso-session` of the profile, or after its start URL.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from eicctl.aws.errors import translated
from eicctl.aws.session import Session
from eicctl.core.errors import CredentialsError, UsageError
from eicctl.support import files, jsonstore

_TIME = "%Y-%m-%dT%H:%M:%SZ"
_SCOPES = "sso:account:access"
_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
_MOST_SOURCES = 5
"""Profiles that may follow each other by `source_profile`."""


def profile_of(session: Session) -> str:
    """Return the profile whose login gives the credentials: the one in force, or the source of its role."""
    name = session.profile_name
    for _ in range(_MOST_SOURCES):
        settings = session.of(profile=name, region=None).profile_settings()
        source = settings.get("source_profile")
        if not source or source == name or {"sso_session", "sso_start_url"} & settings.keys():
            break
        name = str(source)
    return name


def log_in(session: Session, profile: str, show: Callable[[str, str], None]) -> None:
    """Log in, and store the token for all profiles with the same SSO session.

    Args:
        session: Access to AWS.
        profile: A profile with `sso_session` or `sso_start_url`.
        show: Gets the URL to open, and the code that the page there shows.

    Raises:
        UsageError: The profile has no SSO settings.
        CredentialsError: The login was not confirmed in time, or refused.
    """
    settings = _settings(session, profile)
    client = session.of(profile=profile, region=settings["sso_region"]).unsigned_client("sso-oidc")
    with translated("log in to IAM Identity Center"):
        scopes = [scope.strip() for scope in settings.get("sso_registration_scopes", _SCOPES).split(",")]
        registered = client.register_client(clientName="eicctl", clientType="public", scopes=scopes)
        known = {name: registered[name] for name in ("clientId", "clientSecret")}
        begun = client.start_device_authorization(**known, startUrl=settings["sso_start_url"])
        show(begun["verificationUriComplete"], begun["userCode"])
        answer = _confirmed(client, known, begun)
    expires = datetime.now(UTC) + timedelta(seconds=answer["expiresIn"])
    token = {
        "startUrl": settings["sso_start_url"],
        "region": settings["sso_region"],
        "accessToken": answer["accessToken"],
        "expiresAt": f"{expires:{_TIME}}",
        **known,
        "registrationExpiresAt": f"{datetime.fromtimestamp(registered['clientSecretExpiresAt'], UTC):{_TIME}}",
        **({"refreshToken": answer["refreshToken"]} if "refreshToken" in answer else {}),
    }
    file = token_file(settings.get("sso_session", settings["sso_start_url"]))
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    files.write_whole(file, json.dumps(token))


def expiry(source: str) -> datetime | None:
    """Return when a login ends, or None if there was none.

    Args:
        source: The `sso-session` of the profile, or its start URL.
    """
    found = jsonstore.read(token_file(source)).get("expiresAt")
    try:
        return datetime.strptime(found, _TIME).replace(tzinfo=UTC) if isinstance(found, str) else None
    except ValueError:
        return None


def token_file(source: str) -> Path:
    """Return the file of a login's token. The source is as in `expiry`."""
    name = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()
    return files.expanded("~/.aws/sso/cache") / f"{name}.json"


def _settings(session: Session, profile: str) -> dict[str, str]:
    found = session.of(profile=profile, region=None).profile_settings()
    if name := found.get("sso_session"):
        found |= session.sso_session(str(name))
    if not {"sso_start_url", "sso_region"} <= found.keys():
        raise UsageError(f"Profile {profile} has no SSO settings", hint="aws configure sso")
    return {key: str(value) for key, value in found.items() if key.startswith("sso_")}


def _confirmed(client: Any, known: dict[str, str], begun: dict[str, Any]) -> dict[str, Any]:
    """Wait until the user has confirmed the login in a browser; return the token."""
    deadline = time.monotonic() + begun["expiresIn"]
    pause = float(begun.get("interval", 5))
    while time.monotonic() < deadline:
        time.sleep(pause)
        try:
            answer: dict[str, object] = client.create_token(**known, grantType=_GRANT, deviceCode=begun["deviceCode"])
        except client.exceptions.AuthorizationPendingException:
            continue
        except client.exceptions.SlowDownException:
            pause += 5
            continue
        except (client.exceptions.ExpiredTokenException, client.exceptions.AccessDeniedException):
            break
        return answer
    raise CredentialsError("The login to IAM Identity Center was not confirmed", hint="run the command again")
