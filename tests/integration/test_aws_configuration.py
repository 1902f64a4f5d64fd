"""The environment and the files of the AWS configuration, as a command in a process of its own takes them."""

from __future__ import annotations

import contextlib
import http.server
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from eicctl.aws.session import Session
from eicctl.emulator.server import Emulator
from tests.integration.conftest import Ran
from tests.processes import bound_by_permissions, read_only, run, running
from tests.waiting import wait_for

Eicctl = Callable[..., Ran]


def keys_in_files(emulator: Emulator, home: Path, config: str = "", profile: str = "default") -> None:
    """Put the emulator's keys into the files, and nothing into the environment."""
    keys = f"aws_access_key_id = {emulator.env['AWS_ACCESS_KEY_ID']}\n"
    keys += f"aws_secret_access_key = {emulator.env['AWS_SECRET_ACCESS_KEY']}\n"
    (home / "credentials").write_text(f"[{profile}]\n{keys}")
    (home / "config").write_text(config)
    for name in list(os.environ):
        if name.startswith("AWS_") and name not in (
            *("AWS_ENDPOINT_URL", "AWS_CA_BUNDLE", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"),
            "AWS_EC2_METADATA_DISABLED",
        ):
            del os.environ[name]


def dialled(emulator: Emulator, *words: str) -> str:
    """The host that `eicctl proxy` has a tunnel with."""
    with running("proxy", "web-1", *words, stdin=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline().startswith(b"SSH-2.0")
        return str(wait_for(emulator._gateway.open_tunnels, "a tunnel")[0]["host"])


@pytest.mark.parametrize(
    ("environment", "config", "words"),
    [
        ({}, "", ["--fips"]),
        ({"AWS_USE_FIPS_ENDPOINT": "True"}, "", []),
        ({}, "[default]\nregion = us-east-1\nuse_fips_endpoint = true\n", []),
        ({"AWS_REGION": "us-east-1-fips"}, "", []),
        ({}, "[default]\nregion = fips-us-east-1\n", []),
        ({"AWS_USE_DUALSTACK_ENDPOINT": "true"}, "", []),
        ({}, "[default]\nregion = us-east-1\nuse_dualstack_endpoint = true\nuse_fips_endpoint = true\n", []),
        ({"AWS_USE_FIPS_ENDPOINT": "false"}, "[default]\nregion = us-east-1\nuse_fips_endpoint = true\n", []),
    ],
)
def test_fips_and_dualstack_reach_the_data_plane(
    emulator: Emulator,
    home: Path,
    ec2: Any,
    subnet_id: str,
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    config: str,
    words: list[str],
) -> None:
    dualstack = "dualstack" in f"{environment}{config}".lower()
    kind = "dualstack" if dualstack else "ipv4"
    made = ec2.create_instance_connect_endpoint(SubnetId=subnet_id, IpAddressType=kind)["InstanceConnectEndpoint"]
    names = made["PublicDnsNames"]["Dualstack" if dualstack else "Ipv4"]
    assert len({*made["PublicDnsNames"]["Ipv4"].values(), *names.values()}) == (4 if dualstack else 2)
    keys_in_files(emulator, home, config)
    if not config:
        monkeypatch.setenv("AWS_REGION", "us-east-1")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    fips = "fips" in f"{environment}{config}{words}".lower() and environment.get("AWS_USE_FIPS_ENDPOINT") != "false"
    for _ in range(2):  # the second time from the cache
        assert dialled(emulator, *words) == names["FipsDnsName" if fips else "DnsName"]


def test_an_endpoint_without_such_a_name_is_an_error_that_says_so(
    emulator: Emulator, endpoint: dict[str, Any], eicctl: Eicctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_USE_DUALSTACK_ENDPOINT", "true")
    ran = eicctl("tunnel", "web-1", "--remote-port", "22")
    endpoint_id = endpoint["InstanceConnectEndpointId"]
    assert ran.code == 5
    assert f"error: Endpoint {endpoint_id} has no dual-stack DNS name\n" in ran.err
    assert f"eicctl modify-endpoint {endpoint_id} --ip-address-type dualstack" in ran.err


def test_no_key_of_a_profile_for_half_a_key_of_the_environment(
    emulator: Emulator, endpoint: dict[str, Any], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys_in_files(emulator, home, "[default]\nregion = us-east-1\n")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIASOMEBODYELSE")
    for words in (["proxy", "web-1"], ["list-endpoints"]):
        ran = run(*words)
        assert ran.returncode == 4
        assert b"AWS_SECRET_ACCESS_KEY" in ran.stderr


def test_the_old_name_of_the_session_token_counts(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIA")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    monkeypatch.setenv("AWS_SECURITY_TOKEN", "t")
    assert Session().credentials().session_token == "t"


@pytest.mark.parametrize("name", ["AWS_PROFILE", "AWS_DEFAULT_PROFILE"])
def test_an_empty_profile_is_the_same_error_everywhere(
    emulator: Emulator, endpoint: dict[str, Any], home: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    keys_in_files(emulator, home, "[default]\nregion = us-east-1\n")
    monkeypatch.setenv(name, "")
    for words in (["proxy", "web-1"], ["list-endpoints"], ["tunnel", "web-1", "--remote-port=22"], ["mfa", "login"]):
        ran = run(*words)
        assert ran.returncode == 2
        assert ran.stderr.decode().startswith(f"error: {name} is set, but empty\nhint: unset {name}\n")


@pytest.mark.parametrize("variable", ["$HOME", "~", "${OF_THE_TEST}"])
def test_mfa_login_writes_where_the_variables_lead(
    emulator: Emulator, home: Path, eicctl: Eicctl, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str
) -> None:
    monkeypatch.setenv("OF_THE_TEST", str(home))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    keys_in_files(emulator, home, "[default]\nregion = us-east-1\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", f"{variable}/config")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", f"{variable}/credentials")
    ran = eicctl("mfa", "login", "--token-code", code_of(emulator))
    assert ran.code == 0, ran.err
    assert "[default-mfa]" in (home / "credentials").read_text()
    assert list(Path.cwd().iterdir()) == []
    assert "default-mfa" in eicctl("mfa", "status").out
    assert run("list-endpoints", "--profile", "default-mfa").returncode == 0


@pytest.mark.parametrize("path", ["$NOWHERE/credentials", "~nobody-of-this-name/credentials", ""])
def test_mfa_login_spends_no_code_where_a_file_has_no_place(
    emulator: Emulator, home: Path, eicctl: Eicctl, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    keys_in_files(emulator, home, "[default]\nregion = us-east-1\n")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", emulator.env["AWS_ACCESS_KEY_ID"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", emulator.env["AWS_SECRET_ACCESS_KEY"])
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", path)
    monkeypatch.chdir(home)
    code = code_of(emulator)
    ran = eicctl("mfa", "login", "--token-code", code)
    assert ran.code == 2
    assert f"error: AWS_SHARED_CREDENTIALS_FILE does not name a file: {path!r}" in ran.err
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(home / "credentials"))
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    assert eicctl("mfa", "login", "--token-code", code).code == 0


@pytest.mark.parametrize("fault", ["a folder in its place", "a link into a folder of others", "an unreadable file"])
def test_mfa_login_spends_no_code_where_it_cannot_write(
    emulator: Emulator, home: Path, eicctl: Eicctl, tmp_path: Path, fault: str
) -> None:
    keys_in_files(emulator, home, "[default]\nregion = us-east-1\n")
    path = home / "credentials"
    if fault.startswith("a folder"):
        (home / "credentials.eicctl-backup").mkdir()
    elif fault.startswith("a link"):
        folder = read_only(tmp_path / "others")
        folder.chmod(0o700)
        path.rename(folder / "credentials")
        folder.chmod(0o500)
        path.symlink_to(folder / "credentials")
    else:
        (home / "config").chmod(0)
        os.environ["AWS_REGION"] = "us-east-1"
    code = code_of(emulator)
    ran = run("mfa", "login", "--token-code", code, before=bound_by_permissions)
    assert ran.returncode == 1, ran.stderr
    assert b"error: Cannot" in ran.stderr
    assert b"Traceback" not in ran.stderr
    if fault.startswith("a folder"):
        (home / "credentials.eicctl-backup").rmdir()
    elif fault.startswith("a link"):
        path.resolve().parent.chmod(0o700)
    else:
        (home / "config").chmod(0o600)
    assert eicctl("mfa", "login", "--token-code", code).code == 0


@contextlib.contextmanager
def metadata_service(answers: dict[str, str], asked: list[str], delay: float = 0) -> Iterator[str]:
    """An instance's metadata service (IMDSv2); gives its URL."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            time.sleep(delay)
            self.answer("token" if self.path == "/latest/api/token" else "")

        def do_GET(self) -> None:
            good = self.headers["X-aws-ec2-metadata-token"] == "token"
            self.answer(answers.get(self.path, "") if good else "")

        def answer(self, text: str) -> None:
            asked.append(self.path)
            self.send_response(200 if text else 404)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            return

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


ZONE = "/latest/meta-data/placement/availability-zone/"


@pytest.mark.parametrize(
    ("environment", "config", "answer", "said"),
    [
        ({}, "", "us-west-2b", "in us-west-2\n"),
        ({}, "[default]\noutput = json\n", "us-west-2b", "in us-west-2\n"),
        ({"AWS_REGION": "eu-west-1"}, "", "us-west-2b", "in eu-west-1\n"),
        ({"AWS_DEFAULT_REGION": "eu-west-1"}, "", "us-west-2b", "in eu-west-1\n"),
        ({}, "[default]\nregion = eu-west-1\n", "us-west-2b", "in eu-west-1\n"),
        ({"AWS_EC2_METADATA_DISABLED": "true"}, "", "us-west-2b", "No region configured"),
        ({}, "", "<html>sign in</html>", "No region configured"),
        ({}, "", "", "No region configured"),
    ],
)
def test_the_region_of_the_instance_that_this_is(
    emulator: Emulator,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    config: str,
    answer: str,
    said: str,
) -> None:
    asked: list[str] = []
    with metadata_service({ZONE: answer}, asked) as url:
        keys_in_files(emulator, home, config)
        monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", url)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        ran = run("list-endpoints")
    assert said in ran.stderr.decode()
    assert ran.returncode == (2 if said.startswith("No") else 0)
    assert bool(asked) == (not environment and "region" not in config)


def test_a_metadata_service_that_says_nothing_is_not_waited_for(
    emulator: Emulator, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with metadata_service({ZONE: "us-west-2b"}, [], delay=30) as url:
        keys_in_files(emulator, home)
        monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", url)
        started = time.monotonic()
        ran = run("list-endpoints")
        assert ran.returncode == 2, ran.stderr
        assert time.monotonic() - started < 15


def test_a_profile_of_aws_login_says_what_it_needs(
    emulator: Emulator, home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "awscrt.py").write_text("raise ImportError\n")  # also where it is installed
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    keys_in_files(emulator, home, "[profile l]\nlogin_session = arn:aws:iam::123456789012:user/u\nregion = us-east-1\n")
    for words in (["list-endpoints"], ["proxy", "web-1"]):
        ran = run(*words, "--profile", "l")
        assert ran.returncode == 4
        assert b"error: Profiles that use aws login (login_session) require awscrt" in ran.stderr
        assert b"hint: pip install 'eicctl[crt]'" in ran.stderr


def code_of(emulator: Emulator) -> str:
    from eicctl.emulator.control.credentials import own_code

    return str(own_code(emulator.state.now())["Code"])


def test_without_a_home_nothing_is_a_traceback(
    emulator: Emulator, endpoint: dict[str, Any], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_CONFIG_FILE")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "~nobody-of-this-name/x")
    ran = run("list-endpoints")
    assert ran.returncode == 0, ran.stderr
