"""What strikes. Each fault is a coroutine that breaks something, holds it, and mends it again."""

import asyncio
import random
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import redis.asyncio

from loadtest.chaos.people import Crowd
from loadtest.chaos.proxy import Passage
from loadtest.chaos.world import World


@dataclass
class Stage:
    """Where a fault strikes. ``hurry`` shortens what is held, for a short run."""

    world: World
    crowd: Crowd
    rng: random.Random
    hurry: bool = False

    async def hold(self, seconds: float, hurried_s: float | None = None) -> None:
        await asyncio.sleep(seconds if not self.hurry or hurried_s is None else hurried_s)

    def passages(self, share: float) -> list[Passage]:
        """Some connections of every proxy."""
        return [p for node in self.world.nodes for p in node.proxy.some(share, self.rng)]


async def kill_worker(stage: Stage) -> None:
    stage.rng.choice(stage.world.nodes).signal_worker(signal.SIGKILL)


async def drain_worker(stage: Stage) -> None:
    stage.rng.choice(stage.world.nodes).signal_worker(signal.SIGTERM)
    await stage.hold(1.0)


async def roll_worker(stage: Stage) -> None:
    """New settings: the supervisor starts another worker, then lets the old one drain."""
    stage.rng.choice(stage.world.nodes).process.send_signal(signal.SIGHUP)
    await stage.hold(4.0, 2.0)


async def kill_redis(stage: Stage) -> None:
    """It comes back empty."""
    service = stage.world.services.redis
    await asyncio.to_thread(service.kill)
    await stage.hold(stage.rng.uniform(0.5, 4.0), 1.0)
    await asyncio.to_thread(service.start)


async def pause_redis(stage: Stage) -> None:
    service = stage.world.services.redis
    service.pause()
    try:
        await stage.hold(10.0, 4.0)
    finally:
        service.resume()


async def flush_redis(stage: Stage) -> None:
    await _redis(stage, "FLUSHALL")


async def kill_subscriptions(stage: Stage) -> None:
    await _redis(stage, "CLIENT", "KILL", "TYPE", "pubsub")


async def restart_postgres(stage: Stage) -> None:
    await asyncio.to_thread(stage.world.services.postgres.restart, immediate=True)


async def pause_postgres(stage: Stage) -> None:
    service = stage.world.services.postgres
    service.pause()
    try:
        await stage.hold(5.0, 2.5)
    finally:
        service.resume()


async def cut(stage: Stage) -> None:
    for passage in stage.passages(0.7):
        passage.cut()


async def stall(stage: Stage) -> None:
    await _on_passages(stage, Passage.stall, 6.0, 2.0)


async def throttle(stage: Stage) -> None:
    await _on_passages(stage, lambda passage: passage.throttle(8_000.0), 8.0, 2.0)


async def deafen(stage: Stage) -> None:
    """Readers that stop reading, while much is said."""
    struck = stage.passages(0.5)
    for passage in struck:
        passage.deafen()
    try:
        everybody = stage.crowd.people[0].chats[0]
        for _ in range(60):
            for person in stage.crowd.people[:4]:
                person.start(_shout(person.say, everybody))
            await asyncio.sleep(0.03)
        await stage.hold(10.0, 3.0)
    finally:
        for passage in struck:
            passage.relieve()


async def _shout(say: Callable[[str, str], Awaitable[object]], chat_id: str) -> None:
    await say(chat_id, f"{time.monotonic()} " + "loud " * 790)


async def _on_passages(
    stage: Stage, hurt: Callable[[Passage], None], seconds: float, hurried_s: float
) -> None:
    struck = stage.passages(0.5)
    for passage in struck:
        hurt(passage)
    try:
        await stage.hold(seconds, hurried_s)
    finally:
        for passage in struck:
            passage.relieve()


async def _redis(stage: Stage, *command: str) -> None:
    client = redis.asyncio.from_url(stage.world.services.redis.url, socket_timeout=5)
    try:
        await client.execute_command(*command)
    finally:
        await client.aclose()


@dataclass(frozen=True)
class Fault:
    """``pause_s`` is how long it may keep everybody from acks or deliveries."""

    strike: Callable[[Stage], Awaitable[None]]
    pause_s: float


#: What the server cannot work around: while PostgreSQL is away nothing is stored. 5 s of pause, 5 s until a
#: statement gives up, and some to come back.
FAULTS: dict[str, Fault] = {
    "kill-worker": Fault(kill_worker, 3.0),
    "drain-worker": Fault(drain_worker, 3.0),
    "roll-worker": Fault(roll_worker, 3.0),
    "kill-redis": Fault(kill_redis, 3.0),
    "pause-redis": Fault(pause_redis, 3.0),
    "flush-redis": Fault(flush_redis, 3.0),
    "kill-subscriptions": Fault(kill_subscriptions, 3.0),
    "restart-postgres": Fault(restart_postgres, 15.0),
    "pause-postgres": Fault(pause_postgres, 15.0),
    "cut": Fault(cut, 3.0),
    "stall": Fault(stall, 3.0),
    "throttle": Fault(throttle, 3.0),
    "deafen": Fault(deafen, 3.0),
}
