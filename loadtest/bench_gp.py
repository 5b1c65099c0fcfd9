"""GPs found among more and more of them: the list and explore, as the REST calls run them behind their edge.

GPs and askers stand around real cities, a few of which have most of the people (Zipf), so that there are
crowds and deserts. Each call is the whole of it: the position, the search by steps, the GPs with their
members, what was said, and the names. Latencies are of one caller after the other.
"""

import random
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from statistics import quantiles
from typing import Any

from chatd.core.clock import SystemClock
from chatd.core.context import Actor, Ctx
from chatd.core.ids import UserId, UuidIds
from chatd.core.settings import Gp, Postgres, Settings
from chatd.db import migrations
from chatd.db.pool import Db
from chatd.embedded import Embedded
from chatd.features.gp import geo, service
from chatd.features.gp.contract import ExploreGps, ListGps
from chatd.features.gp.vocabulary import SUB_TYPES
from loadtest.benches.measure import rounded
from loadtest.benches.options import Options
from loadtest.cities import somewhere

USERS = 2000
#: Places that GPs stand at; a place is a cell, and a city has some hundreds.
PLACES = 40_000
COLUMNS = (
    *("id", "chat_id", "category", "sub_type", "topics", "cell", "cell_5", "cell_3", "lat", "lng"),
    *("member_count", "message_count", "last_activity_at", "looked_at", "created_at"),
    *("lifetime_ends_at", "expires_at"),
)
TOPICS = ("Life stuff", "Meme talk", "Fan theories", "Trip planning", "Roast sessions", "Day experiences")

_PEOPLE = """
    INSERT INTO users (id, email, display_name)
    SELECT gen_random_uuid(), n || '@example.org', 'Somebody' FROM generate_series(1, $1::integer) n
"""
_POSITIONS = """
    INSERT INTO gp_positions (user_id, cell, moved_at)
    SELECT gen_random_uuid(), $2::bigint, now() FROM generate_series(1, $1::integer)
"""
_CHATS = """
    INSERT INTO chat_chats (id, type, context_id, message_count)
    SELECT chat_id, 'gp', id, message_count FROM gps WHERE created_at >= $1
"""
_MEMBERS = """
    WITH people AS (SELECT array_agg(id) AS ids FROM users)
    INSERT INTO gp_members (gp_id, user_id, joined_at)
    SELECT g.id, people.ids[1 + (hashtext(g.id::text) & 1023) + n], g.created_at
    FROM gps g, people, generate_series(1, g.member_count) n WHERE g.created_at >= $1
"""


class Counting(Db):
    """Counts its statements."""

    count = 0

    async def _call(self, method: str, sql: str, args: tuple[Any, ...]) -> Any:
        self.count += 1
        return await super()._call(method, sql, args)


class NoRates:
    """Nobody is limited."""

    async def require(self, *_: Any, **__: Any) -> None:
        return None


async def run(options: Options) -> dict[str, Any]:
    """Milliseconds and statements a call at 10 k, 100 k and a million GPs."""
    with tempfile.TemporaryDirectory(prefix="chatd-gp-", ignore_cleanup_errors=True) as directory:
        memory = {
            "shared_buffers": "256MB",
            "fsync": "off",
            "max_wal_size": "4GB",
            "synchronous_commit": "off",
        }
        with Embedded(Path(directory), redis=False, postgres_settings=memory) as embedded:
            await migrations.apply(embedded.postgres.url)
            settings = Settings(
                postgres=Postgres(url=embedded.postgres.url, command_timeout_s=600), gp=Gp(moves_per_hour=0)
            )
            db = Counting(settings.postgres)
            await db.open()
            try:
                return await _measure(db, settings, options)
            finally:
                await db.close()


async def _measure(db: Counting, settings: Settings, options: Options) -> dict[str, Any]:
    rng = random.Random(1)
    places = [geo.snap(*somewhere(rng)) for _ in range(options.pick(PLACES, 500))]
    await db.run(_PEOPLE, USERS)
    async with _behind(db) as connection:
        await connection.execute(_POSITIONS, options.pick(1_000_000, 1000), places[0].cell, timeout=600)
    users = await db.rows(UserId, "SELECT id FROM users")
    contexts = [
        Ctx(
            actor=Actor(user),
            db=db,
            groups=None,  # type: ignore[arg-type]
            broker=None,  # type: ignore[arg-type]
            presence=None,  # type: ignore[arg-type]
            limiter=NoRates(),  # type: ignore[arg-type]
            clock=SystemClock(),
            ids=UuidIds(),
            settings=settings,
        )
        for user in users
    ]
    calls: dict[str, Callable[[Ctx], Awaitable[Any]]] = {
        "list": lambda ctx: service.list_near(ctx, _where(rng, ListGps)),
        "explore": lambda ctx: service.explore(ctx, _where(rng, ExploreGps)),
        "explore_filtered": lambda ctx: service.explore(ctx, _where(rng, ExploreGps, **_filters(rng))),
        "explore_page_20": lambda ctx: service.explore(ctx, _where(rng, ExploreGps, page=20)),
    }
    found: dict[str, Any] = {}
    there = 0
    for gps in options.pick((10_000, 100_000, 1_000_000), (200, 400)):
        await _fill(db, rng, places, gps - there)
        there = gps
        for name, call in calls.items():
            found.setdefault(name, {})[f"{gps}"] = await _timed(db, rng, contexts, call, options.pick(200, 5))
    result = rounded({"places": len(set(places)), **found})
    _print(result)
    return result


async def _timed(
    db: Counting, rng: random.Random, contexts: list[Ctx], call: Callable[[Ctx], Awaitable[Any]], times: int
) -> dict[str, float]:
    for _ in range(max(1, times // 10)):  # plans are made, caches are warm
        await call(rng.choice(contexts))
    before, taken = db.count, []
    for _ in range(times):
        ctx, began = rng.choice(contexts), time.perf_counter()
        await call(ctx)
        taken.append((time.perf_counter() - began) * 1000)
    cuts = quantiles(taken, n=100)
    return {"p50_ms": cuts[49], "p99_ms": cuts[98], "queries": (db.count - before) / times}


def _where(rng: random.Random, kind: Any, **fields: Any) -> Any:
    latitude, longitude = somewhere(rng)
    return kind(latitude=latitude, longitude=longitude, **fields)


def _filters(rng: random.Random) -> dict[str, Any]:
    category = rng.choice(tuple(SUB_TYPES))
    return {
        "category": category,
        "sub_type": rng.choice(SUB_TYPES[category]),
        "topic": rng.choice(TOPICS),
        "min_time_remaining": rng.choice((0, 1, 2)),
        "max_distance": rng.choice((10, 50, 100, 500)),
    }


async def _fill(db: Counting, rng: random.Random, places: list[geo.Place], count: int) -> None:
    """So many more GPs, living for the next hours, with their chats and members."""
    now = SystemClock().now()
    ids = UuidIds()

    def row() -> tuple[Any, ...]:
        place, category = rng.choice(places), rng.choice(tuple(SUB_TYPES))
        ends = now + timedelta(minutes=rng.uniform(30, 240))
        quiet = now - timedelta(minutes=rng.expovariate(1 / 30))
        return (
            *(ids.new("gp"), ids.new("cht"), category, rng.choice(SUB_TYPES[category])),
            *(rng.sample(TOPICS, rng.randint(1, 3)), *place, rng.choice((1, 1, 2, 2, 3, 4, 5))),
            *(int(rng.expovariate(1 / 20)), quiet, now, now, ends, ends),
        )

    async with _behind(db) as connection:
        for at in range(0, count, 20_000):
            rows = [row() for _ in range(min(20_000, count - at))]
            await connection.copy_records_to_table("gps", records=rows, columns=COLUMNS, timeout=600)
        await connection.execute(_CHATS, now, timeout=600)
        await connection.execute(_MEMBERS, now, timeout=600)
        await connection.execute("VACUUM ANALYZE", timeout=600)


@asynccontextmanager
async def _behind(db: Db) -> AsyncIterator[Any]:
    """A connection that checks no foreign keys: those of a million rows are not what is measured."""
    async with db.connection() as connection:
        await connection.execute("SET session_replication_role = replica")
        try:
            yield connection
        finally:
            await connection.execute("SET session_replication_role = DEFAULT")


def _print(result: dict[str, Any]) -> None:
    print(f"  {'call':<18}{'GPs':>10}{'p50 ms':>10}{'p99 ms':>10}{'queries':>10}")
    for name, by_size in result.items():
        if isinstance(by_size, dict):
            for size, cell in by_size.items():
                figures = "".join(f"{cell[key]:>10.2f}" for key in ("p50_ms", "p99_ms", "queries"))
                print(f"  {name:<18}{int(size):>10,}{figures}")
