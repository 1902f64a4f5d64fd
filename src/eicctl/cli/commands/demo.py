"""`eicctl demo`: the main job, shown and verified step by step on a local AWS of its own."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import secrets
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from eicctl.view import messages

_STEP_TIMEOUT = 60


class Unverified(Exception):
    """A step did not do what it should."""


class Stage:
    """Runs eicctl's commands as a user would, shows them, and returns what they print.

    Args:
        keep: Keep the local AWS running at the end.
    """

    def __init__(self, *, keep: bool) -> None:
        self._keep = keep
        self._started = time.monotonic()
        self.folder = Path(tempfile.mkdtemp(prefix="eicctl-demo-"))
        self.env = {name: value for name, value in os.environ.items() if not name.upper().startswith("AWS_")}
        self.env |= {
            "EICCTL_HOME": str(self.folder),
            "EICCTL_AGENT": "off",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "NO_PROXY": "localhost,127.0.0.1,::1",
            "no_proxy": "localhost,127.0.0.1,::1",
        }
        if width := messages.terminal_width(sys.stdout):  # what is shown on a terminal looks as it does there
            self.env |= {"FORCE_COLOR": "1", "COLUMNS": str(width)}
        self._up = False

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._started

    def say(self, text: str) -> None:
        """Print the title of a step."""
        click.echo()
        click.secho(messages.fitted(f"# {text}", sys.stdout), fg="cyan")

    def verified(self, what: str) -> None:
        """Print what was verified."""
        click.secho(messages.fitted(f"  ✓ {what}", sys.stdout), fg="green")

    def run(self, *words: str, stdin: Path | None = None, quiet: bool = False, direct: bool = False) -> str:
        """Run `eicctl WORDS…`, show it and what it prints, and return its stdout; with `direct`, it prints itself.

        Raises:
            Unverified: It did not exit with 0.
        """
        shown = _shown(words) + (f" < {stdin.name}" if stdin else "")
        click.secho(f"$ {shown}", bold=True)
        with contextlib.ExitStack() as files:
            sys.stdout.flush()
            source = files.enter_context(stdin.open("rb")) if stdin else subprocess.DEVNULL
            done = subprocess.run(
                self.command(words),
                env=self.env,
                stdin=source,
                stdout=None if direct else subprocess.PIPE,
                timeout=_STEP_TIMEOUT,
                check=False,
            )
        text = (done.stdout or b"").decode(errors="replace")
        if not (quiet or direct):
            click.echo(text.rstrip())  # from eicctl or a machine of the local AWS: harmless
        if done.returncode:
            raise Unverified(f"{shown} ended with exit code {done.returncode}")
        return text

    @contextlib.contextmanager
    def background(self, *words: str) -> Iterator[subprocess.Popen[str]]:
        """Run `eicctl WORDS…` while the block runs; its stdout is a pipe."""
        click.secho(f"$ {_shown(words)} &", bold=True)
        process = subprocess.Popen(
            self.command(words), env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
        )
        try:
            yield process
        finally:
            process.terminate()
            process.wait(timeout=_STEP_TIMEOUT)
            if process.stdout:
                process.stdout.close()

    def event(self, process: subprocess.Popen[str], name: str) -> dict[str, Any]:
        """Return the next event called `name` of a command with `--output json`; events before it are skipped.

        Raises:
            Unverified: The command ended without it.
        """
        for line in process.stdout or ():
            event: dict[str, Any] = json.loads(line)
            if event["Event"] == name:
                return event
        raise Unverified(f"the command ended with exit code {process.wait()} before its event {name!r}")

    def command(self, words: Sequence[str]) -> list[str]:
        """The command line of `eicctl WORDS…` with this interpreter."""
        return [sys.executable, "-m", "eicctl", *words]

    def start(self) -> None:
        """Start the local AWS and point the following commands to it."""
        self.run("local", "up", "--detach", "--transition", "1.5", quiet=True)
        self._up = True
        for line in self.run("local", "env", quiet=True).splitlines():
            kind, _, rest = line.partition(" ")
            name, _, value = rest.partition("=")
            if kind == "export":
                self.env[name] = shlex.split(value)[0]
        messages.out('  (as eval "$(eicctl local env)" does in a shell)')

    def close(self) -> None:
        """End the local AWS and remove everything; with `keep`, say how to use it."""
        if not self.folder.exists():
            return
        if self._up and self._keep:
            self._up = False
            home = f"EICCTL_HOME={shlex.quote(str(self.folder))}"
            messages.line(f'The local AWS keeps running: export {home}; eval "$(eicctl local env)"')
            return
        if self._up:
            self._up = False
            subprocess.run(
                self.command(["local", "down"]),
                env=self.env,
                stdin=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=_STEP_TIMEOUT,
                check=False,
            )
        if not self._keep:
            shutil.rmtree(self.folder, ignore_errors=True)


_CONNECTION_REQUEST = bytes.fromhex("030000130ee000000000000100080003000000")
"""An X.224 connection request with an RDP negotiation request (MS-RDPBCGR 2.2.1.1)."""


def start_aws(stage: Stage) -> None:
    """A local AWS."""
    stage.say("A local AWS: the EC2 API, the tunnel service with signature checks, and machines to log in to")
    stage.start()
    _require(json.loads(stage.run("instances", "--output", "json", quiet=True)), "the local AWS has no instances")
    stage.verified("it is running, with instances in private subnets")


def create_endpoint(stage: Stage) -> None:
    """An endpoint."""
    stage.say("An EC2 Instance Connect Endpoint, with a security group that allows only ports 22 and 3389")
    words = ("create-endpoint", "--name", "demo", "--create-security-group", "--wait")
    answer = json.loads(
        stage.run(*words, "--query", "{ID: InstanceConnectEndpointId, State: State}", "--output", "json")
    )
    _require(answer["State"] == "create-complete", f"the endpoint is in state {answer['State']}")
    stage.verified(f"{answer['ID']} is available")


def _shown(words: Sequence[str]) -> str:
    """Return a command line as one would type it: a word with single quotes is in double ones."""
    return " ".join(
        f'"{word}"' if "'" in word and not set('"$`!') & set(word) else shlex.quote(word) for word in ("eicctl", *words)
    )


def list_instances(stage: Stage) -> None:
    """What can be reached."""
    stage.say("Reachable instances")
    stage.run("instances", direct=True)
    rows = json.loads(stage.run("instances", "--output", "json", quiet=True))
    served = {row["Name"] for row in rows if row["InstanceConnectEndpointId"]}
    _require(served == {"web-1", "app-1", "win-1"}, f"only these have an endpoint: {sorted(served)}")
    stage.verified("every instance has an endpoint")


def run_command(stage: Stage) -> None:
    """A command over ssh."""
    stage.say("A command on a Linux machine: a fresh key is pushed for 60 seconds, and OpenSSH logs in with it")
    answer = stage.run("ssh", "web-1", "--", "uname -a; echo user=$USER")
    _require(platform.release() in answer and "user=ec2-user" in answer, "the output does not match uname")
    stage.verified("OpenSSH logged in through the tunnel, and its signature was verified")


def copy_file(stage: Stage) -> None:
    """A file over ssh."""
    stage.say("A 4 MB file over the same path, and its checksum from the other side")
    file = stage.folder / "hello.bin"
    file.write_bytes(secrets.token_bytes(4 * 2**20))
    here = hashlib.sha256(file.read_bytes()).hexdigest()
    there = stage.run("ssh", "app-1", "--", "cat > hello.bin; sha256sum hello.bin", stdin=file)
    _require(here in there, f"the local checksum is {here}")
    stage.verified("both sides have the same SHA-256")


def greet_windows(stage: Stage) -> None:
    """A tunnel to RDP."""
    stage.say("A tunnel to port 3389 of a Windows machine, and the greeting of its RDP service")
    with stage.background(
        "tunnel", "win-1", "--remote-port", "3389", "--local-port", "0", "--output", "json"
    ) as tunnel:
        listening = stage.event(tunnel, "listening")
        messages.out(f"  listening on {' and '.join(listening['LocalAddresses'])}")
        host = listening["LocalAddresses"][0].rpartition(":")[0].strip("[]")
        with socket.create_connection((host, listening["LocalPort"]), timeout=10) as client:
            client.sendall(_CONNECTION_REQUEST)
            greeting = client.recv(64)
    messages.out(f"  the answer to an X.224 connection request: {greeting.hex(' ')}")
    _require(
        greeting[:2] == b"\x03\x00" and greeting[5] & 0xF0 == 0xD0, "the answer is not an X.224 connection confirm"
    )
    stage.verified("the answer is an X.224 connection confirm")


def refuse_forgery(stage: Stage) -> None:
    """A wrong key is refused."""
    stage.say("A tunnel with a wrong secret key: the service rejects the signature")
    real = stage.env["AWS_SECRET_ACCESS_KEY"]
    full = json.loads(stage.run("show-endpoint", "demo", "--output", "json", quiet=True))
    stage.env |= {"AWS_SECRET_ACCESS_KEY": "wrong"}
    try:
        stage.run(
            "proxy",
            "--instance-connect-endpoint-id", full["InstanceConnectEndpointId"],
            "--instance-connect-endpoint-dns-name", full["DnsName"],
            "--private-ip-address", "10.0.1.10",
            quiet=True,
        )  # fmt: skip
    except Unverified as refused:
        _require("exit code 4" in str(refused), str(refused))
    else:
        raise Unverified("the tunnel was opened")
    finally:
        stage.env["AWS_SECRET_ACCESS_KEY"] = real
    stage.verified("refused, with the exit code for credentials (4)")


def show_trail(stage: Stage) -> None:
    """What CloudTrail recorded."""
    stage.say("CloudTrail's records")
    query = "[?EventName=='OpenTunnel']"
    events = json.loads(stage.run("audit", "--output", "json", "--query", query, quiet=True))
    for event in events:
        where = f"{event['PrivateIpAddress']}:{event['RemotePort']}"
        result = event["ErrorCode"] or "opened"
        messages.out(f"  {event['EventTime'][11:19]}  {where}  from {event['SourceIpAddress']}  {result}")
    ports = {(event["RemotePort"], event["ErrorCode"]) for event in events}
    _require({(22, ""), (3389, ""), (22, "SignatureDoesNotMatch")} <= ports, "records are missing")
    stage.verified(f"{len(events)} OpenTunnel events, including the refused one")


def clean_up(stage: Stage) -> None:
    """The end."""
    stage.say("Clean up")
    stage.run("delete-endpoint", "demo", "--yes", "--wait", quiet=True)
    left = json.loads(stage.run("list-endpoints", "--output", "json", quiet=True))
    _require(left == [], "the endpoint still exists")
    stage.verified("the endpoint is deleted")


STEPS = (
    start_aws,
    create_endpoint,
    list_instances,
    run_command,
    copy_file,
    greet_windows,
    refuse_forgery,
    show_trail,
    clean_up,
)


def _require(good: object, otherwise: str) -> None:
    if not good:
        raise Unverified(otherwise)


@click.command
@click.option("--keep", is_flag=True, help="Keep the local AWS running at the end, and print how to use it.")
def command(*, keep: bool) -> int:
    """Run an end-to-end demonstration on the local AWS.

    Starts a separate local AWS, runs the commands that you would type, verifies each result, and cleans up. The exit
    code is 0 only if every step was verified.

    \b
    Examples:
      eicctl demo
      eicctl demo --keep
    """

    with contextlib.closing(Stage(keep=keep)) as stage:
        for step in STEPS:
            try:
                step(stage)
            except Unverified as problem:
                messages.line(f"error: not verified: {problem}")
                return 1
        stage.close()
    click.echo(f"\nAll {len(STEPS)} steps were verified in {stage.elapsed:.1f} s.")
    return 0
