"""Access to AWS by a role that the caller assumes, beside what profiles say.

Sessions of roles are kept where the AWS CLI keeps them (`~/.aws/cli/cache`), and botocore renews them when they are
about to expire. Their name in CloudTrail is `eicctl-` and the caller's name.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from eicctl.aws.credentials import role_cache
from eicctl.aws.identity import Identity
from eicctl.aws.session import Session
from eicctl.support import jsonstore

if TYPE_CHECKING:
    from botocore.credentials import Credentials


class RoleSession(Session):
    """Access to an account by a role that another session assumes.

    Args:
        source: Access to AWS as the caller.
        role_arn: The role.
        name: The name of its session.
        external_id: The external ID, or empty.
    """

    def __init__(self, source: Session, role_arn: str, name: str, external_id: str = "") -> None:
        super().__init__(
            profile=source.profile, region=source.given_region, ca_bundle=source.given_ca_bundle, fips=source.given_fips
        )
        self.assumed_role = role_arn
        self.external_id = external_id
        self._source = source
        self._name = name

    def _plain(self) -> None:
        """The keys are not those of the profile."""

    def _load_keys(self) -> Credentials | None:
        from botocore.credentials import AssumeRoleCredentialFetcher, DeferredRefreshableCredentials

        class Fetcher(AssumeRoleCredentialFetcher):
            """Keeps sessions apart by the access key that opened them, as a role may not trust another one."""

            def _create_cache_key(self) -> str:
                return jsonstore.digest([self._assume_kwargs, self._source_credentials.access_key])  # type: ignore[attr-defined]

        fetcher = Fetcher(
            self._source.client_with_keys,
            self._source.botocore_credentials(),
            self.assumed_role,
            extra_args={
                "RoleSessionName": self._name,
                **({"ExternalId": self.external_id} if self.external_id else {}),
            },
            cache=role_cache(),  # type: ignore[arg-type]
        )
        return DeferredRefreshableCredentials(fetcher.fetch_credentials, "assume-role")


def session_name(caller: Identity) -> str:
    """Return the name of a role's session: `eicctl-` and the name of the user, or of the role's session, that calls."""
    return f"eicctl-{re.sub(r'[^A-Za-z0-9_+=,.@-]', '-', re.split('[:/]', caller.arn)[-1])}"[:64]
