"""The boundary to botocore: each of its exceptions as one of ours."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from eicctl.core.errors import (
    ConflictError,
    CredentialsError,
    DeniedError,
    EicctlError,
    LocalError,
    LoginRequiredError,
    NetworkError,
    NoCredentialsError,
    NoRegionError,
    NotFoundError,
    RefusedError,
    ThrottledError,
    UsageError,
)
from eicctl.core.names import correct
from eicctl.support import clock, pins
from eicctl.support.pins import PROFILE_VARIABLES

if TYPE_CHECKING:
    from botocore.exceptions import ClientError

ASKED = "EicctlAsked"
"""The key of a response's `ResponseMetadata` that has the region and the profile of a client (`clients.watch`)."""

_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired"}
_UNKNOWN = {
    "AuthFailure",
    "InvalidClientTokenId",
    "UnrecognizedClientException",
    "SignatureDoesNotMatch",
    "InvalidSignatureException",
    "IncompleteSignature",
    "MissingAuthenticationToken",
    "MissingAuthenticationTokenException",
    "InvalidAccessKeyId",
}
_OTHER_TIME = {"RequestTimeTooSkewed", "RequestInTheFuture"}
_DENIED = {"UnauthorizedOperation", "AccessDenied", "AccessDeniedException", "AuthException", "OptInRequired"}
_CONFLICT = {"DependencyViolation", "IdempotentParameterMismatch", "IncorrectState", "InvalidGroup.Duplicate"}


@contextlib.contextmanager
def translated(action: str) -> Iterator[None]:
    """Turn botocore's exceptions into `EicctlError`.

    Args:
        action: What is being done, after "cannot": `list the endpoints`.
    """
    try:
        yield
    except EicctlError:
        raise
    except Exception as error:
        # botocore is not imported here: an exception of its own means that it is loaded.
        if not type(error).__module__.startswith(("botocore", "boto3")):
            raise
        raise translate(error, action) from error


@contextlib.contextmanager
def reading(what: str) -> Iterator[None]:
    """Turn whatever goes wrong while botocore reads what a user has written into an `EicctlError`.

    botocore passes on what Python says to a number that is none, a path that it cannot open, an output that is no JSON.

    Args:
        what: After "cannot read": `the AWS configuration`.
    """
    try:
        with translated(f"read {what}"):
            yield
    except EicctlError:
        raise
    except Exception as error:
        raise LocalError(f"Cannot read {what}: {str(error) or type(error).__name__}") from error


def translate(error: Exception, action: str) -> EicctlError:
    """Return our error for one of botocore's."""
    import botocore.exceptions as boto

    if isinstance(ours := getattr(error, "kwargs", {}).get("error"), EicctlError):  # of our own connections by proxies
        return ours
    if isinstance(error, boto.ClientError):
        return _from_service(error, action)
    names = {kind.__name__ for kind in type(error).__mro__}
    for kinds, make in _LOCAL.items():
        if names & set(kinds.split()):
            return make(error, action)
    return EicctlError(f"Cannot {action}: {error}")


def code_of(error: BaseException | None) -> str:
    """Return AWS's error code of an exception, or of its cause; empty if there is none."""
    for candidate in (error, getattr(error, "__cause__", None)):
        response = getattr(candidate, "response", None)
        if isinstance(response, dict):
            return str(response.get("Error", {}).get("Code", ""))
    return ""


def is_throttling(code: str) -> bool:
    """Whether an error code of AWS says that requests come too fast."""
    return "Throttl" in code or code in ("RequestLimitExceeded", "TooManyRequestsException")


def _from_service(error: ClientError, action: str) -> EicctlError:
    details = error.response.get("Error", {})
    code, message = str(details.get("Code", "")), str(details.get("Message", ""))
    text = f"Cannot {action}: {message or code}"
    metadata = error.response.get("ResponseMetadata", {})
    asked: Any = metadata.get(ASKED)  # of ours, so not in its type
    status, date = metadata.get("HTTPStatusCode", 0), metadata.get("HTTPHeaders", {}).get("date", "")
    result: EicctlError
    if code in _OTHER_TIME or (code in _EXPIRED | _UNKNOWN and clock.complaint(date)):
        # With a wrong clock services call the credentials expired or wrong, and good ones look bad.
        result = CredentialsError(
            f"AWS rejected the time of the request: this machine's clock is wrong ({code}: {message})",
            hint=clock.complaint(date) or f"set this machine's clock: {clock.how_to_set()}",
        )
    elif code in _EXPIRED:
        result = CredentialsError(
            f"The AWS session has expired ({code})",
            hint="aws sso login, eicctl mfa login, or new keys in the profile",
        )
    elif code in _UNKNOWN:
        result = CredentialsError(
            f"AWS rejected the credentials: {message or code}",
            hint="check the profile's access key and secret key, and this machine's clock",
        )
    elif "MultiFactorAuthentication failed" in message:
        result = _mfa(message)
    elif code in _DENIED:
        named = re.search(r"perform: ([\w-]+:\w+)", message)  # the IAM action, in most messages
        result = DeniedError(text, hint=f"Missing IAM permission: {named[1] if named else error.operation_name}")
    elif is_throttling(code):
        result = ThrottledError(f"{text} ({code})", hint="try again in a moment", transient=True)
    elif code == "InvalidRegion.NotFound" and asked:
        result = _no_region(asked[0]) or NotFoundError(text)
    elif "NotFound" in code or ".Malformed" in code or code == "NoSuchEntity":
        result = _not_found(code, message, asked) or NotFoundError(text)
    elif code in _CONFLICT or code.endswith("LimitExceeded") or code.endswith("AlreadyExists"):
        result = ConflictError(f"{text} ({code})")
    elif code.startswith(("InvalidParameter", "Missing", "Validation", "InvalidArgs")):
        result = UsageError(f"{text} ({code})")
    else:
        result = RefusedError(f"{text} ({code})", transient=status >= 500)
    result.request_id = metadata.get("RequestId")
    return result


_KINDS = {
    "instance": ("instance", ("eicctl", "instances")),
    "instanceconnectendpoint": ("EC2 Instance Connect Endpoint", ("eicctl", "list-endpoints")),
    "subnet": ("subnet", ("aws", "ec2", "describe-subnets")),
    "vpc": ("VPC", ("aws", "ec2", "describe-vpcs")),
    "group": ("security group", ("aws", "ec2", "describe-security-groups")),
    "securitygroup": ("security group", ("aws", "ec2", "describe-security-groups")),
    "networkinterface": ("network interface", ("aws", "ec2", "describe-network-interfaces")),
    "ami": ("image", ("aws", "ec2", "describe-images", "--owners", "self", "amazon")),
}
"""What EC2's error codes are about (`InvalidSubnetID.NotFound`, `InvalidGroupId.Malformed`), and what lists it."""

_ID = re.compile(r"\b[a-z]+-[0-9A-Za-z-]+")
_QUOTED = re.compile(r"""["']([^"']*)["']""")


def _not_found(code: str, message: str, asked: tuple[str, str | None] | None) -> NotFoundError | None:
    """Return the error about IDs that do not exist or are malformed; None if EC2's answer names none."""
    subject, _, problem = code.lower().partition(".")
    kind = _KINDS.get(subject.removeprefix("invalid").removesuffix("id"))
    ids = (_ID if problem == "notfound" else _QUOTED).findall(message)
    if not kind or not ids or not asked:
        return None
    noun, listing = kind
    region, profile = asked
    if problem == "malformed":
        text = f'"{ids[0]}" is not a valid {noun} ID'
    elif len(ids) > 1:
        text = f"No {noun}s with IDs {', '.join(ids)} in {pins.location(region, profile)}"
    else:
        text = f"No {noun} with ID {ids[0]} in {pins.location(region, profile)}"
    return NotFoundError(text, hint=pins.command_line(listing, profile=profile, region=region))


def no_credentials(profile: str | None) -> NoCredentialsError:
    """Return the error for no credentials: of the profile in force, or of the default one where there are others."""
    others = _profiles() if pins.named_profile(profile) is None else []
    set_profile = pins.command("eicctl", "config", "set", "profile", *others[:1])
    # Without an account, the local AWS is what remains.
    hint = set_profile if others else "aws configure sso, or without an account: eicctl local up"
    return NoCredentialsError("No AWS credentials found", hint=hint)


def _profiles() -> list[str]:
    """The names of the profiles that the AWS configuration has."""
    import botocore.session

    # Without the variable, which would make botocore look for the profile that it names.
    return list(botocore.session.Session(profile="default").full_config["profiles"])


def _mfa(message: str) -> EicctlError:
    if "serial number is valid" in message:
        return DeniedError(
            "The MFA device does not belong to the caller",
            hint="check mfa_serial in the profile, or: eicctl mfa login --serial ARN",
        )
    return DeniedError(
        "AWS rejected the MFA code: it is wrong, expired, or already used",
        hint="use the device's next code; check the device's clock",
    )


def _missing(error: Exception, action: str) -> EicctlError:
    if "botocore[crt]" in str(error):
        return CredentialsError(
            "Profiles that use aws login (login_session) require awscrt, which is not installed",
            hint="pip install 'eicctl[crt]'",
        )
    return LocalError(f"Cannot {action}: {error}")


def _profile(error: Exception, _action: str) -> EicctlError:
    name = getattr(error, "kwargs", {}).get("profile", "")
    if not name and (variable := next((one for one in PROFILE_VARIABLES if one in os.environ), None)):
        return UsageError(f"{variable} is set, but empty", hint=f"unset {variable}")
    found = _profiles()
    hint = f"available profiles: {', '.join(found)}" if found else "no AWS profiles found; run: aws configure sso"
    result = UsageError(f'No AWS profile named "{name}"', hint=hint)
    correct(result, name, found)
    return result


_ENDPOINT_URL = re.compile(r"https://[\w-]+\.([a-z][a-z0-9-]+)\.[a-z.]+/")


def _no_connection(error: Exception, action: str) -> EicctlError:
    """Return the error for a host that does not respond: that of a region may not exist."""
    url = str(getattr(error, "kwargs", {}).get("endpoint_url", ""))
    named = _ENDPOINT_URL.match(url)
    hint = "check the network, and the region's name"
    if os.environ.get("AWS_ENDPOINT_URL"):
        hint = "check the network, and AWS_ENDPOINT_URL"
        if re.match(r"https?://(127\.|localhost\b|\[::1\])", url):
            hint = "start the local AWS: eicctl local up --detach; or leave it: unset AWS_ENDPOINT_URL"
    return (named and _no_region(named[1])) or NetworkError(f"Cannot {action}: {error}", hint=hint, transient=True)


def _no_region(region: str) -> NotFoundError | None:
    """Return the error for a region that botocore does not know, with those that may be meant; None for one that may
    exist."""
    from botocore.loaders import create_loader
    from botocore.regions import EndpointResolver

    found = EndpointResolver(create_loader().load_data("endpoints"))
    known = [name for group in found.get_available_partitions() for name in found.get_available_endpoints("ec2", group)]
    result = NotFoundError(f'No AWS region named "{region}"', hint="set --region, AWS_REGION, or the profile's region")
    correct(result, region, known)
    return result if result.correction and region not in known else None


_LOCAL: dict[str, Callable[[Exception, str], EicctlError]] = {
    "UnauthorizedSSOTokenError SSOTokenLoadError TokenRetrievalError": lambda error, _: LoginRequiredError(
        f"Cannot use the SSO session: {error}", hint="aws sso login"
    ),
    "ProfileNotFound": _profile,
    "NoCredentialsError": lambda *_: no_credentials(pins.given_profile()),
    "PartialCredentialsError CredentialRetrievalError": lambda error, _: CredentialsError(
        f"No usable AWS credentials: {error}",
        hint="aws configure, aws sso login, or --profile; see the profile's settings",
    ),
    "ParamValidationError InvalidRegionError": lambda error, action: UsageError(f"Cannot {action}: {error}"),
    "NoRegionError": lambda *_: NoRegionError("No region configured", hint="eicctl config set region REGION"),
    "RefreshWithMFAUnsupportedError": lambda *_: CredentialsError(
        "The role's session has expired; a new one needs another MFA code", hint="run the command again"
    ),
    "MissingDependencyException": _missing,
    "LoginError": lambda error, _: LoginRequiredError(
        f"Cannot use the session of aws login: {error}", hint="aws login"
    ),
    "ConfigParseError ConfigNotFound": lambda error, action: LocalError(f"Cannot {action}: {error}"),
    "SSLError": lambda error, action: NetworkError(
        f"Cannot {action}: TLS failed: {getattr(error, 'kwargs', {}).get('error', error)}",
        hint="if a proxy decrypts TLS, specify its CA: --ca-bundle FILE, or AWS_CA_BUNDLE",
    ),
    "ProxyConnectionError": lambda _, action: NetworkError(
        f"Cannot {action}: the proxy cannot be used", hint="it comes from HTTPS_PROXY; NO_PROXY excludes"
    ),
    "HTTPClientError ConnectionError": _no_connection,
}
"""botocore's own exceptions by the names of their classes, as not every version has all; the first that fits counts."""
