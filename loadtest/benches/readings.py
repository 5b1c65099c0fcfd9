"""Readings over more and more stored messages: history, the list of chats, and the unread counts of opening
sockets. The sizes are databases of their own on one PostgreSQL and are read in turns, so that what the
machine does meanwhile falls on all alike; no chatd runs, so nothing but the readings asks them anything.
"""

import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median
from typing import Any

import asyncpg
import msgspec

from chatd.core.clock import SystemClock
from chatd.core.context import Actor, Ctx
from chatd.core.ids import UuidIds
from chatd.core.settings import Postgres, Secrets, Settings
from chatd.db import migrations
from chatd.embedded import Embedded
from chatd.features.chats import service as chats
from chatd.features.chats.contract import HeadsAsk, ListChats
from chatd.features.messages import reading
from chatd.features.messages.contract import HistoryQuery
from chatd.seed import Seeded, seed
from loadtest.benches.durable import as_uuid
from loadtest.benches.options import Options
from loadtest.benches.plans import Watched

#: As many seats as make an index worth while, as in any server that is used.
USERS, CHATS, EACH = 1000, 200, 50
#: Of each chat so many are unread: a count costs what it counts, so this must not grow with the rest.
UNREAD = 20


async def measure(options: Options, sizes: Sequence[int]) -> tuple[dict[str, list[float]], list[str]]:
    """The p50 in ms of each reading at each size, and the tables that a plan reads from end to end."""
    with (
        tempfile.TemporaryDirectory(prefix="chatd-growth-", ignore_cleanup_errors=True) as directory,
        Embedded(Path(directory), redis=False) as embedded,
    ):
        await migrations.apply(embedded.postgres.url)
        async with AsyncExitStack() as stack:
            stores = [await _store(stack, embedded.postgres.url, size) for size in sizes]
            return await _in_turns(options, stores)


async def _in_turns(
    options: Options, stores: Sequence[tuple[Watched, Seeded]]
) -> tuple[dict[str, list[float]], list[str]]:
    found: dict[str, list[list[float]]] = defaultdict(lambda: [[] for _ in stores])
    for round_ in range(options.pick(6, 2)):
        for i, (db, seeded) in enumerate(stores):
            took = await _read(options, db, seeded)
            for name, value in took.items():
                if round_:  # after the first, caches are warm
                    found[f"{name}_p50_ms"][i].append(value)
    series = {name: [median(values) for values in of] for name, of in found.items()}
    return series, sorted({scan for db, _ in stores for scan in db.seq_scans})


async def _store(stack: AsyncExitStack, url: str, size: int) -> tuple[Watched, Seeded]:
    """A database with so many messages; every statement that goes through its pool is explained, once."""
    name = f"growth_{size}"
    admin = await asyncpg.connect(url.replace("/chatd?", "/postgres?"), timeout=10)
    try:
        await admin.execute(f"CREATE DATABASE {name} TEMPLATE chatd")
    finally:
        await admin.close()
    postgres = Postgres(url=url.replace("/chatd?", f"/{name}?"), pool_size=2, command_timeout_s=30.0)
    settings = Settings(postgres=postgres, secrets=Secrets(jwt_key="x" * 32))
    seeded = await seed(settings, users=USERS, chats=CHATS, members=EACH)
    await _fill(postgres.url, seeded, size // CHATS)
    db = Watched(postgres)
    await db.open()
    stack.push_async_callback(db.close)
    return db, seeded


_FILL = """
    WITH fresh AS (
        INSERT INTO chat_messages (chat_id, seq, updated_seq, id, sender_id, client_message_id, content,
                                   sent_at)
        SELECT c.id, n, n, gen_random_uuid(), c.created_by, 'fill-' || n,
               jsonb_build_object('type', 'text', 'text', repeat('x', 120), 'attachments', '[]'::jsonb),
               now() - make_interval(secs => 1e7 - n)
        FROM chat_chats c, generate_series(c.head_seq + 1, $1::bigint) AS n
        WHERE c.id = ANY ($2::uuid[])
        RETURNING 1
    )
    SELECT count(*) FROM fresh
"""
_HEADS = """
    UPDATE chat_chats SET head_seq = $1, message_count = $1, last_event_at = now() WHERE id = ANY ($2::uuid[])
"""
_MARKS = """
    UPDATE chat_participants SET last_read_seq = $1, last_received_seq = $1, last_read_at = now()
    WHERE chat_id = ANY ($2::uuid[])
"""


async def _fill(url: str, seeded: Seeded, each: int) -> None:
    database, ids = await asyncpg.connect(url, timeout=10), [as_uuid(chat.id) for chat in seeded.chats]
    try:
        await database.fetchval(_FILL, each, ids, timeout=300)
        await database.execute(_HEADS, each, ids)
        await database.execute(_MARKS, max(0, each - UNREAD), ids)
        for table in ("chat_messages", "chat_chats", "chat_participants"):
            await database.execute(f"VACUUM ANALYZE {table}", timeout=300)
    finally:
        await database.close()


async def _read(options: Options, db: Watched, seeded: Seeded) -> dict[str, float]:
    def ctx(user_id: str) -> Ctx:
        nothing: Any = None
        return Ctx(
            actor=Actor(user_id),
            db=db,
            groups=nothing,
            broker=nothing,
            presence=nothing,
            limiter=nothing,
            clock=SystemClock(),
            ids=UuidIds(),
            settings=Settings(),
        )

    chat_of = {user: chat.id for chat in seeded.chats for user in chat.member_ids}
    users = list(chat_of)
    heads: Any = chats.HEADS

    async def history(i: int) -> None:
        user = users[i % len(users)]
        await reading.history(ctx(user), chat_of[user], msgspec.convert({"limit": 50}, HistoryQuery))

    async def chat_list(i: int) -> None:
        page = await chats.page(ctx(users[i % len(users)]), msgspec.convert({"limit": 50}, ListChats))
        assert page.items

    async def unread(i: int) -> None:
        asks = [HeadsAsk(users[(i + k) % len(users)], None) for k in range(20)]
        for states in await heads.run(ctx(users[0]), asks):
            assert states
            assert states[0].unread_count <= UNREAD

    times = options.pick(200, 5)
    steps = (("history", history), ("chat_list", chat_list), ("unread_of_20_sockets", unread))
    return {name: await _p50_ms(step, times) for name, step in steps}


async def _p50_ms(step: Callable[[int], Any], times: int) -> float:
    took = []
    for i in range(times + 10):
        began = time.perf_counter()
        await step(i)
        took.append(1000 * (time.perf_counter() - began))
    return sorted(took[10:])[times // 2]
