"""GetPasswordData: the encrypted password of a Windows instance's administrator."""

from __future__ import annotations

from eicctl.aws.errors import translated
from eicctl.aws.instances import list_instances
from eicctl.aws.session import Session
from eicctl.core.errors import UnavailableError


def password_data(session: Session, instance_id: str) -> str:
    """Return the password, encrypted with the instance's key pair, in base64.

    Raises:
        UnavailableError: There is none, or none yet.
        EicctlError: By the service's error.
    """
    with translated(f"get the password of {instance_id}"):
        answer = session.client("ec2").get_password_data(InstanceId=instance_id)
    data = str(answer.get("PasswordData", "")).strip()
    if not data:
        raise UnavailableError(
            f"EC2 has no password of {instance_id}, or none yet",
            hint="Windows makes it some minutes after the first start, for an instance with a key pair; "
            "an image with a password of its own has none here",
            transient=True,
        )
    return data


def key_name(session: Session, instance_id: str) -> str:
    """Return the name of an instance's key pair, or an empty string."""
    found = list_instances(session, ids=[instance_id])
    return found[0].key_name if found else ""
