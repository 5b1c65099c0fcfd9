"""Everybody is cut off at once and comes back with ``since``, while messages flow."""

import asyncio
from typing import Any

from loadtest.benches.idle import idlers
from loadtest.benches.load import Load, load
from loadtest.benches.machine import cpu_s
from loadtest.benches.measure import Broken, rounded
from loadtest.benches.options import Options
from loadtest.benches.rig import Rig

WITNESSES = 50


async def run(options: Options) -> dict[str, Any]:
    """Connects a second, whether each came back whole, and what those noticed who had stayed."""
    rate = options.pick(50.0, 20.0)
    async with idlers(options, "resumer") as (server, generator, _), load(options.cores.load) as calm:
        await _witnesses(options, server, calm)
        talk = asyncio.create_task(calm("pace", group="talk", rate=rate, seconds=options.pick(25.0, 4.0)))
        await asyncio.sleep(options.pick(3.0, 1.0))
        queries = await _queries(server)
        used, own = cpu_s(*server.workers), cpu_s(generator.pid)
        back = await generator("storm", group="crowd", port=server.port, at_once=options.pick(400, 20))
        cpu, own = cpu_s(*server.workers) - used, cpu_s(generator.pid) - own
        if back["problems"]:
            raise Broken(f"not everybody came back: {back['problems']}")
        asked = await _queries(server) - queries
        told = await talk
        state = await generator("behind", group="crowd", heads=await _heads(server))
        opened = back["opened"]
        return rounded(
            {
                "sockets": opened,
                "connects_s": opened / back["s"],
                "connects_per_core_s": opened / cpu,
                "seconds": back["s"],
                "resumed_ok": not (state["behind"] or state["wrong"] or back["wrong_before"]),
                "replayed": back["replayed"],
                "queries_per_connect": asked / opened,
                "p50_live_ms": told["same"].get("p50"),
                "p99_live_ms": told["same"].get("p99"),
                "max_live_ms": told["same"].get("max"),
                "messages_s": rate,
                "client_bound": ["storm"] if own > 0.93 * back["s"] else [],
            }
        )


async def _witnesses(options: Options, server: Rig, calm: Load) -> None:
    """Members who stay and talk, each in a chat of its own."""
    chats = server.chats[: options.pick(WITNESSES, 5)]
    users = [
        {"token": server.token(chat["member_ids"][0]), "chat_id": chat["id"], "name": f"t{i:03d}"}
        for i, chat in enumerate(chats)
    ]
    done = await calm("connect", group="talk", kind="stamped", port=server.port, users=users)
    if done["problems"]:
        raise Broken(f"sockets do not open: {done['problems']}")


async def _queries(server: Rig) -> float:
    """Transactions of the database so far: chatd's statements outside a transaction are one each."""
    await asyncio.sleep(1.2)  # servers report at most once a second
    database = await server.database()
    try:
        return float(
            await database.fetchval("SELECT xact_commit FROM pg_stat_database WHERE datname = 'chatd'")
        )
    finally:
        await database.close()


async def _heads(server: Rig) -> dict[str, int]:
    """Where every chat is, by the database."""
    from chatd.core.ids import from_bytes

    database = await server.database()
    try:
        rows = await database.fetch("SELECT id, head_seq FROM chat_chats")
    finally:
        await database.close()
    return {from_bytes("cht", row["id"].bytes): row["head_seq"] for row in rows}
