"""Databases by identifier, ARN and host name, on the emulator; made by boto3 where the world has none of the kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import boto3
import pytest

from eicctl.aws.databases import check_usable, direct_target, find_database, reader_of
from eicctl.aws.session import Session
from eicctl.core import errors
from eicctl.emulator.server import Emulator

DEMO_HOST = "demo-db.aaaaaaaaaa.us-east-1.rds.amazonaws.com"


@pytest.fixture
def rds(emulator: Emulator) -> Any:
    return boto3.client("rds")


@pytest.fixture
def cluster(rds: Any) -> dict[str, Any]:
    """An Aurora cluster."""
    made: dict[str, Any] = rds.create_db_cluster(
        DBClusterIdentifier="shop", Engine="aurora-mysql", MasterUsername="admin", MasterUserPassword="a" * 12
    )["DBCluster"]
    return made


@pytest.mark.parametrize(
    "words",
    ["demo-db", "DEMO-DB", "rds:demo-db", "arn:aws:rds:us-east-1:123456789012:db:demo-db", DEMO_HOST, f"{DEMO_HOST}."],
)
def test_an_instance(emulator: Emulator, words: str) -> None:
    found = find_database(Session(), words)
    assert found
    assert (found.id, found.cluster, found.engine, found.host, found.port) == (
        "demo-db", False, "postgres", DEMO_HOST, 5432,
    )  # fmt: skip
    assert (found.availability_zone, found.master_user, found.iam_auth) == ("us-east-1b", "demo", False)
    assert len(found.security_group_ids) == 1
    check_usable(found)


def test_a_cluster_and_its_endpoints(cluster: dict[str, Any]) -> None:
    session = Session()
    found = find_database(session, "shop")
    assert found
    assert (found.cluster, found.host, found.port) == (True, cluster["Endpoint"], 3306)
    assert reader_of(found) == cluster["ReaderEndpoint"]
    by_reader = find_database(session, cluster["ReaderEndpoint"])
    assert by_reader
    assert (by_reader.id, by_reader.host) == ("shop", cluster["ReaderEndpoint"])


def test_what_is_not_there(emulator: Emulator) -> None:
    with pytest.raises(errors.NotFoundError) as caught:
        find_database(Session(), "nothing")
    assert caught.value.message == 'No database named "nothing" in us-east-1 (known: demo-db)'
    assert find_database(Session(), "db.example.com") is None


def test_an_instance_and_a_cluster_of_one_name(rds: Any) -> None:
    rds.create_db_cluster(
        DBClusterIdentifier="demo-db", Engine="aurora-mysql", MasterUsername="admin", MasterUserPassword="a" * 12
    )
    with pytest.raises(errors.AmbiguousError) as caught:
        find_database(Session(), "demo-db")
    assert DEMO_HOST in str(caught.value.hint)


def test_an_instance_has_no_reader(emulator: Emulator) -> None:
    found = find_database(Session(), "demo-db")
    assert found
    with pytest.raises(errors.UsageError, match="an instance"):
        reader_of(found)


def test_a_stopped_database(rds: Any) -> None:
    rds.stop_db_instance(DBInstanceIdentifier="demo-db")
    found = find_database(Session(), "demo-db")
    assert found
    with pytest.raises(errors.UnavailableError, match="demo-db is stopped") as caught:
        check_usable(found)
    assert caught.value.hint == "aws rds start-db-instance --db-instance-identifier demo-db"


@pytest.mark.parametrize("resolves", [True, False])
def test_the_direct_way(endpoint: dict[str, Any], resolves: bool) -> None:
    """Where the name does not resolve, the only network interface of RDS with the database's groups has the address."""
    session = Session()
    found = find_database(session, "demo-db")
    assert found
    notes: list[str] = []
    resolver: Callable[[str], list[str]] = lambda name: ["10.0.2.50"] if resolves else []  # noqa: E731
    target = direct_target(session, found, found.host, resolver=resolver, note=notes.append)
    assert (target.address, target.remote_port) == ("10.0.2.50", 5432)
    assert target.endpoint_id == endpoint["InstanceConnectEndpointId"]
    assert bool(notes) is not resolves
