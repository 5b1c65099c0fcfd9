"""A world outside pytest's event loop, for property tests that run their own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from chatd.core.settings import Admission, Limits, Secrets, Settings
from chatd.embedded import Embedded
from tests.databases import database_of, patient, redis_of
from tests.system.world import World, world


@asynccontextmanager
async def own_world(services: Embedded, limits: Limits, nodes: int = 1) -> AsyncIterator[World]:
    """Nodes on a database of their own."""
    async with database_of(services) as url:
        settings = Settings(
            postgres=patient(url, 4),
            redis=redis_of(services),
            limits=limits,
            # On a busy machine a loop is late, which is not what is asked here.
            admission=Admission(max_lag_ms=0),
            secrets=Secrets(jwt_key="a-key-of-tests-longer-than-thirty-two-bytes"),
        )
        async with world(settings, nodes) as made:
            yield made
