"""Which OS user an instance has, by the name of its AMI."""

from __future__ import annotations

import re

DEFAULT = "ec2-user"
"""The user of Amazon Linux, and of most images that are made for EC2."""

_BY_NAME = (
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


def user_of(image_name: str) -> str | None:
    """Return the OS user of an AMI's instances, or None where the name says nothing."""
    name = image_name.lower()
    return next((user for pattern, user in _BY_NAME if re.search(pattern, name)), None)
