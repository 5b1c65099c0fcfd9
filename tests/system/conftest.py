"""One node, or two that meet through Redis."""

from collections.abc import AsyncIterator, Iterator

import pytest

from chatd.core.settings import Admission, Limits, Secrets, Settings
from chatd.embedded import Embedded, Service
from chatd.realtime.limits import RedisLimiter
from tests.databases import patient, redis_of
from tests.system.world import World, world
from tests.waiting import PATIENCE_S

UNLIMITED = Limits(
    sends_per_10s=0,
    commands_per_10s=0,
    rest_per_minute=0,
    writes_per_minute=0,
    logins_per_minute=0,
    registrations_per_minute=0,
)


@pytest.fixture(autouse=True)
def _patience() -> Iterator[None]:
    """Rates are counted in Redis, however long a busy machine takes for it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RedisLimiter, "TIMEOUT_S", PATIENCE_S)
        yield


@pytest.fixture
def settings(services: Embedded, database: str) -> Settings:
    """A database and a Redis prefix of the test's own; no rates."""
    return Settings(
        postgres=patient(database, 6),
        redis=redis_of(services),
        limits=UNLIMITED,
        # Nodes, phones and services' starts share one event loop here, on a machine that may be busy: how it
        # lags, and how long a send waits for that, says nothing about a node.
        admission=Admission(max_lag_ms=0, max_wait_ms=0),
        secrets=Secrets(jwt_key="a-key-of-tests-longer-than-thirty-two-bytes"),
    )


@pytest.fixture
def own_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A Redis that the test may pause or break."""
    with Embedded(tmp_path_factory.mktemp("redis"), postgres=False) as embedded:
        yield embedded.redis


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
