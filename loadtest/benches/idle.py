"""Ten thousand authenticated sockets, each in three chats, that say nothing: memory and heartbeats."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from loadtest.benches.load import Load, load
from loadtest.benches.machine import cpu_s, rss_bytes
from loadtest.benches.measure import Broken, rounded
from loadtest.benches.options import Options
from loadtest.benches.rig import Rig, rig

SOCKETS, CHATS_EACH, MEMBERS = 10_000, 3, 100
#: Sockets that open first and are not counted: they pay for imports, plans and pools.
WARM = 100


@asynccontextmanager
async def idlers(options: Options, kind: str = "idle") -> AsyncIterator[tuple[Rig, Load, float]]:
    """(chatd, load process, growth of the worker's memory in bytes) with all sockets open."""
    sockets, members = options.pick((SOCKETS, MEMBERS), (60, 10))
    warm = options.pick(WARM, 5)
    async with (
        load(options.cores.load) as generator,
        rig(options, users=sockets, chats=sockets * CHATS_EACH // members, members=members) as server,
    ):
        users = [{"token": user["access_token"]} for user in server.users]
        await _open(generator, server, kind, "warm", users[:warm])
        await asyncio.sleep(1)
        before = rss_bytes(server.workers[0])
        await _open(generator, server, kind, "crowd", users[warm:])
        await asyncio.sleep(options.pick(3.0, 0.2))
        grown = rss_bytes(server.workers[0]) - before
        yield server, generator, grown / len(users[warm:])


async def _open(generator: Load, server: Rig, kind: str, group: str, users: list[dict[str, str]]) -> None:
    done = await generator("connect", group=group, kind=kind, port=server.port, users=users)
    if done["problems"]:
        raise Broken(f"sockets do not open: {done['problems']}")


async def run(options: Options) -> dict[str, Any]:
    """Memory a socket, and the worker's CPU over a minute with heartbeats on."""
    seconds = options.pick(60.0, 1.0)
    async with idlers(options) as (server, generator, grown):
        used = cpu_s(*server.workers)
        await asyncio.sleep(seconds)
        percent = 100 * (cpu_s(*server.workers) - used) / seconds
        lost = (await generator("counts", groups=["warm", "crowd"]))["lost"]
        if lost:
            raise Broken(f"{lost} sockets were lost while they were idle")
        return rounded(
            {
                "sockets": len(server.users),
                "chats_each": CHATS_EACH,
                "rss_kb_per_socket": grown / 1024,
                "rss_mb": rss_bytes(server.workers[0]) / 1024 / 1024,
                "cpu_percent": percent,
                "seconds": seconds,
                "heartbeat_s": 25,
                "client_bound": [],
            }
        )
