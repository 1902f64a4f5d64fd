"""Which OS user an instance has, by its AMI."""

from __future__ import annotations

import re

DEFAULT = "ec2-user"
"""The user of Amazon Linux, and of most images that are made for EC2."""

_BY_NAME = (
    (r"^windows", "Administrator"),
    (r"^(al20|amzn)", "ec2-user"),
    (r"ubuntu", "ubuntu"),
    (r"^debian|debian-1", "admin"),
    (r"rocky", "rocky"),
    (r"^fedora", "fedora"),
    (r"^centos (linux )?[67]|centos-7", "centos"),
    (r"flatcar|coreos", "core"),
    (r"bitnami", "bitnami"),
    (r"^arch", "arch"),
    (r"kali", "kali"),
    (r"^(rhel|almalinux|suse|ol[89]|freebsd|centos)", "ec2-user"),
)

_BY_OWNER = {
    "137112412989": "ec2-user",  # Amazon
    "099720109477": "ubuntu",  # Canonical
    "136693071363": "admin",  # Debian
    "792107900819": "rocky",  # Rocky Linux
    "125523088429": "fedora",  # Fedora
    "309956199498": "ec2-user",  # Red Hat
    "764336703387": "ec2-user",  # AlmaLinux
    "013907871322": "ec2-user",  # SUSE
    "782442783595": "ec2-user",  # FreeBSD
}
"""Publishers' accounts. Marketplace images have other owners, so the name is asked first."""

_BY_PLATFORM = ((r"windows", "Administrator"), (r"ubuntu", "ubuntu"), (r"red hat|suse|amazon linux", "ec2-user"))


def user_of(name: str, owner: str = "", platform: str = "") -> str | None:
    """Return the OS user of an AMI's instances, or None where nothing tells.

    Args:
        name: The AMI's name.
        owner: The owner's account ID.
        platform: EC2's PlatformDetails, such as `Red Hat Enterprise Linux`.
    """
    for pattern, user in _BY_NAME:
        if re.search(pattern, name.lower()):
            return user
    for pattern, user in _BY_PLATFORM:
        if re.search(pattern, platform.lower()):
            return user
    return _BY_OWNER.get(owner)
