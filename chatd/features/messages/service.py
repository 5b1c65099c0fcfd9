"""What may become of a message: edit, deletion, reactions. Each takes the chat's next seq.

All hold the chat's row from the first statement on, so that seq has no holes and rules see the truth.
"""

from collections.abc import Collection

import msgspec

from chatd.core.context import Ctx, Queries, Tx
from chatd.core.errors import Conflict, Forbidden, ValidationFailed
from chatd.core.ids import ChatId, MessageId
from chatd.features.audit import service as audit
from chatd.features.chats import service as chats
from chatd.features.chats.contract import Message, Seat, TextContent
from chatd.features.media import service as media
from chatd.features.messages import (
    activity_store,
    annotations_store,
    log_store,
    moderating_store,
    screening,
    store,
)
from chatd.features.messages.changing import present, require_target, require_voice, updated
from chatd.features.messages.contract import ChatActivity, MessageDelete
from chatd.features.messages.erasing import erase_given as erase_given
from chatd.features.messages.erasing import erase_said as erase_said
from chatd.features.messages.erasing import given as given
from chatd.features.messages.erasing import next_spoken as next_spoken
from chatd.features.messages.erasing import reworded as reworded
from chatd.features.messages.erasing import said as said
from chatd.features.messages.moderating import find_subject as find_subject
from chatd.features.messages.moderating import moderate as moderate
from chatd.features.messages.moderating import subjects as subjects
from chatd.features.messages.sending import media_of, require_sayable, send, tidy
from chatd.wire import codec

__all__ = (
    "activity",
    "delete",
    "edit",
    "erase_given",
    "erase_said",
    "find_subject",
    "given",
    "media_of",
    "moderate",
    "next_spoken",
    "react",
    "require_sayable",
    "reworded",
    "said",
    "send",
    "subjects",
    "tidy",
    "unreact",
)

#: Different emoji on one message; what more would be is noise, and a message must stay one frame.
MAX_EMOJI = 50


async def activity(q: Queries, chat_ids: Collection[ChatId]) -> dict[ChatId, ChatActivity]:
    """What people said in these chats, in one statement; unknown chats are left out."""
    if not chat_ids:
        return {}
    return {row.chat_id: row for row in await activity_store.activity(q, list(chat_ids))}


async def edit(ctx: Ctx, chat_id: ChatId, message_id: MessageId, content: TextContent) -> Message:
    """Replace what one's own message says, within ``messages.edit_window_s``.

    Saying the same again changes nothing. Raises ChatNotFound, MessageNotFound, Forbidden (another's
    message, forwarded, too late, or everybody called by one who may not), Conflict (deleted or hidden),
    Muted, Blocked, ValidationFailed.
    """
    require_sayable(content)
    content = tidy(content)
    text, attached = msgspec.json.encode(content).decode(), media_of(content)
    judgement = await screening.require_allowed(ctx, chat_id, content.text)
    async with ctx.db.transaction() as tx:
        seat = await require_voice(tx, ctx, chat_id)
        if attached:
            text = await media.described(tx, text, attached)
        target = await require_target(tx, chat_id, message_id, text)
        if target.is_system or target.sender_id != ctx.actor.user_id:
            raise Forbidden("Only its sender may edit a message")
        if target.deleted or target.hidden:
            raise Conflict("This message is not shown any more")
        if target.forwarded:
            raise Forbidden("What was forwarded is not reworded")
        window = ctx.settings.messages.edit_window_s
        if window and target.age_s > window:
            raise Forbidden(f"A message may be edited for {window} seconds")
        if target.same_content:
            return await present(tx, message_id)
        await _mention_anew(tx, seat, message_id, content)
        if attached or target.attached:
            await media.reattach(tx, message_id, chat_id, ctx.actor.user_id, attached)
        await store.set_content(tx, message_id, text)
        if judgement is not None:
            await moderating_store.set_status(tx, message_id, judgement.status)
            await moderating_store.open_case(tx, message_id, judgement.reason)
        if ctx.screen.scans:
            await moderating_store.queue_scan(tx, message_id)
        return await updated(tx, ctx, chat_id, message_id)


async def delete(ctx: Ctx, chat_id: ChatId, message_id: MessageId) -> None:
    """Leave a tombstone: as the sender, or as a moderator of the chat. Deleting twice changes nothing.

    Raises ChatNotFound, MessageNotFound, Forbidden.
    """
    async with ctx.db.transaction() as tx:
        seat = await chats.lock_seat(tx, chat_id, ctx.actor.user_id)
        target = await require_target(tx, chat_id, message_id, None)
        own = target.sender_id == ctx.actor.user_id and not target.is_system
        if not own and (seat.role not in ("owner", "moderator") or target.is_system):
            raise Forbidden("Only its sender or a moderator may delete a message")
        if target.deleted:
            return
        await store.bury(tx, message_id, ctx.actor.user_id)
        await store.drop_reactions(tx, message_id)
        if not own:
            await audit.record(
                tx,
                ctx.actor.user_id,
                "message.deleted",
                target=("message", message_id),
                chat_id=chat_id,
                author_id=target.sender_id,
            )
        seq = await log_store.append_event(tx, chat_id, "delete", message_id, ctx.actor.user_id)
        event = MessageDelete(chat_id=chat_id, seq=seq, message_id=message_id, deleted_by=ctx.actor.user_id)
        tx.after_commit(ctx.broker.log, chat_id, seq, seq, [codec.frame(event)])


async def react(ctx: Ctx, chat_id: ChatId, message_id: MessageId, emoji: str) -> Message:
    """Give an emoji; giving it twice changes nothing.

    Raises ChatNotFound, MessageNotFound, Conflict (deleted, or too many different ones), Muted, Forbidden.
    """
    async with ctx.db.transaction() as tx:
        await require_voice(tx, ctx, chat_id)
        target = await require_target(tx, chat_id, message_id, None)
        if target.deleted:
            raise Conflict("This message was deleted")
        if not await store.add_reaction(tx, message_id, emoji, ctx.actor.user_id, MAX_EMOJI):
            if not await store.has_reaction(tx, message_id, emoji, ctx.actor.user_id):
                raise Conflict(f"A message takes at most {MAX_EMOJI} different emoji")
            return await present(tx, message_id)
        return await updated(tx, ctx, chat_id, message_id)


async def unreact(ctx: Ctx, chat_id: ChatId, message_id: MessageId, emoji: str) -> Message:
    """Take an emoji back; taking back what is not there changes nothing.

    Raises ChatNotFound, MessageNotFound, Muted, Forbidden.
    """
    async with ctx.db.transaction() as tx:
        await require_voice(tx, ctx, chat_id)
        await require_target(tx, chat_id, message_id, None)
        if not await store.remove_reaction(tx, message_id, emoji, ctx.actor.user_id):
            return await present(tx, message_id)
        return await updated(tx, ctx, chat_id, message_id)


async def _mention_anew(tx: Tx, seat: Seat, message_id: MessageId, content: TextContent) -> None:
    """Put the edited content's mentions in the place of those before, by the rules of a send."""
    named, everybody = list(content.mentions or ()), content.mentions_all is True
    if everybody and seat.role == "member":
        raise Forbidden("Only moderators of this chat may call everybody")
    if len(await chats.members_among(tx, seat.chat_id, named)) < len(named):
        raise ValidationFailed.at("$.content.mentions", "somebody who is not in this chat")
    await annotations_store.drop_mentions(tx, message_id, named, everybody)
    if named or everybody:
        await annotations_store.add_mentions(tx, message_id, [*named, *([None] if everybody else [])])
