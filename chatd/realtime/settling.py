"""A node that has just come hears first who is there, then speaks of it."""

import asyncio
import logging
from collections.abc import Callable

from chatd.realtime.broker import NodeBroker
from chatd.realtime.presence import NodePresence

log = logging.getLogger("chatd.realtime.settling")

#: A node that beats has beaten within so many of its intervals, a late one too.
BEATS = 1.5
#: One that has been silent for so many is not waited for: it died before it could answer.
SILENT_BEATS = 2.5
LOOK_S = 0.02


async def settle(broker: NodeBroker, presence: NodePresence, *, beat_s: float, within_s: float) -> bool:
    """Wait until every node that beats has said who is there, at most ``within_s``; False where that was not
    long enough, as where there is no Redis.

    Who comes in before that would be shown people of other nodes as offline.
    """
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(within_s):
            await _until(lambda: not broker.degraded)  # until our own beat has come back, we hear nobody
            if await broker.alone():
                return True
            all_beat = loop.time() + BEATS * beat_s
            await _until(lambda: loop.time() >= all_beat and not presence.awaits_word(SILENT_BEATS * beat_s))
    except TimeoutError:
        log.warning("not every node has said who is there; some may be shown offline for a moment")
        return False
    return True


async def _until(so: Callable[[], bool]) -> None:
    while not so():  # noqa: ASYNC110  once in a node's life; an event would be set by every beat for ever
        await asyncio.sleep(LOOK_S)
