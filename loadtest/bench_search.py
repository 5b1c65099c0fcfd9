"""Search over more and more messages: words as people use them (Zipf), members of few chats and of many.

Each search is the whole of what GET /search/messages does behind its edge: find, read, highlight. The texts
are stored behind the server's back; the entries are made by the indexer itself, which is measured too.
"""

import asyncio
import math
import random
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import quantiles
from typing import Any

import msgspec

from chatd.core.clock import SystemClock
from chatd.core.context import Actor, Ctx
from chatd.core.ids import ChatId, UserId, UuidIds
from chatd.core.settings import Postgres, Settings
from chatd.db import migrations
from chatd.db.pool import Db
from chatd.embedded import Embedded
from chatd.features.search import indexing, service
from chatd.features.search.contract import SearchMessages
from loadtest.benches.measure import Broken, rounded
from loadtest.benches.options import Options

WORDS = 20_000
BIG, USERS = 10, 200

_PEOPLE = """
    INSERT INTO users (id, email, display_name)
    SELECT gen_random_uuid(), n || '@example.org', 'Somebody' FROM generate_series(1, $1::integer) n
"""
_CHATS = """
    INSERT INTO chat_chats (id, type, created_by)
    SELECT gen_random_uuid(), 'group', (SELECT id FROM users ORDER BY email LIMIT 1)
    FROM generate_series(1, $1::integer)
"""
#: Everybody is in 20 small chats; every tenth is in all the big ones and in 100 small ones.
_SEATS = """
    WITH c AS (SELECT id, row_number() OVER (ORDER BY id) - 1 AS n FROM chat_chats),
         u AS (SELECT id, row_number() OVER (ORDER BY email) - 1 AS n FROM users)
    INSERT INTO chat_participants (chat_id, user_id, role)
    SELECT c.id, u.id, 'member' FROM c, u
    WHERE CASE WHEN c.n < $1 THEN u.n % 10 = 0
               ELSE (c.n * 7919 + u.n * 104729) % $2::bigint < CASE WHEN u.n % 10 = 0 THEN 100 ELSE 20 END END
"""
#: Two messages of five go to the big chats; sent one after the other over a year.
_FILL = """
    INSERT INTO chat_messages (chat_id, seq, updated_seq, id, sender_id, client_message_id, content, sent_at)
    SELECT c.id, t.n, t.n,
           (left(uuid_at(t.at)::text, 13) || '-7' || substr(md5(t.n::text), 1, 3) || '-8'
            || substr(md5(t.n::text), 4, 3) || '-' || substr(md5(t.n::text), 7, 12))::uuid,
           u.id, 'fill-' || t.n,
           jsonb_build_object('type', 'text', 'text', w.text, 'attachments',
               CASE WHEN t.n % 50 = 0 THEN '[{"media_id": "med_01h455vb4pex5vsknk084sn02q"}]'::jsonb
                    ELSE '[]'::jsonb END),
           t.at
    FROM (SELECT n, now() - make_interval(secs => 31536000 * (1 - n::float8 / $4)) AS at,
                 CASE WHEN random() < 0.4 THEN floor(random() * $5)
                      ELSE $5 + floor(random() * ($6 - $5)) END AS c,
                 floor(random() * $7) AS u
          FROM generate_series($1::bigint, $2::bigint) n) t
    JOIN (SELECT id, row_number() OVER (ORDER BY id) - 1 AS n FROM chat_chats) c ON c.n = t.c
    JOIN (SELECT id, row_number() OVER (ORDER BY email) - 1 AS n FROM users) u ON u.n = t.u
    CROSS JOIN LATERAL (
        SELECT string_agg('w' || floor(exp(random() * ln($3::float8)))::integer, ' ') AS text
        FROM generate_series(1, 6 + (t.n % 13)::integer)
    ) w
"""
_COUNT = """
    UPDATE chat_chats c SET head_seq = m.head, message_count = m.count
    FROM (SELECT chat_id, max(seq) AS head, count(*) AS count FROM chat_messages GROUP BY chat_id) m
    WHERE m.chat_id = c.id
"""


async def run(options: Options) -> dict[str, Any]:
    """Times of searches in ms, by how many messages there are; at the largest also by what is asked for."""
    sizes: list[int] = options.pick([10_000, 100_000, 1_000_000], [300, 1000])
    found: dict[str, Any] = defaultdict(list)
    with (
        tempfile.TemporaryDirectory(prefix="chatd-search-", ignore_cleanup_errors=True) as directory,
        Embedded(Path(directory), redis=False) as embedded,
    ):
        await migrations.apply(embedded.postgres.url)
        db = Db(Postgres(url=embedded.postgres.url, pool_size=2, command_timeout_s=600.0))
        await db.open()
        try:
            await _measure(options, db, sizes, found)
        finally:
            await db.close()
    return rounded(dict(found))


async def _measure(options: Options, db: Db, sizes: Sequence[int], found: dict[str, Any]) -> None:
    chats = options.pick(1000, 40)
    await db.run(_PEOPLE, USERS)
    await db.run(_CHATS, chats)
    await db.run(_SEATS, BIG, chats)
    there = 0
    for size in sizes:
        await db.run(_FILL, there + 1, size, WORDS, sizes[-1], BIG, chats, USERS)
        await db.run(_COUNT)
        began = time.perf_counter()
        await _index(db, size)
        found["indexed_per_s"].append((size - there) / (time.perf_counter() - began))
        there = size
        for table in ("chat_messages", "message_search", "chat_chats", "chat_participants"):
            await db.run(f"VACUUM ANALYZE {table}")
        took = await _searches(options, db)
        every = [ms for times in took.values() for ms in times]
        found["messages"].append(size)
        for name, value in zip(("p50_ms", "p95_ms", "p99_ms"), _percentiles(every), strict=True):
            found[name].append(value)
        found["by_kind_p95_ms"] = {kind: _percentiles(times)[1] for kind, times in took.items()}
    found["largest_p95_ms"] = found["p95_ms"][-1]


def _percentiles(times: Sequence[float]) -> tuple[float, float, float]:
    cuts = quantiles(times, n=100, method="inclusive")
    return cuts[49], cuts[94], cuts[98]


async def _index(db: Db, size: int) -> None:
    while await db.one(int, "SELECT count(*) FROM message_search") < size:
        await indexing.follow(_ctx(db, ""))


def _ctx(db: Db, user_id: str) -> Ctx:
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


async def _searches(options: Options, db: Db) -> dict[str, list[float]]:
    """Times in ms of searches of each kind, by members of few chats and of many."""
    users = await db.rows(UserId, "SELECT id FROM users ORDER BY email")
    dice = random.Random(20)
    chats_of = {
        user: await db.rows(ChatId, "SELECT chat_id FROM chat_participants WHERE user_id = $1", user)
        for user in users
    }
    took: dict[str, list[float]] = defaultdict(list)
    found = 0
    kinds = ("common", "usual", "rare", "two", "phrase", "sender", "chat", "month", "attached", "absent")
    for i in range(options.pick(1000, 20)):
        # Half of them by those who are in everything: a member of few chats is soon answered.
        user = dice.choice(users[::10]) if i % 2 else dice.choice(users)
        kind = kinds[i // 2 % len(kinds)]
        query = _query(dice, kind, users, chats_of[user])
        began = time.perf_counter()
        hits = await service.search(_ctx(db, user), query)
        took[kind].append(1000 * (time.perf_counter() - began))
        found += len(hits.items)
        await asyncio.sleep(0)
    if not found:
        raise Broken("nothing was found")
    return took


def _word(dice: random.Random, least: int, most: int) -> str:
    return f"w{int(math.exp(dice.uniform(math.log(least), math.log(most))))}"


def _query(dice: random.Random, kind: str, users: Sequence[str], chats: Sequence[str]) -> SearchMessages:
    usual = _word(dice, 20, 5000)
    start = datetime.now(UTC) - timedelta(days=dice.randint(30, 360))
    asked: dict[str, Any] = {
        "common": {"q": _word(dice, 1, 20)},
        "usual": {"q": usual},
        "rare": {"q": _word(dice, 5000, WORDS)},
        "two": {"q": f"{_word(dice, 1, 200)} {_word(dice, 1, 200)}"},
        "phrase": {"q": f'"{_word(dice, 1, 50)} {_word(dice, 1, 50)}"'},
        "sender": {"q": _word(dice, 1, 500), "sender_id": dice.choice(users)},
        "chat": {"q": _word(dice, 1, 500), "chat_id": dice.choice(chats)},
        "month": {"q": _word(dice, 1, 500), "from": start, "to": start + timedelta(days=30)},
        "attached": {"has_attachment": True, "q": _word(dice, 1, 100)},
        "absent": {"q": "nobodysaysthis"},
    }[kind]
    return msgspec.convert(asked, SearchMessages)
