"""Bans from a chat, and mutes in it. They write; who may is for the caller (the moderation room) to say."""

from collections.abc import Collection
from datetime import datetime

from chatd.core.context import Ctx, Queries, Tx
from chatd.core.errors import Forbidden, Muted, UserNotFound
from chatd.core.ids import ChatId, UserId
from chatd.features.chats import guard_store
from chatd.features.chats.contract import ChatBan


async def save_ban(
    tx: Tx,
    ctx: Ctx,
    chat_id: ChatId,
    user_id: UserId,
    *,
    by: UserId,
    until: datetime | None,
    reason: str | None,
) -> None:
    """Nobody lets the user in again until then or (None) for ever. The caller holds the chat's row, and
    puts out who is in. Raises UserNotFound.
    """
    await guard_store.save_ban(tx, chat_id, user_id, by, reason, ctx.clock.now(), until)


async def lift_ban(tx: Tx, chat_id: ChatId, user_id: UserId) -> bool:
    """The user may be let in again; False where there was no ban."""
    return bool(await guard_store.delete_ban(tx, chat_id, user_id))


async def bans(ctx: Ctx, chat_id: ChatId, after: UserId | None, limit: int) -> list[ChatBan]:
    """Who is banned from the chat now, by id."""
    return await guard_store.bans(ctx.db, chat_id, after, ctx.clock.now(), limit)


async def require_none_banned(ctx: Ctx, q: Queries, chat_id: ChatId, user_ids: Collection[UserId]) -> None:
    """Raises Forbidden where one of them is banned from the chat: an old invitation does not help."""
    if await guard_store.banned_among(q, chat_id, list(user_ids), ctx.clock.now()):
        raise Forbidden("One of these users is banned from this chat")


async def require_unmuted(ctx: Ctx, q: Queries, user_id: UserId) -> None:
    """Raises Muted where the user may write nowhere on this server now."""
    if await guard_store.muted_everywhere(q, user_id, ctx.clock.now()):
        raise Muted("You are muted")


async def mute(tx: Tx, chat_id: ChatId, user_id: UserId, until: datetime | None) -> None:
    """The member may read but not write until then; None: may write again. Raises UserNotFound."""
    if not await guard_store.set_muted(tx, chat_id, user_id, until):
        raise UserNotFound("This user is not in the chat")
