"""Why OpenSSH ended with 255, and what to do."""

from __future__ import annotations

from dataclasses import dataclass

from eicctl.model import Target
from eicctl.ssh.command import known_hosts

FAILED = 255
"""OpenSSH's exit code for an error of its own (ssh(1), EXIT STATUS)."""


@dataclass(frozen=True, slots=True)
class Login:
    """How the login was tried.

    Attributes:
        target: Where.
        user: The OS user.
        expected: The OS user that the image has, or None where that is not known.
        pushed: Whether an ephemeral key was pushed.
    """

    target: Target
    user: str
    expected: str | None
    pushed: bool


def explain(code: int, stderr: str, login: Login) -> str | None:
    """Return a hint for a failed login, or None where OpenSSH, or the proxy, has said enough.

    Args:
        code: OpenSSH's exit code.
        stderr: The end of what it wrote.
        login: How the login was tried.
    """
    if code != FAILED:
        return None
    if "REMOTE HOST IDENTIFICATION HAS CHANGED" in stderr or "Host key verification failed" in stderr:
        alias = login.target.instance_id or login.target.address
        return (
            f"the host key of {alias} is not the one that was seen first. If its system was installed anew, forget the "
            f"old one: ssh-keygen -R {alias} -f {known_hosts()}; if not, something else answers in its place"
        )
    if "Permission denied (" in stderr:
        return _refused(login)
    return None


def _refused(login: Login) -> str:
    if not login.pushed:
        return f"the instance does not accept this key for the OS user {login.user}; --os-user gives another user"
    if login.expected and login.user != login.expected:
        return f"the instance's image has the OS user {login.expected}, not {login.user}: --os-user {login.expected}"
    if login.expected:
        return (
            f"the instance did not accept the pushed key for {login.user}, the user of its image: the EC2 Instance "
            "Connect package is likely missing or off there; with a key of your own: --private-key-file FILE"
        )
    return (
        f"the instance did not accept the pushed key: is {login.user} its OS user (--os-user), and does it have the "
        "EC2 Instance Connect package? With a key of your own: --private-key-file FILE"
    )
