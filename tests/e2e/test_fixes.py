"""On a terminal, what keeps a command from its target ends in a question whose default is the fix."""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from tests.conftest import FillCache
from tests.e2e.conftest import Env, boto3_client, clean_env, local_world, run_eicctl
from tests.processes import PROGRAM
from tests.terminal import Screen, Shell, exit_code, faults, terminal
from tests.waiting import wait_for
from tests.worlds import AMAZON_LINUX, NETWORK

GROUP = """
[[vpc.group]]
name = "web"

[[vpc.instance]]
name = "{name}"
address = "10.0.1.20"
groups = ["web"]
state = "{state}"
"""

World = Callable[..., Env]


@pytest.fixture
def home(tmp_path: Path, fill_cache: FillCache) -> Env:
    """An environment with a short path to eicctl's files, and no `aws` on the path."""
    fill_cache(tmp_path / "eicctl")
    return clean_env(tmp_path)


@pytest.fixture
def world(home: Env, tmp_path: Path) -> Iterator[World]:
    """Start a local AWS with one instance."""
    running = []

    def start(state: str = "running", *, endpoint: bool = True) -> Env:
        file = tmp_path / "world.toml"
        group = (
            GROUP.replace('name = "web"\n', 'name = "web"\ningress = ["22 from 10.0.0.0/16"]\n', 1)
            if endpoint
            else GROUP
        )
        file.write_text(AMAZON_LINUX + NETWORK + group.format(name="web-1", state=state))
        found = local_world(home, "--world", str(file), endpoint=["--create-security-group"] if endpoint else None)
        running.append(found)
        return found.__enter__()

    yield start
    for each in running:
        each.__exit__(None, None, None)


def instance(env: Env) -> dict[str, Any]:
    """The only instance."""
    reservations = boto3_client(env, "ec2").describe_instances()["Reservations"]
    found: dict[str, Any] = reservations[0]["Instances"][0]
    return found


def state_of(env: Env) -> str:
    return str(instance(env)["State"]["Name"])


@pytest.mark.parametrize("width", [80, 120])
def test_a_stopped_instance_is_started(world: World, tmp_path: Path, width: int) -> None:
    env = world("stopped")
    with Shell(env, tmp_path, width) as shell:
        declined = shell.run("eicctl ssh web-1 -- echo in", (r"Start it\?\s+\[Y/n\]: ", "n\n"))
        assert declined.code == 5
        assert "hint: eicctl ssh --start web-1 --region us-east-1 -- echo in" in " ".join(declined.lines)
        assert state_of(env) == "stopped"
        shown = shell.run("eicctl ssh web-1 -- echo in", (r"Start it\?\s+\[Y/n\]: ", "\n"))
        assert shown.code == 0
        assert "in" in shown.lines
        assert not faults([*declined.lines, *shown.lines], width)
        assert shell.run("eicctl ssh web-1 -- echo in").code == 0
        boto3_client(env, "ec2").stop_instances(InstanceIds=[instance(env)["InstanceId"]])
        wait_for(lambda: state_of(env) == "stopped", "the instance's end")
        again = shell.run("eicctl ssh web-1 -- echo in", (r"Start it\?\s+\[Y/n\]: ", "\n"))  # a login that is known
        assert "in" in again.lines
    assert state_of(env) == "running"


def test_without_a_terminal_only_start_starts(world: World) -> None:
    env = world("stopped")
    refused = run_eicctl(env, "ssh", "web-1", "--", "true")
    assert refused.returncode == 5
    assert b"hint: eicctl ssh --start web-1 --region us-east-1 -- true" in refused.stderr
    assert state_of(env) == "stopped"
    assert run_eicctl(env, "ssh", "--start", "web-1", "--", "echo", "in").stdout == b"in\n"
    assert state_of(env) == "running"


def test_tunnel_and_scp_start_it_too(world: World, tmp_path: Path) -> None:
    env = world("stopped")
    session = terminal(env, "tunnel", "--start", "web-1")
    session.expect("Listening on ")
    session.sendintr()
    assert exit_code(session) == 130
    boto3_client(env, "ec2").stop_instances(InstanceIds=[instance(env)["InstanceId"]])
    (tmp_path / "file").write_text("text")
    copied = run_eicctl(env, "scp", "--start", str(tmp_path / "file"), "web-1:/tmp/")
    assert copied.returncode == 0
    assert state_of(env) == "running"


@pytest.mark.parametrize("width", [80, 120])
def test_an_endpoint_is_created_and_the_login_goes_on(world: World, tmp_path: Path, width: int) -> None:
    env = world(endpoint=False)
    with Shell(env, tmp_path, width) as shell:
        declined = shell.run("eicctl ssh web-1 -- echo in", (r"\?\s+\[Y/n\]: ", "n\n"))
        assert declined.code == 3
        assert any(line.startswith("hint: eicctl create-endpoint") for line in declined.lines)
        shown = shell.run("eicctl ssh web-1 -- echo in", (r"Create one \(takes .*\?\s+\[Y/n\]: ", "\n"))
        assert shown.code == 0
        assert shown.lines[0].startswith("VPC vpc-")
        assert "in" in shown.lines
        assert any(line.startswith("Created eice-") for line in shown.lines)
        assert not faults([*declined.lines, *shown.lines], width)
    elsewhere = run_eicctl(env, "ssh", "web-9", "--", "true")
    assert elsewhere.returncode == 3


class Portal(BaseHTTPRequestHandler):
    """IAM Identity Center: a device flow that is confirmed at the second question, and the keys of a role."""

    keys: ClassVar[dict[str, str]] = {}
    asked: ClassVar[list[str]] = []

    def do_POST(self) -> None:
        """Answer the operations of sso-oidc."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.asked.append(self.path)
        later = int(time.time()) + 3600
        if self.path == "/client/register":
            self.answer({"clientId": "id", "clientSecret": "secret", "clientSecretExpiresAt": later})
        elif self.path == "/device_authorization":
            url = "https://device.sso.example/?user_code=ABCD-EFGH"
            codes = {"deviceCode": "d", "userCode": "ABCD-EFGH", "expiresIn": 60, "interval": 0}
            self.answer({**codes, "verificationUri": url, "verificationUriComplete": url})
        elif self.asked.count("/token") == 1:
            self.answer({"error": "authorization_pending"}, 400, "AuthorizationPendingException")
        else:
            self.answer({"accessToken": "token", "tokenType": "Bearer", "expiresIn": 3600})

    def do_GET(self) -> None:
        """Answer GetRoleCredentials."""
        assert self.headers["x-amz-sso_bearer_token"] == "token"
        self.answer({"roleCredentials": {**self.keys, "expiration": int(time.time() + 3600) * 1000}})

    def answer(self, body: dict[str, Any], status: int = 200, error: str = "") -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        if error:
            self.send_header("x-amzn-ErrorType", error)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_args: object) -> None:
        """Print nothing."""


@pytest.fixture
def bare(env: Env, tmp_path: Path) -> Env:
    """An environment without keys and region, and without the AWS CLI."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("bash", "sh", "cat", "ssh", "ssh-keygen"):
        (folder / name).symlink_to(str(shutil.which(name)))
    gone = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_DEFAULT_REGION")
    own = {name: value for name, value in env.items() if name not in gone}
    files = {"AWS_CONFIG_FILE": str(tmp_path / "config"), "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials")}
    program = str(Path(PROGRAM).parent)
    return own | files | {"AWS_EC2_METADATA_DISABLED": "true", "PATH": f"{program}:{folder}"}


@pytest.fixture
def portal(bare: Env, env: Env, tmp_path: Path) -> Iterator[Env]:
    """An environment with a profile of IAM Identity Center, which gives the keys of the local AWS."""
    names = {"accessKeyId": "AWS_ACCESS_KEY_ID", "secretAccessKey": "AWS_SECRET_ACCESS_KEY"}
    Portal.keys = {name: env[variable] for name, variable in names.items()} | {"sessionToken": ""}
    Portal.asked = []
    (tmp_path / "config").write_text(
        "[profile dev]\nregion = us-east-1\nsso_session = corp\nsso_account_id = 123456789012\nsso_role_name = r\n"
        "[sso-session corp]\nsso_region = us-east-1\nsso_start_url = https://corp.example/start\n"
    )
    server = ThreadingHTTPServer(("127.0.0.1", 0), Portal)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    yield bare | {"AWS_ENDPOINT_URL_SSO": url, "AWS_ENDPOINT_URL_SSO_OIDC": url}
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("width", [80, 120])
def test_profile_and_region_are_asked_for_and_saved(bare: Env, env: Env, tmp_path: Path, width: int) -> None:
    keys = f"aws_access_key_id = {env['AWS_ACCESS_KEY_ID']}\naws_secret_access_key = {env['AWS_SECRET_ACCESS_KEY']}\n"
    (tmp_path / "credentials").write_text(f"[work]\n{keys}[other]\n{keys}region = us-east-1\n")
    command = "eicctl ssh --print-command web-1"
    with Shell(bare, tmp_path, width) as shell:
        shown = shell.run(
            command,
            (r"AWS profile,[^:]*: ", "work\n"),
            (r"region,[^:]*: ", "nowhere-1\n"),
            (r"No region named.*region,[^:]*us-east-1\]: ", "\n"),
        )
        assert shown.code == 0
        again = shell.run(command)
        assert again.code == 0
        assert "--profile work" in " ".join(again.lines)
        assert not faults([line for line in shown.lines if not line.startswith("ssh ")], width)
    config = Path(bare["EICCTL_HOME"]) / "config" / "config.toml"
    assert config.read_text() == 'profile = "work"\nregion = "us-east-1"\n'


def test_without_a_terminal_the_hint_is_the_command(portal: Env) -> None:
    nobody = run_eicctl(portal, "ssh", "web-1")
    assert nobody.returncode == 4
    assert b"error: No AWS credentials found" in nobody.stderr
    assert b"hint: eicctl config set profile dev" in nobody.stderr
    listed = run_eicctl(portal, "list-endpoints", "--region", "us-east-1")
    assert listed.stderr.splitlines()[0] == b"error: No AWS credentials found"
    assert b"hint: eicctl config set profile dev" in listed.stderr
    expired = run_eicctl(portal, "ssh", "web-1", "--profile", "dev")
    assert expired.returncode == 4
    assert b"hint: aws sso login --profile dev" in expired.stderr


@pytest.mark.parametrize("width", [80, 120])
def test_an_sso_login_by_the_device_flow(portal: Env, tmp_path: Path, width: int) -> None:
    command = "eicctl ssh web-1 --profile dev -- echo in"
    with Shell(portal, tmp_path, width) as shell:
        declined = shell.run(command, (r"\?\s+\[Y/n\]: ", "n\n"))
        assert declined.code == 4
        assert "hint: aws sso login --profile dev" in declined.lines
        shown = shell.run(command, (r"Log\s+in\s+to\s+IAM[^?]* dev\?\s+\[Y/n\]: ", "\n"))
        assert shown.code == 0
        assert "in" in shown.lines
        assert "ABCD-EFGH" in " ".join(shown.lines)
        assert not faults([*declined.lines, *shown.lines], width)
        (token,) = (tmp_path / ".aws" / "sso" / "cache").glob("*.json")
        assert token.stat().st_mode & 0o777 == 0o600
        assert shell.run(command).code == 0  # the OS user is known now, so that the login is
        token.unlink()  # a login that is known asks, too
        again = shell.run(command, (r"Log\s+in\s+to\s+IAM[^?]* dev\?\s+\[Y/n\]: ", "\n"))
        assert again.code == 0
        assert "in" in again.lines


def test_an_sso_login_by_the_aws_cli(portal: Env, tmp_path: Path) -> None:
    cache = tmp_path / ".aws" / "sso" / "cache"
    token = {"accessToken": "token", "expiresAt": "2099-01-01T00:00:00Z", "region": "us-east-1", "startUrl": "x"}
    name = hashlib.sha1(b"corp", usedforsecurity=False).hexdigest()
    program = tmp_path / "bin" / "aws"
    file = f"{cache}/{name}.json"
    cache.mkdir(parents=True)
    program.write_text(f"#!{shutil.which('bash')}\necho RAN $*\necho '{json.dumps(token)}' > {file}\n")
    program.chmod(0o755)
    with Shell(portal, tmp_path, 120) as shell:
        question = (r"Run aws sso login --profile dev\?\s+\[Y/n\]: ", "\n")
        shown = shell.run("eicctl ssh web-1 --profile dev -- echo in", question)
    assert shown.code == 0
    assert "RAN sso login --profile dev" in shown.lines
    assert "in" in shown.lines


@pytest.mark.parametrize("width", [80, 120])
def test_one_of_several_vpcs_is_selected_by_its_name(home: Env, tmp_path: Path, width: int) -> None:
    file = tmp_path / "world.toml"
    subnet = '[[vpc.subnet]]\nname = "a"\ncidr = "10.{}.1.0/24"\n'
    vpc = '[[vpc]]\nname = "{}"\ncidr = "10.{}.0.0/16"\n'
    file.write_text("".join(vpc.format(name, n) + subnet.format(n) for n, name in enumerate(("shop", "lab"))))
    with local_world(home, "--world", str(file), endpoint=None) as env:
        with Screen(env, "create-endpoint", "--wait", size=(24, width)) as screen:
            lines = screen.until(r"Select a VPC:[^$]*> lab .*10\.1\.0\.0/16\n  shop .*10\.0\.0\.0/16")
            assert not faults(lines, width)
            screen.press("shop", "1 of 2 ")
            vpc_id = screen.lines[2].split()[2]
            screen.child.send("\r")
            assert screen.end() == 0
        (endpoint,) = json.loads(run_eicctl(env, "list-endpoints", "--output", "json").stdout)
        assert endpoint["VpcId"] == vpc_id
        refused = run_eicctl(env, "create-endpoint")
        assert refused.returncode == 3
        assert b"lab (10.1.0.0/16)" in refused.stderr
