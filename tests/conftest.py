"""Real servers for every test: one embedded PostgreSQL and Redis a test process, a database a test."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import asyncpg
import pytest
import uvloop

from chatd.db import migrations
from chatd.db.pool import Db
from chatd.embedded import Embedded
from tests.databases import database_of, opened


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> dict[str, Any]:
    """The loop that chatd is served on: how a transport buffers and pauses is part of what is tested."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="session")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    """PostgreSQL, whose database ``chatd`` is the template with the schema, and Redis."""
    settings = {"fsync": "off", "shared_buffers": "64MB"}  # what most tests are about is not the disk
    with Embedded(tmp_path_factory.mktemp("services"), postgres_settings=settings) as embedded:
        asyncio.run(_template(embedded.postgres.url))
        yield embedded


async def _template(url: str) -> None:
    """The schema, as one that was made long ago: no test may pass because its suite has just begun."""
    await migrations.apply(url)
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("UPDATE push_cursor SET at = clock_timestamp() - interval '40 days'")
    finally:
        await connection.close()


@pytest.fixture
async def database(services: Embedded) -> AsyncIterator[str]:
    """The url of a fresh database with the schema."""
    async with database_of(services) as url:
        yield url


@pytest.fixture
async def db(database: str) -> AsyncIterator[Db]:
    """A pool of ten connections to it."""
    async with opened(database, 10) as db:
        yield db
