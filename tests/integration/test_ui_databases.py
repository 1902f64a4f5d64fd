"""The console's databases: what is shown of them, and a local port for one, with a real server behind it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import boto3
import pytest

from eicctl.aws import caches
from eicctl.aws.session import Session
from eicctl.emulator.server import Emulator
from tests.integration.console import Driver, in_console
from tests.integration.test_ui_tunnels import local_address, no_connection_open
from tests.postgres import PASSWORD, Postgres, postgres

SIZES = [(80, 24), (120, 30), (200, 60)]


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """A real PostgreSQL."""
    with postgres() as running:
        running.execute("CREATE TABLE greeting AS SELECT 'hello' AS word")
        yield running


@pytest.fixture
def demo_db(emulator: Emulator, endpoint: dict[str, Any], server: Postgres) -> None:
    """The database demo-db with a server behind it, and an endpoint in its VPC."""
    machine = next(one for one in emulator.state.machines() if one.name == "demo-db")
    emulator.state.put_machine(replace(machine, forwards=((5432, f"127.0.0.1:{server.port}"),)))


@pytest.fixture
def cluster(emulator: Emulator) -> str:
    """An Aurora cluster; nothing answers for it."""
    boto3.client("rds").create_db_cluster(
        DBClusterIdentifier="shop", Engine="aurora-mysql", MasterUsername="admin", MasterUserPassword="a" * 12
    )
    return "shop"


async def query(driver: Driver, command: str) -> str:
    """What a client says that is started with the line that was copied, while the console goes on."""

    def run() -> str:
        words = ["/bin/sh", "-c", f'{command} -XAtqc "SELECT word FROM greeting"']
        env = os.environ | {"PGPASSWORD": PASSWORD}
        done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=60, check=False)
        return done.stdout.strip() or done.stderr

    return await driver.app.quietly(run)


@pytest.mark.needs("psql", "initdb", "postgres")
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.usefixtures("demo_db")
def test_a_database_answers_at_its_local_port(size: tuple[int, int]) -> None:
    async def act(driver: Driver) -> None:
        line = await driver.shows("demo-db")
        assert "postgres" in await driver.shows("available"), line
        await driver.press("enter")
        await driver.shows("demo-db is open")
        assert "as the jump host" in driver.screen
        assert "psql" in driver.screen
        assert "postgresql://demo@127.0.0.1:" in driver.screen
        await driver.press("c")
        assert driver.app.clipboard.startswith("psql ")
        assert await query(driver, driver.app.clipboard) == "hello"
        await driver.press("3")
        await driver.shows("this console")
        assert local_address(driver, "demo-db").startswith("127.0.0.1:")
        await driver.until(lambda: no_connection_open(driver, "demo-db"))
        await driver.press("x")
        await driver.shows("No tunnels")

    in_console(act, first="databases", size=size)


def test_a_database_that_cannot_be_reached(emulator: Emulator) -> None:
    async def act(driver: Driver) -> None:
        await driver.shows("available")
        await driver.press("enter")
        await driver.shows("has no available EC2 Instance Connect Endpoint")
        await driver.shows("hint: eicctl create-endpoint --vpc-id vpc-")
        await driver.press("3")
        await driver.shows("No tunnels")

    in_console(act, first="databases")


def test_a_cluster_and_an_instance_without_a_reader(cluster: str) -> None:
    async def act(driver: Driver) -> None:
        assert "aurora-mysql" in await driver.shows(f"{cluster} ")
        await driver.press("home", "r")
        await driver.shows("error: demo-db has no reader endpoint: it is an instance")
        await driver.press("c")
        await driver.shows("Copied: eicctl db --region us-east-1 demo-db")

    in_console(act, first="databases")


@pytest.mark.parametrize("size", SIZES)
def test_names_are_shown_at_once_and_harmlessly(emulator: Emulator, size: tuple[int, int]) -> None:
    emulator.state.behave(latency=0.5)
    caches.note_names(Session(), caches.DATABASES, {"[red]x\x1b[31m\u202ey": ""}, region="us-east-1")

    async def act(driver: Driver) -> None:
        await driver.shows("[red]x\\x1b[31m\\u202ey")
        await driver.press("enter")  # nothing is known of it but its name
        await driver.shows("demo-db")
        await driver.until(lambda: "[red]" not in driver.screen)
        assert all(len(line) <= size[0] for line in driver.screen.splitlines())

    in_console(act, first="databases", size=size)


def test_a_caller_without_permission(emulator: Emulator) -> None:
    emulator.state.behave(denied="DescribeDBInstances")

    async def act(driver: Driver) -> None:
        await driver.shows("error: ")
        await driver.shows("DescribeDBInstances")
        await driver.shows("No RDS databases")

    in_console(act, first="databases")
