"""Which instance holds which private address, and since when."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from eicctl.aws.errors import translated
from eicctl.aws.session import Session


@dataclass(frozen=True, slots=True)
class Held:
    """An address of an instance. A terminated instance has none any more, and a name for as long as EC2 lists it.

    `since` is when the address's interface was attached, None where EC2 does not say. (An instance's launch time would
    not do: it is that of its last start.)
    """

    instance_id: str
    name: str
    vpc_id: str
    address: str
    since: datetime | None


def held_addresses(session: Session, region: str) -> list[Held]:
    """Return the addresses of all instances of a region, terminated ones included."""
    with translated("look up instances"):
        pages = session.client("ec2", region).get_paginator("describe_instances").paginate()
        rows = (row for page in pages for group in page["Reservations"] for row in group["Instances"])
        return [held for row in rows for held in _of_instance(row)]


def _of_instance(row: Mapping[str, Any]) -> Iterator[Held]:
    name = next((tag["Value"] for tag in row.get("Tags", []) if tag["Key"] == "Name"), "")
    since: dict[str, datetime | None] = {}
    for interface in row.get("NetworkInterfaces", []):
        attached = interface.get("Attachment", {}).get("AttachTime")
        addresses = [item.get("PrivateIpAddress", "") for item in interface.get("PrivateIpAddresses", [])]
        addresses += [interface.get("PrivateIpAddress", "")]
        addresses += [item.get("Ipv6Address", "") for item in interface.get("Ipv6Addresses", [])]
        since.update(dict.fromkeys(filter(None, addresses), attached))
    for address in (row.get("PrivateIpAddress", ""), row.get("Ipv6Address", "")):
        if address:
            since.setdefault(address, None)
    for address in since or [""]:
        yield Held(row["InstanceId"], name, row.get("VpcId", ""), address, since.get(address))
