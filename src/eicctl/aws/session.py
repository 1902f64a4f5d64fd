"""Access to AWS: credentials, region and clients of one profile; botocore is loaded when it is first needed."""

from __future__ import annotations

import functools
import os
import re
import sys
import threading
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, overload

from eicctl.aws.config_files import config_file, credentials_file, signature
from eicctl.aws.errors import no_credentials, reading
from eicctl.aws.plain_profile import PlainProfile
from eicctl.aws.plain_profile import read as read_plain
from eicctl.core.errors import CredentialsError, LocalError, NoRegionError
from eicctl.core.model import Credentials
from eicctl.support import pins
from eicctl.support.activity import Activity
from eicctl.support.redact import register

if TYPE_CHECKING:
    from pathlib import Path

    import botocore.credentials
    import botocore.session
    from botocore.config import Config
    from mypy_boto3_athena import AthenaClient
    from mypy_boto3_cloudtrail import CloudTrailClient
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2_instance_connect import EC2InstanceConnectClient
    from mypy_boto3_iam import IAMClient
    from mypy_boto3_rds import RDSClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sts import STSClient

    from eicctl.core.request import ConnectRequest

_MOST = 50
_KEYS_FILE = "credential-process.json"
"""A file in the folder of a command: the keys that a `credential_process` has returned there."""


class Sessions:
    """Access to AWS for many. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._session = functools.lru_cache(_MOST)(
            lambda profile, region, ca_bundle, fips: Session(
                profile=profile, region=region, ca_bundle=ca_bundle, fips=fips
            )
        )

    def of(self, profile: str | None, region: str | None, ca_bundle: str | None, *, fips: bool = False) -> Session:
        """Return the session for these; empty texts are as good as None. See `Session`."""
        with self._lock:
            return self._session(profile or None, region or None, ca_bundle or None, fips)

    def for_request(self, request: ConnectRequest) -> Session:
        """Return the session that a request asks for, with the keys that its command has left for it."""
        if request.session_folder and os.path.exists(keys := f"{request.session_folder}/{_KEYS_FILE}"):  # noqa: PTH110
            from eicctl.aws.credentials import take

            take(keys)
        return self.of(request.profile, request.region, request.ca_bundle, fips=request.fips)


_VARIABLES = {
    "region": "AWS_DEFAULT_REGION",
    "ca_bundle": "AWS_CA_BUNDLE",
    "use_fips_endpoint": "AWS_USE_FIPS_ENDPOINT",
    "use_dualstack_endpoint": "AWS_USE_DUALSTACK_ENDPOINT",
}
_REGION = re.compile(r"[a-z0-9-]+")


class Session:
    """Access to AWS by a profile. Safe to use from several threads.

    Args:
        profile: Profile in the AWS configuration; None for the environment's or the default one.
        region: Region; None for the environment's or the profile's.
        ca_bundle: CA certificates to trust (PEM); None for the environment's, the profile's, or the system's.
        fips: Use FIPS endpoints, of AWS and of EICE; False leaves it to the environment and the profile.
    """

    def __init__(
        self,
        *,
        profile: str | None = None,
        region: str | None = None,
        ca_bundle: str | None = None,
        fips: bool = False,
    ) -> None:
        self.profile = profile or None
        self.given_fips = fips
        self._region: str | None = None
        self.given_region = region or None
        self.given_ca_bundle = ca_bundle or None
        self.assumed_role = ""
        """The role that is assumed besides what the profile says (`aws.accounts.RoleSession`), or empty."""
        self._lock = threading.RLock()
        self._core: botocore.session.Session | None = None
        self._clients: dict[tuple[str, str], Any] = {}
        self._keys: botocore.credentials.Credentials | None = None
        self._files: tuple[object, ...] = ()
        self._plain_read: tuple[tuple[object, ...], PlainProfile | None] | None = None

    @property
    def region(self) -> str:
        """The region: the option's, the environment's, the profile's, or that of the instance that this machine is.

        Raises:
            UsageError: No region is configured.
        """
        if self._region is None:
            region = self._configured_region() or self._instance_region()
            if not region:
                raise NoRegionError("No region configured", hint="eicctl config set region REGION")
            # botocore takes `fips-REGION` and `REGION-fips` for the region with FIPS endpoints.
            self._region = region.replace("fips-", "").replace("-fips", "")
        return self._region

    @property
    def fips(self) -> bool:
        """Whether FIPS endpoints are to be used, of AWS and of EICE: an option, the environment, or the profile."""
        return self.given_fips or self._switched_on("use_fips_endpoint") or "fips" in (self._configured_region() or "")

    @property
    def dualstack(self) -> bool:
        """Whether dual-stack endpoints are to be used, of AWS and of EICE: the environment, or the profile."""
        return self._switched_on("use_dualstack_endpoint")

    def of(self, *, profile: str | None, region: str | None) -> Session:
        """Return a session for another profile or region; None leaves this one's."""
        return Session(
            profile=profile or self.profile,
            region=region or (self.given_region if profile in (None, self.profile) else None),
            ca_bundle=self.given_ca_bundle,
            fips=self.given_fips,
        )

    @property
    def profile_name(self) -> str:
        """The profile in force: the one given, the environment's, or `default`."""
        named = pins.named_profile(self.profile)
        return "default" if named is None else named

    @property
    def pinned_profile(self) -> str | None:
        """The profile with which another environment leads to the same caller.

        None if the environment has the keys, or no profile exists.
        """
        if named := self.profile or pins.environment_profile():
            return named
        return "default" if not pins.has_keys() and "default" in self.profiles() else None

    def command(self, *words: str) -> str:
        """Return a command line for a hint: it can be pasted, also into another shell."""
        return pins.command_line(words, profile=self.profile, region=self.given_region)

    @property
    def location(self) -> str:
        """Where this session looks, for a message: `us-east-1`, or `us-east-1 (profile dev)`."""
        return pins.location(self.region, self.profile)

    def profile_settings(self) -> dict[str, str]:
        """The settings of the profile in force, but nested ones; empty if no profile exists or was specified."""
        with reading("the AWS configuration"):
            settings = self._configuration().get_scoped_config()
        return {name: value for name, value in settings.items() if isinstance(value, str)}

    def sso_session(self, name: str) -> dict[str, Any]:
        """The settings of an `sso-session` of the AWS configuration; empty if there is none."""
        with reading("the AWS configuration"):
            return dict(self._configuration().full_config.get("sso_sessions", {}).get(name, {}))

    def profiles(self) -> list[str]:
        """The names of the profiles that the AWS configuration has."""
        with reading("the AWS configuration"):
            return list(self._configuration().available_profiles)

    @property
    def ca_bundle(self) -> str | None:
        """The CA file or folder in force, or None for the system's: `--ca-bundle`, `AWS_CA_BUNDLE`, the profile's."""
        return self.given_ca_bundle or self._setting("ca_bundle")

    @overload
    def client(self, service: Literal["athena"], region: str | None = None) -> AthenaClient: ...
    @overload
    def client(self, service: Literal["cloudtrail"], region: str | None = None) -> CloudTrailClient: ...
    @overload
    def client(self, service: Literal["ec2"], region: str | None = None) -> EC2Client: ...
    @overload
    def client(
        self, service: Literal["ec2-instance-connect"], region: str | None = None
    ) -> EC2InstanceConnectClient: ...
    @overload
    def client(self, service: Literal["iam"], region: str | None = None) -> IAMClient: ...
    @overload
    def client(self, service: Literal["organizations"], region: str | None = None) -> Any: ...
    @overload
    def client(self, service: Literal["rds"], region: str | None = None) -> RDSClient: ...
    @overload
    def client(self, service: Literal["s3"], region: str | None = None) -> S3Client: ...
    @overload
    def client(self, service: Literal["sts"], region: str | None = None) -> STSClient: ...
    def client(self, service: str, region: str | None = None) -> Any:
        """Return the boto3 client of a service, created once for each region.

        It is created anew when a file of the AWS configuration has changed: a client keeps the keys that it has read,
        and a process that runs for hours needs those of a renewed session.
        """
        where = region or self.region
        with self._lock:
            self._forget_changed()
            if (service, where) not in self._clients:
                self._clients[service, where] = self._make_client(service, where)
            return self._clients[service, where]

    def close(self, region: str) -> None:
        """Close the connections to a region's services; another call opens new ones."""
        with self._lock:
            for key in [key for key in self._clients if key[1] == region]:
                self._clients.pop(key).close()

    def _forget_changed(self) -> None:
        """Forget what was read from the files of the AWS configuration, if one of them has changed."""
        if (files := signature()) != self._files:
            self._files = files
            self._core = self._keys = None
            self._clients.clear()

    def unsigned_client(self, service: str) -> Any:
        """Return a new client of a service that signs nothing: for what is asked without credentials."""
        from botocore import UNSIGNED
        from botocore.config import Config

        # Keys that nobody looks at, lest botocore look for some, and run a process for them.
        keys = {"aws_access_key_id": "unsigned", "aws_secret_access_key": "unsigned"}
        return self._make_client(service, self.region, Config(signature_version=UNSIGNED), **keys)

    def known_regions(self, service: str) -> list[str]:
        """Return the regions in which botocore's own data has a service."""
        return list(self._configuration().get_available_regions(service))

    @property
    def source(self) -> str:
        """Where the credentials are from, as botocore calls it: `env`, `shared-credentials-file`, `sso`, …"""
        if plain := self._plain():
            return "shared-credentials-file" if plain.name else "env"
        return str(getattr(self.botocore_credentials(), "method", ""))

    def credentials(self) -> Credentials:
        """Return credentials for one connection; a `CredentialsSource`.

        They are read anew when a file of the AWS configuration has changed; otherwise botocore renews them when they
        are about to expire, without asking for a role or running a process each time.

        Raises:
            CredentialsError: None were found, or they have expired and cannot be renewed.
        """
        if plain := self._plain():
            register(plain.secret_access_key, plain.session_token)
            return Credentials(plain.access_key_id, plain.secret_access_key, plain.session_token, None, plain.name)
        with Activity("credentials"), self._lock, reading("the credentials"):
            keys = self.botocore_credentials()
            frozen = keys.get_frozen_credentials()
            if not frozen.access_key or not frozen.secret_key:
                raise CredentialsError("The AWS credentials are incomplete", hint="aws configure")
            register(frozen.secret_key, frozen.token)
            expires = getattr(keys, "_expiry_time", None)
            return Credentials(
                frozen.access_key,
                frozen.secret_key,
                frozen.token,
                expires if isinstance(expires, datetime) else None,
                "" if keys.method == "env" else self.profile_name,
            )

    def botocore_credentials(self) -> botocore.credentials.Credentials:
        """Return the credentials as botocore has them, which renews them; loaded anew when a file has changed.

        Raises:
            CredentialsError: None were found.
        """
        keys = self._keys_or_none()
        if keys is None:
            raise no_credentials(self.profile)
        return keys

    def client_with_keys(self, service: str, **keys: str) -> Any:
        """Return a new client of a service with other keys, in boto3's words."""
        return self._make_client(service, self.region, None, **keys)

    @property
    def plain(self) -> bool:
        """Whether the keys and the settings are read without botocore."""
        return self._plain() is not None

    def _plain(self) -> PlainProfile | None:
        """The keys and settings in force, if they can be read without botocore."""
        with self._lock:
            seen = signature(), [item for item in os.environ.items() if item[0].startswith("AWS_")]
            if self._plain_read is None or self._plain_read[0] != seen:
                self._plain_read = seen, read_plain(self.profile)
            return self._plain_read[1]

    def _configuration(self) -> botocore.session.Session:
        """botocore's session alone: configuration and credentials need no service, and it loads faster than boto3."""
        with self._lock:
            if self._core is None:
                from eicctl.aws.clients import new_core

                self._core = new_core(self.profile)
            return self._core

    def _setting(self, name: str) -> str | None:
        """A setting as botocore has it, of the environment or the profile; None if it is not set or empty."""
        value = os.environ.get(_VARIABLES[name])
        if value is None:
            plain = self._plain()
            if plain:
                value = plain.settings.get(name)
            elif self._configured() or pins.named_profile(self.profile) is not None:
                with reading("the AWS configuration"):
                    value = self._configuration().get_config_variable(name)
        if isinstance(value, dict):
            raise LocalError(f"{name} of profile {self.profile_name!r} is not a single value in {config_file()}")
        return str(value) if value else None

    def _switched_on(self, name: str) -> bool:
        return (self._setting(name) or "").lower() == "true"

    def _configured_region(self) -> str | None:
        named = pins.named_region(self.given_region)
        return self._setting("region") if named is None else named

    def _instance_region(self) -> str | None:
        """The region of the instance that this machine is, as the AWS CLI asks the metadata service for it."""
        if os.environ.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true":
            return None
        from botocore.utils import IMDSRegionProvider

        with reading("the region from the instance's metadata"):
            region = IMDSRegionProvider(self._configuration()).provide()
        return region if region and _REGION.fullmatch(region) else None

    def _keys_or_none(self) -> botocore.credentials.Credentials | None:
        with self._lock, reading("the credentials"):
            self._forget_changed()
            if self._keys is None:
                self._keys = self._load_keys()
            return self._keys

    def _load_keys(self) -> botocore.credentials.Credentials | None:
        from eicctl.aws.clients import new_core
        from eicctl.aws.credentials import load

        # A session of its own each time: one keeps what it has once read.
        core = new_core(self.profile)
        # Roles are asked for in the region, and by the endpoints, that are in force; botocore knows no AWS_REGION.
        if region := self._configured_region():
            core.set_config_variable("region", region)
        if self.given_fips:
            core.set_config_variable("use_fips_endpoint", True)
        return load(core, repr(signature()))

    def _make_client(self, service: str, region: str, more: Config | None = None, **keys: str) -> Any:
        from eicctl.aws.clients import new_client

        if not keys and self._plain() is None:
            # The same credentials as for tunnels: no role is assumed and no process run twice.
            self._configuration()._credentials = self._keys_or_none()  # type: ignore[attr-defined]
        core, bundle = self._configuration(), self.ca_bundle
        return new_client(
            core, service, region, profile=self.profile, fips=self.fips, ca_bundle=bundle, more=more, **keys
        )

    def _configured(self) -> bool:
        return any(os.path.exists(path) for path in (config_file(), credentials_file()))  # noqa: PTH110


def leave_keys(folder: Path) -> None:
    """Leave keys that others of this command's processes would run a program for (see `credentials.leave`)."""
    if "eicctl.aws.credentials" in sys.modules:
        from eicctl.aws.credentials import leave

        leave(folder / _KEYS_FILE)
