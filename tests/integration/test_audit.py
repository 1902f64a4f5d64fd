"""`eicctl audit` against the emulator: its event history, and log files in S3."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest

from eicctl.audit.correlation import Directory
from eicctl.audit.fetch import LOOKUPS, Follower, Scope, Stopped, look_up, rows_of
from eicctl.audit.filters import Choice
from eicctl.audit.store import EventStore
from eicctl.aws import clients, cloudtrail
from eicctl.aws.session import Session
from eicctl.core.model import Target
from eicctl.emulator.control import backends
from eicctl.emulator.control import credentials as mfa
from eicctl.emulator.server import Emulator
from eicctl.tunnel.dial import Dialer
from tests.integration.conftest import Ran
from tests.integration.test_emulator_access import code_of
from tests.integration.test_emulator_policies import user_with
from tests.trail_records import Record, end, key, launch, tunnel, write_log

Eicctl = Callable[..., Ran]

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGtEEV8nMTVpZZWQvo9f3pLxkp1zxsj6oPxHhYtQXn0k test"


@pytest.fixture
def now() -> datetime:
    """The time, to the second."""
    return datetime.now(UTC).replace(microsecond=0)


@pytest.fixture(autouse=True)
def fresh_paces(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test waits for the look-ups of another one."""
    monkeypatch.setattr(cloudtrail, "_paces", {})


@pytest.fixture
def unpaced(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service without a limit, and no pauses."""
    emulator.state.behave(lookup_rate=0.0)
    monkeypatch.setattr(cloudtrail, "INTERVAL", 0.0)
    monkeypatch.setattr(cloudtrail, "_paces", {})  # of earlier tests


def put(emulator: Emulator, *records: Record) -> None:
    for record in records:
        emulator.state.record(record)


def rows(eicctl: Eicctl, *words: str) -> list[dict[str, Any]]:
    done = eicctl("audit", "--output", "json", *words)
    assert done.code == 0, done.err
    found: list[dict[str, Any]] = json.loads(done.out)
    return found


def dial(endpoint: dict[str, Any], address: str, port: int) -> None:
    session = Session()
    target = Target(address, port, endpoint["InstanceConnectEndpointId"], endpoint["DnsName"], "us-east-1")
    Dialer(target, session.credentials, session.ca_bundle).open().stream.close()


@pytest.mark.usefixtures("unpaced")
def test_what_the_emulator_records(
    eicctl: Eicctl, endpoint: dict[str, Any], instance_ids: dict[str, str], ec2: Any
) -> None:
    boto3.client("ec2-instance-connect").send_ssh_public_key(
        InstanceId=instance_ids["web-1"], InstanceOSUser="ec2-user", SSHPublicKey=KEY
    )
    dial(endpoint, "10.0.1.10", 22)
    ec2.delete_instance_connect_endpoint(InstanceConnectEndpointId=endpoint["InstanceConnectEndpointId"])
    found = {row["EventName"]: row for row in rows(eicctl)}
    assert len(found) == 3
    made, deleted = found["CreateInstanceConnectEndpoint"], found["DeleteInstanceConnectEndpoint"]
    opened = found["OpenTunnel"]
    assert (
        made["InstanceConnectEndpointId"] == deleted["InstanceConnectEndpointId"] == opened["InstanceConnectEndpointId"]
    )
    assert (opened["InstanceName"], opened["InstanceOSUser"], opened["RemotePort"]) == ("web-1", "ec2-user", 22)
    assert opened["TargetSource"] == "address"
    assert opened["Principal"] == "local"
    assert opened["MfaAuthenticated"] is None


@pytest.mark.usefixtures("unpaced")
def test_calls_that_policies_do_not_allow(
    emulator: Emulator, eicctl: Eicctl, instance_ids: dict[str, str], subnet_id: str
) -> None:
    keys = user_with("ann", {"Effect": "Allow", "Action": "ec2:DescribeSubnets", "Resource": "*"})
    push = boto3.client("ec2-instance-connect", **keys).send_ssh_public_key
    create = boto3.client("ec2", **keys).create_instance_connect_endpoint
    modify = boto3.client("ec2", **keys).modify_instance_connect_endpoint
    told = {"InstanceId": instance_ids["web-1"], "InstanceOSUser": "root", "SSHPublicKey": KEY}
    assert code_of(push, **told) == "AccessDeniedException"
    assert code_of(create, SubnetId=subnet_id, SecurityGroupIds=["sg-1"], PreserveClientIp=True)
    assert code_of(modify, InstanceConnectEndpointId="eice-1") == "UnauthorizedOperation"
    assert code_of(boto3.client("ec2", **keys).describe_vpcs) == "UnauthorizedOperation"  # leaves no record
    found = {row["EventName"]: row for row in rows(eicctl, "--denied")}
    assert set(found) == {"SendSSHPublicKey", "CreateInstanceConnectEndpoint", "ModifyInstanceConnectEndpoint"}
    assert {(row["Principal"], row["Outcome"]) for row in found.values()} == {("ann", "denied")}
    pushed = found["SendSSHPublicKey"]
    assert (pushed["InstanceName"], pushed["InstanceOSUser"]) == ("web-1", "root")
    records = {record["eventName"]: record for record in emulator.state.events()}
    made = records["CreateInstanceConnectEndpoint"]
    assert (
        made["requestParameters"]["CreateInstanceConnectEndpointRequest"].items()
        >= {
            "SubnetId": subnet_id,
            "SecurityGroupId": ["sg-1"],
            "PreserveClientIp": True,
        }.items()
    )
    assert made["errorCode"] == "Client.UnauthorizedOperation"


@pytest.mark.usefixtures("unpaced")
def test_sessions_with_and_without_mfa(emulator: Emulator, eicctl: Eicctl) -> None:
    sts = boto3.client("sts")
    own = mfa.own_code(emulator.state.now())
    attempts: list[dict[str, Any]] = [{}, {"SerialNumber": own["SerialNumber"], "TokenCode": own["Code"]}]
    for more in attempts:
        keys = sts.get_session_token(**more)["Credentials"]
        client = boto3.client(
            "ec2-instance-connect",
            aws_access_key_id=keys["AccessKeyId"],
            aws_secret_access_key=keys["SecretAccessKey"],
            aws_session_token=keys["SessionToken"],
        )
        with pytest.raises(client.exceptions.EC2InstanceNotFoundException):
            client.send_ssh_public_key(InstanceId="i-0123456789abcdef0", InstanceOSUser="a", SSHPublicKey=KEY)
    found = rows(eicctl)
    assert sorted(row["MfaAuthenticated"] for row in found) == [False, True]
    assert {row["Outcome"] for row in found} == {"failed"}


@pytest.mark.usefixtures("unpaced")
def test_pages_period_and_filters(emulator: Emulator, eicctl: Eicctl, now: datetime) -> None:
    put(emulator, *(tunnel(now - timedelta(hours=1, seconds=n), who="dev/ann") for n in range(60)))
    put(emulator, tunnel(now - timedelta(hours=2), "10.0.1.77", who="ops/eve", error="AccessDeniedException"))
    put(emulator, tunnel(now - timedelta(days=3)), tunnel(now - timedelta(days=100)))
    assert len(rows(eicctl)) == 61
    assert len(rows(eicctl, "--since", "7d")) == 62
    assert len(rows(eicctl, "--since", "7d", "--until", "24h")) == 1
    assert len(rows(eicctl, "--since", "200d")) == 62
    (denied,) = rows(eicctl, "--denied")
    assert denied["ErrorCode"] == "AccessDeniedException"
    assert rows(eicctl, "--user", "ops/*") == rows(eicctl, "--target", "10.0.1.77") == [denied]
    assert rows(eicctl, "--endpoint", "eice-other") == []
    done = eicctl("audit", "--since", "200d")
    assert "90 days" in done.err


@pytest.mark.usefixtures("unpaced")
def test_instances_that_are_gone(emulator: Emulator, eicctl: Eicctl, ec2: Any, now: datetime) -> None:
    """By launches in CloudTrail; a terminated one has its name as long as EC2 lists it."""
    image = ec2.describe_images()["Images"][0]["ImageId"]
    subnet = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    tags = [{"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": "short-lived"}]}]
    made = ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1, SubnetId=subnet, TagSpecifications=tags)[
        "Instances"
    ][0]
    ec2.terminate_instances(InstanceIds=[made["InstanceId"]])
    started = now - timedelta(days=4)
    put(emulator, launch(started, "i-0gone", "10.0.9.9", "old-1"), end(now - timedelta(minutes=30), "i-0gone"))
    put(emulator, tunnel(now - timedelta(minutes=20), "10.0.9.9", who="dev/ann"))
    put(emulator, tunnel(now - timedelta(hours=1), "10.0.9.9", who="dev/ann"))
    put(emulator, key(now - timedelta(minutes=3), made["InstanceId"], who="dev/bob"))
    put(emulator, tunnel(now - timedelta(minutes=3), "10.0.8.8", who="dev/bob"))
    gone, other, terminated = rows(eicctl)
    assert other["InstanceId"] == ""
    assert (gone["InstanceId"], gone["InstanceName"], gone["TargetSource"]) == ("i-0gone", "old-1", "launch")
    assert (terminated["InstanceName"], terminated["TargetSource"]) == ("short-lived", "key")


@pytest.mark.usefixtures("unpaced")
def test_an_instance_is_not_named_for_the_time_before_it(
    emulator: Emulator, eicctl: Eicctl, now: datetime, instance_ids: dict[str, str]
) -> None:
    put(emulator, tunnel(now - timedelta(hours=1), "10.0.1.10"))
    assert rows(eicctl)[0]["InstanceId"] == ""
    instance = backends.ec2("us-east-1").get_instance(instance_ids["web-1"])
    for interface in instance.nics.values():
        interface.attach_time = datetime.now() - timedelta(days=1)
    assert rows(eicctl)[0]["InstanceName"] == "web-1"


def test_it_keeps_to_the_services_pace(emulator: Emulator, eicctl: Eicctl, now: datetime) -> None:
    """The emulator takes two requests a second; six are needed."""
    put(emulator, *(tunnel(now - timedelta(hours=1, seconds=n)) for n in range(101)))
    assert len(rows(eicctl)) == 101


def test_throttling_is_waited_out(emulator: Emulator, now: datetime, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another program uses the two requests up."""
    monkeypatch.setattr(cloudtrail, "INTERVAL", 0.0)
    monkeypatch.setattr(clients, "ATTEMPTS", 1)
    emulator.state.behave(lookup_rate=0.0001)
    emulator.state.allow_lookup("us-east-1", "123456789012")
    put(emulator, tunnel(now - timedelta(hours=1)))
    told: list[str] = []

    def lift(text: str) -> None:
        told.append(text)
        emulator.state.behave(lookup_rate=0.0)

    with EventStore() as store:
        look_up(scope_of(lift), store, (now - timedelta(days=1), now), now)
        assert len(store) == 1
    assert "throttled by CloudTrail" in told[0]


@pytest.mark.usefixtures("unpaced")
def test_all_regions(emulator: Emulator, eicctl: Eicctl, now: datetime) -> None:
    put(emulator, tunnel(now - timedelta(hours=1), awsRegion="eu-central-1"), tunnel(now - timedelta(hours=2)))
    assert [row["AwsRegion"] for row in rows(eicctl)] == ["us-east-1"]
    assert [row["AwsRegion"] for row in rows(eicctl, "--all-regions")] == ["us-east-1", "eu-central-1"]


def scope_of(say: Callable[[str], None] = lambda _text: None) -> Scope:
    return Scope(Session(), ("us-east-1",), say, say)


@pytest.mark.usefixtures("unpaced")
def test_an_interrupted_look_up_goes_on(emulator: Emulator, now: datetime, tmp_path: Path) -> None:
    put(emulator, *(tunnel(now - timedelta(hours=1, seconds=n)) for n in range(300)))
    span, pages = (now - timedelta(days=1), now), 0
    first = scope_of()

    def stop_after_three(_text: str) -> None:
        nonlocal pages
        pages += 1
        if pages == 3:
            first.stop.set()

    first = Scope(first.session, first.regions, stop_after_three, stop_after_three, first.stop)
    with EventStore(tmp_path / "kept") as store, pytest.raises(Stopped):
        look_up(first, store, span, now)
    told: list[str] = []
    with EventStore(tmp_path / "kept") as store:
        assert 150 <= len(store) < 300
        look_up(scope_of(told.append), store, span, now)
        assert len(store) == 300
        # Six pages without the interruption; the time since it is looked at again, for what came late.
        assert len(told) - (len(LOOKUPS) - 1) <= 4
        assert len(list(rows_of(store, Directory(), Choice()))) == 300


@pytest.mark.usefixtures("unpaced")
def test_following(emulator: Emulator, now: datetime) -> None:
    put(emulator, tunnel(now - timedelta(minutes=5)))
    with EventStore() as store:
        look_up(scope_of(), store, (now - timedelta(hours=1), now), now)
        follower = Follower(scope_of(), Choice(denied=True), Directory())
        follower.knows(store.events())
    assert follower.look(now) == []
    late = tunnel(now - timedelta(minutes=12), error="AccessDeniedException")
    put(emulator, late, tunnel(now - timedelta(minutes=1)))
    (found,) = follower.look(now + timedelta(seconds=5))
    assert found.event.id == late["eventID"]
    assert follower.look(now + timedelta(seconds=10)) == []


@pytest.mark.usefixtures("unpaced")
def test_a_tunnel_after_its_keys_row(emulator: Emulator, now: datetime, instance_ids: dict[str, str]) -> None:
    follower = Follower(scope_of(), Choice(), Directory())
    pushed = key(now, instance_ids["web-1"])
    put(emulator, pushed)
    assert [row.event.name for row in follower.look(now)] == ["SendSSHPublicKey"]
    put(emulator, tunnel(now))
    (row,) = follower.look(now + timedelta(seconds=30))
    assert row.key_event_id == pushed["eventID"]


@pytest.mark.usefixtures("unpaced")
def test_a_key_just_before_the_period(
    emulator: Emulator, eicctl: Eicctl, now: datetime, instance_ids: dict[str, str]
) -> None:
    put(emulator, key(now - timedelta(hours=1, seconds=20), instance_ids["web-1"]))
    put(emulator, tunnel(now - timedelta(minutes=59, seconds=50), "10.9.9.9"))
    since = f"{now - timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}"
    (row,) = rows(eicctl, "--since", since)
    assert (row["InstanceName"], row["InstanceOSUser"]) == ("web-1", "ec2-user")


@pytest.mark.usefixtures("unpaced")
def test_a_report_of_the_event_history(emulator: Emulator, eicctl: Eicctl, now: datetime, tmp_path: Path) -> None:
    put(emulator, tunnel(now - timedelta(hours=1), who="dev/ann", error="AccessDeniedException"))
    file = tmp_path / "report.html"
    done = eicctl("audit", "--report", str(file))
    assert (done.code, done.out) == (0, "")
    assert "refused calls: 1" in done.err
    assert "dev/ann" in file.read_text()
    both = eicctl("audit", "--report", str(file), "--output", "json")
    assert len(json.loads(both.out)) == 1


def test_log_files_in_s3(emulator: Emulator, eicctl: Eicctl, now: datetime) -> None:
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket="logs")
    folder = "AWSLogs/123456789012/CloudTrail/us-east-1"

    def store(delivered: datetime, name: str, body: bytes) -> None:
        file = f"123456789012_CloudTrail_us-east-1_{delivered:%Y%m%dT%H%M}Z_{name}.json.gz"
        s3.put_object(Bucket="logs", Key=f"{folder}/{delivered:%Y/%m/%d}/{file}", Body=body)

    def packed(*records: Record) -> bytes:
        return gzip.compress(json.dumps({"Records": records}).encode())

    for hours in range(12):
        at = now - timedelta(hours=hours)
        store(at, f"h{hours}", packed(tunnel(at - timedelta(minutes=10)), {"eventName": "Other"}))
    store(now - timedelta(days=9), "old", b"never opened")
    s3.put_object(Bucket="logs", Key="AWSLogs/1/CloudTrail-Digest/x.json.gz", Body=b"never opened")
    done = eicctl("audit", "--from", "s3://logs/AWSLogs/", "--since", "7d", "--output", "csv")
    assert done.code == 0, done.err
    assert len(list(csv.DictReader(io.StringIO(done.out)))) == 12
    assert "log files: 12, older files skipped: 1; records: 24" in done.err
    store(now, "cut", packed(*(tunnel(now - timedelta(minutes=5)) for _ in range(300)))[:-100])
    done = eicctl("audit", "--from", "s3://logs", "--since", "7d", "--output", "text")
    assert done.code == 1
    assert "cut off" in done.err
    assert len(done.out.splitlines()) > 12


def test_a_bucket_that_is_not_there(eicctl: Eicctl) -> None:
    done = eicctl("audit", "--from", "s3://nothing-here/x")
    assert done.code in (3, 6)
    assert "s3://nothing-here/x" in done.err


def test_log_files_on_disk_need_no_aws(home: Path, eicctl: Eicctl, now: datetime, tmp_path: Path) -> None:
    at = now - timedelta(days=400)
    records = [
        launch(at, "i-0db", "10.0.1.10", "=cmd|' /C calc'!A0"),
        key(at + timedelta(hours=1), "i-0db"),
        tunnel(at + timedelta(hours=1), who="dev/ann"),
        tunnel(at + timedelta(hours=2), who="dev/bob"),
    ]
    write_log(tmp_path / "logs" / "deep" / "a.json.gz", records)
    write_log(tmp_path / "logs" / "b.json", records[2:])
    (tmp_path / "logs" / "notes.txt").write_text("not a log file")
    done = eicctl("audit", "--from", str(tmp_path / "logs"), "--output", "csv")
    assert done.code == 0, done.err
    first, second = csv.DictReader(io.StringIO(done.out))
    assert (first["Principal"], second["Principal"]) == ("dev/ann", "dev/bob")
    assert first["InstanceName"] == "'=cmd|' /C calc'!A0"
    assert (first["InstanceOSUser"], first["TargetSource"]) == ("ec2-user", "launch")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--since", "soon"], "--since"),
        (["--since", "1h", "--until", "2h"], "--until"),
        (["--since", "2100-01-01"], "now"),
        (["--query", "[]", "--output", "csv"], "--query"),
        (["--follow", "--report", "x.html"], "--report"),
        (["--follow", "--from", "x"], "--from"),
        (["--all-regions", "--from", "x"], "--all-regions"),
        (["--report", "/no/such/folder/x.html"], "folder"),
        (["--office-hours", "19-7"], "--office-hours"),
        (["--from", "s3://"], "bucket"),
    ],
)
def test_words_that_do_not_fit(eicctl: Eicctl, words: list[str], why: str) -> None:
    done = eicctl("audit", *words)
    assert done.code == 2
    assert why in done.err


def test_no_such_log_file(eicctl: Eicctl, tmp_path: Path) -> None:
    assert eicctl("audit", "--from", str(tmp_path / "x")).code == 3
    (tmp_path / "empty").mkdir()
    assert eicctl("audit", "--from", str(tmp_path / "empty")).code == 3
