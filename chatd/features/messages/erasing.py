"""What one user said, over all chats: to give it to them, and to take it away when they go.

In bounded pieces, each of its own; to stop in the middle and begin again loses and doubles nothing.
"""

from collections.abc import Collection

from chatd.core.context import Ctx, Queries
from chatd.core.ids import ChatId, MessageId, UserId
from chatd.features.chats import service as chats
from chatd.features.messages import erasing_store, log_store, store
from chatd.features.messages.contract import Given, MessageDelete, MessageUpdate, Reworded, Said
from chatd.wire import codec

#: Chats looked at by one statement, an index look-up each; and messages changed by one transaction.
PAGE, STEP = 5000, 50


async def next_spoken(q: Queries, user_id: UserId, after: ChatId | None) -> tuple[ChatId, bool] | None:
    """(the next chat by id, whether the user wrote in it); None past the last. Some are passed by at once."""
    page = await erasing_store.next_spoken(q, user_id, after, PAGE)
    return None if page is None else (page.chat_id, page.found)


async def said(q: Queries, user_id: UserId, chat_id: ChatId, after: str, limit: int) -> list[Said]:
    """The user's own messages of a chat after that ``client_message_id``, in its order."""
    return await erasing_store.said(q, user_id, chat_id, after, limit)


async def reworded(q: Queries, message_ids: Collection[MessageId]) -> list[Reworded]:
    """What these messages of one user said before they were edited."""
    return await erasing_store.versions(q, list(message_ids)) if message_ids else []


async def given(q: Queries, user_id: UserId, limit: int) -> list[Given]:
    """The user's reactions, at most ``limit``."""
    return await erasing_store.given(q, user_id, limit)


async def erase_said(ctx: Ctx, user_id: UserId, chat_id: ChatId) -> bool:
    """Make some of the user's messages in the chat tombstones, as if they had deleted them; whether more are
    left. Everybody hears of each, so that all who have the chat end with the same.
    """
    async with ctx.db.transaction() as tx:
        await chats.lock(tx, chat_id)
        left = await erasing_store.to_erase(tx, user_id, chat_id, STEP)
        for each in left:
            await store.bury(tx, each.id, user_id)
            await store.drop_reactions(tx, each.id)
            seq = await log_store.append_event(tx, chat_id, "delete", each.id, user_id)
            event = MessageDelete(chat_id=chat_id, seq=seq, message_id=each.id, deleted_by=user_id)
            tx.after_commit(ctx.broker.log, chat_id, seq, seq, [codec.frame(event)])
    return len(left) == STEP


async def erase_given(ctx: Ctx, user_id: UserId) -> bool:
    """Take some of the user's reactions back; whether more are left."""
    found = await erasing_store.given(ctx.db, user_id, STEP)
    for each in found:
        async with ctx.db.transaction() as tx:
            await chats.lock(tx, each.chat_id)
            if not await store.remove_reaction(tx, each.message_id, each.emoji, user_id):
                continue
            seq = await log_store.append_event(tx, each.chat_id, "update", each.message_id, user_id)
            message = (await chats.messages_by_ids(tx, [each.message_id]))[each.message_id]
            event = MessageUpdate(chat_id=each.chat_id, seq=seq, message=message)
            tx.after_commit(ctx.broker.log, each.chat_id, seq, seq, [codec.frame(event)])
    return len(found) == STEP
