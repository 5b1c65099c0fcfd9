"""Threads: a message, the replies to it and to them, and how far each member has read."""

from chatd.core.context import Ctx, Queries
from chatd.core.errors import MessageNotFound
from chatd.core.ids import ChatId, MessageId
from chatd.core.paging import cut
from chatd.features.chats import service as chats
from chatd.features.conversations import threads_store
from chatd.features.conversations.contract import (
    ListThreads,
    ShowThread,
    Thread,
    ThreadList,
    ThreadMark,
    ThreadRead,
    ThreadSummary,
)

#: Unread replies are counted up to here: a list costs the same however much lies unread.
UNREAD_CAP = 999


async def page(ctx: Ctx, chat_id: ChatId, query: ListThreads) -> ThreadList:
    """The chat's threads, newest reply first. Raises ChatNotFound."""
    me = ctx.actor.user_id
    await chats.require_seat(ctx.db, chat_id, me)
    rows = await threads_store.threads(
        ctx.db, chat_id, me, None, query.before_seq, query.limit + 1, UNREAD_CAP
    )
    rows, last = cut(rows, query.limit)
    roots = await chats.messages_by_ids(ctx.db, [row.root_id for row in rows])
    return ThreadList(
        items=[
            ThreadSummary(
                root=roots[row.root_id],
                reply_count=row.reply_count,
                last_reply_seq=row.last_reply_seq,
                last_reply_at=row.last_reply_at,
                last_read_seq=row.last_read_seq,
                unread_count=row.unread_count,
            )
            for row in rows
        ],
        next_before_seq=last.last_reply_seq if last else None,
    )


async def show(ctx: Ctx, chat_id: ChatId, root_id: MessageId, query: ShowThread) -> Thread:
    """A thread, by the message that began it, and a page of replies. Raises ChatNotFound, MessageNotFound
    (also for a message that nobody has replied to).
    """
    me = ctx.actor.user_id
    await chats.require_seat(ctx.db, chat_id, me)
    rows = await threads_store.threads(ctx.db, chat_id, me, root_id, None, 1, UNREAD_CAP)
    if not rows:
        raise MessageNotFound("There is no thread under this message in this chat")
    ids = await threads_store.replies(ctx.db, root_id, query.before_seq, query.after_seq, query.limit + 1)
    ids, last = cut(ids, query.limit)
    found = await chats.messages_by_ids(ctx.db, [root_id, *ids])
    row = rows[0]
    return Thread(
        root=found[root_id],
        reply_count=row.reply_count,
        last_reply_seq=row.last_reply_seq,
        last_reply_at=row.last_reply_at,
        last_read_seq=row.last_read_seq,
        unread_count=row.unread_count,
        messages=[found[message_id] for message_id in ids],
        next_before_seq=found[last].seq if last else None,
    )


async def read(ctx: Ctx, chat_id: ChatId, root_id: MessageId, message_id: MessageId) -> ThreadMark:
    """Move the actor's mark on; it never moves back. The actor's devices hear of it.

    Raises ChatNotFound, MessageNotFound (no such reply in this thread).
    """
    me = ctx.actor.user_id
    await chats.require_seat(ctx.db, chat_id, me)
    seq = await _seq(ctx.db, chat_id, root_id, message_id)
    async with ctx.db.transaction() as tx:
        if await threads_store.advance(tx, me, root_id, seq):
            event = ThreadRead(chat_id=chat_id, thread_id=root_id, last_read_seq=seq)
            tx.after_commit(ctx.broker.to_users, [me], event)
        mark = await threads_store.mark(tx, me, root_id)
    return ThreadMark(thread_id=root_id, last_read_seq=mark or 0)


async def _seq(q: Queries, chat_id: ChatId, root_id: MessageId, message_id: MessageId) -> int:
    root = (await chats.messages_by_ids(q, [root_id])).get(root_id)
    if root is None or root.chat_id != chat_id:
        raise MessageNotFound
    seq = root.seq if message_id == root_id else await threads_store.find_reply(q, root_id, message_id)
    if seq is None:
        raise MessageNotFound("There is no such reply in this thread")
    return seq
