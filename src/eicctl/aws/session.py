"""Who we are, where, and clients for the services: one boto3 session, made when it is first needed."""

from __future__ import annotations

import logging
import os
import threading
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eicctl import __version__, pins
from eicctl.aws.calls import watch
from eicctl.aws.failures import translated
from eicctl.aws.plain_profile import PlainProfile
from eicctl.aws.plain_profile import read as read_plain
from eicctl.errors import CredentialsError, UsageError
from eicctl.logs.redact import register
from eicctl.model import Credentials

if TYPE_CHECKING:
    import boto3
    import botocore.credentials
    import botocore.session
    from botocore.config import Config

_log = logging.getLogger(__name__)

CONNECT_TIMEOUT = 10
READ_TIMEOUT = 30
ATTEMPTS = 4


class Session:
    """Access to AWS by a profile. Safe to use from several threads.

    Args:
        profile: Profile in the AWS configuration; None for the environment's or the default one.
        region: Region; None for the environment's or the profile's.
        ca_bundle: CA certificates to trust (PEM); None for the environment's, the profile's, or the system's.
        fips: Use FIPS endpoints, of AWS and of EICE.
    """

    def __init__(
        self,
        *,
        profile: str | None = None,
        region: str | None = None,
        ca_bundle: str | None = None,
        fips: bool = False,
    ) -> None:
        self.profile = profile
        self.fips = fips
        self._region = region
        self.given_region = region
        self.given_ca_bundle = ca_bundle
        self._lock = threading.RLock()
        self._core: botocore.session.Session | None = None
        self._boto: boto3.Session | None = None
        self._clients: dict[tuple[str, str], Any] = {}
        self._clients_files: tuple[object, ...] = configuration_signature()
        self._keys: botocore.credentials.Credentials | None = None
        self._keys_files: tuple[object, ...] = ()
        self._plain_read: tuple[tuple[object, ...], PlainProfile | None] | None = None

    @property
    def region(self) -> str:
        """The region.

        Raises:
            UsageError: None is given anywhere.
        """
        region = self._region or os.environ.get("AWS_REGION") or self._setting("region")
        if not region:
            raise UsageError(
                "no AWS region is given",
                hint="--region, AWS_REGION, or region of the profile: aws configure set region …",
            )
        self._region = region
        return region

    def of(self, *, profile: str | None, region: str | None) -> Session:
        """Return a session for another profile or region; None leaves this one's."""
        return Session(
            profile=profile or self.profile,
            region=region or (self._region if profile in (None, self.profile) else None),
            ca_bundle=self.given_ca_bundle,
            fips=self.fips,
        )

    @property
    def profile_name(self) -> str:
        """The profile in force: the one given, the environment's, or `default`."""
        with translated("read the AWS configuration"):
            return str(self._configuration().get_config_variable("profile") or "default")

    @property
    def pinned_profile(self) -> str | None:
        """The profile to name where another environment shall lead to the same caller.

        None where the environment has the keys, or where there is no profile at all.
        """
        if named := self.profile or pins.environment_profile():
            return named
        return "default" if not pins.has_keys() and "default" in self.profiles() else None

    def profile_settings(self) -> dict[str, Any]:
        """The settings of the profile in force; empty where there is no such profile and none was asked for."""
        with translated("read the AWS configuration"):
            return dict(self._configuration().get_scoped_config())

    def profiles(self) -> list[str]:
        """The names of the profiles that the AWS configuration has."""
        with translated("read the AWS configuration"):
            return list(self._configuration().available_profiles)

    @property
    def ca_bundle(self) -> str | None:
        """The CA file or folder in force, or None for the system's: `--ca-bundle`, `AWS_CA_BUNDLE`, the profile's."""
        found = self.given_ca_bundle or os.environ.get("AWS_CA_BUNDLE")
        if found is None and self._configured():
            found = self._setting("ca_bundle")
        return found or None

    def client(self, service: str, region: str | None = None) -> Any:
        """Return the boto3 client of a service, made once for each region.

        Where a file of the AWS configuration has changed, it is made anew: a client keeps the keys that it has read,
        and who runs for hours needs those of a renewed session.
        """
        where = region or self.region
        with self._lock:
            files = configuration_signature()
            if files != self._clients_files:
                self._clients_files = files
                self._core = self._boto = None
                self._clients.clear()
            if (service, where) not in self._clients:
                self._clients[service, where] = self._make_client(service, where)
            return self._clients[service, where]

    def unsigned_client(self, service: str) -> Any:
        """Return a new boto3 client of a service that signs nothing: for what is asked without credentials."""
        from botocore import UNSIGNED
        from botocore.config import Config

        return self._make_client(service, self.region, Config(signature_version=UNSIGNED))

    def known_regions(self, service: str) -> list[str]:
        """Return the regions in which botocore's own data has a service."""
        return list(self._configuration().get_available_regions(service))

    @property
    def source(self) -> str:
        """Where the credentials are from, as botocore calls it: `env`, `shared-credentials-file`, `sso`, …"""
        if self._from_environment():
            return "env"
        with self._lock, translated("read the credentials"):
            return str(getattr(self._known_keys(), "method", ""))

    def credentials(self) -> Credentials:
        """Return credentials for one connection; a `CredentialsSource`.

        They are read anew when a file of the AWS configuration has changed; otherwise botocore renews them when they
        are about to expire, without asking for a role or running a process each time.

        Raises:
            CredentialsError: There are none, or they have expired and cannot be renewed.
        """
        if known := self._from_environment():
            return known
        if plain := self._plain():
            register(plain.secret_access_key, plain.session_token)
            return Credentials(
                plain.access_key_id, plain.secret_access_key, plain.session_token, None, self.profile or plain.name
            )
        with self._lock, translated("read the credentials"):
            keys = self._known_keys()
            frozen = keys.get_frozen_credentials()
            if not frozen.access_key or not frozen.secret_key:
                raise CredentialsError("the AWS credentials are incomplete", hint=_NO_CREDENTIALS)
            register(frozen.secret_key, frozen.token)
            expires = getattr(keys, "_expiry_time", None)
            return Credentials(
                frozen.access_key,
                frozen.secret_key,
                frozen.token,
                expires if isinstance(expires, datetime) else None,
                self.profile or os.environ.get("AWS_PROFILE") or "default",
            )

    def _from_environment(self) -> Credentials | None:
        """The keys of the environment, which botocore would take too: they come first unless a profile is named.

        Reading them here spares a ProxyCommand the import of botocore, which takes longer than its TLS handshake.
        """
        key, secret = os.environ.get("AWS_ACCESS_KEY_ID"), os.environ.get("AWS_SECRET_ACCESS_KEY")
        if self.profile or not key or not secret or os.environ.get("AWS_CREDENTIAL_EXPIRATION"):
            return None
        token = os.environ.get("AWS_SESSION_TOKEN") or None
        register(secret, token)
        return Credentials(key, secret, token)

    def _plain(self) -> PlainProfile | None:
        """The profile in force, if it can be read without botocore, and botocore has not been loaded anyway."""
        with self._lock:
            if self._core or self._keys:
                return None
            files = configuration_signature()
            if self._plain_read is None or self._plain_read[0] != files:
                self._plain_read = files, read_plain(*_files(), self.profile)
            return self._plain_read[1]

    def _configuration(self) -> botocore.session.Session:
        """botocore's session alone: configuration and credentials need no service, and it loads faster than boto3."""
        with self._lock:
            if self._core is None:
                import botocore.session

                self._core = botocore.session.Session(profile=self.profile)
            return self._core

    def _setting(self, name: str) -> str | None:
        if plain := self._plain():
            value = os.environ.get("AWS_DEFAULT_REGION") if name == "region" else None
            return (plain.settings.get(name) if value is None else value) or None
        with translated("read the AWS configuration"):
            value = self._configuration().get_config_variable(name)
        return str(value) if value else None

    def _session(self) -> boto3.Session:
        with self._lock:
            if self._boto is None:
                import boto3

                with translated("read the AWS configuration"):
                    core = self._configuration()
                    if "role_arn" in core.get_scoped_config():
                        # The same credentials as for tunnels: who is asked for an MFA code is asked once.
                        core._credentials = self._known_keys()  # type: ignore[attr-defined]
                    self._boto = boto3.Session(botocore_session=core)
            return self._boto

    def _known_keys(self) -> botocore.credentials.Credentials:
        """The credentials as botocore has them, loaded anew when a file of the configuration has changed."""
        with self._lock:
            files = configuration_signature()
            if self._keys is None or files != self._keys_files:
                self._keys = self._load_keys()
                self._keys_files = files
            return self._keys

    def _load_keys(self) -> botocore.credentials.Credentials:
        import botocore.session

        # A session of its own each time: one keeps what it has once read.
        core = botocore.session.Session(profile=self.profile)
        if "role_arn" in core.get_scoped_config():
            _share_roles(core)
        keys = core.get_credentials()
        if keys is None:
            raise CredentialsError("there are no AWS credentials", hint=_NO_CREDENTIALS)
        if "mfa_serial" in core.get_scoped_config():
            # botocore asks for a code once: where that failed, the next thread would be told of an expired session.
            keys.get_frozen_credentials()
        return keys

    def _make_client(self, service: str, region: str, more: Config | None = None) -> Any:
        from botocore.config import Config

        config = Config(
            user_agent_extra=f"eicctl/{__version__}",
            connect_timeout=CONNECT_TIMEOUT,
            read_timeout=READ_TIMEOUT,
            retries={"total_max_attempts": ATTEMPTS, "mode": "standard"},
            max_pool_connections=20,
            use_fips_endpoint=self.fips or None,
        ).merge(more or Config())
        with translated(f"use the service {service}"):
            client = self._session().client(service, region_name=region, config=config, verify=self.ca_bundle)  # type: ignore[call-overload]
        watch(client)
        return client

    def _configured(self) -> bool:
        return any(path.exists() for path in _files())


_NO_CREDENTIALS = (
    "aws configure, aws sso login, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; --profile chooses among several. "
    "Without an account: eicctl local up"
)


def _share_roles(core: botocore.session.Session) -> None:
    """Keep sessions of roles where the AWS CLI keeps them, and ask for an MFA code on the terminal, not on stdin."""
    from botocore.utils import JSONFileCache

    from eicctl.aws.codes import ask_checked

    provider = core.get_component("credential_provider").get_provider("assume-role")
    provider.cache = JSONFileCache(str(Path("~/.aws/cli/cache").expanduser()))
    provider._prompter = ask_checked


def _files() -> tuple[Path, Path]:
    """The files of the AWS configuration."""
    return (
        Path(os.path.expandvars(os.environ.get("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials"))).expanduser(),
        Path(os.path.expandvars(os.environ.get("AWS_CONFIG_FILE", "~/.aws/config"))).expanduser(),
    )


def configuration_signature() -> tuple[object, ...]:
    """What changes whenever a file of the AWS configuration does."""
    seen: list[object] = []
    for path in _files():
        try:
            status = path.stat()
        except OSError:
            seen.append(None)
        else:
            seen.append((status.st_mtime_ns, status.st_size, status.st_ino))
    return tuple(seen)


def preload() -> None:
    """Load what the first call of AWS will need, before somebody waits for it."""
    import boto3  # noqa: F401
