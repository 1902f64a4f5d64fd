"""The security groups that eicctl creates for endpoints, and deletes with them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from eicctl.aws.ec2_requests import exact_filters, listed, request_change
from eicctl.aws.endpoints import VISIBLE
from eicctl.aws.errors import code_of, translated
from eicctl.aws.network import cidrs_of
from eicctl.aws.session import Session
from eicctl.core.errors import ConflictError, EicctlError, NotFoundError
from eicctl.core.model import DIRECT_PORTS, Endpoint
from eicctl.support.clock import Backoff

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import (
        CreateSecurityGroupRequestTypeDef,
        IpPermissionTypeDef,
        SecurityGroupTypeDef,
        UserIdGroupPairTypeDef,
    )


T = TypeVar("T")

MANAGED = ("eicctl:managed", "true")
"""The tag of the security groups that eicctl creates."""

RULE = "EC2 Instance Connect Endpoint"
"""The description of the rules that eicctl adds to the groups of targets."""


@dataclass(frozen=True)
class GroupPlan:
    """A security group for an endpoint: egress to ports 22 and 3389 of the VPC, and ingress rules in target groups.

    Attributes:
        subnet_id: The endpoint's subnet.
        vpc_id: The VPC.
        name: The group's name.
        allow_to: Groups of targets that get an ingress rule from the new group.
    """

    subnet_id: str
    vpc_id: str
    name: str
    allow_to: tuple[str, ...] = ()


@dataclass(frozen=True)
class PlannedGroup:
    """A security group and its rules, to be created by another tool.

    Attributes:
        group_id: Its ID where it exists already, else empty.
        name: Its name.
        vpc_id: Its VPC.
        tags: Its tags, as eicctl would set them.
        egress: The ports and ranges that it allows, where it is new.
        targets: The groups that get an inbound rule for `DIRECT_PORTS` from it.
    """

    group_id: str
    name: str
    vpc_id: str
    tags: Mapping[str, str]
    egress: tuple[tuple[int, str], ...]
    targets: tuple[str, ...]


class GroupMaker:
    """Creates a group by its plan, or takes the one that it has created before; undoes it if something fails later.

    Attributes:
        plan: What to create.
        group_id: The group's ID; empty until it exists.
        reused: Whether the group was there already.
    """

    def __init__(self, session: Session, plan: GroupPlan) -> None:
        self._session = session
        self._client = session.client("ec2")
        self.plan = plan
        self._undo: list[tuple[str, Callable[[], object]]] = []
        self.group_id = ""
        self.reused = False

    def check(self) -> list[str]:
        """Ask EC2 whether it would create the group (DryRun); return one line for each call that would be made.

        Raises:
            ConflictError: Another group has the name.
        """
        plan, ports = self.plan, " and ".join(map(str, DIRECT_PORTS))
        self._target_rows()
        lines = [
            f"Would call AuthorizeSecurityGroupIngress TCP {ports} in {each} from {plan.name}" for each in plan.allow_to
        ]
        if row := self._existing():
            return [f"Would reuse security group {row['GroupId']} ({plan.name})", *lines]
        create = self._client.create_security_group
        request_change("create the security group", create, dry_run=True, **self._request())
        return [
            f"Would call CreateSecurityGroup {plan.name} in {plan.vpc_id}",
            "Would call RevokeSecurityGroupEgress for the default rule, which allows all traffic",
            f"Would call AuthorizeSecurityGroupEgress TCP {ports} to the ranges of {plan.vpc_id}",
            *lines,
        ]

    def planned(self) -> PlannedGroup:
        """Return what would be created.

        Raises:
            ConflictError: Another group has the name.
        """
        self._target_rows()
        row, plan = self._existing(), self.plan
        egress = () if row else tuple((port, cidr) for port in DIRECT_PORTS for cidr in self._ranges())
        tags = {"Name": plan.name, MANAGED[0]: MANAGED[1]}
        return PlannedGroup(row["GroupId"] if row else "", plan.name, plan.vpc_id, tags, egress, plan.allow_to)

    def _ranges(self) -> tuple[str, ...]:
        with translated("look up the VPC"):
            return cidrs_of(self._client.describe_vpcs(VpcIds=[self.plan.vpc_id])["Vpcs"][0])

    def make(self) -> str:
        """Create the group and the rules; return the group's ID. After a failure, `undo` removes what was added.

        Raises:
            ConflictError: Another group has the name.
        """
        targets = self._target_rows()
        ranges = self._ranges()
        row = self._existing()
        self.reused = bool(row)
        row = row or self._create()
        self.group_id = row["GroupId"]
        present = {
            (rule.get("FromPort"), cidr)
            for rule in row.get("IpPermissionsEgress", [])
            for cidr in (*(r["CidrIp"] for r in rule["IpRanges"]), *(r["CidrIpv6"] for r in rule["Ipv6Ranges"]))
        }
        wanted = [_to_range(port, cidr) for port in DIRECT_PORTS for cidr in ranges if (port, cidr) not in present]
        if wanted:
            self._authorize("egress", self.group_id, wanted)
        for target in targets:
            self._allow_to(target)
        return self.group_id

    def once_visible(self, action: str, call: Callable[[], T]) -> T:
        """Make a call that names the group, again while EC2 does not see the group yet.

        Args:
            action: What the call does, after "cannot".
            call: It.
        """
        for last in Backoff(0.5, 5.0, growth=1.5).attempts(VISIBLE):
            try:
                with translated(action):
                    return call()
            except EicctlError as error:
                unseen = code_of(error).endswith(".NotFound") and self.group_id in str(error.__cause__)
                if last or not unseen:
                    raise
        raise AssertionError("unreachable")

    def undo(self) -> str:
        """Remove what was added, last first; return a sentence that lists what was and was not removed."""
        removed, left = [], []
        for name, call in reversed(self._undo):
            try:
                self.once_visible(f"remove {name}", call)
                removed.append(name)
            except EicctlError as error:
                left.append(f"{name} ({error.message})")
        self._undo.clear()
        parts = (("Removed", removed), ("Not removed", left))
        return "; ".join(f"{what}: {', '.join(names)}" for what, names in parts if names)

    def _request(self) -> CreateSecurityGroupRequestTypeDef:
        plan = self.plan
        tags = {"Name": plan.name, MANAGED[0]: MANAGED[1]}
        return {
            "GroupName": plan.name,
            "Description": "EC2 Instance Connect Endpoint, created by eicctl",
            "VpcId": plan.vpc_id,
            "TagSpecifications": [
                {"ResourceType": "security-group", "Tags": [{"Key": k, "Value": v} for k, v in tags.items()]}
            ],
        }

    def _existing(self) -> SecurityGroupTypeDef | None:
        """The group that an earlier call has created."""
        filters = exact_filters({"vpc-id": [self.plan.vpc_id], "group-name": [self.plan.name]})
        with translated("look up the security group"):
            rows = self._client.describe_security_groups(Filters=filters)["SecurityGroups"]
        if not rows:
            return None
        if MANAGED not in ((tag["Key"], tag["Value"]) for tag in rows[0].get("Tags", [])):
            group_id = rows[0]["GroupId"]
            words = ("--subnet-id", self.plan.subnet_id, "--security-group-id", group_id)
            raise ConflictError(
                f'Security group "{self.plan.name}" ({group_id}) exists, and was not created by eicctl',
                hint=self._session.command("eicctl", "create-endpoint", *words),
            )
        return rows[0]

    def _create(self) -> SecurityGroupTypeDef:
        with translated("create the security group"):
            self.group_id = self._client.create_security_group(**self._request())["GroupId"]
        self._undo.append((self.group_id, lambda: self._client.delete_security_group(GroupId=self.group_id)))
        look = self._client.describe_security_groups
        row = self.once_visible("look up the group", lambda: look(GroupIds=[self.group_id]))["SecurityGroups"][0]
        if default := row.pop("IpPermissionsEgress", []):
            revoke = self._client.revoke_security_group_egress
            self.once_visible(
                "remove the group's default rule", lambda: revoke(GroupId=self.group_id, IpPermissions=default)
            )
        return row

    def _target_rows(self) -> list[SecurityGroupTypeDef]:
        """The groups of targets, which have to exist before anything is created for them."""
        if not self.plan.allow_to:
            return []
        with translated("look up the targets' security groups"):
            return self._client.describe_security_groups(GroupIds=list(self.plan.allow_to))["SecurityGroups"]

    def _allow_to(self, target: SecurityGroupTypeDef) -> None:
        present = {
            rule.get("FromPort")
            for rule in target.get("IpPermissions", [])
            for pair in rule.get("UserIdGroupPairs", [])
            if pair.get("GroupId") == self.group_id
        }
        rules = [_from_group(port, self.group_id) for port in DIRECT_PORTS if port not in present]
        if not rules:
            return
        group_id = target["GroupId"]
        self._authorize("ingress", group_id, rules)
        self._undo.append(
            (
                f"the rules in {group_id}",
                lambda: self._client.revoke_security_group_ingress(GroupId=group_id, IpPermissions=rules),
            )
        )

    def _authorize(self, direction: str, group_id: str, rules: list[IpPermissionTypeDef]) -> None:
        call = getattr(self._client, f"authorize_security_group_{direction}")
        self.once_visible(f"add rules to {group_id}", lambda: call(GroupId=group_id, IpPermissions=rules))


def _from_group(port: int, group_id: str) -> IpPermissionTypeDef:
    pair: UserIdGroupPairTypeDef = {"GroupId": group_id, "Description": RULE}
    return {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "UserIdGroupPairs": [pair]}


def _to_range(port: int, cidr: str) -> IpPermissionTypeDef:
    rule: IpPermissionTypeDef = {"IpProtocol": "tcp", "FromPort": port, "ToPort": port}
    if ":" in cidr:
        return {**rule, "Ipv6Ranges": [{"CidrIpv6": cidr}]}
    return {**rule, "IpRanges": [{"CidrIp": cidr}]}


@dataclass(frozen=True, slots=True)
class ManagedGroup:
    """A security group of an endpoint that eicctl has created.

    Attributes:
        id: Its ID.
        name: Its name.
        rules: The ingress rules from it that eicctl has added, by the group that has them.
        used_by: What else uses it, so that it cannot be deleted.
    """

    id: str
    name: str
    rules: Mapping[str, list[IpPermissionTypeDef]]
    used_by: tuple[str, ...]


def managed_groups(session: Session, endpoint: Endpoint) -> list[ManagedGroup]:
    """Return those of an endpoint's security groups that eicctl has created."""
    if not endpoint.security_group_ids:
        return []
    filters = exact_filters({"group-id": endpoint.security_group_ids, f"tag:{MANAGED[0]}": [MANAGED[1]]})
    with translated("look up the endpoint's security groups"):
        rows = session.client("ec2").describe_security_groups(Filters=filters)["SecurityGroups"]
        return [_managed(session, endpoint, row) for row in rows]


def _managed(session: Session, endpoint: Endpoint, row: SecurityGroupTypeDef) -> ManagedGroup:
    client, group_id = session.client("ec2"), row["GroupId"]
    wanted = exact_filters({"group-id": [group_id]})
    rows = listed(client, "describe_network_interfaces", "NetworkInterfaces", Filters=wanted)
    ids = [interface["NetworkInterfaceId"] for interface in rows]
    used_by = [each for each in ids if each not in endpoint.network_interface_ids]
    rules: dict[str, list[IpPermissionTypeDef]] = {}
    for direction in ("", "egress."):
        named = exact_filters({f"{direction}ip-permission.group-id": [group_id]})
        for other in client.describe_security_groups(Filters=named)["SecurityGroups"]:
            if other["GroupId"] == group_id:
                continue
            for rule in other["IpPermissionsEgress"] if direction else other["IpPermissions"]:
                for pair in rule.get("UserIdGroupPairs", []):
                    if pair.get("GroupId") != group_id:
                        continue
                    if pair.get("Description") == RULE and not direction:
                        rules.setdefault(other["GroupId"], []).append(_from_group(rule["FromPort"], group_id))
                    else:
                        used_by.append(f"a rule of {other['GroupId']}")
    return ManagedGroup(group_id, row.get("GroupName", ""), rules, tuple(dict.fromkeys(used_by)))


def delete_group(session: Session, group: ManagedGroup, *, timeout: float) -> None:
    """Delete a group that an endpoint had, with the rules that eicctl has added for it.

    The endpoint's network interface holds the group for some time after the endpoint is gone.

    Args:
        session: Access to AWS.
        group: The group.
        timeout: Seconds to wait until nothing holds it.

    Raises:
        ConflictError: Something holds it still.
    """
    client = session.client("ec2")
    for target, rules in group.rules.items():
        _unless_gone(f"remove the rules in {target}", client.revoke_security_group_ingress, target, IpPermissions=rules)
    for last in Backoff(1.0, 10.0, growth=1.5).attempts(timeout):
        try:
            _unless_gone(f"delete the security group {group.id}", client.delete_security_group, group.id)
            return
        except ConflictError as error:
            if last or code_of(error) != "DependencyViolation":
                error.hint = session.command("aws", "ec2", "delete-security-group", "--group-id", group.id)
                raise


def _unless_gone(action: str, call: Callable[..., Any], group_id: str, **request: Any) -> None:
    try:
        with translated(action):
            call(GroupId=group_id, **request)
    except NotFoundError as error:
        if not code_of(error).endswith(".NotFound"):
            raise
