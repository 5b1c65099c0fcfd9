"""Filling the index: each message soon after it was sent, and again where it changed while it was read.

Ids are UUIDv7, made where a message was taken, before it was stored: one may appear behind others that are
read already. So each run begins some seconds before where the last one ended, and a slower one goes further
back. Nodes whose clocks differ by more than DEEP_S lose messages to search.
"""

import asyncio
from datetime import datetime

from chatd.core.context import Ctx
from chatd.core.ids import MessageId, from_bytes, to_bytes
from chatd.features.search import store

#: Small, and with a breath between: messages that are being stored at the same time shall not wait for it.
PORTION, BREATH_S = 250, 0.005
#: How far back of the cursor a run begins, and the slower one. Each second of it is read again in every run:
#: at ten seconds a busy server spent more on looking for late ones than on storing messages.
SHALLOW_S, DEEP_S = 2.0, 120.0
#: One run takes at most so many portions; what is left waits for the next.
MAX_PORTIONS = 1600
_FIRST = from_bytes("msg", bytes(16))


async def follow(ctx: Ctx) -> None:
    """Bring the index up to the newest message."""
    await _run(ctx, SHALLOW_S)


async def go_back(ctx: Ctx) -> None:
    """The same, from further back."""
    await _run(ctx, DEEP_S)


async def _run(ctx: Ctx, back_s: float) -> None:
    cursor = await store.find_cursor(ctx.db) or _FIRST
    at = _earlier(cursor, back_s)
    for _ in range(MAX_PORTIONS):
        portion = await store.index(ctx.db, at, PORTION)
        if portion.last_id is not None:
            at = portion.last_id
            # Not past the present: the clock of a node that is ahead must not hide what others still send.
            await store.move_cursor(ctx.db, min(at, id_at(ctx.clock.now())))
        if portion.count < PORTION:
            return
        await asyncio.sleep(BREATH_S)


def id_at(at: datetime) -> MessageId:
    """The first message id of a time."""
    return from_bytes("msg", max(0, int(at.timestamp() * 1000)).to_bytes(6, "big") + bytes(10))


def _earlier(message_id: MessageId, seconds: float) -> MessageId:
    """The first id of the time so many seconds before this id's."""
    at_ms = int.from_bytes(to_bytes(message_id)[:6], "big")
    return from_bytes("msg", max(0, at_ms - int(seconds * 1000)).to_bytes(6, "big") + bytes(10))
