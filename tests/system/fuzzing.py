"""A world outside pytest's event loop, for property tests that run their own."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from chatd.core.settings import Limits, Postgres, Redis, Secrets, Settings
from chatd.embedded import Embedded
from tests.system.world import World, world


@asynccontextmanager
async def own_world(services: Embedded, limits: Limits, nodes: int = 1) -> AsyncIterator[World]:
    """Nodes on a database of their own."""
    name = f"t{os.urandom(6).hex()}"
    admin = await asyncpg.connect(services.postgres.url.replace("/chatd?", "/postgres?"))
    await admin.execute(f"CREATE DATABASE {name} TEMPLATE chatd")
    settings = Settings(
        postgres=Postgres(url=services.postgres.url.replace("/chatd?", f"/{name}?"), pool_size=4),
        redis=Redis(url=services.redis.url, prefix=name, heartbeat_s=0.2),
        limits=limits,
        secrets=Secrets(jwt_key="a-key-of-tests-longer-than-thirty-two-bytes"),
    )
    try:
        async with world(settings, nodes) as made:
            yield made
    finally:
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await admin.close()
