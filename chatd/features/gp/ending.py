"""The end of GPs: by time, by the last one leaving, and out of memory."""

from collections.abc import Sequence
from datetime import timedelta

from chatd.core.context import Ctx, Tx
from chatd.features.chats import service as chats
from chatd.features.gp import discovery, rules, store
from chatd.features.gp.contract import Status
from chatd.features.gp.frames import GpExpired, GpExpiring
from chatd.features.gp.rows import Gp

#: GPs that end in one transaction, and transactions of one run.
BATCH, MAX_BATCHES = 50, 100
#: A GP's chat may have thousands of messages: few go at once.
ERASED = 10


async def end(tx: Tx, ctx: Ctx, gps: Sequence[Gp], status: Status | None = None) -> None:
    """These GPs, held by the transaction in the order of their chats, are over: their chats can be read, not
    written, and their members are told. ``status`` is what each has come to where it is not given.
    """
    now = ctx.clock.now()
    as_what = [status or rules.ended_as(rules.conversion_at(gp, now)) for gp in gps]
    await store.end(tx, [gp.id for gp in gps], as_what, now)
    cards = {card.id: card for card in await store.cards(tx, [gp.id for gp in gps])}
    for gp, how in zip(gps, as_what, strict=True):
        await chats.set_read_only(tx, ctx, gp.chat_id, True)
        await discovery.tell_watchers(tx, ctx, gp, gone=True)
        event = GpExpired(gp_id=gp.id, chat_id=gp.chat_id, status=how)
        tx.after_commit(ctx.broker.to_users, cards[gp.id].member_ids or [], event)


async def end_overdue(ctx: Ctx) -> int:
    """End every GP past its time; how many. Several nodes may be at it: each takes what no other holds."""
    ended = 0
    for _ in range(MAX_BATCHES):
        async with ctx.db.transaction() as tx:
            gps = await store.lock_overdue(tx, ctx.clock.now(), BATCH)
            if gps:
                await end(tx, ctx, gps)
        ended += len(gps)
        if len(gps) < BATCH:
            break
    return ended


async def warn_expiring(ctx: Ctx) -> int:
    """Tell members whose GP ends soon, once; how many GPs that were."""
    warned = 0
    for _ in range(MAX_BATCHES):
        now = ctx.clock.now()
        async with ctx.db.transaction() as tx:
            soon = now + timedelta(minutes=ctx.settings.gp.expiring_minutes)
            ids = await store.tell_expiring(tx, now, soon, BATCH)
            for card in await store.cards(tx, ids) if ids else []:
                event = GpExpiring(gp_id=card.id, chat_id=card.chat_id, expires_at=card.expires_at)
                tx.after_commit(ctx.broker.to_users, card.member_ids or [], event)
        warned += len(ids)
        if len(ids) < BATCH:
            break
    return warned


async def forget(ctx: Ctx) -> None:
    """Erase GPs that ended ``gp.history_days`` ago, with their chats."""
    before = ctx.clock.now() - timedelta(days=ctx.settings.gp.history_days)
    for _ in range(MAX_BATCHES):
        async with ctx.db.transaction() as tx:
            gps = await store.lock_forgotten(tx, before, ERASED)
            for gp in gps:
                await chats.erase(tx, ctx, gp.chat_id)
            await store.delete(tx, [gp.id for gp in gps])
        if len(gps) < ERASED:
            break
