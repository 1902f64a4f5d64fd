"""What checks know of the target, the endpoint and the network: the request, and the results of earlier checks."""

from __future__ import annotations

import ipaddress
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

from eicctl.aws.identity import Identity
from eicctl.aws.network import read_network
from eicctl.aws.session import Session
from eicctl.aws.targets import Found, endpoints_for
from eicctl.core.errors import LocalError
from eicctl.core.model import SSH_PORT, Endpoint, Instance, Target, usual_port
from eicctl.core.request import ConnectRequest
from eicctl.doctor.check import Check, registry
from eicctl.policy.check import Permission, check_connection
from eicctl.reachability.connection import Connection, Finding, instance_at, plain_address
from eicctl.reachability.evaluate import evaluate
from eicctl.ssh.os_user import choose
from eicctl.support import tls
from eicctl.support.threads import begin

T = TypeVar("T")

NO_INSTANCE = "the target is not a known EC2 instance, so no key can be pushed"


def required(value: T | None) -> T:
    """Return a result that the caller needs; it is not None, as the check of it has passed."""
    assert value is not None, "a check that this one needs has passed"  # noqa: S101
    return value


class Context:
    """The subject of a diagnosis, and the results so far. A check may use the results of the checks that it needs.

    Args:
        session: Access to AWS.
        request: The target; one that names none for what can be checked without.
        os_user: The specified OS user; empty for the default.
        max_tunnel_duration: The maximum duration of the test tunnel, in seconds; None for the service's.
        client_address: This machine's public address, as endpoints see it; None to look it up if it matters, empty
            for unknown.

    Attributes:
        identity: Whose the credentials are.
        found: The instance or the address that the target is.
        endpoint: The endpoint that serves the target; None if it could not be looked up.
        endpoints: The region's endpoints, where no target is given.
        target: The target, once its endpoint is known.
    """

    def __init__(
        self,
        session: Session,
        request: ConnectRequest,
        *,
        os_user: str = "",
        max_tunnel_duration: int | None = None,
        client_address: str | None = None,
    ) -> None:
        self.session = session
        self.request = request
        self.os_user = os_user
        self.max_tunnel_duration = max_tunnel_duration
        self._client_address = client_address
        self._registry = registry()
        self._candidates: Future[list[Endpoint]] | None = None
        self.identity: Identity | None = None
        self.found: Found | None = None
        self.endpoint: Endpoint | None = None
        self.endpoints: Sequence[Endpoint] = ()
        self.target: Target | None = None
        self._lock = threading.Lock()
        self._shared: dict[object, Future[Any]] = {}

    @property
    def checks(self) -> tuple[Check, ...]:
        """The checks that apply, in order. They may become fewer as more is known of the target."""
        return tuple(check for check in self._registry if check.applies(self))

    @property
    def has_target(self) -> bool:
        """Whether a target is given."""
        return bool(self.request.label)

    @property
    def instance(self) -> Instance | None:
        """The instance that the target is, if it is known to be one."""
        return self.found.instance if self.found else None

    @property
    def port(self) -> int:
        """The port of the target: the specified one, else the usual one of its platform."""
        return self.request.remote_port or usual_port(self.instance.platform if self.instance else "")

    @property
    def is_ssh(self) -> bool:
        """Whether the target is logged in to by SSH, with a key that is pushed."""
        return self.port == SSH_PORT and not (self.instance and self.instance.platform == "windows")

    @property
    def label(self) -> str:
        """The name of the target for messages."""
        return self.target.label if self.target else self.request.label

    @property
    def names(self) -> tuple[str, ...]:
        """All known names of the target."""
        target, request = self.target, self.request
        names = [request.target, request.instance_id, request.private_ip_address]
        names += [target.instance_name, target.instance_id, target.address] if target else []
        return tuple(dict.fromkeys(filter(None, names)))

    @property
    def login_target(self) -> Target:
        """The target of a login; its endpoint may be missing."""
        instance, region = self.instance, self.session.region
        if not instance:
            return self.target or Target(self.request.private_ip_address, SSH_PORT, "", "", region)
        known = {"instance_id": instance.id, "instance_name": instance.name, "image_id": instance.image_id}
        return Target(instance.private_ip, SSH_PORT, "", "", region, platform=instance.platform, **known)

    def findings(self) -> list[Finding]:
        """Return the evaluation of the network rules between endpoint and target; empty if `endpoint` is None."""
        return self._once(self._evaluate_network)

    def answers(self) -> list[Permission]:
        """Return what IAM says about the actions that a connection needs; empty if `endpoint` is None."""
        return self._once(self._ask_iam)

    def _once(self, call: Callable[[], T]) -> T:
        """Make a call that several checks share: the first that needs its result makes it, the others wait."""
        with self._lock:
            if call not in self._shared:
                self._shared[call] = begin(call)
            result: Future[T] = self._shared[call]
        return result.result()

    def prefetch_endpoints(self) -> None:
        """Begin to list the endpoints that may serve the target."""
        request = self.request
        self._candidates = begin(lambda: endpoints_for(self.session, request))

    def candidate_endpoints(self) -> list[Endpoint]:
        """Return the endpoints that may serve the target.

        Raises:
            EicctlError: By EC2's error, or because the VPC has none.
        """
        return self._candidates.result() if self._candidates else endpoints_for(self.session, self.request)

    def _evaluate_network(self) -> list[Finding]:
        if not self.endpoint:
            return []
        endpoint, target = self.endpoint, required(self.target)
        client = self._client_address
        if endpoint.preserve_client_ip and client is None:
            client = public_address(self.session.ca_bundle)
        facts = read_network(
            self.session,
            vpc_ids=sorted({endpoint.vpc_id, self.found.location.vpc_id if self.found else endpoint.vpc_id}),
            interface_ids=endpoint.network_interface_ids,
            addresses=() if self.instance else (target.address,),
        )
        if self.instance:
            destination = instance_at(self.instance, target.address)
        else:
            destination = plain_address(facts, target.address, prefer_vpc=endpoint.vpc_id)
        return evaluate(facts, Connection(endpoint, destination, target.remote_port, client or None))

    def _ask_iam(self) -> list[Permission]:
        if not self.endpoint:
            return []
        target = required(self.target)
        pushes = self.instance and self.is_ssh
        return check_connection(
            self.session,
            required(self.identity).arn,
            target,
            self.endpoint,
            self.instance,
            duration=self.max_tunnel_duration,
            os_user=choose(self.session, target, self.os_user or None).name if pushes else "",
        )


CHECK_IP_SERVICE = "https://checkip.amazonaws.com/"
"""AWS's own service that answers with the caller's address."""

CHECK_IP_TIMEOUT = 3.0


def public_address(ca_bundle: str | None) -> str | None:
    """Return this machine's public IPv4 address, or None if that cannot be found out. Proxies are used.

    Args:
        ca_bundle: CA certificates to trust (PEM file or folder), or None for the system's.
    """
    from urllib.request import urlopen

    try:
        with urlopen(CHECK_IP_SERVICE, timeout=CHECK_IP_TIMEOUT, context=tls.context(ca_bundle)) as answer:
            address = ipaddress.ip_address(answer.read(64).decode().strip())
    except (OSError, ValueError, LocalError):
        return None
    return str(address) if address.version == 4 else None
