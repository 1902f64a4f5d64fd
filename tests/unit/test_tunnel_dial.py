"""dial: the endpoint's name, and the choice of a proxy."""

from __future__ import annotations

import platform

import pytest
from botocore.config import Config
from botocore.useragent import UserAgentString

from eicctl import __version__
from eicctl.core.errors import UsageError
from eicctl.support.connect import split_host
from eicctl.support.proxies import proxy_for
from eicctl.tunnel.sign import user_agent


@pytest.mark.parametrize(
    ("name", "host", "port"),
    [
        ("eice-1.example.com", "eice-1.example.com", 443),
        ("localhost:8443", "localhost", 8443),
        ("[::1]:8443", "::1", 8443),
        ("[::1]", "::1", 443),
        ("127.0.0.1:1", "127.0.0.1", 1),
    ],
)
def test_host_and_port(name: str, host: str, port: int) -> None:
    assert split_host(name) == (host, port)


@pytest.mark.parametrize("name", ["", ":443", "host:", "host:x", "host:0", "host:65536", "a/b", "a?b:1", "u@h", "a b"])
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(UsageError):
        split_host(name)


@pytest.mark.parametrize(
    ("system", "environment"),
    [
        ("Linux", {}),
        ("Darwin", {"AWS_EXECUTION_ENV": "CloudShell", "AWS_SDK_UA_APP_ID": "my app#1"}),
        ("Windows", {}),
        ("FreeBSD (x)", {"AWS_EXECUTION_ENV": "a/b c#d"}),
    ],
)
def test_the_user_agent_is_formed_as_botocore_forms_it(
    monkeypatch: pytest.MonkeyPatch, system: str, environment: dict[str, str]
) -> None:
    for name in ("AWS_EXECUTION_ENV", "AWS_SDK_UA_APP_ID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(platform, "system", lambda: system)
    monkeypatch.setattr(platform, "release", lambda: "6.1 (odd)#1")
    user_agent.cache_clear()
    try:
        ours = user_agent()
    finally:
        user_agent.cache_clear()
    config = Config(user_agent_appid=environment.get("AWS_SDK_UA_APP_ID"))  # type: ignore[call-arg]
    theirs = UserAgentString.from_environment().set_session_config("eicctl", __version__, "")
    # Without what botocore says of itself.
    words = [
        word
        for word in theirs.with_client_config(config).to_string().split(" ")
        if not word.startswith(("md/Botocore#", "md/awscrt#", "m/"))
    ]
    assert ours == " ".join(words)


@pytest.fixture
def environ(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    return monkeypatch


@pytest.mark.parametrize(
    ("variables", "proxy"),
    [
        ({}, None),
        ({"HTTPS_PROXY": "http://proxy:3128"}, "proxy proxy:3128"),
        ({"https_proxy": "http://proxy:3128"}, "proxy proxy:3128"),
        ({"HTTPS_PROXY": "proxy:3128"}, "proxy proxy:3128"),
        ({"ALL_PROXY": "socks5h://proxy"}, "proxy proxy:1080"),
        ({"HTTP_PROXY": "http://other:1", "HTTPS_PROXY": "http://proxy"}, "proxy proxy:80"),
        ({"HTTP_PROXY": "http://other:1"}, None),
        ({"HTTPS_PROXY": "http://proxy", "NO_PROXY": "example.com"}, None),
        ({"HTTPS_PROXY": "http://proxy", "NO_PROXY": ".example.com"}, None),
        ({"HTTPS_PROXY": "http://proxy", "NO_PROXY": "*"}, None),
        ({"HTTPS_PROXY": "http://proxy", "NO_PROXY": "ample.com, other.com"}, "proxy proxy:80"),
        ({"HTTPS_PROXY": "http://proxy", "no_proxy": "eice-1.example.com:443"}, None),
    ],
)
def test_which_proxy(environ: pytest.MonkeyPatch, variables: dict[str, str], proxy: str | None) -> None:
    for name, value in variables.items():
        environ.setenv(name, value)
    found = proxy_for("eice-1.example.com", 443)
    assert (str(found) if found else None) == proxy


def test_user_and_password_are_decoded_and_not_shown(environ: pytest.MonkeyPatch) -> None:
    environ.setenv("HTTPS_PROXY", "http://me:p%40ss@proxy:3128")
    proxy = proxy_for("eice-1.example.com", 443)
    assert proxy
    assert (proxy.user, proxy.password) == ("me", "p@ss")
    assert "p@ss" not in f"{proxy!r} {proxy}"


@pytest.mark.parametrize("url", ["ftp://proxy", "http://", "http://proxy:notaport", "https://proxy:3129"])
def test_a_proxy_that_cannot_be_used_is_told_without_its_password(environ: pytest.MonkeyPatch, url: str) -> None:
    environ.setenv("HTTPS_PROXY", url.replace("://", "://me:secret@", 1))
    with pytest.raises(UsageError) as told:
        proxy_for("eice-1.example.com", 443)
    assert "secret" not in f"{told.value.message} {told.value.hint}"
