"""SendSSHPublicKey: allow a key to log in as an OS user of an instance, for 60 seconds."""

from __future__ import annotations

import json
import time

from eicctl.aws import signed_request
from eicctl.aws.errors import code_of, translated
from eicctl.aws.session import Session
from eicctl.core.errors import DeniedError, EicctlError, NotFoundError, UnavailableError, UsageError
from eicctl.support import pins

_TARGET = "AWSEC2InstanceConnectService.SendSSHPublicKey"
_HEADERS = {"content-type": "application/x-amz-json-1.1", "x-amz-target": _TARGET}


def send_ssh_public_key(
    session: Session, *, instance_id: str, os_user: str, public_key: str, availability_zone: str = ""
) -> None:
    """Push a public key (a line of OpenSSH's form) for an OS user.

    Raises:
        EicctlError: By the service's error, with what to do about it.
    """
    parameters = {"InstanceId": instance_id, "InstanceOSUser": os_user, "SSHPublicKey": public_key}
    if availability_zone:
        parameters["AvailabilityZone"] = availability_zone
    body = json.dumps(parameters).encode()
    service = "ec2-instance-connect"
    if signed_request.response(session, service, "SendSSHPublicKey", headers=_HEADERS, body=body) is not None:
        return
    for last in (False, True):
        try:
            with translated(f"send the key to {instance_id}"):
                session.client("ec2-instance-connect").send_ssh_public_key(**parameters)
        except EicctlError as error:
            code = code_of(error)
            if code == "EC2InstanceUnavailableException" and not last:
                time.sleep(1)  # the service documents it as worth a retry
                continue
            raise _explained(error, code, instance_id, os_user) from error
        return


def _explained(error: EicctlError, code: str, instance_id: str, os_user: str) -> EicctlError:
    kinds: dict[str, tuple[type[EicctlError], str]] = {
        "AuthException": (
            DeniedError,
            f"Missing IAM permission: ec2-instance-connect:SendSSHPublicKey on {instance_id} "
            f"with ec2:osuser = {os_user}; or use your own key: eicctl ssh --private-key-file FILE",
        ),
        "EC2InstanceNotFoundException": (NotFoundError, "eicctl instances"),
        "EC2InstanceStateInvalidException": (
            UnavailableError,
            pins.command("aws", "ec2", "start-instances", "--instance-ids", instance_id),
        ),
        "InvalidArgsException": (UsageError, f"is {os_user!r} an OS user of the instance? Specify another one"),
    }
    code = "AuthException" if isinstance(error, DeniedError) else code
    if code not in kinds:
        return error
    kind, hint = kinds[code]
    return kind(error.message, hint=hint, request_id=error.request_id)
