"""Which instances a command goes to, through which endpoints, and as whom."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from eicctl.aws.endpoints import list_endpoints
from eicctl.aws.instances import instances_named, list_instances
from eicctl.aws.session import Session
from eicctl.aws.spread import spread
from eicctl.aws.targets import target_of
from eicctl.core.errors import NotFoundError
from eicctl.core.model import Endpoint, Instance
from eicctl.ssh.fleet import SLOTS
from eicctl.ssh.host_keys import Check
from eicctl.ssh.keys import Key
from eicctl.ssh.login import Login
from eicctl.ssh.os_user import Host, OsUser, choose_all
from eicctl.support.parallel import both


@dataclass(frozen=True, slots=True)
class Choice:
    """Which instances: named ones, and running ones that all filters fit.

    Attributes:
        targets: Instance IDs and Name tags.
        tags: Tags that an instance has to have.
        name_glob: A pattern of its Name tag, with `*` and `?` (EC2's filters know no others).
        everything: All running instances.
    """

    targets: tuple[str, ...] = ()
    tags: Mapping[str, str] | None = None
    name_glob: str | None = None
    everything: bool = False


@dataclass(frozen=True, slots=True)
class FleetHost:
    """An instance of the fleet; the endpoint is None where none of its VPC serves it."""

    instance: Instance
    endpoint: Endpoint | None
    user: OsUser

    @property
    def label(self) -> str:
        """The instance's name, else its ID."""
        return self.instance.name or self.instance.id

    def login(self, session: Session, key: Key | None, check: Check) -> Login | None:
        """Return the login, which is not begun; None where there is no endpoint."""
        if not self.endpoint:
            return None
        target = target_of(session, self.instance, self.endpoint, remote_port=22)
        return Login(session, target, self.user, key, check)


def choose_hosts(session: Session, choice: Choice, os_user: str | None) -> list[FleetHost]:
    """Return the hosts, in the order in which to begin.

    Raises:
        NotFoundError: A named instance does not exist, or nothing fits.
    """
    instances, endpoints = both(lambda: _instances(session, choice), lambda: list_endpoints(session))
    if not instances:
        raise NotFoundError(f"no running instance in {session.region} fits", hint="eicctl instances")
    users = {} if os_user else choose_all(session, [_host(instance) for instance in instances])
    return [
        FleetHost(instance, endpoint, OsUser(os_user, "said") if os_user else users[_host(instance)])
        for instance, endpoint in spread(instances, endpoints, SLOTS)
    ]


def _instances(session: Session, choice: Choice) -> list[Instance]:
    """Return the instances that are meant, without Windows ones among those that are not named."""
    found: list[Instance] = []
    if choice.targets:
        found += instances_named(session, choice.targets, states=["running", "pending"])
    if choice.tags or choice.name_glob or choice.everything:
        filters: dict[str, list[str]] = {"instance-state-name": ["running"]}
        filters |= {f"tag:{key}": [value] for key, value in (choice.tags or {}).items()}
        named = {"tag:Name": [choice.name_glob]} if choice.name_glob else None
        matching = list_instances(session, filters=filters, patterns=named)
        found += [instance for instance in matching if instance.platform != "windows"]
    return list({instance.id: instance for instance in found}.values())


def _host(instance: Instance) -> Host:
    return Host(instance.id, instance.name, instance.image_id)
