"""GetConsoleOutput: what an instance has written to its serial console."""

from __future__ import annotations

from eicctl.aws.errors import translated
from eicctl.aws.session import Session


def console_output(session: Session, instance_id: str, *, latest: bool = False) -> str:
    """Return the last 64 KiB of an instance's console; empty where there is nothing yet.

    Args:
        session: Access to AWS.
        instance_id: The instance.
        latest: Ask for what is there now, instead of what EC2 has kept since the last start; not every instance type
            has it.

    Raises:
        EicctlError: By the service's error.
    """
    more = {"Latest": True} if latest else {}
    with translated(f"read the console output of {instance_id}"):
        answer = session.client("ec2").get_console_output(InstanceId=instance_id, **more)
    return str(answer.get("Output", ""))  # botocore has decoded the base64
