"""`eicctl ssh HOST -- true` beside plain ssh to the same sshd, with 50 ms on every call of AWS and on every round trip.

`python -m benchmarks.login`. Needs sshd and libnss-wrapper.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

ROUND_TRIP = 0.05
ROUNDS = 15
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
    for line in run([EICCTL, "local", "env"], env).splitlines():
        if line.startswith("export "):
            name, _, value = line.removeprefix("export ").partition("=")
            env[name] = shlex.split(value)[0]
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


def main() -> None:
    """Measure the commands in turns."""
    with contextlib.ExitStack() as cleanup:
        folder = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        env = cleanup.enter_context(world(folder))
        run([EICCTL, "ssh", "web-1", "--", "true"], env)  # pins the keys, and makes sshd's files
        endpoint = run([EICCTL, "list-endpoints", "--query", "[].DnsName", "--output", "text"], env).strip()
        (sshd_folder,) = (folder / "state" / "local").glob("files-*/sshd/*")
        listener = cleanup.enter_context(socket.create_server(("127.0.0.1", 0)))
        threading.Thread(target=serve_sshd, args=(listener, sshd_folder), daemon=True).start()
        plain = cleanup.enter_context(relayed(listener.getsockname()[1]))
        data_plane = cleanup.enter_context(relayed(int(endpoint.rpartition(":")[2])))
        slow_down(folder)
        through = ["--instance-connect-endpoint-dns-name", f"localhost:{data_plane}"]
        quiet = [
            "-F",
            "none",
            "-o",
            "StrictHostKeyChecking=no",
            "-o",
            "UserKnownHostsFile=/dev/null",
            "-o",
            "LogLevel=ERROR",
        ]
        own = ["-i", str(folder / "key"), "-o", "IdentitiesOnly=yes"]
        proxy = shlex.join([EICCTL, "proxy", *through, "web-1"])
        commands = {
            "ssh, no tunnel": ["ssh", *quiet, *own, "-p", str(plain), "ec2-user@127.0.0.1", "true"],
            "eicctl ssh": [EICCTL, "ssh", *through, "web-1", "--", "true"],
            "ssh with eicctl proxy": ["ssh", *quiet, *own, "-o", f"ProxyCommand={proxy}", "ec2-user@web-1", "true"],
        }
        taken: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(ROUNDS):
            for name, words in commands.items():
                started = time.perf_counter()
                run(words, env)
                taken[name].append(time.perf_counter() - started)
    base = statistics.median(taken["ssh, no tunnel"])
    print("| command | median, ms | best, ms | over plain ssh, ms | ratio |\n| --- | --- | --- | --- | --- |")
    for name, times in taken.items():
        median = statistics.median(times)
        cells = [1000 * median, 1000 * min(times), 1000 * (median - base)]
        print(f"| {name} | {' | '.join(f'{cell:.0f}' for cell in cells)} | {median / base:.2f} |")


if __name__ == "__main__":
    main()
