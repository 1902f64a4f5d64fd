"""One diagnosis: the checks of a target, or those that need none, with what they learn from each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future

from eicctl.aws.endpoint_selection import usable_name
from eicctl.aws.endpoints import list_endpoints
from eicctl.aws.explicit_target import told_in_full, with_address
from eicctl.aws.iam import OPEN_TUNNEL, SEND_KEY
from eicctl.aws.identity import Identity
from eicctl.aws.session import Session
from eicctl.aws.targets import Found, endpoints_for, joined
from eicctl.core.errors import DeniedError, EicctlError
from eicctl.core.model import SSH_PORT, Endpoint, Target, TargetRequest, usual_port
from eicctl.doctor import account, login, place, reach
from eicctl.doctor import check as checks
from eicctl.doctor.check import Check, Outcome, Status, Step
from eicctl.doctor.network import look_at_network, outcome_of
from eicctl.doctor.permission import permission_outcome
from eicctl.doctor.run import Look, Once, not_seen, run
from eicctl.policy.check import Check as Answer
from eicctl.policy.check import check_connection
from eicctl.reachability.connection import Finding
from eicctl.ssh.os_user import choose
from eicctl.support.parallel import begin
from eicctl.tunnel.dial import Dialer
from eicctl.tunnel.public_ip import public_address


class Context:
    """What is examined, and what is known of it so far. A check may use what those that it needs have found.

    Args:
        session: Access to AWS.
        request: The target; None for what can be checked without one.
        os_user: The OS user that the user has given; empty for the usual choice.
        max_tunnel_duration: The longest life of the tunnel that is tried, in seconds; None for the service's.
        client_address: This machine's public address, as endpoints see it; None to ask for it where it matters.
    """

    def __init__(
        self,
        session: Session,
        request: TargetRequest | None,
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
        self._network = Once(self._read_network)
        self._iam = Once(self._ask_iam)
        self.identity: Identity | None = None
        self.found: Found | None = None
        self.endpoint: Endpoint | None = None
        self.endpoints: Sequence[Endpoint] = ()
        self._target: Target | None = None
        self._listing: Future[list[Endpoint]] | None = None

    @property
    def steps(self) -> tuple[Step, ...]:
        """The checks, in the order in which they are told."""
        if self.request is None:
            return checks.steps_without_target()
        return checks.steps_for_target(ssh=self.port == SSH_PORT and self._platform != "windows")

    @property
    def port(self) -> int:
        """The port of the target, as far as it is known: the given one, else the usual one of its platform."""
        given = self.request.remote_port if self.request else None
        return given or usual_port(self._platform)

    @property
    def _platform(self) -> str:
        return self.found.instance.platform if self.found and self.found.instance else ""

    def examine(self) -> Iterator[Check]:
        """Make the checks and yield each as soon as it is made; those that do not apply to the target are left out."""
        return (check for check in run(self.steps, self._looks()) if check.key in {step.key for step in self.steps})

    @property
    def target(self) -> Target | None:
        """The target, once its endpoint is known."""
        return self._target

    @property
    def label(self) -> str:
        """What to call the target, as far as it is known."""
        if self._target:
            return self._target.label
        return self.request.said if self.request else ""

    @property
    def names(self) -> tuple[str, ...]:
        """All that the target may be called by, as far as it is known."""
        target, request = self._target, self.request
        found = (target.instance_name, target.instance_id, target.address) if target else ()
        said = (request.words, request.instance_id, request.private_ip_address) if request else ()
        return tuple(dict.fromkeys(name for name in (*said, *found) if name))

    @property
    def _there(self) -> Target:
        assert self._target, "the check of the endpoint has passed"  # noqa: S101
        return self._target

    def _looks(self) -> Mapping[str, Look]:
        return {
            "credentials": self._credentials,
            "clock": lambda: account.look_at_clock(self.session),
            "region": self._region,
            "target": self._find,
            "endpoint": self._choose,
            "endpoints": self._list,
            "way": self._way,
            "permission": lambda: self._may(OPEN_TUNNEL),
            "key-permission": lambda: self._may(SEND_KEY),
            "instance-connect": lambda: login.look_at_instance_connect(self.session, self._known()),
            "os-user": lambda: login.look_at_os_user(self.session, self._known(), self.os_user),
            "tunnel": lambda: reach.look_at_tunnel(self._dialer()),
            **{step.key: lambda key=step.key: self._rules(key) for step in checks.NETWORK},  # type: ignore[misc]
        }

    def _credentials(self) -> Outcome:
        outcome, self.identity = account.look_at_credentials(self.session)
        return outcome

    def _region(self) -> Outcome:
        outcome = account.look_at_region(self.session)
        if self.request and outcome.status is not Status.FAILED and not told_in_full(self.session, self.request):
            # Needed in a moment, and independent of the target.
            request = self.request
            self._listing = begin(lambda: endpoints_for(self.session, request))
        return outcome

    def _find(self) -> Outcome:
        assert self.request  # noqa: S101 - there is no such check without
        self.request = with_address(self.request)

        def keep(found: Found) -> None:
            self.found = found

        told = told_in_full(self.session, self.request)
        try:
            return place.look_at_target(self.session, self.request, keep)
        except DeniedError as error:
            if not told:
                raise
            return Outcome(Status.UNKNOWN, f"{told.address}, as given; no permission to look it up", error.hint or "")

    def _choose(self) -> Outcome:
        assert self.request  # noqa: S101
        try:
            endpoints = self._listing.result() if self._listing else endpoints_for(self.session, self.request)
        except DeniedError as error:
            self._target = told_in_full(self.session, self.request)
            if not self._target:
                raise
            return Outcome(
                Status.UNKNOWN, f"{self._target.endpoint_id}, as given; no permission to look it up", error.hint or ""
            )
        self._target = told_in_full(self.session, self.request)
        if not self._target:
            assert self.found  # noqa: S101 - the check of the target has passed
            self._target = joined(self.session, self.request, self.found, endpoints)
        # The endpoint may have been given by its name.
        self.endpoint = next((one for one in endpoints if one.id == self._there.endpoint_id), endpoints[0])
        return place.look_at_endpoint(self.endpoint, self._there, self.found)

    def _known(self) -> Target:
        """The target as far as a login is concerned, which needs no endpoint."""
        instance = self.found.instance if self.found else None
        if not instance:
            assert self.request  # noqa: S101
            return self._target or Target(self.request.private_ip_address, SSH_PORT, "", "", self.session.region)
        return Target(
            address=instance.private_ip,
            remote_port=SSH_PORT,
            endpoint_id="",
            endpoint_dns_name="",
            region=self.session.region,
            instance_id=instance.id,
            instance_name=instance.name,
            platform=instance.platform,
            image_id=instance.image_id,
        )

    def _list(self) -> Outcome:
        self.endpoints = list_endpoints(self.session)
        return place.look_at_endpoints(self.endpoints, self.session.region)

    def _way(self) -> Outcome:
        if self.request:
            return reach.look_at_way(self._there.endpoint_dns_name, self.session.ca_bundle)
        usable = [endpoint for endpoint in self.endpoints if endpoint.usable]
        names = [usable_name(endpoint, fips=self.session.fips, dualstack=self.session.dualstack) for endpoint in usable]
        return reach.look_at_ways(usable, names, self.session.ca_bundle)

    def _read_network(self) -> list[Finding]:
        if not self.endpoint:
            return []
        client = self._client_address
        if self.endpoint.preserve_client_ip and not client:
            client = public_address(self.session.ca_bundle)
        return look_at_network(self.session, self.endpoint, self._there, self.found, client)

    def _rules(self, key: str) -> Outcome:
        try:
            findings = self._network()
        except EicctlError as error:
            return not_seen(error)
        if not findings:
            return Outcome(Status.UNKNOWN, "the endpoint could not be looked up, so its network is not known")
        return outcome_of(key, findings, self._there, self.session)

    def _ask_iam(self) -> list[Answer]:
        assert self.identity  # noqa: S101 - the check of the credentials has passed
        if not self.endpoint:
            return []
        instance = self.found.instance if self.found else None
        pushes = instance and checks.KEY_PERMISSION in self.steps
        user = choose(self.session, self._there, self.os_user or None).name if pushes else ""
        return check_connection(
            self.session,
            self.identity.arn,
            self._there,
            self.endpoint,
            instance,
            duration=self.max_tunnel_duration,
            os_user=user,
        )

    def _may(self, action: str) -> Outcome:
        assert self.identity  # noqa: S101
        try:
            answers = self._iam()
        except EicctlError as error:
            return not_seen(error)
        if not answers:
            return Outcome(Status.UNKNOWN, "the endpoint could not be looked up, so its ARN is not known")
        return permission_outcome(action, answers, caller=self.identity.arn, target=self._there)

    def _dialer(self) -> Dialer:
        session = self.session
        return Dialer(
            self._there, session.credentials, session.ca_bundle, self.max_tunnel_duration, reach.QUEUE_TIMEOUT
        )
