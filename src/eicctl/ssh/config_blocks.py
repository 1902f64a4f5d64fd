"""Host blocks of ssh_config(5) for instances."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from eicctl.aws.instances import instances_named, list_instances
from eicctl.aws.session import Session
from eicctl.core.errors import UsageError
from eicctl.core.model import Instance
from eicctl.ssh.ami_users import DEFAULT
from eicctl.ssh.command import Access, quoted
from eicctl.ssh.config_file import Block
from eicctl.ssh.host_names import SUFFIX, host_name
from eicctl.ssh.openssh_options import Standing, named_hosts
from eicctl.ssh.os_user import Host, choose_all
from eicctl.support import pins

PERSIST = "10m"
"""How long a shared connection outlives its last session."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How blocks are written.

    Attributes:
        standing: How OpenSSH gets to the hosts; its access has the profile and the region.
        os_user: The OS user of all, or None for each one's own.
        mux: The folder for sockets of shared connections, or None.
    """

    standing: Standing
    os_user: str | None = None
    mux: Path | None = None

    @property
    def access(self) -> Access:
        """How the proxy gets at AWS."""
        return self.standing.access

    @property
    def profile_label(self) -> str | None:
        """The profile in the hosts' names: none where it is the usual one."""
        return self.access.profile if self.access.profile != "default" else None

    def settings(self, user: str, target: str) -> dict[str, str]:
        """Return the settings of one block."""
        found = {"User": user, **self.standing.settings(named_hosts(), target)}
        if self.mux:
            found |= {"ControlMaster": "auto", "ControlPath": quoted(self.mux, "/%C"), "ControlPersist": PERSIST}
        return found


def for_instances(session: Session, instances: Sequence[Instance], layout: Layout) -> list[Block]:
    """Return a block for each instance, called by its name where that is its own and plain, else by its ID."""
    counted = Counter(instance.name for instance in instances)
    users = choose_all(session, [_host(instance) for instance in instances]) if not layout.os_user else {}
    blocks = []
    taken: set[str] = set()
    for instance in instances:
        name = instance.name if instance.name and counted[instance.name] == 1 and host_name(instance.name) else ""
        word = name or instance.id
        hosts = dict.fromkeys(
            filter(None, [host_name(word), host_name(word, layout.profile_label, layout.access.region)])
        )
        if taken & hosts.keys():  # of another instance, which is called as this one in full
            continue
        taken |= hosts.keys()
        user = layout.os_user or users[_host(instance)].name
        comment = f"{instance.id} in {instance.availability_zone}"
        blocks.append(Block(tuple(hosts), layout.settings(user, word), comment))
    return blocks


def for_pattern(layout: Layout) -> Block:
    """Return a block for every other name that ends with `.eic`."""
    return Block((f"*{SUFFIX}",), layout.settings(layout.os_user or DEFAULT, "%n"), "NAME[.PROFILE][.REGION].eic")


def running(session: Session) -> list[Instance]:
    """Return the running instances that can have an SSH server."""
    found = list_instances(session, filters={"instance-state-name": ["running"]})
    return [instance for instance in found if instance.platform != "windows"]


def named(session: Session, words: Sequence[str], *, pushes: bool) -> list[Instance]:
    """Return the instances that names or IDs mean; Windows ones only where no key is pushed.

    Raises:
        NotFoundError: One means none.
        UsageError: One means a Windows instance, which a key would be pushed to.
    """
    found = instances_named(session, words, states=["running", "stopped"])
    for instance in found:
        if instance.platform == "windows" and pushes:
            label = instance.name or instance.id
            raise UsageError(
                f"{label} is a Windows instance, which accepts no pushed key",
                hint=pins.command("eicctl", "ssh-config", "--no-send-key", label),
            )
    return found


def _host(instance: Instance) -> Host:
    return Host(instance.id, instance.name, instance.image_id)
