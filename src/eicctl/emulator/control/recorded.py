"""Calls of the control plane that CloudTrail has: pushed keys and changes of endpoints, refused ones included.

The form of SendSSHPublicKey is that of real records. For endpoint changes no example is known: the parameters and the
answer are wrapped as in the records of CreateVpcEndpoint, and error codes begin with `Client.` as EC2's do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from moto.core.exceptions import ServiceException

from eicctl.emulator.control import trail
from eicctl.emulator.control.backends import Action, ActionResult
from eicctl.emulator.control.credentials import CALLER, Known
from eicctl.emulator.control.permission import Asked, Origin
from eicctl.emulator.signature import Rejected
from eicctl.emulator.state import State

Details = Callable[[Any], dict[str, Any]]


ORIGIN: ContextVar[Origin] = ContextVar("origin")
"""Where the request comes from that this thread answers."""


def recorded(state: State, name: str, source: str, action: Action, asked: Details) -> Action:
    """Return an action that leaves a record, whether it succeeds or not.

    Args:
        state: The emulator's memory.
        name: The operation.
        source: The service, as `eventSource`.
        action: What does it.
        asked: Tells the `requestParameters`; it takes moto's response object.
    """

    def recording(response: Any) -> Any:
        answer: ActionResult | None = None
        error: tuple[str, str] | None = None
        try:
            answer = action(response)
            return answer
        except ServiceException as refused:
            error = (_code(str(refused.code), source), str(refused.message))
            raise
        finally:
            origin = ORIGIN.get()
            trail.record_call(
                state,
                trail.Call(
                    name=name,
                    source=source,
                    region=response.region,
                    caller=CALLER.get(),
                    parameters=asked(response),
                    answer=_answer(name, source, answer),
                    source_ip=state.behaviour.client_ip or origin.address,
                    user_agent=origin.user_agent,
                    error=error,
                ),
            )

    return recording


def key_parameters(response: Any) -> dict[str, Any]:
    """The parameters of SendSSHPublicKey."""
    return {
        "instanceId": response._get_param("InstanceId", ""),
        "instanceOSUser": response._get_param("InstanceOSUser", ""),
        "sSHPublicKey": response._get_param("SSHPublicKey", ""),
    }


def endpoint_parameters(name: str) -> Details:
    """Return what tells the parameters of an endpoint's operation."""
    known = ("InstanceConnectEndpointId", "SubnetId", "PreserveClientIp", "IpAddressType", "ClientToken", "DryRun")

    def parameters(response: Any) -> dict[str, Any]:
        given = {key: value for key in known if (value := response._get_param(key)) is not None}
        if groups := response._get_param("SecurityGroupIds", []):
            given["SecurityGroupId"] = list(groups)
        return {f"{name}Request": given}

    return parameters


def record_denial(state: State, asked: Asked, caller: Known, origin: Origin, denial: Rejected) -> None:
    """Record a call that the caller's policies do not allow, if it is one that leaves a record."""
    details: Callable[[Any], dict[str, Any]]
    if asked.service == "ec2-instance-connect" and asked.name == "SendSSHPublicKey":
        source, details = trail.SOURCE, key_parameters
    elif asked.service == "ec2" and asked.name in _CHANGES:
        source, details = trail.EC2, endpoint_parameters(asked.name)
    else:
        return
    call = trail.Call(
        name=asked.name,
        source=source,
        region=asked.region,
        caller=caller,
        parameters=details(_Sent(asked.parameters)),
        source_ip=state.behaviour.client_ip or origin.address,
        user_agent=origin.user_agent,
        error=(_code(denial.code, source), denial.message),
    )
    trail.record_call(state, call)


_CHANGES = ("CreateInstanceConnectEndpoint", "ModifyInstanceConnectEndpoint", "DeleteInstanceConnectEndpoint")


@dataclass(frozen=True, slots=True)
class _Sent:
    """The parameters of a call that moto does not get to see, read as moto's response objects let them be read."""

    parameters: Mapping[str, str]

    def _get_param(self, name: str, default: Any = None) -> Any:
        if isinstance(default, list):  # a list of the query protocol: SecurityGroupId.1, …
            start = f"{name.removesuffix('s')}."
            return [value for key, value in self.parameters.items() if key.startswith(start)]
        value = self.parameters.get(name, default)
        return {"true": True, "false": False}.get(value, value)


def _code(code: str, source: str) -> str:
    return f"Client.{code}" if source == trail.EC2 else code


def _answer(name: str, source: str, answer: ActionResult | None) -> dict[str, Any] | None:
    if answer is None:
        return None
    return {f"{name}Response": _camel(answer.result)} if source == trail.EC2 else _camel(answer.result)


def _camel(value: Any) -> Any:
    """The answer with names as records have them: `instanceConnectEndpoint`."""
    if isinstance(value, Mapping):
        return {key[0].lower() + key[1:]: _camel(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_camel(item) for item in value]
    return value if isinstance(value, (bool, int)) or value is None else str(value)
