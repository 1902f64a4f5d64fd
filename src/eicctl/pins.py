"""What another shell has to be given to act as this one: the profile and region in force.

Environment variables end with their shell, so whatever is written for later use names what they say.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

PROFILE_VARIABLES = ("AWS_DEFAULT_PROFILE", "AWS_PROFILE")
"""Where the environment names a profile, in botocore's order."""

REGION_VARIABLES = ("AWS_REGION", "AWS_DEFAULT_REGION")
"""Where the environment names a region, in the order of `Session.region`."""


def environment_profile(environ: Mapping[str, str] | None = None) -> str:
    """Return the profile that the environment names, or an empty string.

    Keys in the environment come before a profile that is only named there (botocore's order), and naming that profile
    in another shell would make somebody else of the caller.
    """
    found = os.environ if environ is None else environ
    return "" if has_keys(found) else _first(found, PROFILE_VARIABLES)


def environment_region(environ: Mapping[str, str] | None = None) -> str:
    """Return the region that the environment names, or an empty string."""
    return _first(os.environ if environ is None else environ, REGION_VARIABLES)


def has_keys(environ: Mapping[str, str] | None = None) -> bool:
    """Whether the environment itself says who calls: by an access key, or by a web identity."""
    found = os.environ if environ is None else environ
    return bool(found.get("AWS_ACCESS_KEY_ID")) or bool(
        found.get("AWS_WEB_IDENTITY_TOKEN_FILE") and found.get("AWS_ROLE_ARN")
    )


def _first(found: Mapping[str, str], names: tuple[str, ...]) -> str:
    return next((found[name] for name in names if found.get(name)), "")
