"""The operations that moto lacks, as methods of its response classes: parameters in, results out."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

from moto.core.responses import ActionResult

from eicctl.emulator.control import backends, cloudtrail, credentials, instances, network, organization, policy_language
from eicctl.emulator.control.athena_actions import AthenaActions
from eicctl.emulator.control.backends import Action, ApiError, page_of
from eicctl.emulator.control.cloudtrail import recorded
from eicctl.emulator.control.credentials import CALLER
from eicctl.emulator.control.endpoints import CreateRequest, EndpointService, check_dry_run
from eicctl.emulator.control.permission import CALL, Permission
from eicctl.emulator.state import EndpointRecord, State

_PAGE = 50
"""Maximum endpoints per page (the service model's limit)."""

_CHANGES = {
    "ip_address_type": "IpAddressType",
    "security_group_ids": "SecurityGroupIds",
    "preserve_client_ip": "PreserveClientIp",
}
"""What ModifyInstanceConnectEndpoint changes: EndpointRecord's field, and the parameter."""

_NAMING_GROUPS = (
    "describe_security_groups",
    "authorize_security_group_egress",
    "authorize_security_group_ingress",
    "revoke_security_group_egress",
    "revoke_security_group_ingress",
)
"""Operations that do not see a security group at once."""


class Actions:
    """Operations over one state.

    Args:
        state: The emulator's memory.
        dns_name: Returns the DNS name of every endpoint: `HOST` or `HOST:PORT` of the data plane.
    """

    def __init__(self, state: State, dns_name: Callable[[], str]) -> None:
        self._state = state
        self._dns_name = dns_name
        self._permission = Permission(state)

    def install(self) -> None:
        """Make moto answer with these operations."""
        backends.install(
            {
                "ec2": {
                    "create_instance_connect_endpoint": recorded(self._state, self.create),
                    "describe_instance_connect_endpoints": self.describe,
                    "modify_instance_connect_endpoint": recorded(self._state, self.modify),
                    "delete_instance_connect_endpoint": recorded(self._state, self.delete),
                    "get_console_output": self.console_output,
                    "get_password_data": self.password_data,
                },
                "ec2-instance-connect": {
                    "send_ssh_public_key": recorded(self._state, self.send_key),
                    "send_serial_console_ssh_public_key": self.send_serial_key,
                },
                "cloudtrail": {"lookup_events": self.lookup_events},
                "athena": AthenaActions(self._state).actions(),
                "sts": {"get_session_token": self.session_token, "get_caller_identity": self.caller_identity},
                "iam": {"simulate_principal_policy": self.simulate},
                "organizations": {"list_accounts": self.list_accounts},
            },
            {
                "ec2": {
                    "run_instances": self.start_instances,
                    "start_instances": self.start_instances,
                    "describe_instances": self.describe_instances,
                    "create_tags": self.create_tags,
                    "create_security_group": self.create_group,
                    **dict.fromkeys(_NAMING_GROUPS, self.name_groups),
                    "delete_security_group": network.delete_group,
                    "delete_subnet": network.delete_subnet,
                    "delete_network_interface": network.delete_interface,
                },
                "iam": {"list_mfa_devices": credentials.list_devices},
                "sts": {"assume_role": self.assume_role},
            },
        )

    def _service(self, response: Any) -> EndpointService:
        dry_run = bool(response._get_param("DryRun", False))
        account = response.current_account
        return EndpointService(self._state, response.region, self._dns_name(), account=account, dry_run=dry_run)

    def create(self, response: Any) -> ActionResult:
        """CreateInstanceConnectEndpoint."""
        service = self._service(response)
        token = response._get_param("ClientToken", "")
        tags = response._parse_tag_specification("instance-connect-endpoint")
        endpoint = service.create(
            CreateRequest(
                subnet_id=response._get_param("SubnetId"),
                security_group_ids=tuple(response._get_param("SecurityGroupIds", [])),
                preserve_client_ip=bool(response._get_param("PreserveClientIp", False)),
                ip_address_type=response._get_param("IpAddressType", ""),
                client_token=token,
                tags=tags.get("instance-connect-endpoint", {}),
            )
        )
        shown = self._shape(endpoint, service.tags(endpoint.id))
        return ActionResult({"InstanceConnectEndpoint": shown, "ClientToken": token})

    def describe(self, response: Any) -> ActionResult:
        """DescribeInstanceConnectEndpoints."""
        ids = response._get_param("InstanceConnectEndpointIds", [])
        size = int(response._get_param("MaxResults", _PAGE))
        if not 1 <= size <= _PAGE:
            raise ApiError("InvalidParameterValue", f"Value ({size}) for parameter maxResults is invalid.")
        found = self._service(response).describe(ids, response._filters_from_querystring())
        page, more = page_of(found, response._get_param("NextToken"), size)
        return ActionResult({"InstanceConnectEndpoints": [self._shape(*pair) for pair in page], **more})

    def modify(self, response: Any) -> ActionResult:
        """ModifyInstanceConnectEndpoint."""
        changes = {name: response._get_param(parameter) for name, parameter in _CHANGES.items()}
        changes = {name: value for name, value in changes.items() if value is not None}
        self._service(response).modify(response._get_param("InstanceConnectEndpointId", ""), changes)
        return ActionResult({"Return": True})

    def delete(self, response: Any) -> ActionResult:
        """DeleteInstanceConnectEndpoint."""
        service = self._service(response)
        endpoint = service.delete(response._get_param("InstanceConnectEndpointId", ""))
        return ActionResult({"InstanceConnectEndpoint": self._shape(endpoint, service.tags(endpoint.id))})

    def console_output(self, response: Any) -> ActionResult:
        """GetConsoleOutput."""
        instance = self._instance(response)
        text = instances.console_output(self._state.machine_of(instance.id))
        return self._timed(instance, "Output", base64.b64encode(text.encode()).decode())

    def password_data(self, response: Any) -> ActionResult:
        """GetPasswordData."""
        instance = self._instance(response)
        return self._timed(instance, "PasswordData", instances.password_data(response.ec2_backend, instance))

    @staticmethod
    def _instance(response: Any) -> Any:
        instance = response.ec2_backend.get_instance(response._get_param("InstanceId"))
        check_dry_run(bool(response._get_param("DryRun", False)))
        return instance

    def _timed(self, instance: Any, name: str, value: str) -> ActionResult:
        return ActionResult({"InstanceId": instance.id, "Timestamp": self._state.now(), name: value})

    def send_key(self, response: Any) -> ActionResult:
        """SendSSHPublicKey."""
        instances.send_key(
            self._state,
            backends.ec2(response.region, response.current_account),
            instance_id=response._get_param("InstanceId", ""),
            os_user=response._get_param("InstanceOSUser", ""),
            public_key=response._get_param("SSHPublicKey", ""),
            zone=response._get_param("AvailabilityZone", ""),
        )
        return ActionResult({"RequestId": cloudtrail.new_id(), "Success": True})

    @staticmethod
    def send_serial_key(response: Any) -> ActionResult:
        """SendSerialConsoleSSHPublicKey. Accounts have no access to serial consoles unless they switch it on."""
        instances.check_key(
            backends.ec2(response.region, response.current_account),
            instance_id=response._get_param("InstanceId", ""),
            public_key=response._get_param("SSHPublicKey", ""),
        )
        raise ApiError(
            "SerialConsoleAccessDisabledException", "Your account is not authorized to use the EC2 serial console."
        )

    def lookup_events(self, response: Any) -> ActionResult:
        """CloudTrail's LookupEvents."""
        return ActionResult(
            cloudtrail.lookup(
                self._state,
                response.region,
                response.current_account,
                attributes=response._get_param("LookupAttributes", []),
                start=response._get_param("StartTime"),
                end=response._get_param("EndTime"),
                size=int(response._get_param("MaxResults", 50)),
                token=response._get_param("NextToken"),
            )
        )

    def session_token(self, response: Any) -> ActionResult:
        """STS's GetSessionToken."""
        seconds = int(response._get_param("DurationSeconds", credentials.DEFAULT_DURATION))
        credentials.check_request(CALLER.get(), seconds)
        session = credentials.open_session(CALLER.get(), seconds, self._state.now(), mfa=self._proved(response))
        return ActionResult({"Credentials": session})

    def assume_role(self, moto: Action, response: Any) -> Any:
        """STS's AssumeRole, which checks a code that is given, and whether the role trusts the caller."""
        proved = self._proved(response)
        context = self._permission.context(CALLER.get(), CALL.get())
        if proved:
            context |= {"aws:multifactorauthpresent": ["true"], "aws:multifactorauthage": ["0"]}
        if external_id := response._get_param("ExternalId", ""):
            context |= {"sts:externalid": [external_id]}
        organization.check_role(self._state, response._get_param("RoleArn", ""), CALLER.get().arn, context)
        result = moto(response)
        if proved:
            result.result["Credentials"].mfa_at = self._state.now().replace(tzinfo=None)
        return result

    def list_accounts(self, response: Any) -> ActionResult:
        """Organizations' ListAccounts."""
        found = organization.list_accounts(self._state, response.current_account)
        size = int(response._get_param("MaxResults") or organization.PAGE)
        page, more = page_of(found, response._get_param("NextToken"), size)
        return ActionResult({"Accounts": page, **more})

    def _proved(self, response: Any) -> bool:
        serial, code = response._get_param("SerialNumber", ""), response._get_param("TokenCode", "")
        return credentials.check_mfa(CALLER.get(), serial, code, self._state.now())

    @staticmethod
    def caller_identity(_response: Any) -> ActionResult:
        """STS's GetCallerIdentity."""
        return ActionResult(credentials.caller_identity(CALLER.get()))

    @staticmethod
    def simulate(response: Any) -> ActionResult:
        """IAM's SimulatePrincipalPolicy."""
        size = int(response._get_param("MaxItems") or policy_language.PAGE)
        found = policy_language.simulate(
            response._get_param("PolicySourceArn", ""),
            actions=response._get_param("ActionNames", []),
            resources=response._get_param("ResourceArns") or ["*"],
            entries=response._get_param("ContextEntries") or [],
            extra=response._get_param("PolicyInputList") or [],
        )
        page, more = page_of(found, response._get_param("Marker"), size, "Marker")
        return ActionResult({"EvaluationResults": page, "IsTruncated": bool(more), **more})

    def start_instances(self, moto: Action, response: Any) -> Any:
        """RunInstances and StartInstances: each running instance has a machine, whose boot takes time."""
        running = {instance.id for instance in response.ec2_backend.all_instances() if instance.state == "running"}
        result = moto(response)
        instances.follow(self._state, response.ec2_backend)
        for instance in response.ec2_backend.all_instances():
            if instance.id not in running and instance.state in ("pending", "running"):
                self._state.start_instance(instance.id)
        return result

    def describe_instances(self, moto: Action, response: Any) -> Any:
        """DescribeInstances: what boots is pending."""
        instances.update_boot_states(self._state, response.ec2_backend)
        return moto(response)

    def create_tags(self, moto: Action, response: Any) -> Any:
        """CreateTags, for existing resources: moto does not check endpoints and instances."""
        service = self._service(response)
        for resource_id in response._get_param("Resources", []):
            if resource_id.startswith("eice-"):
                service.get(resource_id)
            elif resource_id.startswith("i-"):
                response.ec2_backend.get_instance(resource_id)
        return moto(response)

    def create_group(self, moto: Action, response: Any) -> Any:
        """CreateSecurityGroup: other calls see the group only after a moment."""
        result = moto(response)
        self._state.note_created(result.result["GroupId"])
        return result

    def name_groups(self, moto: Action, response: Any) -> Any:
        """A call that names security groups, in any of its parameters."""
        for value in response.data.values():
            group_id = str(value[0] if isinstance(value, list) else value)
            if group_id.startswith("sg-") and not self._state.seen(group_id):
                raise ApiError("InvalidGroup.NotFound", f"The security group '{group_id}' does not exist")
        return moto(response)

    def _shape(self, endpoint: EndpointRecord, tags: dict[str, str]) -> dict[str, Any]:
        """The endpoint as botocore's model has it."""
        names = {"DnsName": endpoint.dns_name, "FipsDnsName": endpoint.fips_dns_name}
        host = self._state.dualstack_host
        dualstack = {
            kind: "".join((host or name.partition(":")[0], *name.partition(":")[1:])) for kind, name in names.items()
        }
        return {
            "OwnerId": endpoint.owner_id,
            "InstanceConnectEndpointId": endpoint.id,
            "InstanceConnectEndpointArn": endpoint.arn,
            "State": endpoint.state,
            "StateMessage": endpoint.state_message,
            **names,
            "NetworkInterfaceIds": list(endpoint.network_interface_ids),
            "VpcId": endpoint.vpc_id,
            "AvailabilityZone": endpoint.availability_zone,
            "AvailabilityZoneId": endpoint.availability_zone_id,
            "CreatedAt": endpoint.created_at,
            "SubnetId": endpoint.subnet_id,
            "PreserveClientIp": endpoint.preserve_client_ip,
            "SecurityGroupIds": list(endpoint.security_group_ids),
            "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
            "IpAddressType": endpoint.ip_address_type,
            "PublicDnsNames": {
                family: own
                for family, own, types in (
                    ("Ipv4", names, ("ipv4", "dualstack")),
                    ("Dualstack", dualstack, ("dualstack", "ipv6")),
                )
                if endpoint.ip_address_type in types
            },
        }
