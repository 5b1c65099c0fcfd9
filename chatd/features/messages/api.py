"""Messages on both edges."""

from chatd.core.context import Ctx
from chatd.core.declarations import Answer, Command, delete, get, patch, post, put
from chatd.core.errors import (
    Blocked,
    ChatNotFound,
    Conflict,
    Forbidden,
    MessageNotFound,
    Muted,
    RateLimited,
    Unavailable,
)
from chatd.core.ids import ChatId, MessageId
from chatd.core.pending import Pending
from chatd.features.chats.contract import Message
from chatd.features.messages import annotations, reading, receipts, sending, service
from chatd.features.messages.contract import (
    AddReaction,
    DeleteMessage,
    EditMessage,
    Emoji,
    ForwardMessage,
    History,
    HistoryQuery,
    MarkRead,
    PatchMessage,
    Pins,
    PostMessage,
    Queued,
    ReadMark,
    ReadUpTo,
    ReceivedUpTo,
    Removed,
    RemoveReaction,
    SendAck,
    SendMessage,
    Sync,
    Versions,
)
from chatd.features.messages.receipts import Marked
from chatd.features.messages.sending import Stored
from chatd.wire import codec
from chatd.wire.frames import Ref, SyncComplete

# ------------------------------------------------------------------------------------------------ socket


def send(ctx: Ctx, command: SendMessage) -> Pending[Stored]:
    """Say something in a chat."""
    return sending.send(ctx, command.chat_id, command.client_message_id, command.content, command.reply_to)


def send_ack(stored: Stored, re: Ref) -> bytes:
    """The ack of a send."""
    return codec.frame(
        SendAck(
            re=re,
            client_message_id=stored.sending.client_message_id,
            ack_token=stored.ack_token,
            message_id=stored.message_id,
            chat_id=stored.sending.chat_id,
            seq=stored.seq,
            sent_at=stored.sent_at,
            duplicate=stored.duplicate,
        )
    )


async def edit(ctx: Ctx, command: EditMessage) -> None:
    """Say one's own message anew."""
    await service.edit(ctx, command.chat_id, command.message_id, command.content)


async def remove(ctx: Ctx, command: DeleteMessage) -> None:
    """Leave a tombstone in place of a message."""
    await service.delete(ctx, command.chat_id, command.message_id)


async def add_reaction(ctx: Ctx, command: AddReaction) -> None:
    """React to a message."""
    await service.react(ctx, command.chat_id, command.message_id, command.emoji)


async def remove_reaction(ctx: Ctx, command: RemoveReaction) -> None:
    """Take one's reaction back."""
    await service.unreact(ctx, command.chat_id, command.message_id, command.emoji)


def read(ctx: Ctx, command: ReadUpTo) -> Pending[Marked]:
    """I have read everything up to this message."""
    return receipts.read(ctx, command.chat_id, command.last_read_message_id)


def received(ctx: Ctx, command: ReceivedUpTo) -> Pending[Marked]:
    """This device has everything up to this message."""
    return receipts.received(ctx, command.chat_id, command.message_id)


async def sync(ctx: Ctx, command: Sync) -> tuple[list[bytes], str, int]:
    """The durable events of a chat after a seq, then sync.complete."""
    frames, head = await reading.sync(ctx, command.chat_id, command.after_seq, command.limit)
    return frames, command.chat_id, head


def synced(result: tuple[list[bytes], str, int], re: Ref) -> bytes:
    """The replayed frames with their sync.complete."""
    frames, chat_id, head = result
    return b"".join((*frames, codec.frame(SyncComplete(re=re, chat_id=chat_id, head_seq=head))))


# -------------------------------------------------------------------------------------------------- REST


async def post_message(ctx: Ctx, chat_id: ChatId, body: PostMessage) -> Answer[Queued]:
    """Send a message; 202 once it is durable, 200 with the same for a repeat."""
    if body.sender_id is not None and body.sender_id != ctx.actor.user_id:
        raise Forbidden("sender_id must be yourself")
    return _queued(await sending.send(ctx, chat_id, body.client_message_id, body.content, body.reply_to))


def _queued(stored: Stored) -> Answer[Queued]:
    queued = Queued(
        message_id=stored.message_id,
        ack_token=stored.ack_token,
        status="queued",
        seq=stored.seq,
        sent_at=stored.sent_at,
    )
    return Answer(queued, 200 if stored.duplicate else 202)


async def get_history(ctx: Ctx, chat_id: ChatId, query: HistoryQuery) -> History:
    """The chat's messages, newest first, with their delivery."""
    return await reading.history(ctx, chat_id, query)


async def patch_message(ctx: Ctx, chat_id: ChatId, message_id: MessageId, body: PatchMessage) -> Message:
    """Edit one's own message."""
    return await service.edit(ctx, chat_id, message_id, body.content)


async def delete_message(ctx: Ctx, chat_id: ChatId, message_id: MessageId) -> Removed:
    """Delete a message: one's own, or any as a moderator."""
    await service.delete(ctx, chat_id, message_id)
    return Removed(status="removed", moderator_id=ctx.actor.user_id)


async def put_reaction(ctx: Ctx, chat_id: ChatId, message_id: MessageId, emoji: Emoji) -> Message:
    """React to a message; twice is once."""
    return await service.react(ctx, chat_id, message_id, emoji)


async def delete_reaction(ctx: Ctx, chat_id: ChatId, message_id: MessageId, emoji: Emoji) -> Message:
    """Take one's reaction back."""
    return await service.unreact(ctx, chat_id, message_id, emoji)


async def get_pins(ctx: Ctx, chat_id: ChatId) -> Pins:
    """The pinned messages, the last pinned first."""
    return Pins(messages=await annotations.pins(ctx, chat_id))


async def put_pin(ctx: Ctx, chat_id: ChatId, message_id: MessageId) -> Message:
    """Pin a message: as a moderator, or as one of the two of a direct chat; twice is once."""
    return await annotations.pin(ctx, chat_id, message_id)


async def delete_pin(ctx: Ctx, chat_id: ChatId, message_id: MessageId) -> Message:
    """Take a pin away."""
    return await annotations.unpin(ctx, chat_id, message_id)


async def get_versions(ctx: Ctx, chat_id: ChatId, message_id: MessageId) -> Versions:
    """What a message said before each edit; for the chat's moderators."""
    return Versions(versions=await annotations.versions(ctx, chat_id, message_id))


async def forward_message(
    ctx: Ctx, chat_id: ChatId, message_id: MessageId, body: ForwardMessage
) -> Answer[Queued]:
    """Say a message again in another chat, which is not told where it is from; answers as a send does."""
    return _queued(
        await annotations.forward(
            ctx, chat_id, message_id, to=body.chat_id, client_message_id=body.client_message_id
        )
    )


async def mark_read(ctx: Ctx, chat_id: ChatId, body: MarkRead) -> ReadMark:
    """Move one's read watermark; it never moves back."""
    marked = await receipts.read(ctx, chat_id, body.last_read_message_id)
    return ReadMark(last_read_message_id=body.last_read_message_id, last_read_seq=marked.seq)


_MESSAGE = (ChatNotFound, MessageNotFound)
_VOICE = (*_MESSAGE, Forbidden, Muted, Blocked)

ROUTES = (
    post(
        "/chats/{chat_id}/messages",
        post_message,
        status=(202, 200),
        raises=(*_VOICE, Conflict, RateLimited, Unavailable),
        limit="none",
    ),
    get("/chats/{chat_id}/messages", get_history, raises=(ChatNotFound,)),
    patch("/chats/{chat_id}/messages/{message_id}", patch_message, raises=(*_VOICE, Conflict), limit="none"),
    delete(
        "/chats/{chat_id}/messages/{message_id}", delete_message, raises=(*_MESSAGE, Forbidden), limit="none"
    ),
    put(
        "/chats/{chat_id}/messages/{message_id}/reactions/{emoji}",
        put_reaction,
        raises=(*_VOICE, Conflict),
        limit="none",
    ),
    delete(
        "/chats/{chat_id}/messages/{message_id}/reactions/{emoji}",
        delete_reaction,
        raises=_VOICE,
        limit="none",
    ),
    get("/chats/{chat_id}/pins", get_pins, raises=(ChatNotFound,)),
    put(
        "/chats/{chat_id}/messages/{message_id}/pin",
        put_pin,
        raises=(*_VOICE, Conflict),
        limit="none",
    ),
    delete(
        "/chats/{chat_id}/messages/{message_id}/pin",
        delete_pin,
        raises=_VOICE,
        limit="none",
    ),
    get("/chats/{chat_id}/messages/{message_id}/versions", get_versions, raises=(*_MESSAGE, Forbidden)),
    post(
        "/chats/{chat_id}/messages/{message_id}/forward",
        forward_message,
        status=(202, 200),
        raises=(*_VOICE, Conflict, RateLimited, Unavailable),
        limit="none",
    ),
    post("/chats/{chat_id}/read", mark_read, status=200, raises=_MESSAGE, limit="none"),
)

COMMANDS = (
    Command(
        SendMessage,
        send,
        raises=(*_VOICE, Conflict, RateLimited, Unavailable),
        answers=(SendAck,),
        reply=send_ack,
        counted=False,
    ),
    Command(EditMessage, edit, raises=(*_VOICE, Conflict)),
    Command(DeleteMessage, remove, raises=(*_MESSAGE, Forbidden)),
    Command(AddReaction, add_reaction, raises=(*_VOICE, Conflict)),
    Command(RemoveReaction, remove_reaction, raises=_VOICE),
    Command(ReadUpTo, read, raises=_MESSAGE),
    Command(ReceivedUpTo, received, raises=_MESSAGE),
    Command(Sync, sync, raises=(ChatNotFound,), answers=(SyncComplete,), reply=synced),
)
