"""Plain keys, of the environment or of a profile, read without botocore, whose import takes longer than a tunnel.

Only what cannot mean anything else is read here: keys in the environment, or in the credentials file of a profile that
has no settings but those of a short list. Everything else, including errors, is left to botocore.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from eicctl.aws.config_files import config_file, credentials_file
from eicctl.support.pins import named_profile

_KEYS = ("aws_access_key_id", "aws_secret_access_key")
SETTINGS = ("region", "ca_bundle", "use_fips_endpoint", "use_dualstack_endpoint")
"""What a profile may set that matters here."""
_PLAIN = frozenset(
    {*_KEYS, *SETTINGS, "aws_session_token", "aws_account_id", "output", "mfa_serial", "retry_mode", "max_attempts"}
)
_PREFIXES = ("eicctl_", "cli_")
_ELSEWHERE = frozenset(
    {
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_ROLE_ARN",
        "AWS_CREDENTIAL_EXPIRATION",
        "AWS_DATA_PATH",
        "AWS_METADATA_SERVICE_TIMEOUT",
        "AWS_METADATA_SERVICE_NUM_ATTEMPTS",
        "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE",
    }
)
"""Variables that lead elsewhere, or that botocore refuses to read when they are wrong."""
_METADATA = ("metadata_service_timeout", "metadata_service_num_attempts", "ec2_metadata_service_endpoint_mode")
_ENDPOINTS = ("endpoint_url", "services", "ignore_configured_endpoint_urls")
"""Settings of the profile that lead elsewhere, whoever has the keys."""

Section = dict[str, str]


@dataclass(frozen=True, slots=True)
class PlainProfile:
    """Keys, and what the profile in force sets.

    Attributes:
        name: The profile that has the keys; empty for the environment's.
        access_key_id: The key.
        secret_access_key: Its secret.
        session_token: The token of temporary keys, or None.
        settings: Those of `SETTINGS` that the profile in force has.
    """

    name: str
    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(repr=False)
    settings: Section


def read(option: str | None) -> PlainProfile | None:
    """Return the keys in force, or None if it is for botocore to find them, or the error.

    Args:
        option: The profile that is named by an option; None for that of the environment, or `default`.
    """
    environ = os.environ
    # Variables that are set count, also empty ones, where botocore would read a number of them.
    if any(name in environ for name in _ELSEWHERE):
        return None
    named = named_profile(option)
    name = "default" if named is None else named
    try:
        keys = _sections(credentials_file())
        profiles = _profiles(_sections(config_file()))
    except (OSError, ValueError):
        return None
    if named is not None and named not in keys and named not in profiles:
        return None
    merged = {**profiles.get(name, {}), **keys.get(name, {})}
    settings = {key: value for key, value in merged.items() if key in SETTINGS}
    if any("\n" in value for value in settings.values()):
        return None
    if environ.get("AWS_ACCESS_KEY_ID") and not option:
        # They come first, unless an option names a profile; which profile gives the settings is another question.
        secret = environ.get("AWS_SECRET_ACCESS_KEY")
        if not secret or any(key in merged for key in _METADATA + _ENDPOINTS):
            return None
        token = environ.get("AWS_SECURITY_TOKEN") or environ.get("AWS_SESSION_TOKEN") or None
        return PlainProfile("", environ["AWS_ACCESS_KEY_ID"], secret, token, settings)
    own = keys.get(name, {})
    special = [key for key in merged if key not in _PLAIN and not key.startswith(_PREFIXES)]
    if special or any("\n" in value for value in merged.values()) or not all(own.get(key) for key in _KEYS):
        return None
    return PlainProfile(name, own[_KEYS[0]], own[_KEYS[1]], own.get("aws_session_token"), settings)


def _sections(path: str) -> dict[str, Section]:
    """The sections of a file as botocore's parser has them; none if the file does not exist.

    Raises:
        ValueError: botocore refuses the file.
    """
    if not os.path.isfile(path):  # noqa: PTH113 - as botocore asks
        return {}
    from configparser import Error, RawConfigParser

    parser = RawConfigParser()
    try:
        parser.read([path])
    except Error as error:
        raise ValueError(path) from error
    found = {name: dict(parser.items(name)) for name in parser.sections()}
    for section in found.values():
        for value in section.values():
            if value.startswith("\n") and any("=" not in line for line in value.splitlines() if line.strip()):
                raise ValueError(value)
    return found


def _profiles(sections: dict[str, Section]) -> dict[str, Section]:
    """The profiles of a configuration file.

    Raises:
        ValueError: A name needs botocore's rules: it is quoted, or there are two of it.
    """
    found: dict[str, Section] = {}
    for title, section in sections.items():
        if title != "default" and not title.startswith("profile"):
            continue
        words = ["profile", title] if title == "default" else title.split()
        if len(words) != 2 or words[0] != "profile" or words[1] in found or any(char in title for char in "'\"\\#"):
            raise ValueError(title)
        found[words[1]] = section
    return found
