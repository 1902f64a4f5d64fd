"""What an AMI tells of the OS user of its instances."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from eicctl.aws import filters
from eicctl.aws.errors import translated
from eicctl.aws.session import Session


@dataclass(frozen=True, slots=True)
class Image:
    """An AMI.

    `owner` is an account ID; `platform` is EC2's PlatformDetails, such as `Red Hat Enterprise Linux`.
    """

    name: str
    owner: str
    platform: str


def describe_images(session: Session, image_ids: Collection[str]) -> dict[str, Image]:
    """Return what there is to know of AMIs, by ID; those that AWS does not tell of are left out."""
    if not image_ids:
        return {}
    # A filter, because an ID that is gone would be an error.
    wanted = filters.exact({"image-id": sorted(set(image_ids))})
    with translated("look up the images"):
        pages = session.client("ec2").get_paginator("describe_images").paginate(Filters=wanted)
        rows = [row for page in pages for row in page["Images"]]
    return {
        row["ImageId"]: Image(
            str(row.get("Name", "")), str(row.get("OwnerId", "")), str(row.get("PlatformDetails", ""))
        )
        for row in rows
    }
