"""How botocore's clients are created: their service data, proxies, time-outs, and a log record for each request.

botocore's own log has requests too, with signatures, session tokens and whole responses (`support/logging_setup.py`).
botocore knows neither SOCKS nor `ALL_PROXY`, so its connections go through the proxies that tunnels use.
"""

from __future__ import annotations

import logging
import random
import socket
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import botocore.session
from botocore.config import Config

from eicctl import __version__
from eicctl.aws.errors import ASKED, is_throttling, translated
from eicctl.aws.service_models import use_service_data
from eicctl.support.activity import Activity
from eicctl.support.proxies import Proxy, connect_through, parse_proxy, proxy_url, unusable

if TYPE_CHECKING:
    from botocore.client import BaseClient

CONNECT_TIMEOUT = 10
READ_TIMEOUT = 30
ATTEMPTS = 4

ADAPTIVE = ("ec2", "ec2-instance-connect")
"""Services that are called at the rate that AWS lets through, which botocore finds out from the throttled requests."""

PATIENCE = 300.0
"""Seconds after its first throttled attempt for which a call of these services is tried again."""

_PAUSES = (1.0, 5.0)
"""Least and most seconds between attempts that botocore itself would not make any more."""

_STARTED = "eicctl_started"
_ACTIVITY = "eicctl_activity"
_THROTTLED = "eicctl_throttled"

_log = logging.getLogger(__name__)


def new_core(profile: str | None) -> botocore.session.Session:
    """Return a session of botocore whose clients, those for roles and SSO too, use our service data and proxies."""
    core = botocore.session.Session(profile=profile)
    use_service_data(core)
    create = core.create_client

    def create_client(*words: Any, **more: Any) -> BaseClient:
        client: BaseClient = create(*words, **more)
        _use_proxy(client)
        return client

    core.create_client = create_client  # type: ignore[method-assign]
    return core


def new_client(
    core: botocore.session.Session,
    service: str,
    region: str,
    *,
    profile: str | None,
    fips: bool,
    ca_bundle: str | None,
    more: Config | None = None,
    **keys: str,
) -> Any:
    """Return a new client of boto3.

    Args:
        core: The session of botocore.
        service: The service.
        region: The region.
        profile: The profile that an option names, for errors.
        fips: Whether to use FIPS endpoints; False leaves it to botocore.
        ca_bundle: CA certificates to trust (PEM), or None for the system's.
        more: More of the client's settings.
        keys: Credentials, in boto3's words; the session's if there are none.
    """
    import boto3

    config = Config(
        user_agent_extra=f"eicctl/{__version__}",
        connect_timeout=CONNECT_TIMEOUT,
        read_timeout=READ_TIMEOUT,
        retries={"total_max_attempts": ATTEMPTS, "mode": "adaptive" if service in ADAPTIVE else "standard"},
        max_pool_connections=20,
        use_fips_endpoint=fips or None,
    ).merge(more or Config())
    with translated(f"use the service {service}"):
        # Each session of boto3 adds its methods to S3's class, and a class takes them once.
        if not (session := getattr(core, "eicctl_boto3", None)):
            session = core.eicctl_boto3 = boto3.Session(botocore_session=core)  # type: ignore[attr-defined]
        client: Any = session.client(
            service,  # type: ignore[call-overload]
            region_name=region,
            config=config,
            verify=ca_bundle,
            **keys,
        )
    _watch(client, region, profile)
    return client


def _watch(client: BaseClient, region: str, profile: str | None) -> None:
    """Log the requests of a client of botocore, report them as activities, and note in their answers where they were
    asked.

    Args:
        client: The client.
        region: Its region.
        profile: The profile that an option names, or None.
    """

    def locate(parsed: Any, **_rest: Any) -> None:
        parsed.setdefault("ResponseMetadata", {})[ASKED] = (region, profile)

    def begin(model: Any, context: dict[str, Any], **_rest: Any) -> None:
        context[_ACTIVITY] = Activity(model.name, region).__enter__()

    service = client.meta.service_model.service_id.hyphenize()
    client.meta.events.register_first(f"request-created.{service}", _created)
    client.meta.events.register_last(f"response-received.{service}", _answered)
    client.meta.events.register_first(f"after-call.{service}", locate)
    client.meta.events.register_last(f"before-call.{service}", begin)
    client.meta.events.register_first(f"after-call.{service}", _end)
    client.meta.events.register_first(f"after-call-error.{service}", _end)
    if client.meta.service_model.service_name in ADAPTIVE:
        handler: Any = _after_throttling  # the stubs know no handler whose result counts
        client.meta.events.register_last(f"needs-retry.{service}", handler)


def _after_throttling(response: Any, request_dict: dict[str, Any], **_rest: Any) -> float | None:
    """Return the pause before the next attempt of a throttled call, which counts where botocore has given up: after
    four attempts, or if too many calls are being tried again."""
    if not response or not is_throttling(response[1].get("Error", {}).get("Code", "")):
        return None
    context, now = request_dict["context"], time.monotonic()
    if activity := context.get(_ACTIVITY):
        activity.throttled = True
    if now - context.setdefault(_THROTTLED, now) > PATIENCE:
        return None
    return random.uniform(*_PAUSES)  # noqa: S311 - jitter is not a secret


def _end(context: dict[str, Any], **_rest: Any) -> None:
    if activity := context.pop(_ACTIVITY, None):
        activity.__exit__(None, None, None)


def _created(request: Any, **_rest: Any) -> None:
    """An attempt begins; a request that is tried again is created anew."""
    request.context[_STARTED] = time.monotonic()


def _answered(
    event_name: str,
    context: Mapping[str, Any],
    parsed_response: Mapping[str, Any] | None = None,
    exception: Exception | None = None,
    **_rest: object,
) -> None:
    if not _log.isEnabledFor(logging.DEBUG):
        return
    _, service, operation = event_name.split(".", 2)
    took = 1000 * (time.monotonic() - context.get(_STARTED, time.monotonic()))
    where = context.get("client_region", "")
    if parsed_response is None:
        _log.debug("%s %s in %s: %s after %.0f ms", service, operation, where, exception or "no answer", took)
        return
    metadata = parsed_response.get("ResponseMetadata", {})
    code = parsed_response.get("Error", {}).get("Code", "")
    _log.debug(
        "%s %s in %s: HTTP %s%s after %.0f ms, request ID %s",
        service,
        operation,
        where,
        metadata.get("HTTPStatusCode", "?"),
        f" {code}" if code else "",
        took,
        metadata.get("RequestId", "none"),
    )


def _use_proxy(client: Any) -> None:
    url = urlsplit(client.meta.endpoint_url)
    proxy = proxy_url(url.hostname or "", url.port or (443 if url.scheme == "https" else 80), url.scheme)
    if not proxy or proxy.startswith("https:"):  # one that itself speaks TLS is botocore's
        return
    http = client._endpoint.http_session
    found = parse_proxy(proxy)
    if found.scheme == "http":
        http._proxy_config._proxies = {url.scheme: proxy}
        return
    pools = _pools(found)
    http._proxy_config._proxies = {}
    http._pool_classes_by_scheme = http._manager.pool_classes_by_scheme = pools


def _pools(proxy: Proxy) -> dict[str, type]:
    """Connections as botocore makes them, but for the socket."""
    from botocore import awsrequest

    def dial(connection: Any) -> socket.socket:
        timeout = connection.timeout
        try:
            sock = socket.create_connection((proxy.host, proxy.port), timeout)
        except OSError as error:
            raise unusable(proxy, error.strerror or str(error)) from error
        sock = connect_through(proxy, sock, connection.host, connection.port, timeout)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(timeout)
        return sock

    def pool(kind: type, connection: type) -> type:
        return type(kind.__name__, (kind,), {"ConnectionCls": type("Connection", (connection,), {"_new_conn": dial})})

    return {
        "http": pool(awsrequest.AWSHTTPConnectionPool, awsrequest.AWSHTTPConnection),
        "https": pool(awsrequest.AWSHTTPSConnectionPool, awsrequest.AWSHTTPSConnection),
    }
