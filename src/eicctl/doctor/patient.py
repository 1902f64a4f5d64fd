"""One diagnosis: the checks of a target, or those that need none, with what they learn from each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace

from eicctl.access import checks
from eicctl.access.checks import Check, Finding, Status, Step
from eicctl.aws.choice import usable_name
from eicctl.aws.endpoints import list_endpoints
from eicctl.aws.identity import Identity
from eicctl.aws.parallel import begin
from eicctl.aws.session import Session
from eicctl.aws.targets import Found, endpoints_for, joined
from eicctl.aws.told import told_in_full, with_address
from eicctl.doctor import account, login, place, reach
from eicctl.doctor.run import Look, run
from eicctl.errors import DeniedError
from eicctl.model import Endpoint, Target, TargetRequest
from eicctl.tunnel.dial import Dialer


class Patient:
    """What is examined, and what is known of it so far. A check may use what those that it needs have found.

    Args:
        session: Access to AWS.
        request: The target; None for what can be checked without one.
        os_user: The OS user that the user has given; empty for the usual choice.
        max_tunnel_duration: The longest life of the tunnel that is tried, in seconds; None for the service's.
    """

    def __init__(
        self,
        session: Session,
        request: TargetRequest | None,
        *,
        os_user: str = "",
        max_tunnel_duration: int | None = None,
    ) -> None:
        self.session = session
        self.request = request
        self.os_user = os_user
        self.max_tunnel_duration = max_tunnel_duration
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
        return checks.steps_for_target(ssh=self.request.remote_port == 22)

    def examine(self) -> Iterator[Check]:
        """Make the checks and yield each as soon as it is made."""
        return run(self.steps, self._looks())

    @property
    def target(self) -> Target:
        """The target, once its endpoint is known."""
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
            "instance-connect": lambda: login.look_at_instance_connect(self.session, self._known()),
            "os-user": lambda: login.look_at_os_user(self.session, self._known(), self.os_user),
            "tunnel": lambda: reach.look_at_tunnel(self._dialer()),
        }

    def _credentials(self) -> Finding:
        finding, self.identity = account.look_at_credentials(self.session)
        return finding

    def _region(self) -> Finding:
        finding = account.look_at_region(self.session)
        if self.request and finding.status is not Status.FAILED and not told_in_full(self.session, self.request):
            # Needed in a moment, and independent of the target.
            request = self.request
            self._listing = begin(lambda: endpoints_for(self.session, request))
        return finding

    def _find(self) -> Finding:
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
            return Finding(Status.UNKNOWN, f"{told.address}, as given; no permission to look it up", error.hint or "")

    def _choose(self) -> Finding:
        assert self.request  # noqa: S101
        told = told_in_full(self.session, self.request)
        if told:
            self._target = told
            ...
        endpoints = self._listing.result() if self._listing else endpoints_for(self.session, self.request)
        ...
        return Finding(Status.OK, "")
