"""Create what the template describes, find everything of earlier runs by its tag, and delete it.

AWS has CloudFormation. The local AWS has not: there the template's resources are created through the API, one call for
each, so that the template is the only description of them.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import yaml
from botocore.exceptions import ClientError, WaiterError

TAG = "eicctl-live"
"""The tag of everything that a run creates. Its value is the run's name."""

ROLE_PATH = f"/{TAG}/"
"""The path of roles, by which they are found."""

TEMPLATE = Path(__file__).with_name("template.yaml")

Note = Callable[[str], object]


class Loader(yaml.SafeLoader):
    """Reads a template: `!Ref X` is `{"Ref": X}`, and any other `!Name` is `{"Fn::Name": …}`."""


def _function(loader: Loader, name: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.SequenceNode):
        value: Any = loader.construct_sequence(node, deep=True)
    else:
        assert isinstance(node, yaml.ScalarNode)
        value = loader.construct_scalar(node)
    return {name if name in ("Ref", "Condition") else f"Fn::{name}": value}


Loader.add_multi_constructor("!", _function)


def read_template() -> dict[str, Any]:
    """Return the template."""
    template: dict[str, Any] = yaml.load(TEMPLATE.read_text(encoding="utf-8"), Loader)
    return template


def tag_filter(run: str | None) -> list[dict[str, Any]]:
    """The filter for resources of a run; of any run where that is None."""
    return [{"Name": "tag-key", "Values": [TAG]} if run is None else {"Name": f"tag:{TAG}", "Values": [run]}]


def wait(done: Callable[[], object], what: str, seconds: float, every: float) -> None:
    """Wait until something holds.

    Raises:
        TimeoutError: It does not in time.
    """
    end = time.monotonic() + seconds
    while not done():
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not in {seconds:g} s")
        time.sleep(every)


class Stack:
    """What the template describes, of one run.

    Args:
        session: boto3's session.
        local: Whether it is the local AWS, without CloudFormation.
        run: The run's name.
    """

    def __init__(self, session: boto3.Session, *, local: bool, run: str) -> None:
        self._session = session
        self._local = local
        self._run = run

    def create(self, parameters: dict[str, str]) -> dict[str, str]:
        """Create it, wait, and return its outputs."""
        if self._local:
            return ApiStack(self._session, self._run, parameters).create()
        cloudformation = self._session.client("cloudformation")
        cloudformation.create_stack(
            StackName=self._run,
            TemplateBody=TEMPLATE.read_text(encoding="utf-8"),
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
            Tags=[{"Key": TAG, "Value": self._run}],
            OnFailure="DO_NOTHING",
            TimeoutInMinutes=45,
        )
        cloudformation.get_waiter("stack_create_complete").wait(StackName=self._run)
        (stack,) = cloudformation.describe_stacks(StackName=self._run)["Stacks"]
        return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}


class ApiStack:
    """The template's resources, through the API. A property that it does not know is an error."""

    def __init__(self, session: boto3.Session, run: str, parameters: dict[str, str]) -> None:
        self._template = read_template()
        self._ec2: Any = session.client("ec2")
        self._rds: Any = session.client("rds")
        self._run = run
        self._values: dict[str, str] = dict(parameters)
        self._region = session.region_name

    def create(self) -> dict[str, str]:
        """Create every resource in the template's order, and return the outputs."""
        for name, resource in self._template["Resources"].items():
            if self._wanted(resource):
                properties = self._resolve(resource.get("Properties", {}))
                kind = resource["Type"].rpartition("::")[2]
                self._values[name] = getattr(self, f"_create_{kind.lower()}")(name, **properties)
        outputs = self._template["Outputs"]
        return {name: self._resolve(output["Value"]) for name, output in outputs.items() if self._wanted(output)}

    def _wanted(self, part: dict[str, Any]) -> bool:
        condition = part.get("Condition")
        if not condition:
            return True
        left, right = self._resolve(self._template["Conditions"][condition]["Fn::Equals"])
        return bool(left == right)

    def _resolve(self, value: Any) -> Any:
        match value:
            case {"Ref": name}:
                return self._values[name]
            case {"Fn::Select": [index, choices]}:
                return self._resolve(choices)[index]
            case {"Fn::GetAZs": _}:
                return [zone["ZoneName"] for zone in self._ec2.describe_availability_zones()["AvailabilityZones"]]
            case dict():
                return {key: self._resolve(each) for key, each in value.items()}
            case list():
                return [self._resolve(each) for each in value]
        return value

    def _tags(self, kind: str, tags: list[dict[str, str]] | None = None) -> list[dict[str, Any]]:
        return [{"ResourceType": kind, "Tags": [*(tags or []), {"Key": TAG, "Value": self._run}]}]

    def _create_vpc(self, _name: str, CidrBlock: str, **attributes: bool) -> str:
        vpc: str = self._ec2.create_vpc(CidrBlock=CidrBlock, TagSpecifications=self._tags("vpc"))["Vpc"]["VpcId"]
        for attribute, value in attributes.items():
            self._ec2.modify_vpc_attribute(VpcId=vpc, **{attribute: {"Value": value}})
        return vpc

    def _create_subnet(self, _name: str, **properties: str) -> str:
        made = self._ec2.create_subnet(**properties, TagSpecifications=self._tags("subnet"))
        return str(made["Subnet"]["SubnetId"])

    def _create_securitygroup(
        self,
        name: str,
        GroupDescription: str,
        VpcId: str,
        SecurityGroupIngress: list[dict[str, Any]] | None = None,
        SecurityGroupEgress: list[dict[str, Any]] | None = None,
    ) -> str:
        words = {"GroupName": f"{self._run}-{name}", "Description": GroupDescription, "VpcId": VpcId}
        group: str = self._ec2.create_security_group(**words, TagSpecifications=self._tags("security-group"))["GroupId"]

        def see() -> bool:
            with contextlib.suppress(ClientError):  # it takes a moment until other calls see it
                return bool(self._ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"])
            return False

        wait(see, group, 30, 0.1)
        if SecurityGroupIngress:
            permissions = [self._permission(**rule) for rule in SecurityGroupIngress]
            self._ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=permissions)
        if SecurityGroupEgress:
            (now,) = self._ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"]
            self._ec2.revoke_security_group_egress(GroupId=group, IpPermissions=now["IpPermissionsEgress"])
            permissions = [self._permission(**rule) for rule in SecurityGroupEgress]
            self._ec2.authorize_security_group_egress(GroupId=group, IpPermissions=permissions)
        return group

    @staticmethod
    def _permission(
        IpProtocol: str,
        FromPort: int,
        ToPort: int,
        CidrIp: str = "",
        SourceSecurityGroupId: str = "",
    ) -> dict[str, Any]:
        of = (
            {"IpRanges": [{"CidrIp": CidrIp}]} if CidrIp else {"UserIdGroupPairs": [{"GroupId": SourceSecurityGroupId}]}
        )
        return {"IpProtocol": IpProtocol, "FromPort": FromPort, "ToPort": ToPort, **of}

    def _create_instanceconnectendpoint(self, _name: str, **properties: Any) -> str:
        words = {**properties, "TagSpecifications": self._tags("instance-connect-endpoint")}
        made = self._ec2.create_instance_connect_endpoint(**words)["InstanceConnectEndpoint"]
        endpoint: str = made["InstanceConnectEndpointId"]

        def ready() -> bool:
            found = self._ec2.describe_instance_connect_endpoints(InstanceConnectEndpointIds=[endpoint])
            return bool(found["InstanceConnectEndpoints"][0]["State"] == "create-complete")

        wait(ready, endpoint, 900, 0.1)
        return endpoint

    def _create_instance(self, _name: str, Tags: list[dict[str, str]], **properties: Any) -> str:
        words = {**properties, "TagSpecifications": self._tags("instance", Tags)}
        return str(self._ec2.run_instances(**words, MinCount=1, MaxCount=1)["Instances"][0]["InstanceId"])

    def _create_dbsubnetgroup(self, _name: str, **properties: Any) -> str:
        words = {**properties, "DBSubnetGroupName": self._run, "Tags": [{"Key": TAG, "Value": self._run}]}
        self._rds.create_db_subnet_group(**words)
        return self._run

    def _create_dbinstance(
        self,
        _name: str,
        AllocatedStorage: str,
        VPCSecurityGroups: list[str],
        **properties: Any,
    ) -> str:
        words = {**properties, "AllocatedStorage": int(AllocatedStorage), "VpcSecurityGroupIds": VPCSecurityGroups}
        tags = [{"Key": TAG, "Value": self._run}]
        self._rds.create_db_instance(DBInstanceIdentifier=self._run, **words, Tags=tags)
        return self._run


@dataclass(frozen=True)
class Left:
    """Something that a run has created and that is still there."""

    kind: str
    id: str
    run: str

    def __str__(self) -> str:
        return f"{self.kind} {self.id} (run {self.run})"


def _run_of(tags: list[dict[str, str]]) -> str:
    return next((tag["Value"] for tag in tags if tag["Key"] == TAG), "?")


class Cleaner:
    """Find and delete what runs have created.

    Args:
        session: boto3's session.
        local: Whether it is the local AWS, without CloudFormation.
        run: Only what has this run's name; None for every run's.
        note: Takes what is being deleted.
    """

    def __init__(
        self, session: boto3.Session, *, local: bool, run: str | None = None, note: Note = lambda _text: None
    ) -> None:
        self._local = local
        self._run = run
        self._note = note
        self._ec2: Any = session.client("ec2")
        self._iam: Any = session.client("iam")
        self._rds: Any = session.client("rds")
        self._cloudformation: Any = session.client("cloudformation")
        self._every = 0.1 if local else 10

    def left(self) -> list[Left]:
        """Everything that is there, in the order in which it can be deleted."""
        return [
            *self._endpoints(),
            *self._roles(),
            *self._stacks(),
            *self._databases(),
            *self._instances(),
            *self._network(),
        ]

    def clean(self) -> list[Left]:
        """Delete everything, and return what is left all the same."""
        self._delete(self._roles(), self._delete_role)
        self._delete_endpoints(also_of_stacks=False)  # their interfaces would keep the stack's networks
        self._revoke_references()
        self._delete(self._stacks(), lambda stack: self._cloudformation.delete_stack(StackName=stack))
        for stack in self._stacks():
            with contextlib.suppress(WaiterError):  # what it leaves is deleted below, and reported
                self._cloudformation.get_waiter("stack_delete_complete").wait(StackName=stack.id)
        self._delete_endpoints(also_of_stacks=True)
        self._delete(self._databases(), self._delete_database)
        self._delete(self._instances(), lambda instance: self._ec2.terminate_instances(InstanceIds=[instance]))
        wait(lambda: not self._databases() and not self._instances(), "deleting instances", 1800, self._every)
        with contextlib.suppress(ClientError):
            if self._local and self._run:
                self._rds.delete_db_subnet_group(DBSubnetGroupName=self._run)
        self._delete(self._network(), self._delete_network)
        return self.left()

    def _delete(self, found: list[Left], delete: Callable[[str], object]) -> None:
        for each in found:
            self._note(f"deleting {each}")
            try:
                delete(each.id)
            except ClientError as error:
                self._note(f"{each}: {error}")

    def _is_of_run(self, tags: list[dict[str, str]]) -> bool:
        return any(tag["Key"] == TAG and self._run in (None, tag["Value"]) for tag in tags)

    def _vpcs(self) -> dict[str, str]:
        found = self._ec2.describe_vpcs(Filters=tag_filter(self._run))["Vpcs"]
        return {vpc["VpcId"]: _run_of(vpc["Tags"]) for vpc in found}

    def _endpoints(self, *, also_of_stacks: bool = True) -> list[Left]:
        vpcs = self._vpcs()
        if not vpcs:
            return []
        pages = self._ec2.get_paginator("describe_instance_connect_endpoints")
        found = pages.paginate(Filters=[{"Name": "vpc-id", "Values": list(vpcs)}])
        rows = [row for page in found for row in page["InstanceConnectEndpoints"] if row["State"] != "delete-complete"]
        if not also_of_stacks:
            rows = [row for row in rows if not any(tag["Key"].startswith("aws:cloudformation:") for tag in row["Tags"])]
        return [Left("endpoint", row["InstanceConnectEndpointId"], vpcs[row["VpcId"]]) for row in rows]

    def _delete_endpoints(self, *, also_of_stacks: bool) -> None:
        def found() -> list[Left]:
            return self._endpoints(also_of_stacks=also_of_stacks)

        self._delete(found(), self._delete_endpoint)
        wait(lambda: not found(), "deleting endpoints", 900, self._every)

    def _delete_endpoint(self, endpoint: str) -> None:
        found = self._ec2.describe_instance_connect_endpoints(InstanceConnectEndpointIds=[endpoint])
        if found["InstanceConnectEndpoints"][0]["State"] != "delete-in-progress":
            self._ec2.delete_instance_connect_endpoint(InstanceConnectEndpointId=endpoint)

    def _roles(self) -> list[Left]:
        pages = self._iam.get_paginator("list_roles").paginate(PathPrefix=ROLE_PATH)
        roles = [role["RoleName"] for page in pages for role in page["Roles"]]
        runs = {role: role.rpartition("-")[0] for role in roles}
        return [Left("role", role, run) for role, run in runs.items() if self._run in (None, run)]

    def _delete_role(self, role: str) -> None:
        for policy in self._iam.list_role_policies(RoleName=role)["PolicyNames"]:
            self._iam.delete_role_policy(RoleName=role, PolicyName=policy)
        self._iam.delete_role(RoleName=role)

    def _stacks(self) -> list[Left]:
        if self._local:
            return []
        pages = self._cloudformation.get_paginator("describe_stacks").paginate()
        stacks = [stack for page in pages for stack in page["Stacks"] if self._is_of_run(stack.get("Tags", []))]
        return [Left("stack", stack["StackName"], _run_of(stack["Tags"])) for stack in stacks]

    def _databases(self) -> list[Left]:
        pages = self._rds.get_paginator("describe_db_instances").paginate()
        rows = [row for page in pages for row in page["DBInstances"] if self._is_of_run(row.get("TagList", []))]
        return [Left("database", row["DBInstanceIdentifier"], _run_of(row["TagList"])) for row in rows]

    def _delete_database(self, database: str) -> None:
        self._rds.delete_db_instance(DBInstanceIdentifier=database, SkipFinalSnapshot=True, DeleteAutomatedBackups=True)

    def _instances(self) -> list[Left]:
        states = {
            "Name": "instance-state-name",
            "Values": ["pending", "running", "stopping", "stopped", "shutting-down"],
        }
        pages = self._ec2.get_paginator("describe_instances").paginate(Filters=[*tag_filter(self._run), states])
        rows = [row for page in pages for group in page["Reservations"] for row in group["Instances"]]
        return [Left("instance", row["InstanceId"], _run_of(row["Tags"])) for row in rows]

    def _network(self) -> list[Left]:
        """Security groups, subnets and VPCs, also those that eicctl has created in these VPCs."""
        vpcs = self._vpcs()
        if not vpcs:
            return []
        inside = [{"Name": "vpc-id", "Values": list(vpcs)}]
        groups = self._ec2.describe_security_groups(Filters=inside)["SecurityGroups"]
        subnets = self._ec2.describe_subnets(Filters=inside)["Subnets"]
        return [
            *(Left("group", row["GroupId"], vpcs[row["VpcId"]]) for row in groups if row["GroupName"] != "default"),
            *(Left("subnet", row["SubnetId"], vpcs[row["VpcId"]]) for row in subnets),
            *(Left("vpc", vpc, run) for vpc, run in vpcs.items()),
        ]

    def _delete_network(self, resource: str) -> None:
        if resource.startswith("sg-"):
            self._ec2.delete_security_group(GroupId=resource)
        elif resource.startswith("subnet-"):
            self._ec2.delete_subnet(SubnetId=resource)
        else:
            self._ec2.delete_vpc(VpcId=resource)

    def _revoke_references(self) -> None:
        """Groups whose rules name each other cannot be deleted."""
        for group in self._groups():
            for rules, revoke in (
                ("IpPermissions", self._ec2.revoke_security_group_ingress),
                ("IpPermissionsEgress", self._ec2.revoke_security_group_egress),
            ):
                named = [rule for rule in group[rules] if rule.get("UserIdGroupPairs")]
                if named:
                    revoke(GroupId=group["GroupId"], IpPermissions=named)

    def _groups(self) -> Iterator[dict[str, Any]]:
        vpcs = list(self._vpcs())
        if vpcs:
            yield from self._ec2.describe_security_groups(Filters=[{"Name": "vpc-id", "Values": vpcs}])[
                "SecurityGroups"
            ]
