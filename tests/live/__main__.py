"""Run the matrix against AWS: python -m tests.live run [--with windows,rds] … | clean | left. See --help.

It creates resources that cost money, asks before it does, and needs EICCTL_LIVE=1. With AWS_ENDPOINT_URL it uses the
local AWS, and costs nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import boto3
from botocore.exceptions import BotoCoreError, ClientError, WaiterError

import eicctl
from tests.live.cases import CASES, Failed, Live, Skipped
from tests.live.recording import LOCAL, RECORDINGS, Recording, differences, report
from tests.live.stack import TAG, Cleaner, Stack

PRICES = {
    "": ("2 t3.micro instances with 8 GB each, and some traffic", 0.03),
    "windows": ("a t3.medium Windows instance with 30 GB", 0.07),
    "rds": ("a db.t4g.micro database with 20 GB, and its secret", 0.03),
}
"""What is created, and US dollars for an hour in us-east-1 (2026). The endpoints cost nothing."""

HOURS = 1
"""The longest that a run takes, for the estimate: creation, the matrix, CloudTrail's delay, deletion."""

IMAGES = {
    "AmazonLinuxImage": ("amazon", "al2023-ami-2023.*-x86_64"),
    "UbuntuImage": ("099720109477", "ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64-server-*"),
    "WindowsImage": ("amazon", "Windows_Server-202*-English-Full-Base-*"),
}


def stop(message: str, code: int = 2) -> NoReturn:
    """End with an error."""
    print(f"error: {message}", file=sys.stderr)
    sys.exit(code)


def newest_image(session: boto3.Session, owner: str, name: str) -> str:
    """Return the ID of the newest image of a name."""
    filters = [{"Name": "name", "Values": [name]}, {"Name": "state", "Values": ["available"]}]
    found = session.client("ec2").describe_images(Owners=[owner], Filters=filters)["Images"]  # type: ignore[arg-type]
    if not found:
        stop(f"no image named {name} in {session.region_name}", 1)
    return max(found, key=lambda image: image.get("CreationDate", ""))["ImageId"]


def confirm(question: str, yes: bool) -> None:
    """Go on only after a yes."""
    if yes:
        return
    if not sys.stdin.isatty():
        stop("no terminal to ask on; pass --yes")
    if input(f"{question} [y/N] ").strip().lower() not in ("y", "yes"):
        stop("canceled", 1)


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """SIGTERM and SIGHUP end a run as Ctrl-C does: with its teardown."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run_cases(live: Live, cases: list[Callable[[Live], None]]) -> int:
    """Run cases, print each one's verdict, and return how many failed."""
    failed = 0
    for case in cases:
        live.case = case.__name__
        os.environ.update(live.env())  # for what runs in this process
        title = (case.__doc__ or "").strip()
        began = time.monotonic()
        try:
            case(live)
            verdict = "passed"
        except Skipped as why:
            verdict = f"skipped: {why}"
        except (Failed, BotoCoreError, ClientError, eicctl.EicctlError, OSError, ValueError, LookupError) as error:
            verdict = f"FAILED: {type(error).__name__}: {error}"
            failed += 1
        except subprocess.SubprocessError as error:
            verdict = f"FAILED: {error}"
            failed += 1
        print(f"{case.__name__:<13} {title}: {verdict} ({time.monotonic() - began:.0f} s)", flush=True)
    return failed


def tear_down(cleaner: Cleaner) -> bool:
    """Delete everything; a second Ctrl-C does not end that. Return whether nothing is left."""
    print("deleting what was created; this takes minutes on AWS", flush=True)
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        left = cleaner.clean()
    except (BotoCoreError, ClientError, TimeoutError) as error:
        print(f"error: {error}", file=sys.stderr)
        left = cleaner.left()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    for each in left:
        print(f"LEFT: {each}")
    print("nothing is left" if not left else f"{len(left)} resources are left: make test-aws-clean", flush=True)
    return not left


def run(options: argparse.Namespace, session: boto3.Session, local: bool) -> int:
    """Create, run the matrix, tear down, record, report."""
    extras = [word for word in options.extras.split(",") if word not in ("", "none")]
    if unknown := set(extras) - set(PRICES):
        stop(f"--with {', '.join(sorted(unknown))}: only windows and rds")
    cases = [case for case in CASES if not options.only or case.__name__ in options.only.split(",")]
    if not cases:
        stop(f"--only: one or more of {', '.join(case.__name__ for case in CASES)}")
    identity = session.client("sts").get_caller_identity()
    name = f"{TAG}-{datetime.now(UTC):%Y%m%d}-{secrets.token_hex(3)}"
    print(f"account {identity['Account']} ({identity['Arn']}), region {session.region_name}")
    print(f"run {name}: creates, and deletes at the end:")
    for part in ("", *extras):
        print(f"  {PRICES[part][0]}: {PRICES[part][1]:.2f} USD an hour")
    print("  2 VPCs, 3 subnets, security groups, 2 endpoints, 9 IAM roles: free")
    cost = sum(PRICES[part][1] for part in ("", *extras)) * HOURS
    print(f"about {cost:.2f} USD in all" if not local else "this is the local AWS, which costs nothing", flush=True)
    confirm("Create this?", options.yes)

    cleaner = Cleaner(session, local=local, run=name, note=lambda text: print(text, flush=True))
    about = {
        "Date": f"{datetime.now(UTC):%Y-%m-%d}",
        "Service": "local AWS" if local else "AWS",
        "Region": session.region_name,
        "Eicctl": eicctl.__version__,
        "Boto3": boto3.__version__,
    }
    recording = Recording(about)
    failed, interrupted = 0, False
    with interruptible(), tempfile.TemporaryDirectory(prefix="eicctl-live-") as folder:
        try:
            parameters = {key: newest_image(session, *image) for key, image in IMAGES.items() if key != "WindowsImage"}
            windows = "windows" in extras
            image = newest_image(session, *IMAGES["WindowsImage"]) if windows else parameters["UbuntuImage"]
            parameters |= {"WindowsImage": image, "WithWindows": str(windows).lower()}
            parameters["WithDatabase"] = str("rds" in extras).lower()
            began = time.monotonic()
            outputs = Stack(session, local=local, run=name).create(parameters)
            print(f"created in {time.monotonic() - began:.0f} s", flush=True)
            live = Live(session, local, name, outputs, Path(folder), recording, options)
            failed = run_cases(live, cases)
        except KeyboardInterrupt:
            interrupted = True
            print("interrupted", flush=True)
        except (WaiterError, ClientError, TimeoutError, BotoCoreError) as error:
            failed += 1
            print(f"FAILED: {error}", flush=True)
        finally:
            clean = tear_down(cleaner)
    path = options.recording or (RECORDINGS / f"{about['Date']}.json" if not local else None)
    if path:
        recording.save(path)
        print(f"recorded in {path}")
    if not interrupted:
        print("\n" + report(recording, shutil.get_terminal_size((120, 24)).columns))
        if not local and LOCAL.exists():
            found = list(differences(recording, Recording.load(LOCAL)))
            print("\nDifferences between AWS and the local AWS" + ("" if found else ": none"), *found, sep="\n  ")
    if interrupted:
        return 130
    return 1 if failed or not clean else 0


def main(words: list[str] | None = None) -> int:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.live", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    runs = commands.add_parser("run", help="create, run the matrix, delete, record, report")
    runs.add_argument("--with", dest="extras", default="none", metavar="windows,rds", help="what else is created")
    runs.add_argument("--only", default="", metavar="CASE,…", help="only these cases")
    runs.add_argument("--mfa-serial", metavar="ARN", help="an MFA device of the caller, for the case mfa")
    runs.add_argument("--mfa-code-command", metavar="COMMAND", help="prints a code; default: ask")
    runs.add_argument("--cloudtrail-minutes", type=float, default=20, metavar="N", help="wait for records; default: 20")
    runs.add_argument("--recording", type=Path, metavar="FILE", help="default: tests/live/recordings/DATE.json")
    cleans = commands.add_parser("clean", help="delete what earlier runs have left")
    for command in (runs, cleans):
        command.add_argument("-y", "--yes", action="store_true", help="do not ask")
    commands.add_parser("left", help="list what earlier runs have left")
    options = parser.parse_args(words)
    if os.environ.get("EICCTL_LIVE") != "1":
        stop("this creates and deletes resources in an AWS account; set EICCTL_LIVE=1 if that is what you want")
    local = bool(os.environ.get("AWS_ENDPOINT_URL"))
    session: Any = boto3.Session()
    if not session.region_name:
        stop("no region; set AWS_REGION")
    try:
        if options.command == "run":
            return run(options, session, local)
        cleaner = Cleaner(session, local=local, note=lambda text: print(text, flush=True))
        left = cleaner.left()
        for each in left:
            print(each)
        if options.command == "left" or not left:
            print(f"{len(left)} resources are left")
            return 1 if left else 0
        confirm("Delete these?", options.yes)
        return 0 if tear_down(cleaner) else 1
    except (BotoCoreError, ClientError) as error:
        stop(str(error), 1)


if __name__ == "__main__":
    sys.exit(main())
