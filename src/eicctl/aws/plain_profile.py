"""A profile that has plain keys and nothing special, read without botocore, whose import takes longer than a tunnel.

Only what cannot mean anything else is read here: a profile with keys in the credentials file, and with no settings but
those of a short list. All else, what is wrong included, is botocore's.
"""

from __future__ import annotations

import os
from configparser import Error, RawConfigParser
from dataclasses import dataclass, field
from pathlib import Path

_KEYS = ("aws_access_key_id", "aws_secret_access_key")
_SETTINGS = ("region", "ca_bundle")
_PLAIN = frozenset({*_KEYS, *_SETTINGS, "aws_session_token", "output", "cli_pager", "cli_auto_prompt"})
_OURS = "eicctl_"
_ELSEWHERE = ("AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CREDENTIAL_EXPIRATION")

Section = dict[str, str]


@dataclass(frozen=True, slots=True)
class PlainProfile:
    """What a profile says.

    Attributes:
        name: Its name.
        access_key_id: The key.
        secret_access_key: Its secret.
        session_token: The token of temporary keys, or None.
        settings: `region` and `ca_bundle`, as far as they are set.
    """

    name: str
    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(repr=False)
    settings: Section


def read(credentials_file: Path, config_file: Path, profile: str | None) -> PlainProfile | None:
    """Return the profile in force, or None where it is for botocore to find out.

    Args:
        credentials_file: The shared credentials file.
        config_file: The AWS configuration file.
        profile: The profile that is named by an option; None for that of the environment, or `default`.
    """
    if any(os.environ.get(name) for name in _ELSEWHERE):
        return None
    name = profile or os.environ.get("AWS_DEFAULT_PROFILE") or os.environ.get("AWS_PROFILE") or "default"
    try:
        keys = _sections(credentials_file).get(name, {})
        configured = _profiles(_sections(config_file))[name]
    except (Error, UnicodeDecodeError, OSError, ValueError):
        return None
    except KeyError:
        configured = {}
    merged = {**configured, **keys}
    special = [key for key in merged if key not in _PLAIN and not key.startswith(_OURS)]
    if special or any("\n" in value for value in merged.values()) or not all(keys.get(key) for key in _KEYS):
        return None
    settings = {key: value for key, value in merged.items() if key in _SETTINGS}
    return PlainProfile(name, keys[_KEYS[0]], keys[_KEYS[1]], keys.get("aws_session_token"), settings)


def _sections(path: Path) -> dict[str, Section]:
    """The sections of a file as botocore's parser has them; nothing where there is no file."""
    parser = RawConfigParser()
    if path.is_file():
        parser.read([path])
    return {name: dict(parser.items(name)) for name in parser.sections()}


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
