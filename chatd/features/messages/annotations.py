"""What members do with messages beside answering: pin them, forward them, look at earlier versions."""

import msgspec

from chatd.core.context import Ctx
from chatd.core.errors import Conflict, Forbidden, MessageNotFound
from chatd.core.ids import ChatId, MessageId
from chatd.features.chats import service as chats
from chatd.features.chats.contract import ForwardedContent, Message, Seat, TextContent
from chatd.features.messages import annotations_store as store
from chatd.features.messages import sending
from chatd.features.messages.changing import present, require_target, require_voice, updated
from chatd.features.messages.contract import Version
from chatd.features.messages.sending import Stored

MAX_PINS = 50
_decode_text = msgspec.json.Decoder(TextContent).decode


# ------------------------------------------------------------------------------------------------- pins


async def pin(ctx: Ctx, chat_id: ChatId, message_id: MessageId) -> Message:
    """Pin a message, as a moderator, or as one of the two of a direct chat; pinning twice is once.

    Raises ChatNotFound, MessageNotFound, Forbidden, Conflict (deleted, hidden, or too many pins), Muted,
    Blocked (in a direct chat).
    """
    async with ctx.db.transaction() as tx:
        _require_may_pin(await require_voice(tx, ctx, chat_id))
        target = await require_target(tx, chat_id, message_id, None)
        if target.pinned:
            return await present(tx, message_id)
        if target.deleted or target.hidden:
            raise Conflict("This message is not shown any more")
        if len(await store.pins(tx, chat_id)) >= MAX_PINS:
            raise Conflict(f"A chat has at most {MAX_PINS} pinned messages")
        await store.pin(tx, message_id, ctx.actor.user_id)
        return await updated(tx, ctx, chat_id, message_id)


async def unpin(ctx: Ctx, chat_id: ChatId, message_id: MessageId) -> Message:
    """Take a pin away; taking away what is not there changes nothing. Raises as ``pin`` does."""
    async with ctx.db.transaction() as tx:
        _require_may_pin(await require_voice(tx, ctx, chat_id))
        target = await require_target(tx, chat_id, message_id, None)
        if not target.pinned:
            return await present(tx, message_id)
        await store.unpin(tx, message_id)
        return await updated(tx, ctx, chat_id, message_id)


async def pins(ctx: Ctx, chat_id: ChatId) -> list[Message]:
    """The chat's pinned messages, the last pinned first. Raises ChatNotFound."""
    await chats.require_seat(ctx.db, chat_id, ctx.actor.user_id)
    ids = await store.pins(ctx.db, chat_id)
    found = await chats.messages_by_ids(ctx.db, ids)
    return [found[message_id] for message_id in ids]


def _require_may_pin(seat: Seat) -> None:
    if seat.type != "direct" and seat.role == "member":
        raise Forbidden("Only moderators of this chat pin messages")


# --------------------------------------------------------------------------------------------- versions


async def versions(ctx: Ctx, chat_id: ChatId, message_id: MessageId) -> list[Version]:
    """What a message said before each edit, for the chat's moderators; nothing of a deleted one is left.

    Raises ChatNotFound, MessageNotFound, Forbidden.
    """
    seat = await chats.require_seat(ctx.db, chat_id, ctx.actor.user_id)
    if seat.role == "member":
        raise Forbidden("Only moderators of this chat see what was edited away")
    await readable(ctx, chat_id, message_id)
    return await store.versions(ctx.db, message_id)


# --------------------------------------------------------------------------------------------- forwards


async def forward(
    ctx: Ctx, chat_id: ChatId, message_id: MessageId, *, to: ChatId, client_message_id: str
) -> Stored:
    """Say in another chat what was said in this one. The copy tells neither where nor by whom.

    Raises ChatNotFound (either chat), MessageNotFound, Conflict (nothing there to forward), and what a
    send raises.
    """
    await chats.require_seat(ctx.db, chat_id, ctx.actor.user_id)
    message = await readable(ctx, chat_id, message_id)
    if message.deleted_at is not None or message.moderation_status == "hidden":
        raise Conflict("This message is not shown any more")
    try:
        content = _decode_text(message.content)
    except msgspec.ValidationError:
        raise Conflict("Only what a person said can be forwarded") from None
    copy = ForwardedContent(text=content.text, attachments=content.attachments, forwarded=True)
    return await sending.forward(ctx, to, client_message_id, copy)


async def readable(ctx: Ctx, chat_id: ChatId, message_id: MessageId) -> Message:
    """A message of this chat, which the actor is in. Raises MessageNotFound."""
    message = (await chats.messages_by_ids(ctx.db, [message_id])).get(message_id)
    if message is None or message.chat_id != chat_id:
        raise MessageNotFound
    return message
