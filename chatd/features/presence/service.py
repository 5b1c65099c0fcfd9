"""The rules of presence and typing: only people who share a chat see each other."""

from datetime import UTC, datetime

from chatd.core.context import Ctx
from chatd.core.errors import Forbidden, Muted
from chatd.core.ids import ChatId, UserId
from chatd.features.accounts import service as accounts
from chatd.features.chats import service as chats
from chatd.features.presence.contract import UserPresence


async def visible(ctx: Ctx, user_ids: list[UserId]) -> list[UserPresence]:
    """The presence of those of these users who share a chat with the actor, in the order asked."""
    wanted = list(dict.fromkeys(user_ids))
    allowed = await chats.members_shared(ctx.db, ctx.actor.user_id, wanted)
    if ctx.actor.user_id in wanted:
        allowed = allowed | {ctx.actor.user_id}
    away = [u for u in wanted if u in allowed and ctx.presence.since(u) is None]
    stored = await accounts.last_active(ctx.db, away) if away else {}
    return [_presence(ctx, u, stored.get(u)) for u in wanted if u in allowed]


def _presence(ctx: Ctx, user_id: UserId, stored: datetime | None) -> UserPresence:
    status = ctx.presence.status_of(user_id)
    if status == "online":
        last: datetime | None = ctx.clock.now()
    else:
        since = ctx.presence.since(user_id)
        last = datetime.fromtimestamp(since, UTC) if since is not None else stored
    return UserPresence(user_id=user_id, status=status, last_active_at=last)  # type: ignore[arg-type]


async def type_in(ctx: Ctx, chat_id: ChatId, on: bool) -> None:
    """Tell the chat's others that the actor types, or has stopped. Raises ChatNotFound, Muted, Forbidden."""
    seat = await chats.require_seat(ctx.db, chat_id, ctx.actor.user_id)
    if on and seat.read_only:
        raise Forbidden("This chat is read-only")
    if on and seat.muted_until is not None and seat.muted_until > ctx.clock.now():
        raise Muted()
    ctx.broker.typing(chat_id, ctx.actor.user_id, on)
