"""What `eicctl proxy` opens: a tunnel to a target that was found some minutes ago, or is looked up."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from eicctl.aws.explicit_target import check_port, explicit_target
from eicctl.core import errors
from eicctl.core.model import Target
from eicctl.core.request import ConnectRequest

if TYPE_CHECKING:
    from eicctl.aws.session import Session
    from eicctl.aws.target_cache import TargetCache
    from eicctl.tunnel.dial import Link


class Opening:
    """Opens one tunnel.

    Args:
        session: Access to AWS.
        request: What is to be opened.
        say: Called with what the user should know.
        found: Called with each target before it is dialled.

    Attributes:
        session: Access to AWS, which the target's name may have decided.
        target: Where the last dial went, or None before it.
    """

    def __init__(
        self,
        session: Session,
        request: ConnectRequest,
        say: Callable[[str], None],
        found: Callable[[Target], None] = lambda _target: None,
    ) -> None:
        self._say = say
        self._found = found
        self.session, self._request = _by_host_name(session, request)
        self.target: Target | None = None
        self._remembered: TargetCache | None = None

    @contextlib.contextmanager
    def opened(self) -> Iterator[Link]:
        """Have an open tunnel, and with a login its key, while the connection lasts. Blocks as long as dialling takes.

        Raises:
            EicctlError: Why the target was not found, the key not pushed, or the tunnel not opened.
        """
        check_port(self._request)
        target = explicit_target(self.session, self._request)
        if not target and (known := self._recalled()):
            with contextlib.ExitStack() as stack:
                try:
                    link = stack.enter_context(self._connected(known, retry_budget=0))
                except (errors.CredentialsError, errors.ThrottledError):
                    raise
                except errors.EicctlError:
                    self.forget()
                else:
                    yield link
                    return
        if not target:
            from eicctl.aws.targets import resolve

            target = resolve(self.session, self._request)
        with self._connected(target) as link:
            if self._remembered:
                self._remembered.put(target, self._request)
            yield link

    def forget(self) -> None:
        """Forget the target: it is not where it was found."""
        if self._remembered:
            self._remembered.forget(self._request)

    def _recalled(self) -> Target | None:
        if self._request.no_cache or not self._request.label:
            return None
        from eicctl.aws.target_cache import TargetCache

        self._remembered = TargetCache(self.session)
        return self._remembered.get(self._request)

    @contextlib.contextmanager
    def _connected(self, target: Target, *, retry_budget: float | None = None) -> Iterator[Link]:
        self.target = target
        self._found(target)
        from eicctl.tunnel.dial import RETRY_BUDGET, Dialer

        request = self._request
        budget = RETRY_BUDGET if retry_budget is None else retry_budget
        session = self.session
        dialer = Dialer(
            target,
            session.credentials,
            session.ca_bundle,
            request.max_tunnel_duration,
            keepalive=request.keepalive,
        )
        if not request.ssh_login:
            yield dialer.open(retry_budget=budget, waits=self._say)
            return
        from eicctl.ssh.proxy_login import logged_in

        with logged_in(self.session, target, request, dialer, retry_budget=budget, say=self._say) as link:
            yield link


def _by_host_name(session: Session, request: ConnectRequest) -> tuple[Session, ConnectRequest]:
    """Where the target is a name of ssh_config, take profile, region and target from it."""
    if not request.target.endswith(".eic"):
        return session, request
    from eicctl.ssh.host_names import parse

    name = parse(request.target, session.profiles())
    if not name:
        return session, request
    found = session.of(profile=name.profile, region=name.region)
    return found, request.replace(target=name.target)
