"""botocore's data, cut down to what eicctl calls: EC2's whole service model takes a cold command some 90 ms.

It is created once from the installed botocore, in a folder of the cache that is named after its version. A loader of
botocore's looks there after the user's own data (`AWS_DATA_PATH`, `~/.aws/models`), and before what botocore brings.
Whatever is wrong with it, botocore's own is used.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import botocore
from botocore.loaders import Loader

from eicctl.core.errors import LocalError
from eicctl.support import paths
from eicctl.support.files import write_whole

if TYPE_CHECKING:
    import botocore.session

OPERATIONS: Mapping[str, tuple[str, ...]] = {
    "ec2": (
        *("AuthorizeSecurityGroupEgress", "AuthorizeSecurityGroupIngress", "CreateInstanceConnectEndpoint"),
        *("CreateNetworkAclEntry", "CreateRoute", "CreateSecurityGroup", "CreateTags"),
        *("DeleteInstanceConnectEndpoint", "DeleteSecurityGroup", "DescribeImages"),
        *("DescribeInstanceConnectEndpoints", "DescribeInstanceStatus", "DescribeInstances", "DescribeNetworkAcls"),
        *("DescribeNetworkInterfaces", "DescribeRegions", "DescribeRouteTables", "DescribeSecurityGroups"),
        *("DescribeSubnets", "DescribeVpcPeeringConnections", "DescribeVpcs", "GetConsoleOutput"),
        *("GetManagedPrefixListEntries", "GetPasswordData", "ModifyInstanceConnectEndpoint"),
        *("RevokeSecurityGroupEgress", "RevokeSecurityGroupIngress", "StartInstances"),
    ),
    "ec2-instance-connect": ("SendSSHPublicKey",),
    "sts": ("AssumeRole", "AssumeRoleWithWebIdentity", "GetCallerIdentity", "GetSessionToken"),
    "iam": (
        *("GetGroupPolicy", "GetPolicy", "GetPolicyVersion", "GetRole", "GetRolePolicy", "GetUserPolicy"),
        *("ListAttachedGroupPolicies", "ListAttachedRolePolicies", "ListAttachedUserPolicies", "ListGroupPolicies"),
        *("ListGroupsForUser", "ListMFADevices", "ListRolePolicies", "ListUserPolicies", "SimulatePrincipalPolicy"),
    ),
    "athena": (
        *("GetQueryExecution", "GetQueryResults", "GetTableMetadata", "StartQueryExecution", "StopQueryExecution"),
    ),
    "organizations": ("ListAccounts",),
    "rds": ("DescribeDBClusters", "DescribeDBInstances"),
    "cloudtrail": ("LookupEvents",),
    "s3": ("GetObject", "HeadObject", "ListObjectsV2"),
}
"""The operations that eicctl calls, by service. A client takes all others from a client of the whole service."""

_TYPES = ("service-2", "paginators-1", "endpoint-rule-set-1")
_ENDPOINT_PREFIXES = {*OPERATIONS, "portal.sso", "oidc", "signin"}
_KEPT = 3


def use_service_data(core: botocore.session.Session) -> None:
    """Have a session read the data that is cut down, and make it if there is none."""
    loader = _loader(core.get_config_variable("data_path"))
    core.register_component("data_loader", loader)
    create = core.create_client

    def create_client(service_name: str, *words: Any, **more: Any) -> Any:
        client = create(service_name, *words, **more)
        if isinstance(loader, _CutDown) and service_name in OPERATIONS:
            _with_all_operations(client, loader, lambda: _whole(core, create, service_name, words, more))
            loader.make_missing()
        return client

    core.create_client = create_client  # type: ignore[method-assign]


def _loader(data_path: str | None) -> Loader:
    own = [path for path in (data_path or "").split(os.pathsep) if path]
    own = [os.path.expandvars(os.path.expanduser(path)) for path in own]  # noqa: PTH111 - as botocore's create_loader
    with contextlib.suppress(LocalError):
        return _CutDown(own, _folder())
    return Loader(extra_search_paths=own)


def _folder() -> Path:
    """The folder for this version of botocore, and these operations."""
    words = repr((botocore.__version__, sorted(OPERATIONS.items()), Loader.BUILTIN_DATA_PATH, "digests"))
    return paths.cache_dir() / f"botocore-{botocore.__version__}-{_digest(words.encode())}"


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=6).hexdigest()


class _CutDown(Loader):
    """A loader that looks into a folder before it looks into botocore's own data.

    Args:
        own: The user's own folders.
        folder: The folder with the reduced data.
    """

    def __init__(self, own: list[str], folder: Path) -> None:
        super().__init__(extra_search_paths=own)
        self._folder = folder
        self._users = self.search_paths[: self.search_paths.index(self.BUILTIN_DATA_PATH)]
        self._missing: set[tuple[str, str]] = set()
        self._readable = _is_ours(folder)

    def load_service_model(self, service_name: str, type_name: str, api_version: str | None = None) -> object:
        """See botocore. What is in the folder is read without listing every service's folders."""
        if service_name in OPERATIONS and type_name in _TYPES and not api_version and not self._has_user(service_name):
            found = self._from_folder(service_name, type_name)
            if found is not None:
                return found
            self._missing.add((service_name, type_name))
        return super().load_service_model(service_name, type_name, api_version)

    def load_data_with_path(self, name: str) -> tuple[Any, str]:
        """See botocore."""
        if name == "endpoints" and not self._has_user("endpoints.json"):
            with contextlib.suppress(OSError, ValueError):
                data = self._read("endpoints")
                return data, os.path.join(self.BUILTIN_DATA_PATH, "endpoints")  # noqa: PTH118
            self._missing.add(("endpoints", ""))
        found: tuple[object, str] = super().load_data_with_path(name)
        return found

    def whole(self) -> Loader:
        """Return a loader of everything."""
        return Loader(extra_search_paths=list(self._users), include_default_search_paths=True)

    def make_missing(self) -> None:
        """Create the reduced data that was requested and is missing. A cache that cannot be written is ignored."""
        if not self._missing:
            return
        missing, self._missing = self._missing, set()
        with contextlib.suppress(LocalError, OSError, ValueError, TypeError, KeyError, AttributeError):
            paths.private(self._folder)
            for service, kind in sorted(missing):
                if service == "endpoints":
                    self._write("endpoints", _endpoints(super().load_data_with_path("endpoints")[0]))
                    continue
                data = super().load_service_model(service, kind)
                self._write(f"{service}/{kind}", _cut(data, service, kind))
            _drop_others(self._folder)

    def _from_folder(self, service: str, kind: str) -> object:
        try:
            return self._read(f"{service}/{kind}")
        except (OSError, ValueError):
            return None

    def _read(self, name: str) -> Any:
        """Return what a file of the folder holds.

        Raises:
            ValueError: It is damaged.
        """
        if not self._readable:
            raise FileNotFoundError(self._folder)
        digest, _, text = (self._folder / f"{name}.json").read_bytes().partition(b"\n")
        if digest != _digest(text).encode():
            raise ValueError(name)
        return json.loads(text)

    def _write(self, name: str, data: object) -> None:
        path = self._folder / f"{name}.json"
        paths.private(path.parent)
        text = json.dumps(data, separators=(",", ":"))
        write_whole(path, f"{_digest(text.encode())}\n{text}", durable=False)

    def _has_user(self, name: str) -> bool:
        return any(os.path.exists(os.path.join(path, name)) for path in self._users)  # noqa: PTH110, PTH118


def _is_ours(folder: Path) -> bool:
    """Whether the folder is there, and nobody else could have written into it."""
    with contextlib.suppress(LocalError):
        return folder.is_dir() and paths.private(folder) == folder
    return False


def _cut(data: Mapping[str, Any], service: str, kind: str) -> dict[str, Any]:
    """Return a service's data with our operations alone, and without documentation."""
    if kind == "endpoint-rule-set-1":
        return dict(data)
    if kind == "paginators-1":
        return {
            "pagination": {name: data["pagination"][name] for name in OPERATIONS[service] if name in data["pagination"]}
        }
    operations = {name: _plain(data["operations"][name]) for name in OPERATIONS[service] if name in data["operations"]}
    shapes: dict[str, object] = {}
    wanted = list(_shapes_of(operations))
    while wanted:
        name = wanted.pop()
        if name not in shapes:
            shapes[name] = _plain(data["shapes"][name])
            wanted += _shapes_of(shapes[name])
    rest = {
        key: value for key, value in data.items() if key not in ("operations", "shapes", "documentation", "examples")
    }
    return {**rest, "operations": operations, "shapes": shapes}


def _plain(value: object) -> object:
    """A part of a model without documentation; a member of that name has an object, and stays."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items() if key != "documentation" or isinstance(each, dict)}
    return [_plain(each) for each in value] if isinstance(value, list) else value


def _shapes_of(value: object) -> Iterator[str]:
    """The names of shapes that a part of a model mentions."""
    if isinstance(value, dict):
        if isinstance(shape := value.get("shape"), str):
            yield shape
        for each in value.values():
            yield from _shapes_of(each)
    elif isinstance(value, list):
        for each in value:
            yield from _shapes_of(each)


def _endpoints(data: Mapping[str, Any]) -> dict[str, Any]:
    """botocore's endpoints, of the services that eicctl asks."""
    return {
        **data,
        "partitions": [
            {**each, "services": {name: one for name, one in each["services"].items() if name in _ENDPOINT_PREFIXES}}
            for each in data["partitions"]
        ],
    }


def _drop_others(folder: Path) -> None:
    """Remove what other versions have left, but for those used last."""
    import shutil

    found = sorted(folder.parent.glob("botocore-*"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in found[_KEPT:]:
        if path != folder:
            shutil.rmtree(path, ignore_errors=True)


def _whole(core: Any, create: Any, service: str, words: Any, more: Any) -> Any:
    """A client of the whole service."""
    loader = core.get_component("data_loader")
    core.register_component("data_loader", loader.whole())
    try:
        return create(service, *words, **more)
    finally:
        core.register_component("data_loader", loader)


def _with_all_operations(client: Any, loader: _CutDown, whole: Callable[[], Any]) -> None:
    """Let a client have the operations that its model lacks, too."""
    service = client.meta.service_model.service_id.hyphenize()
    own = client.get_paginator

    def attribute(event_name: str, **_rest: object) -> object:
        name = event_name.rpartition(".")[2]
        return None if name.startswith("_") else getattr(whole(), name, None)

    def get_paginator(name: str) -> object:
        found = own(name) if hasattr(type(client), name) else whole().get_paginator(name)
        loader.make_missing()  # paginators are read now
        return found

    client.meta.events.register(f"getattr.{service}", attribute)
    client.get_paginator = get_paginator
