"""Looks at what a login by SSH needs besides a tunnel: the OS user, and a machine that takes pushed keys."""

from __future__ import annotations

import re

from eicctl.aws.images import Image, describe_images
from eicctl.aws.session import Session
from eicctl.core.errors import EicctlError
from eicctl.core.model import Target
from eicctl.doctor.check import Outcome, Status
from eicctl.doctor.run import not_seen
from eicctl.ssh.os_user import choose, image_user

_WITH = (r"^(al2023-ami|amzn2-ami)(?!.*minimal)", r"ubuntu.*-(2[0-9]|[3-9][0-9])\.(04|10)-")
"""Names of AMIs that come with EC2 Instance Connect (docs/explanation/protocol.md#keys)."""

_OLD_UBUNTU = r"ubuntu.*-1[0-9]\.(04|10)-"


def look_at_os_user(session: Session, target: Target, said: str) -> Outcome:
    """Whether the OS user is the one that the instance's image has."""
    user = choose(session, target, said or None)
    of_image = image_user(session, target)
    details = {"OsUser": user.name, "Source": user.source, "OfImage": of_image}
    if of_image == user.name:
        return Outcome(Status.OK, f"{user.name}, as the image has it", details=details)
    if of_image:
        return Outcome(
            Status.UNKNOWN,
            f"{user.name}, but the image's own OS user is {of_image}: {user.name} must have been made there",
            f"--os-user {of_image}",
            details=details,
        )
    why = {"said": "as given", "config": "from config.toml"}.get(user.source, "the usual one")
    seen = f"{user.name}, {why}; the image does not tell its OS user"
    return Outcome(Status.UNKNOWN, seen, "--os-user NAME, if it is another", details=details)


def look_at_instance_connect(session: Session, target: Target) -> Outcome:
    """Whether the instance takes pushed keys, as far as its image tells."""
    if not target.image_id:
        return Outcome(Status.UNKNOWN, "the target is no known instance: no key can be pushed to it", _OWN_KEY)
    try:
        images = describe_images(session, {target.image_id})
    except EicctlError as error:
        return not_seen(error)
    image = images.get(target.image_id)
    if not image:
        return Outcome(Status.UNKNOWN, f"the image {target.image_id} is gone, so it is not known", _OWN_KEY)
    return of_image(image)


_OWN_KEY = "with a key of your own: eicctl ssh --private-key-file FILE"
_INSTALL = f"install the package ec2-instance-connect there; or {_OWN_KEY}"


def of_image(image: Image) -> Outcome:
    """Return whether an image is known to come with EC2 Instance Connect."""
    name = image.name.lower()
    details = {"ImageName": image.name}
    if any(re.search(pattern, name) for pattern in _WITH):
        return Outcome(Status.OK, f"comes with the image {image.name}", details=details)
    if re.search(_OLD_UBUNTU, name):
        seen = f"the image {image.name} comes without; a pushed key has no effect unless it was installed since"
        return Outcome(Status.UNKNOWN, seen, _INSTALL, details=details)
    seen = f"the image {image.name or 'has no name and'} is not one that is known to come with it"
    return Outcome(Status.UNKNOWN, seen, _INSTALL, details=details)
