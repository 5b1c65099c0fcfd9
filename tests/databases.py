"""The run's PostgreSQL and Redis, as a test has them to itself."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from chatd.core.context import Queries
from chatd.core.settings import Postgres, Redis
from chatd.db.pool import Db
from chatd.embedded import Embedded
from tests.waiting import PATIENCE_S


def patient(url: str, pool_size: int) -> Postgres:
    """A pool for which a machine that is busy is no outage."""
    return Postgres(url=url, pool_size=pool_size, command_timeout_s=PATIENCE_S, connect_timeout_s=PATIENCE_S)


def redis_of(services: Embedded) -> Redis:
    """The run's Redis under a prefix that nobody else has."""
    return Redis(
        url=services.redis.url, prefix=f"t{os.urandom(6).hex()}", heartbeat_s=0.2, timeout_s=PATIENCE_S
    )


@asynccontextmanager
async def opened(url: str, pool_size: int) -> AsyncIterator[Db]:
    """A patient pool, for as long as the block."""
    db = Db(patient(url, pool_size))
    await db.open()
    yield db
    await db.close()


async def ask(url: str, *statements: str) -> object:
    """Run these on a connection of their own; the value that the last of them gives."""
    connection = await asyncpg.connect(url, timeout=PATIENCE_S)
    try:
        for statement in statements[:-1]:
            await connection.execute(statement)
        return await connection.fetchval(statements[-1])
    finally:
        await connection.close()


@asynccontextmanager
async def database_of(services: Embedded, template: str = "chatd") -> AsyncIterator[str]:
    """The url of a copy of this template, which is there for as long as the block.

    ``chatd`` has the schema; ``template1`` is empty.
    """
    name = f"t{os.urandom(6).hex()}"
    admin = await asyncpg.connect(services.postgres.url.replace("/chatd?", "/postgres?"), timeout=PATIENCE_S)
    try:
        # FILE_COPY: half of what the other strategy costs, where nothing is synced to a disk.
        await admin.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
        try:
            yield services.postgres.url.replace("/chatd?", f"/{name}?")
        finally:
            await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await admin.close(timeout=PATIENCE_S)


async def until_somebody_waits(q: Queries) -> None:
    """Wait until a transaction in this database waits for another's lock. Raises TimeoutError."""
    waiting = """
        SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND cardinality(pg_blocking_pids(pid)) > 0
    """
    async with asyncio.timeout(PATIENCE_S):
        while not await q.one(int, waiting):
            await asyncio.sleep(0.01)
