"""Create an endpoint, with its own security group if wanted, and undo what a failure leaves; check changes to one."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypedDict, Unpack

from eicctl.aws import endpoints
from eicctl.aws.endpoints import EndpointChanges, NewEndpoint
from eicctl.aws.network import ChosenSubnet, choose_subnet, describe_subnet, vpc_sharer
from eicctl.aws.security_groups import GroupMaker, GroupPlan, ManagedGroup, managed_groups
from eicctl.aws.session import Session
from eicctl.core.errors import ConflictError, DeniedError, EicctlError, UsageError
from eicctl.core.model import Endpoint


@dataclass(frozen=True)
class EndpointPlan:
    """An endpoint to be created.

    Attributes:
        session: Access to AWS.
        subnet: Its subnet.
        new: What is requested.
        group: Creates its security group; None for no group of its own, and where the VPC has an endpoint already.
        existing: The VPC's endpoint. A VPC has one at most.
        deleting: An endpoint of the VPC that is still being deleted.
    """

    session: Session
    subnet: ChosenSubnet
    new: NewEndpoint
    group: GroupMaker | None
    existing: Endpoint | None
    deleting: Endpoint | None

    def create(self, note: Callable[[str], object] = lambda _text: None) -> Endpoint:
        """Create the group, then the endpoint; a failure undoes what was done and says so.

        Args:
            note: Takes what was undone after Ctrl-C.

        Raises:
            ConflictError: The VPC has an endpoint, perhaps one that is being deleted.
            EicctlError: By AWS's error; its message ends with what was undone.
        """
        if self.group is None:
            return endpoints.create_endpoint(self.session, self.new)
        try:
            group_id = self.group.make()
            new = replace(self.new, security_group_ids=(*self.new.security_group_ids, group_id))
            return self.group.once_visible("create the endpoint", lambda: endpoints.create_endpoint(self.session, new))
        except EicctlError as error:
            if undone := self.group.undo():
                error.message = f"{error.message}\n{undone}"
            raise
        except KeyboardInterrupt:
            if undone := self.group.undo():
                note(undone)
            raise

    def conflict(self, hint: str) -> ConflictError:
        """Return the error for a VPC that has an endpoint already."""
        assert self.existing  # noqa: S101 - the caller has looked
        about = f"{self.existing.id} ({self.existing.state})"
        return ConflictError(f"VPC {self.subnet.vpc_id} already has endpoint {about}", hint=hint)


class EndpointOptions(TypedDict, total=False):
    """What an endpoint is to be like.

    Attributes:
        subnet_id: Its subnet; None for the one with the most running instances.
        vpc_id: The VPC to choose a subnet in; None for the only one.
        security_group_ids: Its security groups.
        create_security_group: Whether to create a group with egress to ports 22 and 3389 of the VPC and nothing else.
        allow_to: With `create_security_group`: groups of targets that get an inbound rule from it.
        preserve_client_ip: Whether targets see the client's address.
        ip_address_type: `ipv4`, `dualstack` or `ipv6`; None for the subnet's, or `ipv4` with `preserve_client_ip`.
        name: Its Name tag.
        tags: Additional tags.
    """

    subnet_id: str | None
    vpc_id: str | None
    security_group_ids: Sequence[str]
    create_security_group: bool
    allow_to: Sequence[str]
    preserve_client_ip: bool
    ip_address_type: str | None
    name: str | None
    tags: Mapping[str, str] | None


def plan_endpoint(
    session: Session,
    *,
    subnet_id: str | None = None,
    vpc_id: str | None = None,
    security_group_ids: Sequence[str] = (),
    create_security_group: bool = False,
    allow_to: Sequence[str] = (),
    preserve_client_ip: bool = False,
    ip_address_type: str | None = None,
    name: str | None = None,
    tags: Mapping[str, str] | None = None,
) -> EndpointPlan:
    """Return what `create_endpoint` would create; nothing is changed. `EndpointOptions` explains the arguments.

    Raises:
        UsageError: The address type does not go with client IP preservation, or the endpoint would have the default
            security group of a VPC that another account shares.
        EicctlError: The subnet cannot be found or chosen.
    """
    check_address_type(preserve_client_ip, ip_address_type)
    subnet = describe_subnet(session, subnet_id) if subnet_id else choose_subnet(session, vpc_id)
    found = endpoints.list_endpoints(session, filters={"vpc-id": [subnet.vpc_id]})
    usable = [each for each in found if each.state != "create-failed" and not each.state.startswith("delete-")]
    existing = next(iter(usable + [each for each in found if each.state == "delete-failed"]), None)
    if not (security_group_ids or create_security_group or existing):
        _check_default_group(session, subnet)
    group = None
    if create_security_group and not existing:
        group_name = f"{name or 'eice'}-{subnet.subnet_id}"
        group = GroupMaker(session, GroupPlan(subnet.subnet_id, subnet.vpc_id, group_name, tuple(allow_to)))
    new = NewEndpoint(
        subnet_id=subnet.subnet_id,
        security_group_ids=tuple(security_group_ids),
        preserve_client_ip=preserve_client_ip,
        ip_address_type=ip_address_type or ("ipv4" if preserve_client_ip else ""),
        tags=dict(tags or {}) | ({"Name": name} if name else {}),
    )
    deleting = next((each for each in found if each.state == "delete-in-progress"), None)
    return EndpointPlan(session, subnet, new, group, existing, deleting)


def _check_default_group(session: Session, subnet: ChosenSubnet) -> None:
    """Refuse what EC2 would: in a VPC that another account shares, the default group is that account's."""
    try:
        owner = vpc_sharer(session, subnet.vpc_id)
    except EicctlError:  # EC2 decides
        return
    if owner:
        create = ("eicctl", "create-endpoint", "--subnet-id", subnet.subnet_id, "--create-security-group", "--wait")
        raise UsageError(
            f"VPC {subnet.vpc_id} is shared by account {owner}, whose default security group other accounts cannot use",
            hint=session.command(*create),
        )


def create_endpoint(
    *,
    wait: float | None = None,
    if_not_exists: bool = False,
    session: Session | None = None,
    **options: Unpack[EndpointOptions],
) -> Endpoint:
    """Create an endpoint, and return it. If a step fails, whatever the earlier ones created is removed.

    Args:
        wait: Seconds to wait until it is available, which takes minutes; None to return at once.
        if_not_exists: Whether to return the VPC's endpoint if it has one.
        session: Access to AWS; None for the environment's.
        options: See `EndpointOptions`.

    Raises:
        ConflictError: The VPC already has an endpoint.
        EicctlError: By AWS's error; its message says what was undone.
        TypeError: A keyword argument is unknown.
    """
    if options.get("allow_to") and not options.get("create_security_group"):
        raise UsageError("allow_to requires create_security_group")
    access = session or Session()
    plan = plan_endpoint(access, **options)
    if plan.existing and not if_not_exists:
        raise plan.conflict("if_not_exists=True returns it")
    if plan.deleting and not plan.existing and wait is not None:
        endpoints.wait_deleted(access, plan.deleting.id, timeout=wait, progress=lambda _now: None)
    endpoint = plan.existing or plan.create()
    if wait is not None and not endpoint.usable:
        endpoint = endpoints.wait_usable(access, endpoint.id, timeout=wait, progress=lambda _now: None)
    return endpoint


def check_address_type(preserve_client_ip: bool | None, ip_address_type: str | None) -> None:
    """Refuse what EC2 would: only ipv4 preserves client IPs (docs/explanation/protocol.md#client-ip-preservation)."""
    if preserve_client_ip and ip_address_type not in (None, "", "ipv4"):
        raise UsageError("--preserve-client-ip requires --ip-address-type ipv4", hint="--ip-address-type ipv4")


def check_changes(session: Session, endpoint: Endpoint, changes: EndpointChanges, *, name: str = "") -> None:
    """Refuse changes that EC2 would refuse.

    Args:
        session: Access to AWS.
        endpoint: The endpoint as it is.
        changes: What is to be changed.
        name: What the user has called it, for the hint; empty for its ID.

    Raises:
        UsageError: The address type does not go with client IP preservation.
    """
    kind, preserve = changes.get("IpAddressType"), changes.get("PreserveClientIp")
    check_address_type(preserve, kind)
    again = ("eicctl", "modify-endpoint", name or endpoint.id)
    if preserve and not kind and endpoint.ip_address_type != "ipv4":
        raise UsageError(
            f"Endpoint {endpoint.id} is {endpoint.ip_address_type}; only ipv4 endpoints preserve client IPs",
            hint=session.command(*again, "--preserve-client-ip", "--ip-address-type", "ipv4"),
        )
    if kind not in (None, "ipv4") and preserve is None and endpoint.preserve_client_ip:
        raise UsageError(
            f"Endpoint {endpoint.id} preserves client IPs; only ipv4 endpoints can",
            hint=session.command(*again, "--ip-address-type", str(kind), "--no-preserve-client-ip"),
        )


def replaced_groups(session: Session, endpoint: Endpoint, changes: EndpointChanges) -> list[ManagedGroup]:
    """Return the groups that eicctl has created for an endpoint, and that it is about to lose."""
    if not (group_ids := changes.get("SecurityGroupIds")):
        return []
    with contextlib.suppress(DeniedError):
        return [group for group in managed_groups(session, endpoint) if group.id not in group_ids]
    return []
