"""Is a request for a tunnel let in? The checks of the data plane, before anything is connected."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

from eicctl.emulator.control.credentials import Known
from eicctl.emulator.signature import Rejected, Verifier
from eicctl.emulator.state import EndpointRecord, State

PORTS = ("22", "3389")
USABLE = ("create-complete", "update-in-progress", "update-complete", "update-failed")
LONGEST = 3600

_PORT = re.compile(r":\d+$")
_BAD_PORT = "The specified RemotePort is not valid. Specify either 22 or 3389 as the RemotePort and retry your request."


class Refused(Exception):
    """The handshake is answered with an HTTP error. Of the bodies, only that of a bad port is known
    (docs/explanation/protocol.md#data-plane); the statuses and the other codes are inferred."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class Request:
    """What a presigned URL asks for, as far as it could be read."""

    parameters: Mapping[str, str]
    host: str
    path: str
    query: str

    @property
    def endpoint_id(self) -> str:
        """The endpoint's ID, or an empty string."""
        return self.parameters.get("instanceConnectEndpointId", "")

    @property
    def address(self) -> str:
        """The target's address, or an empty string."""
        return self.parameters.get("privateIpAddress", "")

    @property
    def access_key_id(self) -> str:
        """Whose signature it claims to carry."""
        return self.parameters.get("X-Amz-Credential", "").partition("/")[0]

    @property
    def region(self) -> str:
        """The region that it is signed for."""
        return ([*self.parameters.get("X-Amz-Credential", "").split("/"), "", "", ""])[2]


@dataclass(frozen=True, slots=True)
class Admitted:
    """A tunnel that may be opened; `duration` in seconds."""

    endpoint: EndpointRecord
    address: str
    port: int
    duration: int


def parse(path_and_query: str, host: str) -> Request:
    """Read the request line and the `Host` header."""
    parts = urlsplit(path_and_query)
    return Request(dict(parse_qsl(parts.query, keep_blank_values=True)), host, parts.path, parts.query)


def authenticate(verifier: Verifier, request: Request, ports: Sequence[int] = ()) -> Known:
    """Return who asks, or refuse.

    Args:
        verifier: Checks the signature.
        request: What is asked for.
        ports: Ports of the data plane: the AWS CLI signs for the DNS name with its port and sends its host alone.
    """
    if request.path != "/openTunnel":
        raise Refused(404, "NotFound", "There is nothing at this path.")
    hosts = [request.host, *(f"{request.host}:{port}" for port in ports if not _PORT.search(request.host))]
    for host in hosts:
        try:
            return verifier.verify_query(host, request.path, request.query)
        except Rejected as why:
            rejected = why
            if why.code != "SignatureDoesNotMatch":
                break
    raise Refused(403, rejected.code, rejected.message) from rejected


def admit(state: State, request: Request, open_connections: int) -> Admitted:
    """Return the tunnel that an authenticated request may open, or refuse.

    Args:
        state: The emulator's memory.
        request: What is asked for.
        open_connections: How many connections the endpoint carries already.
    """
    endpoint = state.endpoint(request.endpoint_id)
    if endpoint is None or endpoint.region != request.region:
        raise Refused(404, "ResourceNotFoundException", f"The endpoint {request.endpoint_id} does not exist.")
    if endpoint.state not in USABLE:
        raise Refused(400, "InvalidStateException", f"The endpoint {endpoint.id} is in state {endpoint.state}.")
    text = request.address
    if named := state.machine_called(endpoint.vpc_id, text):  # the VPC's own resolver is asked, as far as is guessed
        text = named.address
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise Refused(400, "InvalidParameter", "The specified PrivateIpAddress is not valid.") from None
    if (address.version == 6) != (endpoint.ip_address_type == "ipv6") and endpoint.ip_address_type != "dualstack":
        raise Refused(
            400, "InvalidParameter", f"The endpoint is of type {endpoint.ip_address_type} and cannot reach {address}."
        )
    port = request.parameters.get("remotePort", "")
    if port not in PORTS:
        raise Refused(400, "InvalidParameter", _BAD_PORT)
    duration = request.parameters.get("maxTunnelDuration", str(LONGEST))
    if not duration.isdigit() or not 1 <= int(duration) <= LONGEST:
        raise Refused(400, "InvalidParameter", "The specified MaxTunnelDuration is not valid.")
    if open_connections >= state.behaviour.max_connections:
        raise Refused(429, "ThrottlingException", f"The endpoint {endpoint.id} carries as many connections as it can.")
    return Admitted(endpoint, str(address), int(port), int(duration))
