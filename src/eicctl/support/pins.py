"""What another shell has to be given to act as this one: the profile and region in force.

Environment variables end with their shell, so whatever is written for later use names what they say.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PROFILE_VARIABLES = ("AWS_DEFAULT_PROFILE", "AWS_PROFILE")
"""Where the environment names a profile, in botocore's order; the first that is set counts, also if it is empty."""

REGION_VARIABLES = ("AWS_REGION", "AWS_DEFAULT_REGION")
"""Where the environment names a region, in the order of `Session.region`; botocore knows the second one only."""

_IDENTITY_VARIABLES = ("AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN")


def named_profile(option: str | None, environ: Mapping[str, str] | None = None) -> str | None:
    """Return the profile that an option or else the environment names; None if neither does.

    An empty text is botocore's error: a variable that is set names a profile, and there is none of that name.
    """
    found = os.environ if environ is None else environ
    return option or next((found[name] for name in PROFILE_VARIABLES if name in found), None)


def named_region(option: str | None, environ: Mapping[str, str] | None = None) -> str | None:
    """Return the region that an option or else the environment names; None if neither does.

    An empty text means that there is none, whatever the profile says.
    """
    found = os.environ if environ is None else environ
    return option or found.get(REGION_VARIABLES[0]) or found.get(REGION_VARIABLES[1])


def environment_profile(environ: Mapping[str, str] | None = None) -> str:
    """Return the profile that the environment names, or an empty string.

    Keys in the environment come before a profile that is only named there (botocore's order), and naming that profile
    in another shell would change the caller.
    """
    return "" if has_keys(environ) else named_profile(None, environ) or ""


def profile_in_force(option: str | None) -> str | None:
    """Return the profile that decides who calls: an option's, else the environment's; None for keys or the default."""
    return option or environment_profile() or None


def environment_region(environ: Mapping[str, str] | None = None) -> str:
    """Return the region that the environment names, or an empty string."""
    return named_region(None, environ) or ""


def command_line(words: Sequence[str], *, profile: str | None = None, region: str | None = None) -> str:
    """Return a command that does the same in another shell: with the profile and region that are given or in force.

    Args:
        words: The command, of eicctl or of the AWS CLI.
        profile: The profile that an option names; None for the environment's, empty for none.
        region: The region that an option names; None for the environment's, empty for none.
    """
    return pinned(command(*words), profile, region)


def location(region: str, profile: str | None = None) -> str:
    """Return a region for a message, with the profile where an option or the environment names one."""
    named = profile or environment_profile()
    return f"{region} (profile {named})" if named else region


def has_keys(environ: Mapping[str, str] | None = None) -> bool:
    """Whether the environment identifies the caller: by an access key, or by a web identity."""
    found = os.environ if environ is None else environ
    return any(found.get(name) for name in _IDENTITY_VARIABLES)


def command(*words: object) -> str:
    """Return a command line for people to paste, with its words as the platform's shell takes them."""
    texts = [str(word) for word in words]
    if os.name == "posix":
        import shlex

        return shlex.join(texts)
    import subprocess

    return subprocess.list2cmdline(texts)


BOTH = ("--profile", "--region")
TAKES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(
        (
            *("create-endpoint", "list-endpoints", "show-endpoint", "modify-endpoint", "delete-endpoint"),
            *("instances", "coverage", "doctor", "audit", "policy check", "policy connect", "mfa login"),
            *("ssh", "scp", "sftp", "ssh-config", "run", "proxy", "tunnel", "forward", "db", "rdp", "up", "ui"),
        ),
        BOTH,
    ),
    **dict.fromkeys(("policy admin", "policy auditor"), ("--region",)),
}
"""eicctl's commands that take a profile or a region."""

_REGIONAL = ("athena", "cloudtrail", "ec2", "rds")
"""Services of the AWS CLI in hints whose resources belong to a region."""

_COMMAND = (
    r"\b(?:eicctl (?P<eicctl>" + "|".join(TAKES) + r")(?![\w-])"
    r"|aws (?P<aws>configure(?: sso| set \S+ \S+)?|login(?! cannot)"
    r"|(?:account|athena|cloudtrail|ec2|rds|s3api|sso) [a-z][a-z0-9-]+))"
    r"""(?P<words>(?: (?!--(?: |$))(?:'[^']*'|"[^"]*"|[^\s;,.()'"]|[,.](?=\S))+)*)"""
)
"""A command with the words that belong to it: up to the end of the sentence, or to a `--`."""

_given: tuple[str, str] = ("", "")


def use(profile: str | None, region: str | None) -> None:
    """Put these in force in this process instead of what the environment names; None leaves that."""
    global _given  # noqa: PLW0603 - a command has one profile and region, and errors come from everywhere
    _given = (profile or "", region or "")


def given_profile() -> str | None:
    """Return the profile that `use` has put in force, or None."""
    return _given[0] or None


def pinned(text: str, profile: str | None = None, region: str | None = None) -> str:
    """Return a text with the profile and region in force in its command lines: of eicctl, and of the AWS CLI.

    What a command line says itself stays.

    Args:
        text: A hint, or a command line.
        profile: The profile; None for that of the process (`use`), else the environment's; empty for none.
        region: The region, likewise.
    """
    values = (
        _given[0] or environment_profile() if profile is None else profile,
        _given[1] or environment_region() if region is None else region,
    )
    if not any(values) or ("eicctl " not in text and "aws " not in text):
        return text
    import re

    def add(match: re.Match[str]) -> str:
        rest = match["words"]
        takes = TAKES.get(match["eicctl"]) or (BOTH if match["aws"].startswith(_REGIONAL) else BOTH[:1])
        if " --help" in rest:
            return match[0]
        new = [
            word
            for option, value in zip(BOTH, values, strict=True)
            if value and option in takes and f" {option}" not in rest.replace("=", " ")
            for word in (option, value)
            if not (option == "--region" and match["eicctl"] == "coverage" and " --all-regions" in rest)
        ]
        return " ".join(filter(None, (match[0], command(*new))))

    return re.sub(_COMMAND, add, text)
