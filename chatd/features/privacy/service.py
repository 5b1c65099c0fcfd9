"""The rules of privacy: everybody rules over their own, and nobody is told that they were blocked."""

from chatd.core.context import Ctx
from chatd.core.errors import Forbidden
from chatd.core.ids import UserId
from chatd.core.paging import cut, decode_cursor, encode_cursor
from chatd.features.privacy.contract import BlockPage, ListBlocks, PatchPrivacy
from chatd.features.relations import service as relations
from chatd.features.relations.contract import Privacy


async def change(ctx: Ctx, body: PatchPrivacy) -> Privacy:
    """Set what the body names; how it is then."""
    async with ctx.db.transaction() as tx:
        return await relations.save_privacy(
            tx,
            ctx,
            ctx.actor.user_id,
            last_seen=body.last_seen,
            read_receipts=body.read_receipts,
            messages_from=body.messages_from,
            profile=body.profile,
        )


async def block(ctx: Ctx, user_id: UserId) -> None:
    """End everything between the two; twice is once. Raises Forbidden for oneself, UserNotFound."""
    if user_id == ctx.actor.user_id:
        raise Forbidden("Nobody can block themselves")
    async with ctx.db.transaction() as tx:
        await relations.block(tx, ctx, ctx.actor.user_id, user_id)


async def unblock(ctx: Ctx, user_id: UserId) -> None:
    """Take one's block back; nothing where there was none."""
    async with ctx.db.transaction() as tx:
        await relations.unblock(tx, ctx.actor.user_id, user_id)


async def blocks(ctx: Ctx, query: ListBlocks) -> BlockPage:
    """Whom the actor has blocked; never who has blocked the actor."""
    after = decode_cursor(query.cursor, tuple[UserId])[0] if query.cursor is not None else None
    rows = await relations.blocks(ctx.db, ctx.actor.user_id, after, query.limit + 1)
    rows, last = cut(rows, query.limit)
    return BlockPage(items=rows, next_cursor=encode_cursor(last.user_id) if last else None)
