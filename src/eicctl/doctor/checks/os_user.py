"""Whether the OS user of a login is the one that the instance's image has."""

from __future__ import annotations

from eicctl.doctor.check import Check, Outcome, Status, for_ssh_login
from eicctl.doctor.context import Context
from eicctl.ssh.os_user import choose, image_user


def run(context: Context) -> Outcome:
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


CHECK = Check(
    key="os-user",
    title="OS user",
    order=160,
    run=run,
    needs=("target",),
    applies=for_ssh_login,
    inspects="whether it is the image's default user",
    permissions=("ec2:DescribeImages",),
)
