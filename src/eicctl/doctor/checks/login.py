"""Whether a login has the OS user of the image, and the instance accepts pushed keys, as far as its image shows."""

from __future__ import annotations

import re

from eicctl.aws.instances import Image, describe_images
from eicctl.core.errors import EicctlError
from eicctl.doctor.check import Check, Outcome, Status, for_ssh_login, unknown_outcome
from eicctl.doctor.context import NO_INSTANCE, Context
from eicctl.ssh.os_user import choose, image_user


def _run_os_user(context: Context) -> Outcome:
    """Compare the OS user with the image's default user."""
    target = context.login_target
    user = choose(context.session, target, context.os_user or None)
    of_image = image_user(context.session, target)
    details = {"OsUser": user.name, "Source": user.source, "OfImage": of_image}
    if of_image == user.name:
        return Outcome(Status.OK, f"{user.name} (the image's default user)", details=details)
    if of_image:
        message = f"{user.name}, but the image's default user is {of_image}: {user.name} must exist on the instance"
        return Outcome(Status.UNKNOWN, message, f"--os-user {of_image}", details=details)
    why = {"specified": "specified", "config": "from config.toml"}.get(user.source, "default")
    message = f"{user.name} ({why}); the image's default user is unknown"
    return Outcome(Status.UNKNOWN, message, "--os-user NAME, if it is another", details=details)


OS_USER = Check(
    key="os-user",
    title="OS user",
    order=160,
    run=_run_os_user,
    needs=("target",),
    applies=for_ssh_login,
    inspects="whether it is the image's default user",
    permissions=("ec2:DescribeImages",),
)


_WITH = (r"^(al2023-ami|amzn2-ami)(?!.*minimal)", r"ubuntu.*-(2[0-9]|[3-9][0-9])\.(04|10)-")
"""Names of AMIs that come with EC2 Instance Connect (docs/explanation/protocol.md#keys)."""

_OLD_UBUNTU = r"ubuntu.*-1[0-9]\.(04|10)-"

_OWN_KEY = "use your own key: eicctl ssh --private-key-file FILE"
_INSTALL = f"install the ec2-instance-connect package on the instance; or {_OWN_KEY}"


def _run_instance_connect(context: Context) -> Outcome:
    """Look the image up."""
    image_id = context.login_target.image_id
    if not image_id:
        return Outcome(Status.UNKNOWN, NO_INSTANCE, _OWN_KEY)
    try:
        images = describe_images(context.session, {image_id})
    except EicctlError as error:
        return unknown_outcome(error)
    if image_id not in images:
        return Outcome(Status.UNKNOWN, f"image {image_id} no longer exists, so this is unknown", _OWN_KEY)
    return image_outcome(images[image_id])


def image_outcome(image: Image) -> Outcome:
    """Return whether an image is known to come with EC2 Instance Connect."""
    name = image.name.lower()
    details = {"ImageName": image.name}
    if any(re.search(pattern, name) for pattern in _WITH):
        return Outcome(Status.OK, f"preinstalled in image {image.name}", details=details)
    if re.search(_OLD_UBUNTU, name):
        message = f"not in image {image.name}; pushed keys have no effect unless it was installed later"
        return Outcome(Status.UNKNOWN, message, _INSTALL, details=details)
    message = f"{f'image {image.name}' if image.name else 'an image without a name'} is not known to include it"
    return Outcome(Status.UNKNOWN, message, _INSTALL, details=details)


INSTANCE_CONNECT = Check(
    key="instance-connect",
    title="Instance Connect",
    order=150,
    run=_run_instance_connect,
    needs=("target",),
    applies=for_ssh_login,
    inspects="whether the image is known to include it",
    permissions=("ec2:DescribeImages",),
)
