"""What a reader types: every command of README, tutorial and how-to pages on a terminal, at 80 and at 120 columns.

A command is typed at 120 columns only if what it prints comes near the edge of 80: the others print the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypeVar

import pytest

from tests.e2e.conftest import Env, clean_env
from tests.e2e.test_pages import BLOG, DOCS, TUTORIAL, Step, steps
from tests.e2e.test_pages import env as env  # noqa: PLC0414 - the fixture
from tests.ports import free_port
from tests.terminal import Shell, Shown, exit_code, faults, terminal

HOW_TO = DOCS / "how-to"
README = DOCS.parent / "README.md"
BROKEN = [HOW_TO / "coverage.md", HOW_TO / "doctor.md"]
"""The pages about a world in which much cannot be reached; the first one starts it."""

OWN_ENDPOINT = [BLOG, HOW_TO / "first-endpoint.md"]
"""The how-to pages that create and delete endpoints."""

ACCOUNTS = HOW_TO / "several-accounts.md"
"""The page about a world with several accounts, which it starts."""

OWN_WORLD = [*OWN_ENDPOINT, *BROKEN, ACCOUNTS]

REST = [page for page in sorted(HOW_TO.glob("*.md")) if page not in OWN_WORLD]

START = [
    "eicctl local up --detach",
    'eval "$(eicctl local env)"',
    "eicctl create-endpoint --create-security-group --name office --wait",
    "eicctl ssh web-1 -- true",
]
"""What comes before the other how-to pages: an endpoint, and a last target."""

NOT_RUN = {
    r"(pipx|uv|pip) |make test": "install eicctl, or run these tests",
    r"make demo": "is eicctl demo: test_the_demo",
    r"eicctl create-endpoint .*--format": "needs a VPC without an endpoint: integration/test_infrastructure",
    r".*\bsudo |eicctl local up .*--data-port 443": "change the machine",
    r"aws |.* --aws-cli": "the AWS CLI, and a proxy for it alone: test_aws_cli",
    r"eicctl create-endpoint --wait$": "is the README's, without the security group; a VPC has one endpoint",
    r"ansible |rsync |git ": "programs of others, which see no terminal of ours: test_proxy, test_scp_sftp",
    r".*--iam-auth": "needs a database with IAM authentication: test_db",
    r".*systemctl": "asks this machine's systemd",
    r"ssh (-p 2222|-i my-key.pem|-o ProxyCommand)": "needs a key of the user's own on the instance",
    r"eicctl ssh web-2$": "needs an instance that is stopped: test_fixes",
    r"eicctl ui": "draws the whole screen: test_ui, integration/test_ui_instances and others",
    r"eicctl rdp .*--key-file": "needs a desktop: test_rdp",
    r"eicctl policy connect --from-audit": "needs records of a user: test_policies, integration/test_policy_from_audit",
    r".*s3://": "needs a bucket: integration/test_audit",
    r"eicctl audit --athena": "needs a table: integration/test_audit_athena",
    r"eicctl .*(--profile ('dev-\*'|'\*'|dev|owner)|--accounts 1111|--role ReadOnly)": "need accounts of the reader's: "
    "integration/test_accounts",
    r"export (HTTPS?_PROXY|NO_PROXY|AWS_CA_BUNDLE)|.*--ca-bundle": "need a proxy: integration/test_tunnel_proxies",
    r"eicctl tunnel --private-ip-address legacy": "needs a name that DNS knows: integration/test_aws_targets",
}
"""What is not run here, as patterns, and why, or where it is."""

ENDS = {
    r"eicctl db (?!.*&$)": [("GUI tools: .*\n", "\x03")],
    r"eicctl (tunnel|forward|rdp) (?!.*(--wait=2|&$))": [("Listening on .*\n", "\x03")],
    r"eicctl logs .*--follow": [("Listening on .*\n", "\x03")],
    r"eicctl ssh \S+( -L \S+|( --debug| --log-file \S+)?)$|ssh web-1\.eic": [(r"[$#] $", "exit\n")],
    r"eicctl sftp": [("sftp> ", "bye\n")],
    r"eicctl doctor .*--(fix|undo)": [(r"\[y/N\]: ", "y\n")],
    r"eicctl doctor$": [("no target", "no target\r")],
}
"""Commands that go on until somebody types something: what to wait for, and what to type."""

CODES = {
    r"eicctl (tunnel|forward|db|rdp .*--no-launch|logs .*--follow)(?!.*&$)": 130,
    r"eicctl doctor no-ingress$": 5,
    r"eicctl policy connect --port 22 2>/dev/null": 1,
    r"eicctl list-endpoints --accounts .*,444455556666": 1,
}
"""Exit codes other than 0."""

CHANGING = r"eval|kill|.*&$|eicctl (create|modify|delete)-endpoint|eicctl (up|down|local)"
"""Commands that are typed again where they stand on another page, too."""

FOR_PROGRAMS = (
    r".*--(output (json|text)|print-command|debug)|eicctl (sftp|man|completion|policy (admin|connect))|.* --dry-run$"
)
"""Commands whose result is a program's, or a file: its lines are as long as they are."""


def commands(page: Path) -> Iterator[Step]:
    """The commands of a page's blocks, whole ones where a line goes on."""
    text = page.read_text(encoding="utf-8")
    for step in steps(page):
        command, shown = step.command, list(step.shown)
        while command.endswith("\\") and shown:
            command += "\n" + shown.pop(0)
        yield Step(re.sub(r"  +# .*", "", command), tuple(shown))
    for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL):
        yield from (Step(re.sub(r"  +# .*", "", line), ()) for line in block.replace("\\\n", "").splitlines())


T = TypeVar("T")


def first(table: Mapping[str, T], command: str, otherwise: T) -> T:
    return next((value for pattern, value in table.items() if re.match(pattern, command)), otherwise)


class Reader:
    """Follows pages in a shell, and keeps what is wrong."""

    def __init__(self, shell: Shell, folder: Path) -> None:
        self.shell = shell
        self.folder = folder
        self.wrong: list[str] = []
        self._seen: set[tuple[str, bool]] = set()
        self._stand_ins = {port: str(free_port()) for port in ("13389", "15432", "1080", "2222", "16379", "8080")}
        self._stand_ins |= {
            "orders.abc.us-east-1.rds.amazonaws.com": "localhost",
            "local up": "local up --transition 0.1",
            "kill $!": "kill $! && { wait $!; true; }",
            "db orders": "db demo-db",
            "i-0123456789abcdef0": "$(eicctl instances --query \"[?Name=='app-1'].InstanceId\" --output text)",
            "subnet-0123456789abcdef0": "$(eicctl instances --query \"[?Name=='web-1'].SubnetId\" --output text)",
            "sg-0123456789abcdef0": "$(eicctl list-endpoints --query '[0].SecurityGroupIds[0]' --output text)",
        }

    def follow(self, page: Path, *, without: str = "$", wider: int = 0) -> None:
        """Type a page's commands.

        Args:
            page: The page.
            without: Commands to leave out, as a pattern.
            wider: The width at which to type again what comes near the terminal's edge.
        """
        text = page.read_text(encoding="utf-8")
        if tunnels := re.search(r"```toml\n(# eicctl.toml\n.*?)```", text, re.DOTALL):
            (self.folder / "eicctl.toml").write_text(self._here(tunnels[1]))
        for step in commands(page):
            key = (step.command, step.fails)
            if re.match(f"{without}|{'|'.join(NOT_RUN)}", step.command) or key in self._seen:
                continue
            changing = re.match(CHANGING, step.command)
            if not changing:
                self._seen.add(key)
            shown = self.type(step)
            longest = max(map(len, shown.lines), default=0)
            if not changing and longest > self.shell.width - 20 and not re.match(FOR_PROGRAMS, step.command):
                with self.shell.resized(wider or self.shell.width):
                    self.type(step)

    def type(self, step: Step) -> Shown:
        """Type a command, and look at the screen."""
        command = self._here(step.command)
        # What fails on the page is what a reader does not let eicctl fix.
        answers = [(r"\[Y/n\]: ", "n\n")] if step.fails else first(ENDS, step.command, [])
        shown = self.shell.run(command, *answers, until="Listening" if command.endswith("&") else "")
        code = first(CODES, step.command, 0)
        problems = [] if shown.code == code or (step.fails and shown.code) else [f"exit code {shown.code}"]
        problems += faults(shown.lines, self.shell.width if not re.match(FOR_PROGRAMS, command) else 10**6)
        if problems:
            self.wrong.append("\n".join((f"$ {command}", *shown.lines, *(f"!! {problem}" for problem in problems))))
        return shown

    def _here(self, text: str) -> str:
        for old, new in self._stand_ins.items():
            text = new.join(re.split(rf"(?<!\d){re.escape(old)}(?!\d)", text))
        return text


def test_every_command_of_readme_and_tutorial(env: Env, tmp_path: Path) -> None:
    with Shell(env, tmp_path, 80) as shell:
        reader = Reader(shell, tmp_path)
        reader.follow(README, wider=120)
        reader.follow(TUTORIAL, wider=120)
    assert not reader.wrong, "\n\n".join(reader.wrong)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("pages", [OWN_WORLD, REST[::2], REST[1::2]], ids=["own world", "even", "odd"])
def test_every_command_of_the_how_to_pages(pages: list[Path], env: Env, tmp_path: Path) -> None:
    for name in ("site/index.html", "policy.json", "app.tar"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("{}")
    with Shell(env, tmp_path, 80) as shell:
        reader = Reader(shell, tmp_path)
        for command in START if pages[0] in REST else []:
            reader.type(Step(command, ()))
        for page in pages:
            starts = page in (BLOG, BROKEN[0], ACCOUNTS)
            reader.follow(page, without="eicctl local down" if starts else "eicctl local (down|up)", wider=120)
            if page in (OWN_ENDPOINT[-1], BROKEN[-1]):
                reader.type(Step("eicctl local down", ()))
    assert not reader.wrong, "\n\n".join(reader.wrong)


@pytest.mark.parametrize("width", [80, 120])
def test_the_demo(tmp_path: Path, width: int) -> None:
    session = terminal(clean_env(tmp_path), "demo", size=(30, width))
    assert exit_code(session) == 0, session.before
    assert session.before
    assert session.before.count("✓") == 9
