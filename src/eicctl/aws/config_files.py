"""Where the files of the AWS configuration are: botocore's rules, without its import.

Imports as little as can be: completions and a ProxyCommand wait for it.
"""

from __future__ import annotations

import os

CONFIG, CREDENTIALS = "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"
LEFT_KEYS = "credential-process.json"
"""A file in the folder of a command: what `credential_process` has answered there."""
_USUAL = {CONFIG: "~/.aws/config", CREDENTIALS: "~/.aws/credentials"}


def config_file() -> str:
    """Return the path of the config file; empty where `AWS_CONFIG_FILE` is."""
    return _path(CONFIG)


def credentials_file() -> str:
    """Return the path of the shared credentials file; empty where `AWS_SHARED_CREDENTIALS_FILE` is."""
    return _path(CREDENTIALS)


def _path(variable: str) -> str:
    """Expand as botocore does: variables, then `~`. What cannot be expanded stays, and is relative to this folder."""
    return os.path.expanduser(os.path.expandvars(os.environ.get(variable, _USUAL[variable])))  # noqa: PTH111
