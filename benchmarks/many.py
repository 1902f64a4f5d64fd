"""Large fleets: 5,000 instances in all regions, 1,000 hosts behind ten endpoints, 30 profiles; time, calls, memory.

`python -m benchmarks.many [--only PATTERN] [--hosts 1000] [--throttling SHARE]…`. Before one local AWS, which is on the
same cores; with and without EC2's request throttling.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.login import EICCTL, exported, run

PROFILES = 30
ENDPOINTS = 10
REGION = "us-east-1"

IMAGE = """
[[image]]
key = "amazon-linux"
name = "al2023-ami-2023.9.20260301.0-kernel-6.1-x86_64"
users = ["ec2-user"]
"""

VPC = """
[[vpc]]
name = "{name}"
cidr = "10.{number}.0.0/16"
region = "{region}"

[[vpc.subnet]]
name = "{name}-a"
cidr = "10.{number}.0.0/20"

[[vpc.group]]
name = "ssh"
ingress = ["22 from 10.{number}.0.0/16"]

[[vpc.endpoint]]
subnet = "{name}-a"

[[vpc.instance]]
name = "{name}"
address = "10.{number}.1.0"
count = {count}
groups = ["ssh"]
tags = {{ Fleet = "{fleet}" }}
"""


def fleet(hosts: int, regions: list[str], total: int) -> str:
    """A world file: the hosts of `run` behind ten endpoints, ten instances in each other region, and the rest here."""
    vpcs = [(f"run-{number}", REGION, hosts // ENDPOINTS, "run") for number in range(ENDPOINTS)]
    vpcs += [(f"small-{region}", region, 10, "small") for region in regions if region != REGION]
    left = total - sum(count for _, _, count, _ in vpcs)
    vpcs += [(f"web-{number}", REGION, count, "web") for number, count in enumerate(_parts(left, 900))]
    return IMAGE + "".join(
        VPC.format(name=name, number=number, region=region, count=count, fleet=tag)
        for number, (name, region, count, tag) in enumerate(vpcs)
    )


def _parts(total: int, most: int) -> list[int]:
    return [min(most, total - start) for start in range(0, total, most)]


class Local:
    """The local AWS with the fleet, and the environment of a user with 30 profiles."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self.folder, self.env = folder, env
        running = json.loads((folder / "state" / "local" / "running.json").read_text())
        self._url, self._token = running["url"], running["token"]

    def ask(self, method: str, resource: str, content: Any = None) -> Any:
        """A request to the control API."""
        request = urllib.request.Request(
            f"{self._url}/_eicctl/{resource}",
            None if content is None else json.dumps(content).encode(),
            {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"},
            method=method,
        )
        with urllib.request.urlopen(request) as response:
            return json.loads(response.read())

    def calls(self) -> tuple[int, int]:
        """How many calls there were, and how many of them were throttled."""
        rows = [row for region in self.ask("GET", "calls").values() for row in region.values()]
        return sum(row["calls"] for row in rows), sum(row["throttled"] for row in rows)


@contextlib.contextmanager
def local(hosts: int, total: int) -> Iterator[Local]:
    """Start the local AWS with the fleet."""
    # In a process of its own: the memory of this one is the least that is measured of those that it starts.
    listing = (
        "import moto.ec2.models.instance_types as types; print(*types.INSTANCE_TYPE_OFFERINGS['availability-zone'])"
    )
    regions = sorted(run([sys.executable, "-c", listing], dict(os.environ)).split())
    with tempfile.TemporaryDirectory(prefix="bench-") as text:
        folder = Path(text)
        env = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        env.pop("PYTHONDONTWRITEBYTECODE", None)
        env |= {"EICCTL_HOME": text, "HOME": text, "PYTHONPYCACHEPREFIX": f"{text}/pycache", "EICCTL_AGENT": "on"}
        (folder / "world.toml").write_text(fleet(hosts, regions, total))
        words = [EICCTL, "local", "up", "--world", str(folder / "world.toml")]
        with (folder / "local.log").open("wb") as log, subprocess.Popen(words, env=env, stderr=log) as process:
            try:
                record = folder / "state" / "local" / "running.json"
                while not record.exists():
                    if process.poll() is not None:
                        sys.exit((folder / "local.log").read_text())
                    time.sleep(0.2)
                env |= exported(run([EICCTL, "local", "env"], env))
                _profiles(folder, env)
                yield Local(folder, env)
                run([EICCTL, "down", "--all"], env)
            finally:
                process.terminate()


def _profiles(folder: Path, env: dict[str, str]) -> None:
    keys = "".join(f"{name.lower()} = {env.pop(name)}\n" for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"))
    names = ["default", *(f"profile team-{number}" for number in range(1, PROFILES))]
    config = folder / "aws-config"
    config.write_text("".join(f"[{name}]\nregion = {REGION}\n{keys}\n" for name in names))
    env["AWS_CONFIG_FILE"], env["AWS_SHARED_CREDENTIALS_FILE"] = str(config), str(folder / "none")


@dataclass
class Measured:
    """What a command took; memory is the peak of its largest process."""

    seconds: float
    cpu: float
    calls: int
    throttled: int
    mib: float
    note: str


def measure(aws: Local, words: list[str], env: dict[str, str] | None = None) -> Measured:
    """Run a command, and count its calls."""
    aws.ask("DELETE", "calls")
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        started = time.perf_counter()
        process = subprocess.Popen(words, env=aws.env | (env or {}), stdin=subprocess.DEVNULL, stdout=out, stderr=err)
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            process.terminate()
            raise
        seconds = time.perf_counter() - started
        process.returncode = code = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        lines, problems = out.read().count(b"\n"), err.read().decode().strip().splitlines()
    note = f"exit {code}, {lines} lines" + (f"; {problems[-1][:90]}" if problems else "")
    cpu = usage.ru_utime + usage.ru_stime
    return Measured(seconds, cpu, *aws.calls(), usage.ru_maxrss / 1024, note)


def commands(share: float) -> Iterator[tuple[str, list[str], dict[str, str]]]:
    """The commands: a name, the words, and variables. With a tenth of EC2's rates, `run` would take half an hour."""
    yield "instances", [EICCTL, "instances"], {}
    yield "instances --all-regions", [EICCTL, "instances", "--all-regions"], {}
    yield "coverage", [EICCTL, "coverage"], {}
    yield "coverage --all-regions", [EICCTL, "coverage", "--all-regions"], {}
    profiles = [word for number in range(1, PROFILES) for word in ("--profile", f"team-{number}")]
    yield "coverage, 30 profiles", [EICCTL, "coverage", "--all-regions", *profiles], {}
    yield "ssh NAME -- true", [EICCTL, "ssh", "web-0-500", "--", "true"], {}
    line = "eicctl ssh web-0-5"
    yield "Tab: ssh web-0-5", [EICCTL], {"_EICCTL_COMPLETE": "zsh_complete", "COMP_LINE": line}
    yield "Tab: ssh", [EICCTL], {"_EICCTL_COMPLETE": "zsh_complete", "COMP_LINE": "eicctl ssh "}
    if not 0 < share < 1:
        yield "run", [EICCTL, "run", "--tag", "Fleet=run", "--parallel", "200", "--", "true"], {}


class Terminal:
    """A program on a terminal of 120 columns."""

    def __init__(self, words: list[str], env: dict[str, str]) -> None:
        self.started = time.perf_counter()
        self.pid, self._descriptor = pty.fork()
        if not self.pid:
            os.execvpe(words[0], words, {**env, "TERM": "xterm-256color", "COLUMNS": "120", "LINES": "40"})

    def until(self, text: bytes) -> float:
        """Wait until a text was written; return the ms since the last start."""
        written = b""
        while text not in written:
            if not select.select([self._descriptor], [], [], 60)[0]:
                sys.exit(f"no {text!r} in {written[-500:]!r}")
            written += os.read(self._descriptor, 65536)
        return 1000 * (time.perf_counter() - self.started)

    def press(self, keys: bytes) -> None:
        """Type; the time counts from now on."""
        self.started = time.perf_counter()
        os.write(self._descriptor, keys)

    def end(self) -> float:
        """Cancel, and wait for the end; return the peak of memory in MiB."""
        self.press(b"\x1b")
        with contextlib.suppress(OSError):
            while os.read(self._descriptor, 65536):
                pass
        usage = os.wait4(self.pid, 0)[2]
        os.close(self._descriptor)
        return usage.ru_maxrss / 1024


def picker(aws: Local) -> list[str]:
    """The list in which one chooses: to the first frame, to the refreshed one, and for a key."""
    aws.ask("DELETE", "calls")
    terminal = Terminal([EICCTL, "ssh"], aws.env)
    first = terminal.until(b"esc to cancel")
    terminal.press(b"7")
    key = terminal.until(b" of ")
    terminal.press(b"\x1b[B")
    down = terminal.until(b" of ")
    mib = terminal.end()
    return [f"first frame {first:.0f} ms", f"filter by a key {key:.0f} ms", f"arrow {down:.0f} ms", f"{mib:.0f} MiB"]


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="only commands whose name matches this pattern")
    parser.add_argument("--hosts", type=int, default=1000, help="hosts of run")
    parser.add_argument("--instances", type=int, default=5000, help="all instances")
    parser.add_argument("--throttling", type=float, action="append", help="shares of EC2's rates; 0 for none")
    words = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))  # with the local AWS
    with local(words.hosts, words.instances) as aws:
        run([EICCTL, "version"], aws.env)
        print("| command | throttling | s | CPU-s | API calls | throttled | peak RSS, MiB | |")
        print("| --- | --- | --- | --- | --- | --- | --- | --- |")
        for share in words.throttling or (0, 1, 0.1):
            aws.ask("POST", "settings", {"throttling": share})
            for name, line, env in commands(share):
                if re.search(words.only, name):
                    found = measure(aws, line, env)
                    print(
                        f"| {name} | {share or 'none'} | {found.seconds:.2f} | {found.cpu:.2f} | {found.calls} "
                        f"| {found.throttled} | {found.mib:.0f} | {found.note} |",
                        flush=True,
                    )
        aws.ask("POST", "settings", {"throttling": 0})
        if re.search(words.only, "picker"):
            print("\nThe list:", ", ".join(picker(aws)))


if __name__ == "__main__":
    main()
