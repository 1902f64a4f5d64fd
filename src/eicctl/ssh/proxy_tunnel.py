"""What `eicctl proxy` opens: a tunnel to a target that was found some minutes ago, or is looked up.

A name of ssh_config has its profile and region in it: `NAME[.PROFILE][.REGION].eic`."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from eicctl.aws.explicit_target import check_port, explicit_target
from eicctl.core import errors
from eicctl.core.model import Target
from eicctl.core.request import ConnectRequest

if TYPE_CHECKING:
    from eicctl.aws.caches import TargetCache
    from eicctl.aws.session import Session
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
        from eicctl.aws.caches import TargetCache

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

    name = parse(request.target, session.profiles())
    if not name:
        return session, request
    found = session.of(profile=name.profile, region=name.region)
    return found, request.replace(target=name.target)


SUFFIX = ".eic"

_REGION = re.compile(r"[a-z]{2,4}(-[a-z]+)+-\d+")
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True)
class HostName:
    """The parts of a host name. Profile and region are None if the name has none."""

    target: str
    profile: str | None = None
    region: str | None = None


def parse(name: str, profiles: Collection[str]) -> HostName | None:
    """Parse a host name; None if it does not end with `.eic`.

    Args:
        name: The name.
        profiles: The existing profiles. Instance names have dots, too, so only an existing profile counts as one.
    """
    rest = name.removesuffix(SUFFIX)
    if rest == name or not rest:
        return None
    profile = region = None
    head, _, last = rest.rpartition(".")
    if head and _REGION.fullmatch(last):
        rest, region = head, last
    for candidate in sorted(profiles, key=len, reverse=True):
        if rest.endswith(f".{candidate}") and len(rest) > len(candidate) + 1:
            rest, profile = rest[: -len(candidate) - 1], candidate
            break
    return HostName(rest, profile, region)


def host_name(target: str, profile: str | None = None, region: str | None = None) -> str | None:
    """Return the host name, or None if a part has a character that is special in ssh_config or in a shell."""
    parts = [part for part in (target, profile, region) if part]
    return ".".join(parts) + SUFFIX if all(_PLAIN.fullmatch(part) for part in parts) else None
