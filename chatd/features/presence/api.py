"""Presence and typing on both edges."""

import msgspec

from chatd.core.context import Ctx
from chatd.core.declarations import Command, get, post
from chatd.core.errors import ChatNotFound, Forbidden, Muted, ValidationFailed
from chatd.core.ids import ChatId, UserId
from chatd.features.presence import service
from chatd.features.presence.contract import (
    MAX_WATCHED,
    PostTyping,
    PresenceAnswer,
    PresenceQuery,
    PresenceSet,
    PresenceStateEvent,
    PresenceWatch,
    TypingAnswer,
    TypingStart,
    TypingStop,
    UserPresence,
)
from chatd.wire import codec
from chatd.wire.frames import Ref


async def start_typing(ctx: Ctx, command: TypingStart) -> None:
    """Tell the chat's others that I write."""
    await service.type_in(ctx, command.chat_id, True)


async def stop_typing(ctx: Ctx, command: TypingStop) -> None:
    """Tell them that I have stopped."""
    await service.type_in(ctx, command.chat_id, False)


async def set_presence(ctx: Ctx, command: PresenceSet) -> None:
    """The state of this device."""
    ctx.presence.set_status(ctx.actor.user_id, ctx.origin, command.status)


async def watch(ctx: Ctx, command: PresenceWatch) -> list[UserPresence]:
    """Replace this socket's watch list; who may not be seen is left out of it."""
    return await service.watch(ctx, command.user_ids)


def watched(users: list[UserPresence], re: Ref) -> bytes:
    """presence.state as the answer to a watch."""
    return codec.frame(PresenceStateEvent(re=re, users=users))


async def get_presence(ctx: Ctx, query: PresenceQuery) -> PresenceAnswer:
    """The presence of users who share a chat with you; the others are left out."""
    ids = [part.strip() for text in query.user_ids for part in text.split(",") if part.strip()]
    if len(ids) > MAX_WATCHED:
        raise ValidationFailed.at("$.user_ids", f"at most {MAX_WATCHED} users")
    try:
        user_ids = msgspec.convert(ids, list[UserId])
    except msgspec.ValidationError:
        raise ValidationFailed.at("$.user_ids", "expected user ids") from None
    return PresenceAnswer(users=await service.visible(ctx, user_ids))


async def post_typing(ctx: Ctx, chat_id: ChatId, body: PostTyping) -> TypingAnswer:
    """Typing over REST, for clients without a socket."""
    if body.user_id is not None and body.user_id != ctx.actor.user_id:
        raise Forbidden("user_id must be yourself")
    await service.type_in(ctx, chat_id, body.is_typing)
    return TypingAnswer(expires_in_ms=int(ctx.settings.presence.typing_ttl_s * 1000))


ROUTES = (
    get("/presence", get_presence),
    post(
        "/chats/{chat_id}/typing",
        post_typing,
        status=200,
        raises=(ChatNotFound, Forbidden, Muted),
        limit="none",
    ),
)

COMMANDS = (
    Command(TypingStart, start_typing, raises=(ChatNotFound, Muted, Forbidden)),
    Command(TypingStop, stop_typing, raises=(ChatNotFound,)),
    Command(PresenceSet, set_presence),
    # 500 ids are 16.5 KB: a little more than any other frame may have.
    Command(PresenceWatch, watch, answers=(PresenceStateEvent,), reply=watched, max_bytes=18_432),
)
