"""Conversations, for the edges and for other rooms."""

from chatd.core.context import Ctx
from chatd.core.errors import ChatNotFound, MessageNotFound
from chatd.core.ids import MessageId
from chatd.core.paging import cut, decode_cursor, encode_cursor
from chatd.features.chats import service as chats
from chatd.features.conversations import store
from chatd.features.conversations.contract import ListMentions, MentionList, MessageLink


async def mentions(ctx: Ctx, query: ListMentions) -> MentionList:
    """Messages that mention the actor, newest first. Raises ValidationFailed for a cursor that is none."""
    before = decode_cursor(query.cursor, tuple[MessageId])[0] if query.cursor is not None else None
    ids = await store.mentions(ctx.db, ctx.actor.user_id, query.unread, before, query.limit + 1)
    ids, last = cut(ids, query.limit)
    found = await chats.messages_by_ids(ctx.db, ids)
    return MentionList(
        items=[found[message_id] for message_id in ids],
        next_cursor=encode_cursor(last) if last else None,
    )


async def link(ctx: Ctx, message_id: MessageId) -> MessageLink:
    """Where a message is. Raises MessageNotFound, also for one in a chat that the actor is not in."""
    message = (await chats.messages_by_ids(ctx.db, [message_id])).get(message_id)
    if message is None:
        raise MessageNotFound
    try:
        await chats.require_seat(ctx.db, message.chat_id, ctx.actor.user_id)
    except ChatNotFound:
        raise MessageNotFound from None
    base = ctx.settings.server.public_url.rstrip("/")
    return MessageLink(
        message_id=message_id,
        chat_id=message.chat_id,
        seq=message.seq,
        url=f"{base}/#/chats/{message.chat_id}/messages/{message_id}",
        message=message,
    )
