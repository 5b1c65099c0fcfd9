"""Durable sends: 200 senders in 100 chats, each waits for its ack and sends the next; fsync is on.

The floors are measured in the same run, in turns, on the same database: the append function called directly
with batches as big as chatd's were, and a transaction a message.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from chatd.core.ids import to_bytes
from loadtest.benches import measure
from loadtest.benches.floors import Appender
from loadtest.benches.load import Load, load
from loadtest.benches.machine import cpu_s
from loadtest.benches.measure import Broken, medians, rounded
from loadtest.benches.options import Options
from loadtest.benches.rig import Rig, rig

SENDERS, CHATS = 200, 100
#: As chatd appends: two batches in flight.
CONNECTIONS = 2


@dataclass
class Senders:
    """chatd with its closed-loop senders."""

    rig: Rig
    load: Load
    seats: list[tuple[str, str]]

    async def measure(self, seconds: float, *, batch: float = 0.0, window: int = 1) -> dict[str, float]:
        """Acks a second, and what they cost."""
        await self.load("start", group="senders", window=window)
        await asyncio.sleep(min(0.5, seconds / 2))
        before, cpu = await self._rounds(), self.rig.cpu()
        measured = await measure.window(self.load, lambda: cpu_s(*self.rig.workers), ["senders"], seconds)
        after, used = self.rig.cpu(), await self._rounds()
        if (await self.load("stop", group="senders"))["unanswered"] or measured.refused:
            raise Broken(f"{measured.refused} sends were refused, or had no answer")
        rounds = used[1] - before[1]
        return {
            "acked_s": measured.acked / measured.seconds,
            "batch": (used[0] - before[0]) / rounds if rounds else batch,
            "worker_us": 1e6 * measured.server_cpu_s / max(1, measured.acked),
            "postgres_us": 1e6 * (after["postgres"] - cpu["postgres"]) / max(1, measured.acked),
            "load_us": 1e6 * measured.load_cpu_s / max(1, measured.acked),
            "client_bound": float(measured.client_bound),
        }

    async def _rounds(self) -> tuple[float, float]:
        found = await self.rig.metrics()
        name = 'chatd_batch_entries_{}{{batch="append"}}'
        return found.get(name.format("sum"), 0.0), found.get(name.format("count"), 0.0)


@asynccontextmanager
async def senders(options: Options, *, workers: int = 1, kind: str = "sender") -> AsyncIterator[Senders]:
    """A chatd in which each of 200 users has a socket and a chat with one other."""
    count, chats = options.pick((SENDERS, CHATS), (8, 4))
    async with (
        load(options.cores.load) as generator,
        rig(options, workers=workers, users=count, chats=chats, members=2) as server,
    ):
        yield await seat(server, generator, kind)


async def seat(server: Rig, generator: Load, kind: str = "sender") -> Senders:
    """A socket for every member of the rig's chats."""
    seats = [(chat["id"], user) for chat in server.chats for user in chat["member_ids"]]
    users = [
        {"token": server.token(user), "chat_id": chat, "name": f"s{i:04d}"}
        for i, (chat, user) in enumerate(seats)
    ]
    done = await generator("connect", group="senders", kind=kind, port=server.port, users=users)
    if done["problems"]:
        raise Broken(f"sockets do not open: {done['problems']}")
    return Senders(server, generator, seats)


async def run(options: Options) -> dict[str, Any]:
    """Acks a second beside the two floors."""
    seconds, rounds = options.pick(4.0, 1.2), options.pick(4, 1)
    async with senders(options) as crowd:
        floor = Appender([(as_uuid(chat), as_uuid(user)) for chat, user in crowd.seats])
        await crowd.measure(seconds / 2)  # plans are made, caches are warm
        results = [await _round(crowd, floor, seconds) for _ in range(rounds)]
        await _require_stored(crowd)
    middle = medians(results)
    bound = middle.pop("client_bound") > 0
    return rounded(
        {
            "senders": len(crowd.seats),
            "rounds": rounds,
            **middle,
            "client_bound": ["durable"] if bound else [],
        }
    )


async def _round(crowd: Senders, floor: Appender, seconds: float) -> dict[str, float]:
    found = await crowd.measure(seconds, batch=10)
    url = crowd.rig.postgres_url
    batch = max(1, round(found["batch"]))
    append = await floor.batches(url, batch=batch, connections=CONNECTIONS, seconds=seconds / 2)
    single = await floor.singles(url, connections=4, seconds=seconds / 2)
    return {
        **found,
        "floor_append_s": append,
        "floor_single_tx_s": single,
        "ratio_append": found["acked_s"] / append,
        "ratio_single_tx": found["acked_s"] / single,
    }


async def _require_stored(crowd: Senders) -> None:
    """Every ack that a sender counted is a row."""
    acked = (await crowd.load("counts", groups=["senders"]))["acked"]
    # The floors' own messages have uuids for names.
    stored = await stored_by(crowd, "^s[0-9]{4}-")
    database = await crowd.rig.database()
    try:
        fsync = await database.fetchval("SHOW fsync"), await database.fetchval("SHOW synchronous_commit")
    finally:
        await database.close()
    if stored != acked or fsync != ("on", "on"):
        raise Broken(f"{acked} sends were acked and {stored} are stored; fsync, synchronous_commit: {fsync}")


async def stored_by(crowd: Senders, pattern: str) -> int:
    """The messages in the crowd's chats whose client_message_id matches."""
    database = await crowd.rig.database()
    try:
        return int(
            await database.fetchval(
                "SELECT count(*) FROM chat_messages"
                " WHERE chat_id = ANY ($1::uuid[]) AND client_message_id ~ $2",
                list({as_uuid(chat) for chat, _ in crowd.seats}),
                pattern,
            )
        )
    finally:
        await database.close()


def as_uuid(typeid: str) -> str:
    """The uuid inside, for SQL."""
    return to_bytes(typeid).hex()
