"""What a moderator, a filter or the outside classifier does to a message: flag it, hide it, show it again.

Who may is for the caller (the moderation room) to say. A message keeps its place; what it said stays in the
table, and is shown to nobody while it is hidden.
"""

from collections.abc import Collection
from typing import Literal

import msgspec

from chatd.core.context import Ctx, Queries, Tx
from chatd.core.errors import MessageNotFound
from chatd.core.ids import ChatId, MessageId, UserId
from chatd.features.chats import service as chats
from chatd.features.messages import log_store, moderating_store
from chatd.features.messages.contract import MessageUpdate, Moderation, Subject
from chatd.wire import codec

Status = Literal["visible", "flagged", "hidden"]
#: What ``system.moderation`` calls the change to each status.
_ACTIONS = {"visible": "restored", "flagged": "flagged", "hidden": "hidden"}


async def find_subject(q: Queries, chat_id: ChatId, message_id: MessageId) -> Subject:
    """A message with its text, whatever its state. Raises MessageNotFound."""
    found = await moderating_store.find_subject(q, chat_id, message_id)
    if found is None:
        raise MessageNotFound
    return found


async def subjects(q: Queries, message_ids: Collection[MessageId]) -> dict[MessageId, Subject]:
    """As ``find_subject``, many in one statement; unknown ids are left out."""
    return {s.id: s for s in await moderating_store.subjects(q, list(message_ids))} if message_ids else {}


async def moderate(
    tx: Tx,
    ctx: Ctx,
    chat_id: ChatId,
    message_id: MessageId,
    status: Status,
    *,
    reason: str | None,
    by: UserId | None,
) -> bool:
    """Put a message into this state and tell the chat: ``system.moderation``, then what the message is now.

    False where it was so, or was deleted. Raises ChatNotFound, MessageNotFound.
    """
    await chats.lock(tx, chat_id)
    subject = await find_subject(tx, chat_id, message_id)
    if subject.deleted or subject.status == status:
        return False
    await moderating_store.set_status(tx, message_id, status)
    detail = {"action": _ACTIONS[status], "reason": reason}
    first = await log_store.append_event(
        tx, chat_id, "moderation", message_id, by, msgspec.json.encode(detail).decode()
    )
    last = await log_store.append_event(tx, chat_id, "update", message_id, by)
    message = (await chats.messages_by_ids(tx, [message_id]))[message_id]
    told = Moderation(
        chat_id=chat_id, seq=first, message_id=message_id, action=_ACTIONS[status], reason=reason
    )
    update = MessageUpdate(chat_id=chat_id, seq=last, message=message)
    tx.after_commit(ctx.broker.log, chat_id, first, last, [codec.frame(told), codec.frame(update)])
    return True
