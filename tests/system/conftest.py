"""One node, or two that meet through Redis."""

import os
from collections.abc import AsyncIterator

import pytest

from chatd.core.settings import Admission, Limits, Postgres, Redis, Secrets, Settings
from chatd.embedded import Embedded
from tests.system.world import World, world

UNLIMITED = Limits(
    sends_per_10s=0,
    commands_per_10s=0,
    rest_per_minute=0,
    writes_per_minute=0,
    logins_per_minute=0,
    registrations_per_minute=0,
)


@pytest.fixture
def settings(services: Embedded, database: str) -> Settings:
    """A database and a Redis prefix of the test's own; no rates."""
    return Settings(
        postgres=Postgres(url=database, pool_size=6),
        redis=Redis(url=services.redis.url, prefix=f"t{os.urandom(6).hex()}", heartbeat_s=0.2),
        limits=UNLIMITED,
        # Nodes, phones and services' starts share one event loop here: its lag says nothing about a node.
        admission=Admission(max_lag_ms=0),
        secrets=Secrets(jwt_key="a-key-of-tests-longer-than-thirty-two-bytes"),
    )


@pytest.fixture
async def one(settings: Settings) -> AsyncIterator[World]:
    """A world of one node."""
    async with world(settings, 1) as made:
        yield made


@pytest.fixture
async def two(settings: Settings) -> AsyncIterator[World]:
    """A world of two nodes."""
    async with world(settings, 2) as made:
        yield made
