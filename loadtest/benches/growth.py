"""What grows with it? ``fanout`` and ``durable`` at more and more sockets; history, the list of chats and the
unread counts of opening sockets over more and more stored messages, with every plan looked at.
"""

import time
from collections.abc import Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from chatd.core.clock import SystemClock
from chatd.core.context import Actor, Ctx
from chatd.core.ids import UuidIds
from chatd.core.settings import Postgres, Settings
from chatd.features.chats import service as chats
from chatd.features.chats.contract import HeadsAsk, ListChats
from chatd.features.messages import reading
from chatd.features.messages.contract import HistoryQuery
from loadtest.benches.durable import Senders, as_uuid
from loadtest.benches.fanout import SAMPLERS, Target
from loadtest.benches.load import load
from loadtest.benches.machine import cpu_s
from loadtest.benches.measure import Broken, rounded
from loadtest.benches.options import Options
from loadtest.benches.plans import Watched
from loadtest.benches.rig import Rig, rig

#: As many seats as make an index worth while, as in any server that is used.
USERS, CHATS, EACH = 1000, 200, 50
#: Of each chat so many are unread: a count costs what it counts, so this must not grow with the rest.
UNREAD = 20
_ROOM = {"CHATD_CHATS_MAX_MEMBERS": "20000"}


async def run(options: Options) -> dict[str, Any]:
    """The series, and how far each is from flat (largest over smallest, or the other way round)."""
    found = {
        "sockets": options.pick([1000, 5000, 10_000], [6]),
        "messages": options.pick([10_000, 100_000, 1_000_000], [500, 1000]),
        "fanout_w4_per_core_s": [],
        "durable_acked_s": [],
        "durable_worker_us": [],
    }
    async with load(options.cores.load) as generator, rig(options, settings=_ROOM) as server:
        target = Target("chatd", generator, lambda: cpu_s(*server.workers), 0)
        await _fanouts(options, server, target, found)
    async with load(options.cores.load) as generator, rig(options, settings=_ROOM) as server:
        await _sends(options, server, generator, found)
    async with rig(options, users=USERS, chats=CHATS, members=EACH, pinned=False) as server:
        queries = await _queries(options, server, found["messages"])
    scans = sorted({scan for step in queries for scan in step.pop("seq_scans")})
    series = {
        name: found[name] for name in ("fanout_w4_per_core_s", "durable_acked_s", "durable_worker_us")
    } | {f"{name}_p50_ms": [step[name] for step in queries] for name in queries[0]}
    spread = {name: max(values) / min(values) for name, values in series.items()}
    return rounded(
        {
            "sockets": found["sockets"],
            "messages": found["messages"],
            **series,
            "spread": spread,
            "worst_spread": max(spread.values()),
            "seq_scans": scans,
            "client_bound": [],
        }
    )


async def _fanouts(options: Options, server: Rig, target: Target, found: dict[str, Any]) -> None:
    """One chat with more and more sockets."""
    most = max(found["sockets"])
    await server.seed(users=most + 1, chats=1, members=most + 1)
    chat = server.chats[0]
    tokens = [server.token(user) for user in chat["member_ids"]]
    await target.connect(server.port, [*tokens[:SAMPLERS], tokens[-1]], chat["id"])
    there = SAMPLERS
    for sockets in found["sockets"]:
        users = [{"token": token} for token in tokens[there:sockets]]
        group = f"{target.name} listeners"
        done = await target.load("connect", group=group, kind="listener", port=server.port, users=users)
        if done["problems"]:
            raise Broken(f"sockets do not open: {done['problems']}")
        there = sockets
        await target.measure(4, options.pick(1.0, 0.2))
        measured = [await target.measure(4, options.pick(2.0, 0.3)) for _ in range(options.pick(3, 1))]
        per_core = sorted(m.got / max(0.01, m.server_cpu_s) for m in measured)
        found["fanout_w4_per_core_s"].append(per_core[len(per_core) // 2])


async def _sends(options: Options, server: Rig, generator: Any, found: dict[str, Any]) -> None:
    """200 senders among more and more sockets that listen."""
    most, senders = max(found["sockets"]), options.pick(200, 4)
    await server.seed(users=most, chats=most // 2, members=2)
    seats = [(chat["id"], user) for chat in server.chats for user in chat["member_ids"]]
    talking = [
        {"token": server.token(user), "chat_id": chat, "name": f"s{i:04d}"}
        for i, (chat, user) in enumerate(seats[:senders])
    ]
    await _connect(generator, server, "senders", "sender", talking)
    crowd, there = Senders(server, generator, seats[:senders]), senders
    for sockets in found["sockets"]:
        quiet = [{"token": server.token(user)} for _, user in seats[there:sockets]]
        await _connect(generator, server, "quiet", "idle", quiet)
        there = max(there, sockets)
        await crowd.measure(options.pick(2.0, 0.2))
        steps = [await crowd.measure(options.pick(3.0, 1.2)) for _ in range(options.pick(3, 1))]
        for name in ("acked_s", "worker_us"):
            found[f"durable_{name}"].append(sorted(step[name] for step in steps)[len(steps) // 2])


async def _connect(generator: Any, server: Rig, group: str, kind: str, users: list[dict[str, Any]]) -> None:
    done = await generator("connect", group=group, kind=kind, port=server.port, users=users)
    if done["problems"]:
        raise Broken(f"sockets do not open: {done['problems']}")


# ------------------------------------------------------------------------------------------------- queries

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


async def _queries(options: Options, server: Rig, sizes: list[int]) -> list[dict[str, Any]]:
    """The p50 in ms of each reading at each size, and the tables that a plan reads from end to end."""
    found = []
    for size in sizes:
        await _fill(server, size // CHATS)
        async with _watched(server) as db:
            await _read(options, server, db)  # caches are warm
            found.append(await _read(options, server, db))
    return found


async def _fill(server: Rig, each: int) -> None:
    database, ids = await server.database(), [as_uuid(chat["id"]) for chat in server.chats]
    try:
        await database.fetchval(_FILL, each, ids, timeout=300)
        await database.execute(_HEADS, each, ids)
        await database.execute(_MARKS, max(0, each - UNREAD), ids)
        for table in ("chat_messages", "chat_chats", "chat_participants"):
            await database.execute(f"VACUUM ANALYZE {table}", timeout=300)
    finally:
        await database.close()


@asynccontextmanager
async def _watched(server: Rig) -> Any:
    """chatd's pool; every statement that goes through it is explained, once."""
    db = Watched(Postgres(url=server.postgres_url, pool_size=2, command_timeout_s=30.0))
    await db.open()
    try:
        yield db
    finally:
        await db.close()


async def _read(options: Options, server: Rig, db: Watched) -> dict[str, Any]:
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

    chat_of = {user: chat["id"] for chat in server.chats for user in chat["member_ids"]}
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
    found: dict[str, Any] = {
        name: await _p50_ms(step, times)
        for name, step in (("history", history), ("chat_list", chat_list), ("unread_of_20_sockets", unread))
    }
    return {**found, "seq_scans": db.seq_scans}


async def _p50_ms(step: Callable[[int], Any], times: int) -> float:
    took = []
    for i in range(times + 10):
        began = time.perf_counter()
        await step(i)
        took.append(1000 * (time.perf_counter() - began))
    return sorted(took[10:])[times // 2]
