"""What is read without botocore is what botocore finds: the environment, the files and the options in any combination.

Never another answer, and never an answer where botocore has an error; with the background process's environment too.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import botocore.session
from botocore.utils import ensure_boolean
from hypothesis import event, example, given
from hypothesis import strategies as st

from eicctl.agent import paths as surroundings
from eicctl.aws.plain_profile import read
from eicctl.aws.session import Session
from eicctl.core.errors import EicctlError, UsageError
from eicctl.support import pins
from tests.fuzzing import fuzz

KEYS = "aws_access_key_id = AKIA1\naws_secret_access_key = s1"

names = st.sampled_from(["default", "a", "b.c"])
titles = st.sampled_from(["[default]", "[a]", "[profile a]"]) | st.sampled_from(
    [
        *("[default]", "[a]", "[b.c]", "[profile a]", "[profile  b.c]", "[profile 'a']", "[profile default]"),
        *("[profiles a]", "[DEFAULT]", "[sso-session s]", "[services s]", "[profile]", "[profile a b]", '[profile "a]'),
    ]
)
plain_lines = [
    *(KEYS, KEYS, "aws_access_key_id = AKIA1", "AWS_ACCESS_KEY_ID=AKIA2", "aws_secret_access_key = a=b#c;d"),
    *("aws_secret_access_key: x", "aws_secret_access_key =", "aws_session_token = t", "aws_security_token = t2"),
    *("region = eu-west-1", "region =\n  nested = 1", "region =\n  nested", "  continued", "region =", "region"),
    *("ca_bundle = /ca.pem", "use_fips_endpoint = TRUE", "use_fips_endpoint = 1", "use_dualstack_endpoint = true"),
    *("credential_process = false", "metadata_service_timeout = x", "ec2_metadata_service_endpoint_mode = x"),
    *("s3 =\n  max_concurrent_requests = 2", "s3 =\n  nonsense", "output = json", "cli_pager =", "mfa_serial = m"),
    *("# aws_access_key_id = no", "nonsense", "", "\x85"),
]
harmless_lines = [
    "region = eu-west-1",
    "ca_bundle = /ca.pem",
    "use_fips_endpoint = TRUE",
    "output = json",
    "cli_pager =",
]
network_lines = ["role_arn = arn:aws:iam::123456789012:role/r", "source_profile = a", "sso_start_url = https://x.test"]


def files_of(lines: list[str]) -> st.SearchStrategy[str]:
    """Texts of configuration files, half of the sections harmless ones."""
    harmless = st.lists(st.sampled_from(harmless_lines), max_size=2).map(lambda more: [KEYS, *more])
    body = harmless | st.lists(st.sampled_from(lines), max_size=4)
    return st.lists(st.tuples(titles, body), max_size=3).map(
        lambda sections: "\n".join(line for title, body in sections for line in (title, *body))
    )


values = {
    "AWS_ACCESS_KEY_ID": ["AKIAENV", ""],
    "AWS_SECRET_ACCESS_KEY": ["senv", ""],
    "AWS_SESSION_TOKEN": ["tenv", ""],
    "AWS_SECURITY_TOKEN": ["old", ""],
    "AWS_CREDENTIAL_EXPIRATION": ["2099-01-01T00:00:00Z", "", "soon"],
    "AWS_PROFILE": ["default", "a", "b.c", "none", ""],
    "AWS_DEFAULT_PROFILE": ["a", ""],
    "AWS_REGION": ["us-west-2", ""],
    "AWS_DEFAULT_REGION": ["us-east-2", ""],
    "AWS_CA_BUNDLE": ["/env.pem", ""],
    "AWS_USE_FIPS_ENDPOINT": ["true", "False", "1", ""],
    "AWS_USE_DUALSTACK_ENDPOINT": ["True", "false"],
    "AWS_ROLE_ARN": ["arn:aws:iam::123456789012:role/r", ""],
    "AWS_WEB_IDENTITY_TOKEN_FILE": ["/nowhere", ""],
    "AWS_METADATA_SERVICE_TIMEOUT": ["1", "x", ""],
    "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE": ["ipv6", "x"],
}
USUAL = [name for name in values if name.endswith(("_ID", "_KEY", "_TOKEN", "PROFILE", "REGION", "ENDPOINT"))]


def _chosen_from(found: list[str]) -> st.SearchStrategy[dict[str, str]]:
    return st.lists(st.sampled_from(found), max_size=5, unique=True).flatmap(
        lambda chosen: st.fixed_dictionaries({name: st.sampled_from(values[name]) for name in chosen})
    )


environments = _chosen_from(USUAL) | _chosen_from(sorted(values))
options = st.none() | names | st.just("")


@contextmanager
def world(environment: dict[str, str], credentials: str, config: str) -> Iterator[None]:
    """Be on a machine with these files and variables."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        (folder / "credentials").write_text(credentials, errors="surrogateescape")
        (folder / "config").write_text(config, errors="surrogateescape")
        found = {
            "AWS_SHARED_CREDENTIALS_FILE": str(folder / "credentials"),
            "AWS_CONFIG_FILE": str(folder / "config"),
            "AWS_EC2_METADATA_DISABLED": "true",
            "HOME": text,
        }
        with mock.patch.dict(os.environ, {**kept, **found, **environment}, clear=True):
            yield


def by_botocore(option: str | None) -> dict[str, Any]:
    """What botocore finds; an error of its, or of Python, is no answer."""
    session = botocore.session.Session(profile=option or None)
    keys = session.get_credentials()
    assert keys
    frozen = keys.get_frozen_credentials()
    assert not isinstance(session.get_config_variable("region"), dict)  # no client can be made with it
    return {
        "keys": (frozen.access_key, frozen.secret_key, frozen.token or None),
        "region": pins.named_region(None) or session.get_config_variable("region") or None,
        "ca_bundle": session.get_config_variable("ca_bundle") or None,
        "fips": bool(session.get_config_variable("use_fips_endpoint")),
        "dualstack": bool(session.get_config_variable("use_dualstack_endpoint")),
    }


def by_us(session: Session) -> dict[str, Any]:
    """What a session finds."""
    keys = session.credentials()
    try:
        region: str | None = session.region
    except UsageError as error:
        if not error.message.startswith("No region configured"):
            raise
        region = None
    return {
        "keys": (keys.access_key_id, keys.secret_access_key, keys.session_token or None),
        "region": region,
        "ca_bundle": session.ca_bundle,
        "fips": session.fips,
        "dualstack": session.dualstack,
    }


@fuzz
@given(environments, files_of(plain_lines + network_lines), files_of(plain_lines + network_lines), options)
@example({"AWS_ACCESS_KEY_ID": "AKIAENV"}, f"[default]\n{KEYS}", "", None)
@example({"AWS_ACCESS_KEY_ID": "A", "AWS_SECRET_ACCESS_KEY": "s", "AWS_SECURITY_TOKEN": "t"}, "", "", None)
@example({"AWS_PROFILE": ""}, f"[default]\n{KEYS}", "", None)
@example({"AWS_DEFAULT_PROFILE": "", "AWS_PROFILE": "a"}, f"[a]\n{KEYS}", "", None)
@example({"AWS_ACCESS_KEY_ID": "A", "AWS_SECRET_ACCESS_KEY": "s", "AWS_PROFILE": "none"}, "", "", None)
@example({"AWS_ACCESS_KEY_ID": "A", "AWS_SECRET_ACCESS_KEY": "s"}, "", "nonsense", None)
@example({}, f"[default]\n{KEYS}", "[b]\ns3 =\n  nonsense", None)
@example({"AWS_METADATA_SERVICE_TIMEOUT": ""}, f"[default]\n{KEYS}", "", None)
@example({"AWS_DEFAULT_REGION": ""}, f"[default]\n{KEYS}", "[default]\nregion = eu-west-1", None)
def test_what_is_read_without_botocore_is_what_it_finds(
    environment: dict[str, str], credentials: str, config: str, option: str | None
) -> None:
    with world(environment, credentials, config):
        if read(option or None) is None:
            event("left to botocore")
            return
        event("read")
        session = Session(profile=option)
        assert by_us(session) == by_botocore(option)
        assert session._core is None, "botocore was asked all the same"


@fuzz
@given(environments, files_of(plain_lines), files_of(plain_lines), options)
@example({"AWS_WEB_IDENTITY_TOKEN_FILE": "/nowhere", "AWS_PROFILE": "a"}, f"[a]\n{KEYS}", "", None)
@example({"AWS_PROFILE": ""}, f"[default]\n{KEYS}", "", None)
@example({"AWS_DEFAULT_REGION": ""}, f"[default]\n{KEYS}", "[default]\nregion = eu-west-1", None)
def test_a_session_answers_as_botocore_here_and_in_the_background(
    environment: dict[str, str], credentials: str, config: str, option: str | None
) -> None:
    with world(environment, credentials, config):
        expected = answer(lambda: by_botocore(option))
        assert answer(lambda: by_us(Session(profile=option))) == expected
        profile, region = option or pins.environment_profile(), pins.environment_region()
        with mock.patch.dict(os.environ, surroundings.for_process(), clear=True):
            assert answer(lambda: by_us(Session(profile=profile, region=region))) == expected


def answer(ask: Any) -> Any:
    """The answer, or None for an error, which must be one of ours where we are asked."""
    try:
        return ask()
    except EicctlError:
        return None
    except Exception:
        assert ask.__code__.co_names[0] == "by_botocore"
        return None


def test_the_switches_are_botocore_s() -> None:
    for text in ("true", "TRUE", "false", "1", "yes", ""):
        assert ensure_boolean(text) == (text.lower() == "true")
