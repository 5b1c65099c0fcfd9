"""Where chats' logs stand, for admins: no word of what is said in them. Who may is for the caller to say."""

from chatd.core.context import Ctx
from chatd.core.errors import ChatNotFound
from chatd.core.ids import ChatId, UserId
from chatd.features.chats import heads_store
from chatd.features.chats.contract import LogHead


async def head(ctx: Ctx, chat_id: ChatId) -> LogHead:
    """Raises ChatNotFound where there is no such chat at all."""
    found = await heads_store.find_head(ctx.db, chat_id)
    if found is None:
        raise ChatNotFound("There is no such chat")
    return found


async def heads_of(ctx: Ctx, user_id: UserId, limit: int) -> list[LogHead]:
    """Of a user's chats, newest activity first."""
    return await heads_store.heads_of(ctx.db, user_id, limit)
