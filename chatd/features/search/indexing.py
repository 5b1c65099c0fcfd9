"""Filling the index: each message soon after it was sent, and once (index_messages says how none is lost)."""

import asyncio
import time

from chatd.core.context import Ctx
from chatd.features.search import store

#: Small, and after each a rest that is as many times as long as the work: messages that are being stored at
#: the same time shall not wait for it. So it takes a third of one connection at most.
PORTION, REST = 250, 2.0
#: One run takes at most so many portions; what is left waits for the next.
MAX_PORTIONS = 1600


async def follow(ctx: Ctx) -> None:
    """Bring the index up to what has just been sent."""
    for _ in range(MAX_PORTIONS):
        began = time.perf_counter()
        if await store.index(ctx.db, PORTION) < PORTION:
            return
        await asyncio.sleep(REST * (time.perf_counter() - began))
