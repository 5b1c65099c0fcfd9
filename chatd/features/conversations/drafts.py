"""Drafts: what one has begun to write, on all of one's devices. The last writer wins."""

from chatd.core.context import Ctx
from chatd.core.ids import ChatId, MessageId
from chatd.features.chats import service as chats
from chatd.features.conversations import store
from chatd.features.conversations.contract import Draft, Drafts, DraftUpdated


async def save(ctx: Ctx, chat_id: ChatId, text: str, reply_to: MessageId | None) -> Draft:
    """Keep the draft; the actor's devices hear of it. Raises ChatNotFound."""
    me = ctx.actor.user_id
    async with ctx.db.transaction() as tx:
        await chats.require_seat(tx, chat_id, me)
        draft = await store.save_draft(tx, me, chat_id, text, reply_to)
        event = DraftUpdated(chat_id=chat_id, draft=draft, at=draft.updated_at)
        tx.after_commit(ctx.broker.to_users, [me], event)
    return draft


async def drop(ctx: Ctx, chat_id: ChatId) -> None:
    """Take the draft away; taking away what is not there changes nothing. Raises ChatNotFound."""
    me = ctx.actor.user_id
    async with ctx.db.transaction() as tx:
        await chats.require_seat(tx, chat_id, me)
        at = await store.drop_draft(tx, me, chat_id)
        if at is not None:
            event = DraftUpdated(chat_id=chat_id, draft=None, at=at)
            tx.after_commit(ctx.broker.to_users, [me], event)


async def mine(ctx: Ctx) -> Drafts:
    """All drafts of the actor, newest first."""
    return Drafts(drafts=await store.drafts(ctx.db, ctx.actor.user_id))
