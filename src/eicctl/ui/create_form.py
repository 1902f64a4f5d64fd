"""The forms of an endpoint: create it, as AWS's console asks for it, and modify it."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from textual.content import Content
from textual.widgets import Checkbox, Input, Select, SelectionList

from eicctl.api.endpoints import EndpointOptions, check_changes, plan_endpoint, replaced_groups
from eicctl.aws.endpoints import TIMEOUT, EndpointChanges, modify_endpoint, wait_deleted
from eicctl.aws.network import read_network
from eicctl.core import sanitize
from eicctl.core.errors import UsageError
from eicctl.core.names import natural_key, parse_tags
from eicctl.ui.dialogs import Field, Form, Preview
from eicctl.view import infrastructure

if TYPE_CHECKING:
    from eicctl.api.endpoints import EndpointPlan
    from eicctl.aws.security_groups import ManagedGroup
    from eicctl.aws.session import Session
    from eicctl.core.model import Endpoint
    from eicctl.core.network import NetworkFacts, SecurityGroup

NEW_GROUP = ""
"""Stands for the security group that is created, among the IDs of others."""

_PRESERVE = (
    "Targets see your address, not the endpoint's, and their groups must allow it or the endpoint's group. Requires an"
    " ipv4 endpoint; reaches targets in its VPC only, none through a transit gateway, and no instances of types C1,"
    " CG1, CG2, G1, HI1, M1, M2, M3 and T1."
)
_GROUPS = "Space selects. Without one, the endpoint gets the VPC's default group."
_TYPES = ("ipv4", "dualstack", "ipv6")


def _shown(*parts: str) -> Content:
    """Return an option's text; names are others' words."""
    return Content(sanitize.line("  ".join(filter(None, parts))))


def _group_options(facts: NetworkFacts, vpc_id: str) -> list[tuple[Content, str]]:
    groups: Sequence[SecurityGroup] = [one for one in (facts.groups or {}).values() if one.vpc_id == vpc_id]
    ordered = sorted(groups, key=lambda one: (*natural_key(one.name), one.id))
    return [(_shown(one.name, one.id), one.id) for one in ordered]


class CreateForm(Form["Created"]):
    """Creates an endpoint.

    Args:
        sessions: The accounts and regions to choose from, the usual one first.
    """

    previews: ClassVar[bool] = True

    def __init__(self, sessions: Sequence[Session]) -> None:
        super().__init__("Create an endpoint", "Create")
        self._sessions = sessions
        self._session = sessions[0]
        self._facts: NetworkFacts | None = None

    def fields(self) -> Sequence[Field]:
        self._vpc: Select[str] = Select([], id="vpc", prompt="Reading the VPCs…", compact=True)
        self._subnet: Select[str] = Select([], id="subnet", prompt="Select a VPC first", compact=True)
        self._groups: SelectionList[str] = SelectionList(id="groups", compact=True)
        self._allow_to: SelectionList[str] = SelectionList(id="allow-to", compact=True)
        self._preserve = Checkbox("Preserve", id="preserve", compact=True)
        options = [("The subnet's", ""), *((kind, kind) for kind in _TYPES)]
        self._type: Select[str] = Select(options, id="type", allow_blank=False, value="", compact=True)
        self._name_tag = Input(id="name", compact=True)
        self._tags = Input(id="tags", placeholder="KEY=VALUE …", compact=True)
        allow = Field("Allow to", self._allow_to, "Groups of targets that get an inbound rule from the new group.")
        allow.id = "allow-field"
        locations = [(_shown(one.location), at) for at, one in enumerate(self._sessions)]
        where: Select[int] = Select(locations, id="where", allow_blank=False, value=0, compact=True)
        return [
            *([Field("Region", where)] if len(locations) > 1 else []),
            Field("Name", self._name_tag),
            Field("VPC", self._vpc, "A VPC can have one endpoint."),
            Field("Subnet", self._subnet, "The endpoint reaches all addresses that its subnet has routes to."),
            Field("Security groups", self._groups, _GROUPS),
            allow,
            Field("Client IP", self._preserve, _PRESERVE),
            Field("Address type", self._type),
            Field("Tags", self._tags),
        ]

    def on_mount(self) -> None:
        self.query_one("#allow-field").display = False
        self._name_tag.focus()
        self._read()

    def _read(self) -> None:
        session = self._session
        self.app.work(f"Reading the network of {session.region}", lambda: read_network(session), self._offer)

    def _offer(self, facts: NetworkFacts) -> None:
        """Offer the VPCs."""
        if not self.is_attached:
            return
        self._facts = facts
        if facts.vpcs is None:
            self._vpc.prompt = f"Cannot be read: {facts.unread.get('DescribeVpcs', '')}"
            return
        vpcs = sorted(facts.vpcs.values(), key=lambda one: (not one.name, *natural_key(one.name), one.id))
        self._vpc.prompt = "Select a VPC" if vpcs else "No VPCs"
        self._vpc.set_options((_shown(one.name, one.id, ", ".join(one.cidrs)), one.id) for one in vpcs)
        if len(vpcs) == 1:
            self._vpc.value = vpcs[0].id

    def on_select_changed(self, event: Select.Changed) -> None:
        if event.select.id == "where":
            if self._session is not (chosen := self._sessions[_number(event.value)]):
                self._session = chosen
                self._vpc.set_options([])
                self._read()
        elif event.select is self._vpc and self._facts:
            self._offer_parts(_text(event.value), self._facts)

    def _offer_parts(self, vpc_id: str, facts: NetworkFacts) -> None:
        """Offer the subnets and groups of a VPC."""
        subnets = [one for one in (facts.subnets or {}).values() if one.vpc_id == vpc_id]
        subnets.sort(key=lambda one: (*natural_key(one.name), one.id))
        automatic = ("The one with the most running instances", "")
        rows = [(_shown(one.name, one.id, one.availability_zone, ", ".join(one.cidrs)), one.id) for one in subnets]
        self._subnet.set_options([automatic, *rows] if vpc_id else [])
        if vpc_id:
            self._subnet.value = ""
        groups = _group_options(facts, vpc_id)
        self._groups.clear_options()
        self._allow_to.clear_options()
        if vpc_id:
            create = (Content("Create one: TCP 22 and 3389 to the VPC only"), NEW_GROUP)
            self._groups.add_options([create, *groups])
            self._allow_to.add_options(groups)
            self._groups.highlighted = self._allow_to.highlighted = 0  # what Space selects first

    def on_selection_list_selected_changed(self) -> None:
        self.query_one("#allow-field").display = NEW_GROUP in self._groups.selected

    def _planning(self) -> Callable[[], EndpointPlan]:
        """Return what plans the endpoint that is filled in; it blocks."""
        session, groups = self._session, self._groups.selected
        try:
            tags = parse_tags(shlex.split(self._tags.value))
        except ValueError as error:
            raise UsageError(f"Invalid tags: {error}") from error
        if not (vpc_id := _text(self._vpc.value)):
            raise UsageError("Select a VPC")
        given: EndpointOptions = {
            "vpc_id": vpc_id,
            "subnet_id": _text(self._subnet.value) or None,
            "security_group_ids": [one for one in groups if one != NEW_GROUP],
            "create_security_group": NEW_GROUP in groups,
            "allow_to": self._allow_to.selected if NEW_GROUP in groups else (),
            "preserve_client_ip": self._preserve.value,
            "ip_address_type": _text(self._type.value) or None,
            "name": self._name_tag.value.strip() or None,
            "tags": tags,
        }

        def planned() -> EndpointPlan:
            plan = plan_endpoint(session, **given)
            if plan.existing:
                raise plan.conflict(session.command("eicctl", "show-endpoint", plan.existing.id))
            return plan

        return planned

    async def preview(self) -> None:
        planning = self._planning()

        def described() -> tuple[EndpointPlan, dict[str, str]]:
            plan = planning()
            group = plan.group.planned() if plan.group else None
            return plan, {
                title: infrastructure.described(plan.new, group, language, plan.session.command)
                for language, title in infrastructure.LANGUAGES.items()
            }

        self.say("Checking what is required…")
        plan, texts = await self.app.wait_for("Checking what is required", described)
        self.app.push_screen(Preview("What would be created", texts, infrastructure.notes(plan.new)))

    async def submit(self) -> Created:
        planning, app = self._planning(), self.app

        def create() -> Created:
            plan = planning()
            if plan.deleting:
                app.call_from_thread(self.say, f"Waiting until {plan.deleting.id} of the VPC is deleted…")
                wait_deleted(plan.session, plan.deleting.id, timeout=TIMEOUT, progress=lambda _state: None)
            app.call_from_thread(self.say, "Creating…")
            return Created(plan, plan.create())

        self.say("Checking…")
        return await app.wait_for("Creating the endpoint", create)


@dataclass(frozen=True)
class Created:
    """What the form has created."""

    plan: EndpointPlan
    endpoint: Endpoint


class ModifyForm(Form["Modified"]):
    """Modifies an endpoint.

    Args:
        session: Access to its account and region.
        endpoint: The endpoint as it is.
    """

    DEFAULT_CSS = "ModifyForm > Vertical { max-height: 24; }"

    def __init__(self, session: Session, endpoint: Endpoint) -> None:
        super().__init__(f"Modify {endpoint.name or endpoint.id}", "Modify")
        self._session = session
        self._endpoint = endpoint

    def fields(self) -> Sequence[Field]:
        now = self._endpoint
        known = [(Content(each), each, True) for each in now.security_group_ids]
        self._groups: SelectionList[str] = SelectionList(*known, id="groups", compact=True)
        types = [(kind, kind) for kind in _TYPES]
        self._type: Select[str] = Select(types, id="type", allow_blank=False, value=now.ip_address_type, compact=True)
        self._preserve = Checkbox("Preserve", now.preserve_client_ip, id="preserve", compact=True)
        return [
            Field("Security groups", self._groups, "Space selects."),
            Field("Address type", self._type),
            Field("Client IP", self._preserve, _PRESERVE),
        ]

    def on_mount(self) -> None:
        session, vpc_id = self._session, self._endpoint.vpc_id
        self._groups.focus()
        self.app.work("Reading the security groups", lambda: read_network(session, vpc_ids=[vpc_id]), self._offer)

    def _offer(self, facts: NetworkFacts) -> None:
        if self.is_attached and (options := _group_options(facts, self._endpoint.vpc_id)):
            chosen = self._groups.selected
            self._groups.clear_options()
            self._groups.add_options((text, each, each in chosen) for text, each in options)
            self._groups.highlighted = 0

    async def submit(self) -> Modified:
        session, now = self._session, self._endpoint
        changes: EndpointChanges = {}
        if set(self._groups.selected) != set(now.security_group_ids):
            changes["SecurityGroupIds"] = self._groups.selected
        if (kind := _text(self._type.value)) != now.ip_address_type:
            changes["IpAddressType"] = kind
        if self._preserve.value != now.preserve_client_ip:
            changes["PreserveClientIp"] = self._preserve.value
        if not changes:
            raise UsageError("Nothing was changed in the form")
        if changes.get("SecurityGroupIds") == []:
            raise UsageError("An endpoint needs a security group")

        def modify() -> Modified:
            check_changes(session, now, changes)
            replaced = replaced_groups(session, now, changes)
            modify_endpoint(session, now.id, **changes)
            return Modified(changes, replaced)

        self.say("Modifying…")
        return await self.app.wait_for(f"Modifying {now.id}", modify)


@dataclass(frozen=True)
class Modified:
    """What the form has modified, and the groups created by eicctl that the endpoint has lost by it."""

    changes: EndpointChanges
    replaced: Sequence[ManagedGroup]


def _text(value: object) -> str:
    """Return what is selected; empty for nothing."""
    return value if isinstance(value, str) else ""


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0
