"""Commands over several accounts: by profiles and by a role, an account that refuses, and what a shared VPC means."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pytest

from eicctl.aws import accounts as several
from eicctl.aws.accounts import Selection, open_accounts
from eicctl.aws.session import Session
from eicctl.core.errors import UsageError
from eicctl.emulator.control.backends import sts
from eicctl.emulator.server import Emulator
from eicctl.emulator.world import load_world
from tests.integration.conftest import Ran
from tests.terminal import Screen

Run = Callable[..., Ran]

OWN, STAGING, DEV, OLD = "123456789012", "222233334444", "333344445555", "444455556666"
ROLE = "OrganizationAccountAccessRole"
BY_ROLE = ("--accounts", f"{OWN},{STAGING},{DEV},{OLD}", "--role", ROLE)
BY_PROFILE = ("--profile", "own", "--profile", "dev-*")
COMMANDS = {
    "instances": "Name",
    "coverage": "Name",
    "list-endpoints": "Name",
    "audit": "EventName",
}


@pytest.fixture
def accounts(emulator: Emulator, home: Path) -> Iterator[Emulator]:
    """Profiles of three accounts, and one that refuses; each account has an event."""
    load_world(emulator.state, Path("accounts"), emulator.dns_name())
    key, secret = os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]
    sections = [f"[profile own]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n"]
    for name, account in (("dev-a", STAGING), ("dev-b", DEV), ("dev-old", OLD)):
        sections.append(f"[profile {name}]\nrole_arn = arn:aws:iam::{account}:role/{ROLE}\nsource_profile = own\n")
    (home / "config").write_text("".join(sections))
    for account in (DEV, STAGING, OWN):
        emulator.state.record(
            {
                "eventVersion": "1.08",
                "userIdentity": {"type": "IAMUser", "userName": "ann", "accountId": account},
                "eventTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
                "eventSource": "ec2-instance-connect.amazonaws.com",
                "eventName": "SendSSHPublicKey",
                "awsRegion": "us-east-1",
                "eventID": f"event-of-{account}",
                "readOnly": False,
                "resources": [],
                "requestParameters": {"instanceId": "i-0123456789abcdef0", "instanceOSUser": "ann"},
                "recipientAccountId": account,
            }
        )
    yield emulator
    emulator.reset()


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("words", [BY_ROLE, BY_PROFILE], ids=["role", "profiles"])
@pytest.mark.usefixtures("accounts")
def test_three_accounts_and_one_that_refuses(eicctl: Run, command: str, words: tuple[str, ...]) -> None:
    ran = eicctl(command, *words, "--output", "json")
    assert ran.code == 1
    rows = json.loads(ran.out)
    found = {row["AccountId"] for row in rows}
    assert found == ({OWN, STAGING} if command == "list-endpoints" else {OWN, STAGING, DEV})
    assert all(row[COMMANDS[command]] for row in rows)
    (line,) = [line for line in ran.err.splitlines() if line.startswith("account ")]
    assert line.startswith(f"account {OLD} (dev-old): Cannot ")
    assert "sts:AssumeRole" in line
    after = ran.err.splitlines()[ran.err.splitlines().index(line) + 1]
    assert after.startswith("hint: ")


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.usefixtures("accounts")
def test_the_organization_omits_suspended_accounts_and_names_the_others(eicctl: Run, command: str) -> None:
    ran = eicctl(command, "--accounts", "all", "--role", ROLE, "--output", "json")
    assert ran.code == 0, ran.err
    names = {row["AccountId"]: row["AccountName"] for row in json.loads(ran.out)}
    expected = {OWN: "management", STAGING: "staging"} | ({} if command == "list-endpoints" else {DEV: "dev"})
    assert names == expected


@pytest.mark.usefixtures("accounts")
def test_profiles_are_keys_and_columns(eicctl: Run) -> None:
    ran = eicctl("instances", "--profile", "dev-[ab]")
    assert ran.code == 0, ran.err
    heading, *lines = [line.split() for line in ran.out.splitlines()]
    assert heading[:4] == ["Profile", "Account", "ID", "Name"]
    assert [line[:3] for line in lines] == [["dev-a", STAGING, "web-1"], ["dev-b", DEV, "dev-1"]]
    query = "[].[Profile,AccountName,Command]"
    rows = json.loads(eicctl("instances", "--profile", "dev-[ab]", "--output", "json", "--query", query).out)
    assert rows == [
        ["dev-a", None, "eicctl ssh web-1 --profile dev-a --region us-east-1"],
        ["dev-b", None, "eicctl ssh dev-1 --profile dev-b --region us-east-1"],
    ]


@pytest.mark.usefixtures("accounts")
def test_the_command_of_a_row_connects(eicctl: Run) -> None:
    rows = json.loads(eicctl("instances", "--profile", "dev-[a]", "--output", "json").out)
    words = rows[0]["Command"].split()
    assert words[0] == "eicctl"
    assert eicctl(*words[1:], "--send-key", "--", "true").code == 0


@pytest.mark.usefixtures("accounts")
def test_without_a_profile_the_command_says_how_to_add_one(eicctl: Run, home: Path) -> None:
    (home / "config").write_text("")
    ran = eicctl("instances", "--accounts", "all", "--role", ROLE)
    assert ran.code == 0
    assert [line.split()[0] for line in ran.out.splitlines()] == ["Account", "dev", "management", "staging"]
    assert "--profile dev && eicctl ssh dev-1 --profile dev --region us-east-1" in ran.err
    ran = eicctl("instances", "--accounts", "all", "--role", ROLE, "--name", "web-1")
    (line,) = [line for line in ran.err.splitlines() if line.startswith("To run commands there: ")]
    arn = f"arn:aws:iam::{STAGING}:role/{ROLE}"
    assert line.partition(": ")[2] == (
        f"aws configure set role_arn {arn} --profile staging"
        " && aws configure set credential_source Environment --profile staging"
        " && eicctl ssh web-1 --profile staging --region us-east-1"
    )
    for command, first in (
        ("coverage", "create-endpoint --subnet-id subnet-"),
        ("list-endpoints", "show-endpoint eice-"),
    ):
        others = [
            line for line in eicctl(command, "--accounts", "all", "--role", ROLE).err.splitlines() if "To run" in line
        ]
        assert len(others) == 1
        assert f"&& eicctl {first}" in others[0]
    # What these commands write:
    (home / "config").write_text(f"[profile staging]\nrole_arn = {arn}\ncredential_source = Environment\n")
    assert eicctl("ssh", "web-1", "--profile", "staging", "--region", "us-east-1", "--", "true").code == 0
    with (home / "config").open("a") as config:
        config.write(f"[profile later]\nrole_arn = {arn}\nmfa_serial = m\ncredential_source = Environment\n")
    again = eicctl("instances", "--accounts", STAGING, "--role", ROLE, "--output", "json")
    assert [row["Profile"] for row in json.loads(again.out)] == ["staging"]
    assert "To run" not in again.err


@pytest.mark.parametrize("words", [(*BY_ROLE[:1], f"{OWN},{STAGING}", *BY_ROLE[2:]), BY_PROFILE[:2]])
def test_all_regions(accounts: Emulator, eicctl: Run, words: tuple[str, ...]) -> None:
    accounts.state.behave(denied="eu-west-1:DescribeInstances")
    ran = eicctl("instances", *words, "--all-regions")
    assert ran.code == 1
    heading = ran.out.splitlines()[0]
    if words[0] == "--accounts":
        assert heading.split()[:3] == ["Account", "Region", "Name"]
        for account in (OWN, STAGING):
            name = {OWN: "", STAGING: " (dev-a)"}[account]
            assert f"account {account}{name} eu-west-1: Cannot look up instances: " in ran.err
    else:
        assert heading.split()[:2] == ["Region", "Name"]
        assert "\neu-west-1: Cannot look up instances: " in f"\n{ran.err}"


def test_an_account_whose_policy_denies(accounts: Emulator, eicctl: Run) -> None:
    accounts.state.behave(denied=f"{STAGING}:DescribeInstanceConnectEndpoints")
    ran = eicctl("list-endpoints", "--accounts", "all", "--role", ROLE, "--output", "json")
    assert ran.code == 1
    assert [row["AccountId"] for row in json.loads(ran.out)] == [OWN]
    assert f"account {STAGING} (staging) us-east-1: Cannot list the endpoints: You are not authorized" in ran.err
    assert "hint: Missing IAM permission: ec2:DescribeInstanceConnectEndpoints" in ran.err


@pytest.mark.usefixtures("accounts")
def test_all_refuse(eicctl: Run) -> None:
    for command in COMMANDS:
        ran = eicctl(command, "--accounts", f"{OLD},999999999999", "--role", ROLE, "--output", "json")
        assert (ran.code, ran.out.strip()) == (1, "[]"), command
        assert [line[:21] for line in ran.err.splitlines() if line.startswith("account ")] == [
            f"account {OLD} ",
            "account 999999999999:",
        ]


def test_an_expired_sso_session_is_one_line(accounts: Emulator, eicctl: Run, home: Path) -> None:
    with (home / "config").open("a") as file:
        file.write(
            "[sso-session corp]\nsso_start_url = https://corp.awsapps.com/start\nsso_region = us-east-1\n"
            "[profile dev-sso]\nsso_session = corp\nsso_account_id = 555566667777\nsso_role_name = R\n"
        )
    ran = eicctl("instances", "--profile", "dev-sso", "--profile", "dev-a", "--output", "json")
    assert ran.code == 1
    assert [row["Profile"] for row in json.loads(ran.out)] == ["dev-a"]
    lines = ran.err.splitlines()
    assert lines[0].startswith("account 555566667777 (dev-sso): Cannot use the SSO session: ")
    assert lines[1] == "hint: aws sso login --profile dev-sso"


@pytest.mark.usefixtures("accounts")
def test_two_profiles_of_an_account_are_one(eicctl: Run, home: Path) -> None:
    text = (home / "config").read_text()
    (home / "config").write_text(text + text[text.index("[profile dev-a]") :].replace("dev-", "again-"))
    ran = eicctl("instances", "--profile", "dev-a", "--profile", "again-a", "--output", "json")
    assert [(row["Profile"], row["Name"]) for row in json.loads(ran.out)] == [("dev-a", "web-1")]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--role", ROLE), "--role requires --accounts"),
        (("--external-id", "abc"), "--external-id requires --accounts"),
        (("--accounts", "all"), "--accounts requires --role"),
        (("--accounts", "1234", "--role", ROLE), "Not an account ID: '1234'"),
        (("--accounts", f"all,{STAGING}", "--role", ROLE), "Not an account ID: 'all'"),
        (("--accounts", "", "--role", ROLE), "Not an account ID: ''"),
        (("--accounts", "all", "--role", "arn:aws:iam::1:role/x"), "Not the name of a role: 'arn:aws:iam::1:role/x'"),
        (("--accounts", "all", "--role", ROLE, "--profile", "dev-*"), "--accounts takes one --profile"),
        (("--profile", "prod-*"), 'No AWS profile matches "prod-*"'),
    ],
)
@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.usefixtures("accounts")
def test_words_that_make_no_sense(eicctl: Run, command: str, words: tuple[str, ...], message: str) -> None:
    ran = eicctl(command, *words)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(f"error: {message}")


def test_an_organization_that_there_is_not(emulator: Emulator, eicctl: Run) -> None:
    ran = eicctl("instances", "--accounts", "all", "--role", ROLE)
    assert ran.code == 6
    assert "error: Cannot list the accounts of the organization: Your account is not a member" in ran.err
    assert "hint: specify the account IDs: --accounts 111122223333,…" in ran.err


@pytest.mark.usefixtures("accounts")
def test_a_member_account_may_not_list(eicctl: Run) -> None:
    ran = eicctl("instances", "--accounts", "all", "--role", ROLE, "--profile", "dev-a")
    assert ran.code == 4
    assert "hint: Missing IAM permission: organizations:ListAccounts, of the management account or" in ran.err


def role_in_staging(name: str, condition: dict[str, Any]) -> None:
    """Create a role that the management account may assume under a condition."""
    arn = f"arn:aws:iam::{STAGING}:role/{ROLE}"
    keys = boto3.client("sts").assume_role(RoleArn=arn, RoleSessionName="test")["Credentials"]
    iam = boto3.client(
        "iam",
        aws_access_key_id=keys["AccessKeyId"],
        aws_secret_access_key=keys["SecretAccessKey"],
        aws_session_token=keys["SessionToken"],
    )
    statement = {"Effect": "Allow", "Principal": {"AWS": OWN}, "Action": "sts:AssumeRole", "Condition": condition}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=document, Path="/teams/")


@pytest.mark.usefixtures("accounts")
def test_external_id_and_path(eicctl: Run) -> None:
    role_in_staging("audit", {"StringEquals": {"sts:ExternalId": "agreed-1"}})
    words = ("instances", "--accounts", STAGING, "--role", "teams/audit")
    refused = eicctl(*words)
    assert refused.code == 1
    assert "hint: role teams/audit must exist in the account and trust the caller" in refused.err
    ran = eicctl(*words, "--external-id", "agreed-1", "--output", "json")
    assert [row["Name"] for row in json.loads(ran.out)] == ["web-1"], ran.err
    hint = eicctl(*words, "--external-id", "agreed-1").err
    assert f"aws configure set external_id agreed-1 --profile {STAGING}" in hint


@pytest.mark.usefixtures("accounts")
def test_sessions_of_roles_are_kept_and_named(eicctl: Run, home: Path) -> None:
    words = ("list-endpoints", "--accounts", STAGING, "--role", ROLE)
    assert eicctl(*words).code == 0
    opened = len(sts(STAGING).assumed_roles)
    assert eicctl(*words).code == 0
    assert len(sts(STAGING).assumed_roles) == opened
    assert sts(STAGING).assumed_roles[-1].session_name == "eicctl-local"
    (kept,) = (home / ".aws" / "cli" / "cache").iterdir()
    assert kept.stat().st_mode & 0o077 == 0


@pytest.mark.usefixtures("accounts")
def test_sessions_of_roles_are_in_no_log(eicctl: Run, home: Path) -> None:
    ran = eicctl("instances", "--accounts", STAGING, "--role", ROLE, "--debug")
    (kept,) = (home / ".aws" / "cli" / "cache").iterdir()
    keys = json.loads(kept.read_text())["Credentials"]
    assert "AssumeRole" in ran.err
    assert keys["SecretAccessKey"] not in ran.err
    assert keys["SessionToken"] not in ran.err


@pytest.mark.usefixtures("accounts")
def test_a_session_that_expires_is_renewed() -> None:
    (account,) = open_accounts(Session(), Selection((), (STAGING,), ROLE)).accounts
    client = account.session.client("ec2")
    first = account.session.credentials().access_key_id
    (_, *others) = sts(STAGING).assumed_roles
    assert not others
    keys: Any = account.session.botocore_credentials()
    keys._expiry_time = datetime.now(UTC)
    for file in Path("~/.aws/cli/cache").expanduser().iterdir():
        file.unlink()
    assert client.describe_instances()["Reservations"]
    assert account.session.credentials().access_key_id != first
    assert len(sts(STAGING).assumed_roles) == 2


@pytest.mark.usefixtures("accounts")
def test_names_of_another_account_are_not_completed_as_ours(eicctl: Run) -> None:
    assert eicctl("instances", "--accounts", DEV, "--role", ROLE).code == 0
    missing = eicctl("ssh", "dev-1", "--", "true")
    assert missing.code == 3
    assert "dev-1" not in missing.err.replace('"dev-1"', "")


@pytest.mark.usefixtures("accounts")
def test_connections_are_closed() -> None:
    """There may be more accounts and regions than descriptors."""
    used: list[Any] = []

    def look(session: Session, region: str) -> int:
        used.append(session.client("ec2", region))
        return len(used[-1].describe_vpcs()["Vpcs"])

    results = several.in_accounts(Session(), Selection((), (STAGING, DEV), ROLE), look, all_regions=True)
    assert len(results.found) == len(used) > 30
    assert not results.failures
    pools = [client._endpoint.http_session._manager.pools for client in used]
    assert not [pool for pool in pools if len(pool)]


def test_patterns() -> None:
    assert not Selection(("dev",)).several
    assert not Selection().several
    assert Selection(("d?v",)).several
    assert Selection(("a", "b")).several
    with pytest.raises(UsageError, match="--external-id must have 2 to 1224"):
        several.selection((), STAGING, ROLE, "x")


# Shared VPCs


@pytest.mark.parametrize("command", ["ssh", "tunnel"])
@pytest.mark.usefixtures("accounts")
def test_a_connection_says_who_shares_the_vpc(eicctl: Run, command: str) -> None:
    ran = eicctl(command, "dev-1", "--profile", "dev-b")
    assert ran.code in (3, 255)
    assert f"(target dev-1) is shared by account {OWN}, whose endpoints other accounts cannot use" in ran.err
    (hint,) = [line for line in ran.err.splitlines() if line.startswith("hint: ")]
    assert "eicctl create-endpoint --subnet-id subnet-" in hint
    assert "--create-security-group --wait --profile dev-b" in hint


@pytest.mark.usefixtures("accounts")
def test_an_endpoint_of_the_owner_is_none_of_a_participant(eicctl: Run) -> None:
    """EC2 answers as if it did not exist: that it may be the owner's is all that can be known."""
    (owners,) = json.loads(eicctl("list-endpoints", "--profile", "own", "--output", "json").out)
    name = owners["InstanceConnectEndpointId"]
    of_owner = f"it may belong to account {OWN}, which shares a VPC with this one"
    for words in (
        *(("show-endpoint", name), ("delete-endpoint", name, "--yes"), ("show-endpoint", "shared")),
        *((command, "dev-1", "--instance-connect-endpoint-id", name) for command in ("ssh", "tunnel", "doctor")),
    ):
        ran = eicctl(*words, "--profile", "dev-b")
        assert ran.code in (3, 255)
        assert of_owner in " ".join((ran.err + ran.out).split()), words
    assert of_owner not in eicctl("show-endpoint", "eice-x", "--profile", "dev-b").err  # malformed
    assert of_owner not in eicctl("show-endpoint", "eice-0aaaaaaaaaaaaaaa1", "--profile", "own").err
    ran = eicctl("list-endpoints", "--profile", "dev-b")
    assert f"is shared by account {OWN}, whose endpoints other accounts cannot use" in ran.err
    (hint,) = [line for line in ran.err.splitlines() if line.startswith("hint: ")]
    assert eicctl(*hint.split()[2:]).code == 0


@pytest.mark.usefixtures("accounts")
def test_doctor_says_who_shares_the_vpc(eicctl: Run) -> None:
    ran = eicctl("doctor", "dev-1", "--profile", "dev-b", "--output", "json")
    assert ran.code == 3
    (check,) = [check for check in json.loads(ran.out)["Checks"] if check["Key"] == "endpoint"]
    assert check["Details"]["VpcOwnerId"] == OWN
    assert f"is shared by account {OWN}" in check["Message"]
    assert "--create-security-group" in check["Remediation"]


@pytest.mark.usefixtures("accounts")
def test_coverage_says_who_shares_the_vpc(eicctl: Run) -> None:
    ran = eicctl("coverage", "--profile", "dev-b", "--output", "json")
    (row,) = json.loads(ran.out)
    assert (row["Check"], row["Cause"]) == ("shared-vpc", "shared VPC")
    assert f"is shared by account {OWN}, whose endpoints" in row["Reason"]
    assert "unreachable: 1 shared VPC" in ran.err


@pytest.mark.usefixtures("accounts")
def test_a_participant_creates_an_endpoint_of_its_own(eicctl: Run) -> None:
    refused = eicctl("create-endpoint", "--profile", "dev-b")
    assert refused.code == 2
    assert f"is shared by account {OWN}, whose default security group other accounts cannot use" in refused.err
    (hint,) = [line for line in refused.err.splitlines() if line.startswith("hint: ")]
    assert eicctl(*hint.split()[2:]).code == 0
    assert eicctl("ssh", "dev-1", "--profile", "dev-b", "--", "true").code == 0
    assert json.loads(eicctl("coverage", "--profile", "dev-b", "--output", "json").out)[0]["Reachable"] == "yes"


@pytest.mark.usefixtures("accounts")
def test_the_owners_credentials_lead_through_the_owners_endpoint(eicctl: Run) -> None:
    """The instance is another account's, so no key is pushed: the tunnel is what the owner's endpoint gives."""
    ran = eicctl("doctor", "10.0.1.20", "--profile", "own", "--output", "json")
    checks = {check["Key"]: check["Status"] for check in json.loads(ran.out)["Checks"]}
    assert checks["tunnel"] == "ok", ran.out


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("words", [BY_ROLE, ("--accounts", "all", "--role", ROLE), BY_PROFILE], ids=str)
@pytest.mark.parametrize("command", ["instances", "list-endpoints", "coverage", "audit"])
@pytest.mark.usefixtures("accounts")
def test_on_a_terminal(command: str, words: tuple[str, ...], width: int) -> None:
    with Screen(dict(os.environ), command, *words, size=(40, width)) as screen:
        code = screen.end()
    assert code == (0 if "all" in words else 1)
    first = "Profile" if words is BY_PROFILE else "Account"
    heading = next(number for number, line in enumerate(screen.lines) if line.startswith(first))
    table = screen.lines[heading:]
    assert len([line for line in table if "ID" in line.split() or "Time" in line.split()]) == 1, screen.lines
    expected = {"Profile": ["own", "dev-a"], "Account": [OWN, STAGING]}[first]
    expected = ["management", "staging"] if "all" in words else expected
    assert {line.split()[0] for line in table if line} >= set(expected), screen.lines
