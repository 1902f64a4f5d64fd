"""The matrix: what a run does, in this order. Each case is a function; its docstring's first line is its title."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from tests.live import raw
from tests.live.recording import Recording
from tests.live.stack import ROLE_PATH, TAG, wait
from tests.processes import PROGRAM

AMAZON, UBUNTU, WINDOWS, NOBODY = "10.99.1.10", "10.99.2.10", "10.99.1.30", "10.99.1.200"
"""The template's addresses; at the last one is nothing."""


class Failed(Exception):
    """A case did not go as it should."""


class Skipped(Exception):
    """A case was not asked for, or cannot be here."""


@dataclass
class Live:
    """A run: what the template has created, and what cases share.

    Attributes:
        session: boto3's session, with the caller's credentials.
        local: Whether it is the local AWS.
        run: The run's name.
        outputs: The stack's outputs.
        folder: A private folder: eicctl's home, and the files that are copied.
        options: What the command line asked for.
    """

    session: boto3.Session
    local: bool
    run: str
    outputs: dict[str, str]
    folder: Path
    recording: Recording
    options: Any
    began: datetime = field(default_factory=lambda: datetime.now(UTC))
    case: str = ""

    def env(self) -> dict[str, str]:
        """The environment of commands: the caller's credentials now, and a home of its own."""
        kept = {name: value for name, value in os.environ.items() if name != "AWS_PROFILE"}
        keys = self.session.get_credentials().get_frozen_credentials()  # type: ignore[union-attr]
        env = kept | {
            "AWS_ACCESS_KEY_ID": str(keys.access_key),
            "AWS_SECRET_ACCESS_KEY": str(keys.secret_key),
            "AWS_REGION": self.session.region_name,
            "AWS_CONFIG_FILE": str(self.folder / "config"),
            "AWS_SHARED_CREDENTIALS_FILE": str(self.folder / "credentials"),
            "EICCTL_HOME": str(self.folder / "eicctl"),
            "EICCTL_AGENT": "off",
            "PATH": f"{Path(PROGRAM).parent}{os.pathsep}{os.environ['PATH']}",
        }
        return env | ({"AWS_SESSION_TOKEN": keys.token} if keys.token else {})

    def eicctl(self, *words: str, ok: Sequence[int] = (0,), timeout: float = 120, stdin: bytes = b"") -> str:
        """Run eicctl, and return what it wrote to stdout.

        Raises:
            Failed: Its exit code is not one of those.
        """
        return self.program("eicctl", *words, ok=ok, timeout=timeout, stdin=stdin)

    def program(self, *words: str, ok: Sequence[int] = (0,), timeout: float = 120, stdin: bytes = b"") -> str:
        """Run a program, and return what it wrote to stdout."""
        done = subprocess.run(words, env=self.env(), input=stdin, capture_output=True, timeout=timeout, check=False)
        if done.returncode not in ok:
            raise Failed(f"{' '.join(words)}: exit code {done.returncode}: {done.stderr.decode(errors='replace')}")
        return done.stdout.decode(errors="replace")

    def rows(self, *words: str) -> Any:
        """Run eicctl, and return its JSON output."""
        return json.loads(self.eicctl(*words, "--output", "json"))

    @contextlib.contextmanager
    def listening(self, *words: str) -> Iterator[tuple[int, Callable[[], dict[str, Any]]]]:
        """Run a command that listens; give its port, and what returns the next event."""
        command = [PROGRAM, *words, "--output", "json"]
        with (
            tempfile.TemporaryFile() as errors,
            subprocess.Popen(
                command, env=self.env(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors
            ) as process,
        ):
            assert process.stdout
            lines = process.stdout

            def event() -> dict[str, Any]:
                line = lines.readline()
                if not line:
                    errors.seek(0)
                    raise Failed(f"{' '.join(words)}: {errors.read().decode(errors='replace')}")
                found: dict[str, Any] = json.loads(line)
                return found

            try:
                while (found := event())["Event"] != "listening":
                    pass
                yield found["LocalPort"], event
            finally:
                process.terminate()

    def door(self, credentials: Credentials | None = None) -> raw.Door:
        """The endpoint, for tunnels without eicctl."""
        endpoint = self.endpoint()
        keys = credentials or self.session.get_credentials()
        return raw.Door(endpoint["InstanceConnectEndpointId"], endpoint["DnsName"], self.session.region_name, keys)  # type: ignore[arg-type]

    def endpoint(self) -> dict[str, Any]:
        """The endpoint, as EC2 describes it."""
        ids = [self.outputs["Endpoint"]]
        found = self.client("ec2").describe_instance_connect_endpoints(InstanceConnectEndpointIds=ids)
        row: dict[str, Any] = found["InstanceConnectEndpoints"][0]
        return row

    def client(self, service: str) -> Any:
        """boto3's client of a service."""
        return self.session.client(service)  # type: ignore[call-overload]

    def answered(self, kind: str, answer: raw.Answer) -> raw.Answer:
        """Record an answer, and return it."""
        self.recording.add(self.case, kind, **answer.fields())
        return answer

    def refused(self, kind: str, call: Callable[..., Any], **words: Any) -> str:
        """Make a call of an API that is refused; record the error, and return its code."""
        try:
            call(**words)
        except ClientError as error:
            code = error.response["Error"]["Code"]
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            self.recording.add(
                self.case, kind, Status=status, ErrorCode=code, Message=error.response["Error"]["Message"]
            )
            return str(code)
        raise Failed(f"{kind}: it was not refused")

    def observe(self, fact: str, holds: bool | None, seen: object) -> None:
        """Note what was seen of a fact of the protocol page."""
        self.recording.observe(fact, holds, seen)


def expect(condition: object, seen: object) -> None:
    """Fail a case unless a condition holds."""
    if not condition:
        raise Failed(str(seen))


def greeting(port: int) -> bytes:
    """The first bytes at a local port."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        return client.recv(100)


# Endpoints


def boot(live: Live) -> None:
    """both Linux instances accept a login"""
    began = time.monotonic()
    live.eicctl("ssh", "--wait=900", live.outputs["AmazonLinux"], "--", "true", timeout=1000)
    live.recording.add(live.case, "first login", Seconds=round(time.monotonic() - began))
    live.observe("It needs the EC2 Instance Connect package", True, "Amazon Linux 2023 accepted a pushed key")
    live.observe("`SendSSHPublicKey` (`InstanceId`", True, "a login with a pushed key")


def listing(live: Live) -> None:
    """list-endpoints, show-endpoint, instances"""
    endpoint = live.outputs["Endpoint"]
    ids = [row["InstanceConnectEndpointId"] for row in live.rows("list-endpoints")]
    expect(endpoint in ids, ids)
    row = live.rows("show-endpoint", endpoint)
    expect(row["State"] == "create-complete", row)
    names = {row["InstanceId"]: row["InstanceConnectEndpointId"] for row in live.rows("instances")}
    expect(names.get(live.outputs["AmazonLinux"]) == endpoint, names)
    described = live.endpoint()
    live.recording.add(live.case, "endpoint", Endpoint=described)
    live.observe("States are", described["State"] == "create-complete", described["State"])
    dualstack = described.get("PublicDnsNames", {}).get("Dualstack", {}).get("DnsName")
    live.observe("The format of dual-stack DNS names", None, dualstack or "none for an ipv4 endpoint")
    live.observe("The DNS names are", bool(described.get("DnsName")), sorted(described.get("PublicDnsNames", {})))


def lifecycle(live: Live) -> None:
    """create-endpoint with a group of its own, modify-endpoint, delete-endpoint"""
    vpc = live.outputs["OtherVpc"]
    began = time.monotonic()
    words = ("--vpc-id", vpc, "--create-security-group", "--name", "live-other", "--tag", f"{TAG}={live.run}")
    made = live.rows("create-endpoint", *words, "--wait", "--timeout", "900")
    seconds = time.monotonic() - began
    endpoint = made["InstanceConnectEndpointId"]
    live.recording.add(live.case, "created", Seconds=round(seconds), State=made["State"])
    live.observe("Creation takes minutes", None if live.local else seconds > 30, f"{seconds:.0f} s")
    ec2 = live.client("ec2")
    code = live.refused("second endpoint", ec2.create_instance_connect_endpoint, SubnetId=live.outputs["OtherSubnet"])
    live.observe("The error codes of other refusals", None, f"a second endpoint in a VPC: {code}")
    live.eicctl("modify-endpoint", endpoint, "--preserve-client-ip", "--wait", "--timeout", "900", timeout=1000)
    row = live.rows("show-endpoint", endpoint)
    expect(row["PreserveClientIp"] is True, row)
    live.recording.add(live.case, "modified", State=row["State"], StateMessage=row["StateMessage"])
    live.observe("`ModifyInstanceConnectEndpoint` changes", True, f"PreserveClientIp, then {row['State']}")
    live.eicctl("delete-endpoint", endpoint, "--yes", "--wait", timeout=1000)
    code = live.refused(
        "deleted endpoint",
        ec2.describe_instance_connect_endpoints,
        InstanceConnectEndpointIds=["eice-0123456789abcdef0"],
    )
    code += ", " + live.refused(
        "malformed ID", ec2.delete_instance_connect_endpoint, InstanceConnectEndpointId="eice-1"
    )
    words_of_dry_run = {"SubnetId": live.outputs["OtherSubnet"], "DryRun": True}
    code += ", " + live.refused("dry run", ec2.create_instance_connect_endpoint, **words_of_dry_run)
    live.observe("Error codes:", "NotFound" in code and "Malformed" in code and "DryRunOperation" in code, code)


# OpenSSH and what is on top of it


def ssh(live: Live) -> None:
    """ssh: a command, its exit code, its input"""
    amazon = live.outputs["AmazonLinux"]
    expect(live.eicctl("ssh", amazon, "--", "echo", "hello") == "hello\n", "no hello")
    live.eicctl("ssh", amazon, "--", "exit", "7", ok=(7,))
    data = os.urandom(200_000).hex()
    expect(live.eicctl("ssh", amazon, "--", "cat", stdin=data.encode()) == data, "other bytes came back")
    console = live.client("ec2").get_console_output(InstanceId=amazon).get("Output", "")
    live.observe("At first boot, cloud-init prints", "BEGIN SSH HOST KEY KEYS" in console, f"{len(console)} characters")


def copies(live: Live) -> None:
    """scp, sftp and rsync: there and back"""
    amazon = live.outputs["AmazonLinux"]
    there, back = live.folder / "there", live.folder / "back"
    there.write_bytes(os.urandom(300_000))
    live.eicctl("scp", str(there), f"{amazon}:eicctl-live")
    live.eicctl("scp", f"{amazon}:eicctl-live", str(back))
    expect(there.read_bytes() == back.read_bytes(), "scp: other bytes came back")
    batch = f"get eicctl-live {back}-sftp\n"
    live.eicctl("sftp", "-b", "-", amazon, stdin=batch.encode())
    expect(there.read_bytes() == Path(f"{back}-sftp").read_bytes(), "sftp: other bytes came back")
    live.program("rsync", "-e", "eicctl ssh", f"{amazon}:eicctl-live", f"{back}-rsync")
    expect(there.read_bytes() == Path(f"{back}-rsync").read_bytes(), "rsync: other bytes came back")


def fleet(live: Live) -> None:
    """run, by tag"""
    words = ("--tag", f"{TAG}={live.run}", "--tag", "Name=live-amazon", "--output", "json")
    (row,) = json.loads(live.eicctl("run", *words, "--", "echo", "hello"))
    expect((row["ExitCode"], row["Stdout"]) == (0, "hello\n"), row)


def ssh_config(live: Live) -> None:
    """ssh-config, and plain ssh with its block"""
    amazon = live.outputs["AmazonLinux"]
    config = live.folder / "ssh_config"
    config.write_text(live.eicctl("ssh-config", amazon, "--print"), encoding="utf-8")
    host = next(line.split()[1] for line in config.read_text().splitlines() if line.startswith("Host "))
    expect(live.program("ssh", "-F", str(config), host, "echo", "hello") == "hello\n", "no hello")


# Ports


def tunnel(live: Live) -> None:
    """tunnel: a local port"""
    amazon = live.outputs["AmazonLinux"]
    with live.listening("tunnel", amazon, "--remote-port", "22", "--local-port", "0") as (port, _):
        banner = greeting(port)
        expect(banner.startswith(b"SSH-2.0-"), banner)


def forward(live: Live) -> None:
    """forward: any port, through SSH on an instance"""
    amazon = live.outputs["AmazonLinux"]
    with live.listening("forward", "--via", amazon, f"0:{AMAZON}:22") as (port, _):
        banner = greeting(port)
        expect(banner.startswith(b"SSH-2.0-"), banner)


def database(live: Live) -> None:
    """db: a PostgreSQL server answers at the local port"""
    if "Database" not in live.outputs:
        raise Skipped("asked for by --with rds")
    if live.local:
        raise Skipped("the local AWS has no server behind a database that the API has created")
    via = live.outputs["AmazonLinux"]
    with (
        live.listening("db", live.outputs["Database"], "--via", via, "--local-port", "0") as (port, _),
        socket.create_connection(("127.0.0.1", port), timeout=30) as client,
    ):
        client.sendall(bytes.fromhex("0000000804d2162f"))  # SSLRequest
        answer = client.recv(1)
        expect(answer == b"S", answer)


def desktop(live: Live) -> None:
    """Remote Desktop: the server answers a connection request"""
    if "Windows" not in live.outputs:
        raise Skipped("asked for by --with windows")
    words = ("tunnel", live.outputs["Windows"], "--remote-port", "3389", "--local-port", "0", "--wait=900")
    with (
        live.listening(*words) as (port, _),
        socket.create_connection(("127.0.0.1", port), timeout=60) as client,
    ):
        client.sendall(bytes([3, 0, 0, 11, 6, 0xE0, 0, 0, 0, 0, 0]))
        answer = client.recv(4)
        expect(answer[:1] == b"\x03", answer)


# The data plane, without eicctl


def handshakes(live: Live) -> None:
    """raw tunnels: the answers to good and bad handshakes"""
    door = live.door()
    good = live.answered("good", raw.attempt(door.url(AMAZON), send=b"not SSH\r\n"))
    expect(good.status == 101, good)
    live.observe("It is signed with SigV4 in the query", good.status == 101, f"HTTP {good.status}")
    live.observe("The request is `GET wss://DnsName/openTunnel`", good.status == 101, f"HTTP {good.status}")
    live.observe("The request has an address and never", good.status == 101, f"HTTP {good.status}")
    live.observe("Bytes travel in binary frames", isinstance(good.first, bytes), type(good.first).__name__)
    request_id = good.headers.get("x-amzn-requestid", "")
    live.observe("The answer to the handshake has an `x-amzn-requestid`", bool(request_id), request_id or "none")
    end = f"{good.close_code} {good.close_reason!r}"
    live.observe("The server ends a tunnel with a close frame", good.close_code == 1000, f"the target closed: {end}")

    port = live.answered("port 23", raw.attempt(door.url(AMAZON, 23)))
    live.observe("Remote ports 22 and 3389 only", port.status != 101, f"HTTP {port.status} {port.body}")
    live.observe("A refused handshake is an HTTP error", bool(port.error_code), f"HTTP {port.status} {port.body}")

    nobody = live.answered("nobody there", raw.attempt(door.url(NOBODY), seconds=90))
    seen = f"HTTP {nobody.status}, then {nobody.close_code} {nobody.close_reason!r} after {nobody.seconds:.1f} s"
    holds = nobody.status == 101 and "Unable to connect to target" in nobody.close_reason
    live.observe("`Unable to connect to target` is such a reason", holds, seen)
    closed = live.answered("closed port", raw.attempt(door.url(AMAZON, 3389), seconds=90))
    expect(closed.status == 101, closed)

    name = live.client("ec2").describe_instances(InstanceIds=[live.outputs["AmazonLinux"]])
    dns = name["Reservations"][0]["Instances"][0]["PrivateDnsName"]
    by_name = live.answered("DNS name", raw.attempt(door.url(dns), send=b"not SSH\r\n"))
    seen = f"HTTP {by_name.status} {by_name.body or by_name.close_reason}"
    live.observe("Whether the service resolves a DNS name", None, seen)

    for duration in (0, 3601):
        live.answered(f"duration {duration}", raw.knock(door.url(AMAZON, maxTunnelDuration=duration)))
    bad = Credentials("AKIAEXAMPLEEXAMPLE00", "wrong")
    refused = live.answered("unknown key", raw.knock(live.door(bad).url(AMAZON)))
    expect(refused.status in (401, 403), refused)
    spoiled = live.answered("bad signature", raw.knock(door.url(AMAZON)[:-4] + "0000"))
    expect(spoiled.status in (400, 401, 403), spoiled)


def durations(live: Live) -> None:
    """the end of a tunnel at its maximum duration: raw, and by tunnel"""
    answer = live.answered("5 s", raw.attempt(live.door().url(AMAZON, maxTunnelDuration=3), seconds=60))
    seen = f"{answer.close_code} {answer.close_reason!r} after {answer.seconds:.1f} s"
    live.observe("The code and the reason of the close when the maximum duration", None, seen)
    live.observe("A TCP connection lasts 1 to 3,600 s", 1 < answer.seconds < 30, seen)
    words = ("tunnel", live.outputs["AmazonLinux"], "--remote-port", "22", "--local-port", "0")
    with (
        live.listening(*words, "--max-tunnel-duration", "2") as (port, event),
        socket.create_connection(("127.0.0.1", port), timeout=30) as client,
    ):
        while client.recv(100):
            pass
        while (found := event())["Event"] != "closed":
            pass
        expect("duration" in found["Reason"].lower() + str(found.get("Error")).lower(), found)


def limit(live: Live) -> None:
    """the 21st connection: raw"""
    door = live.door()
    answers = raw.crowd([door.url(AMAZON) for _ in range(21)])
    *first, last = answers
    words = list(raw.shown(answers))
    live.answered("21st", last)
    live.observe("20 concurrent connections per endpoint", last.status != 101, f"{words.count('101')} of 21 accepted")
    live.observe("The answer to the 21st concurrent connection", None, f"HTTP {last.status} {last.body}")
    expect(all(answer.status == 101 for answer in first), words)


def crowd(live: Live) -> None:
    """25 connections at once, by the library: 5 wait for a slot"""
    import eicctl

    results: list[bytes | Exception] = []
    target = eicctl.connect(live.outputs["AmazonLinux"])  # its target is looked up once
    target.close()
    ready = threading.Barrier(25)

    def one() -> None:
        ready.wait()
        try:
            with eicctl.connect(target.target, queue_timeout=120) as sock:
                sock.settimeout(60)
                results.append(sock.recv(100))
                time.sleep(0.5)  # so that all 20 slots are in use
        except Exception as error:
            results.append(error)

    threads = [threading.Thread(target=one) for _ in range(25)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(180)
    good = [each for each in results if isinstance(each, bytes) and each.startswith(b"SSH-2.0-")]
    expect(len(good) == 25, results)


# Diagnosis


def doctor(live: Live) -> None:
    """doctor on a group that lets nothing in: the cause, --fix, a login, --undo"""
    ubuntu = live.outputs["Ubuntu"]
    found = json.loads(live.eicctl("doctor", ubuntu, "--output", "json", ok=(5,)))
    expect(live.outputs["ClosedGroup"] in json.dumps(found["Cause"]), found["Cause"])
    live.eicctl("doctor", ubuntu, "--fix", "--yes")
    name = live.eicctl("ssh", "--wait=900", ubuntu, "--", "whoami", timeout=1000)
    expect(live.local or name == "ubuntu\n", name)
    live.eicctl("doctor", ubuntu)
    live.eicctl("doctor", ubuntu, "--undo", "--yes")
    live.eicctl("doctor", ubuntu, "--output", "json", ok=(5,))
    live.observe("The endpoint's group needs egress to the target", True, "its inbound rules are none")


# Permissions


@dataclass(frozen=True)
class Rule:
    """A policy of `eicctl policy connect`, and what it should allow.

    Attributes:
        name: The role's name, without a dash.
        options: Of `eicctl policy connect`.
        allowed: A tunnel's address, port and duration (0 for none) that it allows.
        denied: The same that it denies.
    """

    name: str
    options: tuple[str, ...]
    allowed: tuple[str, int, int] | None
    denied: tuple[str, int, int] | None


RULES = (
    Rule("port", ("--port", "22"), (AMAZON, 22, 0), (AMAZON, 3389, 0)),
    Rule("address", ("--cidr", "10.99.1.0/24"), (AMAZON, 22, 0), (UBUNTU, 22, 0)),
    Rule("duration", ("--max-duration", "900"), (AMAZON, 22, 900), (AMAZON, 22, 901)),
    Rule("noduration", ("--max-duration", "900"), (AMAZON, 22, 900), (AMAZON, 22, 0)),
    Rule("endpoint", ("--endpoint", "{endpoint}"), (AMAZON, 22, 0), None),
    Rule("other", ("--endpoint", "eice-0123456789abcdef0"), None, (AMAZON, 22, 0)),
    Rule("source", ("--source-ip", "192.0.2.0/24"), None, (AMAZON, 22, 0)),
)


def make_roles(live: Live) -> dict[str, Credentials]:
    """Create a role for each rule, and return their credentials."""
    iam, sts = live.client("iam"), live.client("sts")
    account = sts.get_caller_identity()["Account"]
    principal = {"AWS": f"arn:aws:iam::{account}:root"}
    trust = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}],
    }
    user_rules = (
        Rule("user", ("--os-user", "ec2-user", "--instance-tag", f"{TAG}={live.run}"), None, None),
        Rule("tag", ("--os-user", "ec2-user", "--instance-tag", f"{TAG}=other"), None, None),
    )
    found = {}
    for rule in (*RULES, *user_rules):
        options = [option.format(endpoint=live.outputs["Endpoint"]) for option in rule.options]
        policy = live.eicctl("policy", "connect", *options)
        role = f"{live.run}-{rule.name}"
        tags = [{"Key": TAG, "Value": live.run}]
        words = {"RoleName": role, "Path": ROLE_PATH, "AssumeRolePolicyDocument": json.dumps(trust), "Tags": tags}
        arn = iam.create_role(**words)["Role"]["Arn"]
        iam.put_role_policy(RoleName=role, PolicyName="eicctl", PolicyDocument=policy)

        def assume(arn: str = arn, name: str = rule.name) -> bool:
            with contextlib.suppress(ClientError):  # a new role is not known everywhere at once
                keys = sts.assume_role(RoleArn=arn, RoleSessionName="eicctl-live", DurationSeconds=3600)["Credentials"]
                found[name] = Credentials(keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"])
            return name in found

        wait(assume, f"assuming {role}", 120, 0.1 if live.local else 5)
    with (live.folder / "credentials").open("a", encoding="utf-8") as file:
        for name, keys in found.items():
            file.write(f"[{name}]\naws_access_key_id = {keys.access_key}\n")
            file.write(f"aws_secret_access_key = {keys.secret_key}\naws_session_token = {keys.token}\n\n")
    (live.folder / "credentials").chmod(0o600)
    return found


def conditions(live: Live) -> None:
    """allowed and denied by each condition key, with the policies that eicctl policy writes"""
    roles = make_roles(live)
    patience = 1 if live.local else 120
    wrong = []
    for rule in RULES:
        door = live.door(roles[rule.name])

        def ask(what: tuple[str, int, int], door: raw.Door = door) -> raw.Answer:
            address, port, duration = what
            return raw.knock(door.url(address, port, **({"maxTunnelDuration": duration} if duration else {})))

        if rule.allowed:
            wanted = rule.allowed
            with contextlib.suppress(TimeoutError):  # policies take a moment; what it is then is recorded
                wait(lambda: ask(wanted).status == 101, rule.name, patience, 0.2 if live.local else 5)  # noqa: B023
            answer = ask(rule.allowed)
            live.recording.add(live.case, f"{rule.name} allowed", Allowed=answer.status == 101)
            wrong += [] if answer.status == 101 else [f"{rule.name}: {rule.allowed} is denied: {answer.body}"]
        if rule.denied:
            answer = live.answered(f"{rule.name} denied", ask(rule.denied))
            wrong += [] if answer.status != 101 else [f"{rule.name}: {rule.denied} is allowed"]
            if rule.name in ("duration", "noduration"):
                seen = f"HTTP {answer.status} {answer.body}"
                start = (
                    "The answer is `AccessDeniedException`"
                    if rule.name == "duration"
                    else "Where a policy has a condition"
                )
                live.observe(start, "AccessDenied" in answer.error_code, seen)
    live.observe("Its condition keys:", not wrong, "; ".join(wrong) or "port, address, duration, endpoint, source")
    live.observe("To connect: `ec2-instance-connect:OpenTunnel`", not wrong, "by the endpoint's ARN")
    amazon = live.outputs["AmazonLinux"]
    live.eicctl("ssh", amazon, "--profile", "user", "--", "true")
    live.eicctl("ssh", f"root@{amazon}", "--profile", "user", "--", "true", ok=(4, 255))
    live.eicctl("ssh", amazon, "--profile", "tag", "--", "true", ok=(4, 255))
    live.observe("To push a key: `ec2-instance-connect:SendSSHPublicKey`", True, "ec2:osuser and the instance's tag")
    denied = live.program("eicctl", "proxy", amazon, "--profile", "source", ok=(4,))
    expect(not denied, denied)
    live.eicctl("proxy", amazon, "--profile", "noduration")  # eicctl finds the duration that the policy wants
    if wrong:
        raise Failed("; ".join(wrong))


def policy_check(live: Live) -> None:
    """policy check"""
    rows = live.rows("policy", "check", live.outputs["AmazonLinux"])
    expect({row["Status"] for row in rows} <= {"allowed", "unknown"}, rows)


# The rest


def preservation(live: Live) -> None:
    """client IP preservation: the address that the target sees, with and without"""
    amazon, endpoint = live.outputs["AmazonLinux"], live.outputs["Endpoint"]
    script = ("--", "echo", "$SSH_CONNECTION")
    before = live.eicctl("ssh", amazon, *script).split()[:1]
    live.eicctl("modify-endpoint", endpoint, "--preserve-client-ip")
    try:
        state = live.endpoint()["State"]
        during = live.answered("during the change", raw.knock(live.door().url(AMAZON)))
        live.observe("An endpoint serves connections in", during.status == 101, f"{state}: HTTP {during.status}")
        wait(lambda: live.endpoint()["State"] == "update-complete", "the change", 900, 0.1 if live.local else 10)
        after = live.eicctl("ssh", "--wait=300", amazon, *script, timeout=400).split()[:1]
    finally:
        live.eicctl("modify-endpoint", endpoint, "--no-preserve-client-ip", "--wait", "--timeout", "900", timeout=1000)
    live.recording.add(live.case, "seen by the target", Without=before, With=after)
    seen = f"logins with that rule alone, from {before}, then from {after}"
    live.observe("The target's group needs ingress from the endpoint's group", True, seen)
    expect(live.local or before != after, seen)


def mfa(live: Live) -> None:
    """mfa login, with the device that was given"""
    serial = live.options.mfa_serial
    if not serial:
        raise Skipped("asked for by --mfa-serial")
    keys = live.session.get_credentials().get_frozen_credentials()  # type: ignore[union-attr]
    if keys.token:
        raise Skipped("the caller has temporary credentials, with which there is no MFA session")
    with (live.folder / "credentials").open("a", encoding="utf-8") as file:
        file.write(f"[mfa]\naws_access_key_id = {keys.access_key}\naws_secret_access_key = {keys.secret_key}\n\n")
    (live.folder / "credentials").chmod(0o600)
    code = live.options.mfa_code_command
    told = subprocess.run(code, shell=True, env=live.env(), capture_output=True, check=True).stdout if code else b""
    words = ("mfa", "login", "--profile", "mfa", "--serial", serial, "--duration", "900", "--token-code", "-")
    live.eicctl(*words, stdin=told or input(f"Code of {serial}: ").encode())
    live.eicctl("ssh", live.outputs["AmazonLinux"], "--profile", "mfa-mfa", "--", "true")
    live.observe("`GetSessionToken` takes", True, "a session of 900 s")


def audit(live: Live) -> None:
    """audit, and CloudTrail's records of this run's tunnels"""
    trail = live.client("cloudtrail")
    endpoint = live.outputs["Endpoint"]

    look = [{"AttributeKey": "EventName", "AttributeValue": "OpenTunnel"}]
    found: dict[bool, dict[str, Any]] = {}

    def complete() -> bool:
        """Whether there are records of an accepted tunnel and of a refused one; of those with the fewest parameters."""
        pages = trail.get_paginator("lookup_events").paginate(LookupAttributes=look, StartTime=live.began)
        for event in (event for page in pages for event in page["Events"]):
            record = json.loads(event["CloudTrailEvent"])
            parameters = record.get("requestParameters") or {}
            known = found.get(refused := bool(record.get("errorCode")))
            fewer = known is None or len(parameters) <= len(known["requestParameters"])
            if fewer and parameters.get("instanceConnectEndpointId") == endpoint:
                found[refused] = record
        return len(found) == 2

    try:
        wait(complete, "CloudTrail's records", live.options.cloudtrail_minutes * 60, 1 if live.local else 30)
    except TimeoutError as error:
        raise Failed(f"{error}: raise --cloudtrail-minutes") from None
    for name, record in (("accepted", found[False]), ("refused", found[True])):
        parameters = record["requestParameters"]
        fields = ("eventSource", "readOnly", "managementEvent", "errorCode", "errorMessage", "responseElements")
        kept = {key: record.get(key) for key in fields}
        types = [resource.get("type") for resource in record.get("resources") or []]
        shape = {key: type(value).__name__ for key, value in sorted(parameters.items())}
        live.recording.add(live.case, name, **kept, Resources=types, Parameters=shape, Values=parameters)
        live.observe("Each `OpenTunnel` is a management event", kept["readOnly"] is False, kept)
        live.observe("`requestParameters` has", set(shape.values()) == {"str"}, shape)
        live.observe("`responseElements` is null", kept["responseElements"] is None, types)
        address = bool(record.get("sourceIPAddress"))
        live.observe(
            "CloudTrail records the caller's real address", address, "with preservation off" if address else ""
        )
        live.observe("The event has no instance ID", live.outputs["AmazonLinux"] not in json.dumps(parameters), shape)
    rows = live.rows("audit", "--since", "4h", "--endpoint", endpoint)
    expect({row["Outcome"] for row in rows} >= {"allowed", "denied"}, rows)


CASES: tuple[Callable[[Live], None], ...] = (
    boot,
    listing,
    ssh,
    copies,
    fleet,
    ssh_config,
    tunnel,
    forward,
    database,
    desktop,
    handshakes,
    durations,
    limit,
    crowd,
    doctor,
    conditions,
    policy_check,
    preservation,
    lifecycle,
    mfa,
    audit,
)
