"""What changes of messages (edits, reactions, pins) have in common.

All hold the chat's row from the first statement on, so that seq has no holes and rules see the truth.
"""

from chatd.core.context import Ctx, Tx
from chatd.core.errors import Forbidden, MessageNotFound, Muted
from chatd.core.ids import ChatId, MessageId
from chatd.features.chats import service as chats
from chatd.features.chats.contract import Message, Seat
from chatd.features.messages import log_store, store
from chatd.features.messages.contract import MessageUpdate
from chatd.features.relations import service as relations
from chatd.wire import codec


async def require_voice(tx: Tx, ctx: Ctx, chat_id: ChatId) -> Seat:
    """The actor's seat, in a chat where it may speak now; locks the chat's row."""
    seat = await chats.lock_seat(tx, chat_id, ctx.actor.user_id)
    if seat.read_only:
        raise Forbidden("This chat is read-only")
    if seat.muted_until is not None and seat.muted_until > ctx.clock.now():
        raise Muted()
    if seat.type == "direct":
        await relations.require_deliverable(tx, chat_id, seat.user_id)
    return seat


async def require_target(tx: Tx, chat_id: ChatId, message_id: MessageId, content: str | None) -> store.Target:
    """The message, and whether it says ``content`` already. Raises MessageNotFound."""
    target = await store.find_target(tx, chat_id, message_id, content)
    if target is None:
        raise MessageNotFound()
    return target


async def present(tx: Tx, message_id: MessageId) -> Message:
    """The message as everybody sees it now."""
    return (await chats.messages_by_ids(tx, [message_id]))[message_id]


async def updated(tx: Tx, ctx: Ctx, chat_id: ChatId, message_id: MessageId) -> Message:
    """Take a seq for the change and tell the chat the message's present state."""
    seq = await log_store.append_event(tx, chat_id, "update", message_id, ctx.actor.user_id)
    message = await present(tx, message_id)
    event = MessageUpdate(chat_id=chat_id, seq=seq, message=message)
    tx.after_commit(ctx.broker.log, chat_id, seq, seq, [codec.frame(event)])
    return message
