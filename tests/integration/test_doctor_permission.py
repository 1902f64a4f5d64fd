"""What `eicctl doctor` makes of the answers of IAM's simulator, which is an HTTP server of the test here."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import parse_qs

import boto3
import pytest

from tests.integration.conftest import Ran
from tests.integration.test_doctor import World, nothing_listens, world

Eicctl = Callable[..., Ran]
Form = dict[str, str]

__all__ = ["world"]

RESULT = """<SimulatePrincipalPolicyResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/">
<SimulatePrincipalPolicyResult><IsTruncated>false</IsTruncated><EvaluationResults><member>
<EvalActionName>{action}</EvalActionName><EvalResourceName>{resource}</EvalResourceName>
<EvalDecision>{decision}</EvalDecision><MatchedStatements>{statements}</MatchedStatements>
</member></EvaluationResults></SimulatePrincipalPolicyResult></SimulatePrincipalPolicyResponse>"""

STATEMENT = "<member><SourcePolicyId>{}</SourcePolicyId></member>"

ROLE = """<GetRoleResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><GetRoleResult><Role>
<Path>/team/</Path><RoleName>ops</RoleName><RoleId>AROA</RoleId><CreateDate>2026-01-01T00:00:00Z</CreateDate>
<Arn>arn:aws:iam::123456789012:role/team/ops</Arn></Role></GetRoleResult></GetRoleResponse>"""

DENIED = """<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>User is not authorized to
perform: iam:SimulatePrincipalPolicy</Message></Error></ErrorResponse>"""


class Simulator:
    """Answers by `decide`, which takes the action and the condition keys with their values."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        self.decide: Callable[[str, dict[str, str]], str] = lambda _action, _context: "allowed"
        self.policy = ""

    def answer(self, form: Form) -> tuple[int, str]:
        if form["Action"] == "GetRole":
            return 200, ROLE
        context = {
            value: form[name.replace("ContextKeyName", "ContextKeyValues.member.1")]
            for name, value in form.items()
            if name.endswith("ContextKeyName")
        }
        action, resource = form["ActionNames.member.1"], form["ResourceArns.member.1"]
        self.asked.append((form["PolicySourceArn"], action, context))
        decision = self.decide(action, context)
        if not decision:
            return 403, DENIED
        statements = STATEMENT.format(self.policy) if self.policy else ""
        return 200, RESULT.format(action=action, resource=resource, decision=decision, statements=statements)


@pytest.fixture
def simulator(world: World) -> Iterator[Simulator]:
    """IAM alone leads to the test's server."""
    found = Simulator()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            status, answer = found.answer({name: values[0] for name, values in parse_qs(body).items()})
            self.send_response(status)
            self.send_header("Content-Type", "text/xml")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer.encode())

        def log_message(self, *_: Any) -> None:
            return

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        world.monkeypatch.setenv("AWS_ENDPOINT_URL_IAM", f"http://127.0.0.1:{server.server_port}")
        yield found
        server.shutdown()
        thread.join()


def permissions(eicctl: Eicctl, *words: str) -> tuple[int, Any, dict[str, Any]]:
    """The exit code, the cause, and the two checks by their keys."""
    ran = eicctl("doctor", "web-1", *words, "--output", "json")
    found = json.loads(ran.out)
    keys = ("permission", "key-permission")
    return ran.code, found["Cause"], {check["Key"]: check for check in found["Checks"] if check["Key"] in keys}


def test_the_condition_keys_are_those_of_the_connection(eicctl: Eicctl, simulator: Simulator, world: World) -> None:
    code, _, checks = permissions(eicctl, "--max-tunnel-duration", "600", "--user", "deploy")
    assert code == 0
    assert {check["Status"] for check in checks.values()} == {"ok"}
    asked = {action: (principal, context) for principal, action, context in simulator.asked}
    principal, context = asked["ec2-instance-connect:OpenTunnel"]
    assert principal == "arn:aws:iam::123456789012:user/local"
    assert context["ec2-instance-connect:remotePort"] == "22"
    assert context["ec2-instance-connect:privateIpAddress"] == "10.0.1.10"
    assert context["ec2-instance-connect:maxTunnelDuration"] == "600"
    _, context = asked["ec2-instance-connect:SendSSHPublicKey"]
    assert context["ec2:osuser"] == "deploy"
    assert context["aws:ResourceTag/Role"] == "web"
    assert checks["key-permission"]["Details"]["Resource"].endswith(f":instance/{world.instance_ids['web-1']}")


def refused_tunnel(world: World) -> None:
    body = {"ErrorCode": "AccessDeniedException", "Message": "not authorized"}
    world.emulator.add_fault("refuse", status=403, body=body, times=-1)


def test_a_statement_that_denies(eicctl: Eicctl, simulator: Simulator, world: World) -> None:
    refused_tunnel(world)
    simulator.policy = "no-tunnels"
    simulator.decide = lambda action, _: "explicitDeny" if action.endswith("OpenTunnel") else "allowed"
    code, cause, _ = permissions(eicctl)
    assert (code, cause["Check"]) == (4, "permission")
    assert "may not do ec2-instance-connect:OpenTunnel on eice-" in cause["Sentence"]
    assert "a statement of no-tunnels denies it" in cause["Sentence"]


def test_a_policy_that_wants_short_tunnels(eicctl: Eicctl, simulator: Simulator, world: World) -> None:
    refused_tunnel(world)

    def short(action: str, context: dict[str, str]) -> str:
        seconds = int(context.get("ec2-instance-connect:maxTunnelDuration", "99999"))
        return "allowed" if seconds <= 1000 or not action.endswith("OpenTunnel") else "implicitDeny"

    simulator.decide = short
    code, cause, checks = permissions(eicctl)
    assert (code, cause["Check"], cause["Mend"]) == (4, "permission", "--max-tunnel-duration 900")
    assert checks["permission"]["Details"]["GoodMaxTunnelDuration"] == 900


def test_a_policy_that_allows_nothing_of_it(eicctl: Eicctl, simulator: Simulator, world: World) -> None:
    refused_tunnel(world)
    simulator.decide = lambda _action, _context: "implicitDeny"
    code, cause, checks = permissions(eicctl)
    assert (code, cause["Check"]) == (4, "permission")
    assert "no statement of its policies allows it" in cause["Sentence"]
    assert checks["key-permission"]["Status"] == "failed"
    assert "ec2:osuser = ec2-user" in checks["key-permission"]["Evidence"]


def test_a_tunnel_that_opens_proves_the_permission(eicctl: Eicctl, simulator: Simulator, world: World) -> None:
    simulator.decide = lambda action, _: "implicitDeny" if action.endswith("OpenTunnel") else "allowed"
    code, cause, checks = permissions(eicctl)
    assert (code, cause) == (0, None)
    assert checks["permission"]["Status"] == "unknown"
    assert "but the tunnel works" in checks["permission"]["Evidence"]


def test_without_the_right_to_ask_it_is_not_known(eicctl: Eicctl, simulator: Simulator, world: World) -> None:
    simulator.decide = lambda _action, _context: ""
    code, cause, checks = permissions(eicctl)
    assert (code, cause) == (0, None)
    assert {check["Status"] for check in checks.values()} == {"unknown"}
    assert "no permission to look" in checks["permission"]["Evidence"]
    assert "iam:SimulatePrincipalPolicy" in checks["permission"]["Mend"]
    nothing_listens(world)
    assert permissions(eicctl)[1]["Check"] == "tunnel"


def test_a_role_is_asked_about_by_its_own_arn(eicctl: Eicctl, simulator: Simulator, world: World) -> None:
    role = "arn:aws:iam::123456789012:role/team/ops"
    keys = boto3.client("sts").assume_role(RoleArn=role, RoleSessionName="me")["Credentials"]
    world.monkeypatch.setenv("AWS_ACCESS_KEY_ID", keys["AccessKeyId"])
    world.monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", keys["SecretAccessKey"])
    world.monkeypatch.setenv("AWS_SESSION_TOKEN", keys["SessionToken"])
    code, _, _ = permissions(eicctl)
    assert code == 0
    assert {principal for principal, _, _ in simulator.asked} == {role}
