"""The control plane: moto, and the parts of EICE that moto lacks.

moto asks for regions in four sessions of botocore, each of which reads 5 MB. Here they share one loader before the rest
of moto is imported, which takes a quarter of a second from the start of a local AWS.
"""

from __future__ import annotations

import functools

import botocore.session

_create = botocore.session.create_loader
botocore.session.create_loader = functools.cache(_create)
try:
    import moto.ec2.models.availability_zones_and_regions  # noqa: F401
    from moto.core.base_backend import AccountSpecificBackend

    AccountSpecificBackend.get_session()  # moto keeps it, and asks it for the regions of each service
finally:
    botocore.session.create_loader = _create
