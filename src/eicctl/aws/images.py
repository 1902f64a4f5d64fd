"""The name of an AMI, which tells the OS user of its instances."""

from __future__ import annotations

from dataclasses import dataclass

from eicctl.aws.failures import translated
from eicctl.aws.session import Session


@dataclass(frozen=True, slots=True)
class Image:
    """An AMI's name and owner; both empty where AWS does not tell (a deregistered or foreign image)."""

    name: str = ""
    owner: str = ""


def describe_image(session: Session, image_id: str) -> Image:
    """Return an AMI's name and owner."""
    with translated(f"look up {image_id}"):
        rows = session.client("ec2").describe_images(ImageIds=[image_id])["Images"]
    if not rows:
        return Image()
    return Image(str(rows[0].get("Name", "")), str(rows[0].get("ImageOwnerAlias") or rows[0].get("OwnerId", "")))
