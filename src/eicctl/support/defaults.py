"""What a command takes where neither an option nor the environment says it: from the project's file, then the user's.

Imports as little as can be, because `eicctl proxy` and a warm `eicctl ssh` wait for it: what a file says is cached as
JSON, so that `tomllib` is imported only after a change (`support.settings` reads and checks the files).
"""

from __future__ import annotations

import os
import stat

from eicctl.support import pins
from eicctl.support.paths import usual_folder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, Final, Literal, TypedDict

    from eicctl.core.request import ConnectRequest

    class Settings(TypedDict, total=False):
        """The settings of a target: those in force, or a file's for some hosts."""

        profile: str | None
        region: str | None
        endpoint: str
        os_user: str
        private_key_file: str
        keep: bool
        forward: list[str]

    class Layer(TypedDict, total=False):
        """The content of a file; `Path` is that of a project's."""

        Path: str
        profile: str
        region: str
        endpoint: str
        os_user: str
        host_key_check: Literal["console", "accept-new", "strict", "off"]
        diagnose: bool
        agent: bool
        log_file: str
        allow_other_users: bool
        spare: bool
        keepalive: float
        alias: dict[str, str]
        host: dict[str, Settings]


PROJECT_FILE = "eicctl.toml"

DEFAULTS = ("profile", "region", "endpoint", "os_user")
"""The keys that both files may have above their tables."""

ALIAS: Final = "alias"
"""The table of other names of targets."""

HOST: Final = "host"
"""The tables of settings of hosts, by pattern."""


def user_file() -> str:
    """Return the path of the user's `config.toml`, which need not exist."""
    return f"{usual_folder('config')}/config.toml"


def project_file(start: str | None = None) -> str:
    """Return the nearest `eicctl.toml` in a folder or above it; an empty text where there is none.

    The home folder and the root of a Git repository are the last ones looked into.

    Args:
        start: The folder; None for the current one.
    """
    try:
        at = os.path.abspath(start) if start else os.getcwd()  # noqa: PTH100, PTH109
    except OSError:  # it has been removed
        return ""
    home = os.path.expanduser("~")  # noqa: PTH111
    while True:
        path = os.path.join(at, PROJECT_FILE)  # noqa: PTH118
        if os.path.isfile(path):  # noqa: PTH113
            return path
        above = os.path.dirname(at)  # noqa: PTH120
        if at in (home, above) or os.path.exists(os.path.join(at, ".git")):  # noqa: PTH110, PTH118
            return ""
        at = above


def is_own(path: str) -> bool:
    """Whether only this user and root can have written a file; any other file sets no defaults."""
    if os.name != "posix":
        return True
    try:
        status = os.stat(path)  # noqa: PTH116
    except OSError:
        return False
    return status.st_uid in (os.getuid(), 0) and not status.st_mode & stat.S_IWOTH


def layers(project: str | None = None) -> list[Layer]:
    """Return what the files say, the project's first. See `settings.read`.

    Args:
        project: The project's file; None for the nearest one that `is_own`, empty for none.

    Raises:
        UsageError: A file is not as it should be.
    """
    user = user_file()
    if project is None:
        project = project_file()
        project = project if project and is_own(project) else ""
    found = [_content(project, project=True)] if project and project != user else []
    return [*found, _content(user, project=False)]


def _content(path: str, *, project: bool) -> Layer:
    try:
        status = os.stat(path)  # noqa: PTH116
    except OSError:
        return {}
    stamp = [status.st_mtime_ns, status.st_size, status.st_ino, project]
    from eicctl.support import jsonstore

    cache = jsonstore.Cache("settings.json", 30 * 86400.0, 50)
    known = cache.get(path)
    if isinstance(known, list) and known[:1] == [stamp]:
        content: Layer = known[1]
        return content
    from eicctl.support.settings import read

    content = read(path, project=project)
    cache.put({path: [stamp, content]})
    return content


def of_user() -> Layer:
    """Return what `config.toml` says.

    Raises:
        UsageError: It is not as it should be.
    """
    return _content(user_file(), project=False)


def user_for(*names: str) -> str:
    """Return the OS user that `config.toml` has for an instance of these names, or an empty string.

    Raises:
        UsageError: It is not as it should be.
    """
    found = of_user()
    for pattern, section in found.get(HOST, {}).items():
        if "os_user" in section and _matches(pattern, names):
            return section["os_user"]
    return found.get("os_user", "")


def host_key_check() -> Literal["console", "accept-new", "strict", "off"]:
    """Return how host keys are checked: what `config.toml` says, else `console`.

    Raises:
        UsageError: It is not as it should be.
    """
    return of_user().get("host_key_check") or "console"


def alias(word: str, project: str | None = None) -> str:
    """Return what a word of the command line stands for; itself if it is not an alias.

    Args:
        word: The word.
        project: See `layers`.

    Raises:
        UsageError: A file is not as it should be.
    """
    for layer in layers(project) if word else ():
        if meant := layer.get(ALIAS, {}).get(word):
            return meant
    return word


def in_force(profile: str | None, region: str | None, *words: str, project: str | None = None) -> Settings:
    """Return the settings in force: `profile`, `region` and `endpoint`, and those of hosts.

    The order: options, the environment, the project's file, the user's; in a file, the sections whose pattern matches,
    then what stands above them. A file's region goes with its profile, and its endpoint with its region: where another
    one is in force, they do not count. `os_user` of the user's file is not among them, unless a section has it:
    `ssh.os_user` knows the instance's name and ID, too.

    Args:
        profile: The profile that an option names.
        region: The region that an option names.
        words: What the target is called on the command line.
        project: See `layers`.

    Raises:
        UsageError: A file is not as it should be.
    """
    found: dict[str, object] = {}
    named = "" if not profile and pins.has_keys() else pins.named_profile(profile)
    if named is not None:
        found["profile"] = named
    if (where := pins.named_region(region)) is not None:
        found["region"] = where
    given = set(found)
    for layer in layers(project):
        user = "Path" not in layer
        for pattern, section in layer.get(HOST, {}).items():
            if _matches(pattern, words):
                found = _with(found, section)
        above: Any = layer
        found = _with(found, {key: above[key] for key in DEFAULTS if key in above and not (user and key == "os_user")})
    # What the environment says is left to it.
    for name, option in (("profile", profile), ("region", region)):
        if name in given:
            found[name] = option
    settings: Any = found
    return settings  # type: ignore[no-any-return]


def _matches(pattern: str, words: tuple[str, ...]) -> bool:
    from fnmatch import fnmatchcase

    return any(word and fnmatchcase(word, pattern) for word in words)


def _with(found: dict[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Add settings that are not there yet, and that go with those that are."""
    left_out = set()
    if "profile" in more and more["profile"] != found.get("profile", more["profile"]):
        left_out = {"region", "endpoint"}
    elif "region" in more and more["region"] != found.get("region", more["region"]):
        left_out = {"endpoint"}
    return {**{key: value for key, value in more.items() if key not in left_out}, **found}


def filled(request: ConnectRequest, found: Settings | None = None, *, project: str | None = None) -> ConnectRequest:
    """Return a request with profile, region and endpoint in force, and the target that it means.

    Args:
        request: The request.
        found: The settings in force (see `in_force`); None for those of its target.
        project: See `layers`.

    Raises:
        UsageError: A file is not as it should be.
    """
    meant = alias(request.target, project)
    if found is None:
        found = in_force(request.profile, request.region, request.label, meant, project=project)
    # A name of ssh_config may have a profile and a region of its own.
    named = request.endpoint_id or request.endpoint_dns_name or meant.endswith(".eic")
    return request.replace(
        target=meant,
        profile=found.get("profile") or request.profile,
        region=found.get("region") or request.region,
        endpoint_id=request.endpoint_id if named else found.get("endpoint"),
    )
