"""`eicctl ssh HOST -- true`: on loopback, beside ssh with other ProxyCommands and the AWS CLI's own login; and with
50 ms for each call of AWS and each round trip, beside plain ssh.

`python -m benchmarks.login`. Needs sshd and libnss-wrapper. The AWS CLI v2 is the first `aws` of PATH, or `AWS_CLI`.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.process import resident
from benchmarks.world import aws_cli

ROUND_TRIP = 0.05
ROUNDS = int(os.environ.get("ROUNDS") or 15)
QUIET = ["-F", "none", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"]
EICCTL = str(Path(sys.executable).with_name("eicctl"))

WORLD = """
[[image]]
key = "amazon-linux"
name = "al2023-ami-2023.9.20260301.0-kernel-6.1-x86_64"
users = ["ec2-user"]

[[vpc]]
cidr = "10.0.0.0/16"

[[vpc.subnet]]
name = "a"
cidr = "10.0.1.0/24"

[[vpc.group]]
name = "ssh"
ingress = ["22 from 10.0.0.0/16"]

[[vpc.instance]]
name = "web-1"
address = "10.0.1.10"
groups = ["ssh"]
authorized_keys = ["{key}"]
"""


def run(words: list[str], env: dict[str, str]) -> str:
    """Run a command that must succeed; return its stdout."""
    done = subprocess.run(words, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{shlex.join(words)}: {done.stderr}")
    return done.stdout


@contextlib.contextmanager
def relayed(port: int) -> Iterator[int]:
    """A port that leads to another one over a distant network."""
    words = [sys.executable, "-m", "benchmarks.relay", "127.0.0.1", str(port), str(ROUND_TRIP)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield int(process.stdout.readline())
        finally:
            process.terminate()


def serve_sshd(listener: socket.socket, folder: Path) -> None:
    """Serve a machine's sshd on a port, as the emulator runs it."""
    wrapper = next(Path("/usr/lib").glob("*/libnss_wrapper.so"))
    env = {
        "PATH": os.environ["PATH"],
        "LD_PRELOAD": str(wrapper),
        "NSS_WRAPPER_PASSWD": str(folder / "passwd"),
        "NSS_WRAPPER_GROUP": "/etc/group",
    }
    while True:
        client, _ = listener.accept()
        with client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            words = ["/usr/sbin/sshd", "-i", "-f", str(folder / "config")]
            subprocess.Popen(words, env=env, stdin=client.fileno(), stdout=client.fileno(), stderr=subprocess.DEVNULL)


def exported(script: str) -> dict[str, str]:
    """The variables that a script of `eicctl local env` exports."""
    pairs = [line.removeprefix("export ").partition("=") for line in script.splitlines() if line.startswith("export ")]
    return {name: shlex.split(value)[0] for name, _, value in pairs}


@contextlib.contextmanager
def world(folder: Path) -> Iterator[dict[str, str]]:
    """A local AWS with one machine and an endpoint; gives the environment for it."""
    key = folder / "key"
    env = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    env |= {"EICCTL_HOME": str(folder), "HOME": str(folder), "PYTHONPYCACHEPREFIX": str(folder / "pycache")}
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], env)
    (folder / "world.toml").write_text(WORLD.format(key=Path(f"{key}.pub").read_text().strip()))
    env["EICCTL_AGENT"] = "on"
    up = [EICCTL, "local", "up", "--detach", "--sshd", "--transition", "0", "--world", str(folder / "world.toml")]
    run(up, env)
    env |= exported(run([EICCTL, "local", "env"], env))
    try:
        run([EICCTL, "create-endpoint", "--create-security-group", "--wait"], env)
        yield env
    finally:
        run([EICCTL, "local", "down"], env)


def slow_down(folder: Path) -> None:
    """Let every call of the AWS API take a round trip."""
    running = json.loads((folder / "state" / "local" / "running.json").read_text())
    request = urllib.request.Request(
        f"{running['url']}/_eicctl/settings",
        json.dumps({"latency": ROUND_TRIP}).encode(),
        {"Authorization": f"Bearer {running['token']}", "Content-Type": "application/json"},
    )
    urllib.request.urlopen(request).close()


@dataclass(frozen=True)
class Row:
    """A command, and what it is compared with.

    Attributes:
        words: The command line.
        over: The command that it is a ratio of, by name; empty for none.
        env: Variables that differ.
        before: Called before each run.
        after: Called after each run, so that it does not disturb the next one's.
    """

    words: list[str]
    over: str = ""
    env: dict[str, str] = field(default_factory=dict)
    before: Callable[[], object] = lambda: None
    after: Callable[[], object] = lambda: None


def in_turns(rows: dict[str, Row], env: dict[str, str], rounds: int) -> None:
    """Measure commands in turns, and print a table of them."""
    taken: dict[str, list[float]] = {name: [] for name in rows}
    for _ in range(rounds):
        for name, row in rows.items():
            row.before()
            started = time.perf_counter()
            run(row.words, env | row.env)
            taken[name].append(time.perf_counter() - started)
            row.after()
    median = {name: statistics.median(times) for name, times in taken.items()}
    print("| command | median, ms | best, ms | over | ms | ratio |\n| --- | --- | --- | --- | --- | --- |")
    for name, row in rows.items():
        cells = f"{1000 * median[name]:.0f} | {1000 * min(taken[name]):.0f}"
        base = median.get(row.over)
        more = f"{row.over} | {1000 * (median[name] - base):+.0f} | {median[name] / base:.2f}" if base else " | | "
        print(f"| {name} | {cells} | {more} |")


def on_loopback(env: dict[str, str], folder: Path) -> None:
    """The rows of logins without any delay."""
    endpoint_id, dns_name = run(
        [EICCTL, "list-endpoints", "--query", "[].[InstanceConnectEndpointId, DnsName]", "--output", "text"], env
    ).split()
    instance = run([EICCTL, "instances", "--query", "[].InstanceId", "--output", "text"], env).strip()
    script = [sys.executable, str(Path(__file__).with_name("plain.py")), "stdio", dns_name, endpoint_id, "10.0.1.10"]
    own = [*QUIET, "-i", str(folder / "key"), "-o", "IdentitiesOnly=yes"]

    def through(words: list[str]) -> list[str]:
        return ["ssh", *own, "-o", f"ProxyCommand={shlex.join(words)}", "ec2-user@web-1", "true"]

    def forget_targets() -> None:
        shutil.rmtree(folder / "cache", ignore_errors=True)

    def forget_all() -> None:
        forget_targets()
        for name in ("os_users.json", "known_hosts"):
            (folder / "state" / name).unlink(missing_ok=True)

    def learn() -> None:
        run(command, env | cold)

    command, shell, cold = [EICCTL, "ssh", "web-1", "--", "true"], [EICCTL, "ssh", "web-1"], {"EICCTL_AGENT": "off"}
    rows = {
        "ssh, eicctl proxy, warm": Row(through([EICCTL, "proxy", "web-1"])),
        "eicctl ssh, warm": Row(command, "ssh, eicctl proxy, warm"),
        "ssh, plain script": Row(through(script)),
        "ssh, eicctl proxy, cold": Row(through([EICCTL, "proxy", "web-1"]), "ssh, plain script", cold),
        "eicctl ssh, cold": Row(command, "ssh, eicctl proxy, cold", cold),
    }
    if cli := aws_cli():
        # It leaves host keys to OpenSSH, which would ask; a shell's start is some 2 ms.
        shim = folder / "bin" / "ssh"
        shim.parent.mkdir()
        shim.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} {shlex.join(QUIET)} "$@"\n')
        shim.chmod(0o755)
        for_aws = exported(run([EICCTL, "local", "env", "--aws-cli"], env))
        for_aws["PATH"] = f"{shim.parent}:{env['PATH']}"
        words = [cli, "ec2-instance-connect", "ssh", "--instance-id", instance, "--os-user", "ec2-user"]
        rows |= {
            "login, AWS CLI": Row([*words, "--connection-type", "eice"], "", for_aws),
            "login, warm": Row(shell, "login, AWS CLI"),
            "login, cold": Row(shell, "login, AWS CLI", cold),
            "login, no target cached": Row(shell, "login, AWS CLI", cold, forget_targets, learn),
            "login, nothing cached": Row(shell, "login, AWS CLI", cold, forget_all, learn),
        }
    in_turns(rows, env, ROUNDS)
    for _ in range(100):
        run(command, env)
    (record,) = (folder / "run").glob("agent-*.json")
    weight = resident(int(json.loads(record.read_text())["Pid"])) / 2**20
    print(f"\nMemory of the background process after 100 more logins: {weight:.0f} MiB.\n")


def main() -> None:
    """Measure the commands in turns."""
    with contextlib.ExitStack() as cleanup:
        folder = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        env = cleanup.enter_context(world(folder))
        for _ in range(3):  # pins the keys, makes sshd's files, and starts the background process
            run([EICCTL, "ssh", "web-1", "--", "true"], env)
            time.sleep(1)
        print("On loopback:\n")
        on_loopback(env, folder)
        endpoint = run([EICCTL, "list-endpoints", "--query", "[].DnsName", "--output", "text"], env).strip()
        (sshd_folder,) = (folder / "state" / "local").glob("files-*/sshd/*")
        listener = cleanup.enter_context(socket.create_server(("127.0.0.1", 0)))
        threading.Thread(target=serve_sshd, args=(listener, sshd_folder), daemon=True).start()
        plain = cleanup.enter_context(relayed(listener.getsockname()[1]))
        data_plane = cleanup.enter_context(relayed(int(endpoint.rpartition(":")[2])))
        slow_down(folder)
        through = ["--instance-connect-endpoint-dns-name", f"localhost:{data_plane}"]
        own = ["-i", str(folder / "key"), "-o", "IdentitiesOnly=yes"]
        proxy = shlex.join([EICCTL, "proxy", *through, "web-1"])
        print("With 50 ms on every call of AWS and on every round trip:\n")
        rows = {
            "ssh, no tunnel": Row(["ssh", *QUIET, *own, "-p", str(plain), "ec2-user@127.0.0.1", "true"]),
            "eicctl ssh": Row([EICCTL, "ssh", *through, "web-1", "--", "true"], "ssh, no tunnel"),
            "ssh with eicctl proxy": Row(
                ["ssh", *QUIET, *own, "-o", f"ProxyCommand={proxy}", "ec2-user@web-1", "true"], "ssh, no tunnel"
            ),
        }
        in_turns(rows, env, ROUNDS)


if __name__ == "__main__":
    main()
