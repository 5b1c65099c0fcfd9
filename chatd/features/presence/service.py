"""The rules of presence and typing: only people who share a chat see each other."""

from datetime import UTC, datetime

from chatd.core.context import Ctx
from chatd.core.errors import Forbidden, Muted
from chatd.core.ids import ChatId, UserId
from chatd.features.accounts import service as accounts
from chatd.features.chats import service as chats
from chatd.features.presence.contract import UserPresence
from chatd.features.relations import service as relations
from chatd.features.relations.contract import Sight


async def visible(ctx: Ctx, user_ids: list[UserId]) -> list[UserPresence]:
    """The presence of those of these users who share a chat with the actor, in the order asked.

    With whom a block stands looks like one who is offline and shows nobody when they were last there.
    """
    wanted = list(dict.fromkeys(user_ids))
    allowed = await chats.members_shared(ctx.db, ctx.actor.user_id, wanted)
    if ctx.actor.user_id in wanted:
        allowed = allowed | {ctx.actor.user_id}
    sights = await relations.sights(ctx.db, ctx.actor.user_id, allowed)
    away = [u for u in wanted if u in allowed and ctx.presence.since(u) is None]
    stored = await accounts.last_active(ctx.db, away) if away else {}
    return [_presence(ctx, sights[u], stored.get(u)) for u in wanted if u in allowed]


async def watch(ctx: Ctx, user_ids: list[UserId]) -> list[UserPresence]:
    """As ``visible``, and this socket hears of their changes from now on."""
    users = await visible(ctx, user_ids)
    shown = {user.user_id: user.status for user in users}
    ctx.presence.watch(ctx.origin, shown)
    # Asked after the list stands: of a block, or the end of the last chat that they share, which came before
    # that, the node feed has found nothing to end.
    known = await chats.members_shared(ctx.db, ctx.actor.user_id, shown) | {ctx.actor.user_id}
    users = [user for user in users if user.user_id in known]
    sights = await relations.sights(ctx.db, ctx.actor.user_id, shown.keys() & known)
    hidden = {user_id for user_id, sight in sights.items() if sight.hidden}
    discreet = [user_id for user_id, sight in sights.items() if sight.last_seen == "nobody"]
    # As it is by now: a change that came while we asked has been told, and this goes out behind it.
    users = [_presence(ctx, sights[user.user_id], user.last_active_at) for user in users]
    if hidden or discreet or not known >= shown.keys():
        seen = {user.user_id: user.status for user in users if user.user_id not in hidden}
        ctx.presence.watch(ctx.origin, seen, discreet)
    return users


def _presence(ctx: Ctx, sight: Sight, stored: datetime | None) -> UserPresence:
    if sight.hidden:
        return _offline(sight.user_id)
    user_id = sight.user_id
    status = ctx.presence.status_of(user_id)
    if status == "online":
        last: datetime | None = ctx.clock.now()
    elif sight.last_seen == "nobody":
        last = None
    else:
        since = ctx.presence.since(user_id)
        last = datetime.fromtimestamp(since, UTC) if since is not None else stored
        if last is not None:
            last = min(last, ctx.clock.now())  # the clock of the node that saw them may be ahead
    return UserPresence(user_id=user_id, status=status, last_active_at=last)  # type: ignore[arg-type]


def _offline(user_id: UserId) -> UserPresence:
    return UserPresence(user_id=user_id, status="offline", last_active_at=None)


async def type_in(ctx: Ctx, chat_id: ChatId, on: bool) -> None:
    """Tell the chat's others that the actor types, or has stopped. Raises ChatNotFound, Muted, Forbidden."""
    seat = await chats.require_seat(ctx.db, chat_id, ctx.actor.user_id)
    if on and seat.read_only:
        raise Forbidden("This chat is read-only")
    if on and seat.muted_until is not None and seat.muted_until > ctx.clock.now():
        raise Muted()
    hidden = await relations.hidden_from(ctx.db, ctx.actor.user_id) if on else frozenset()
    ctx.broker.typing(chat_id, ctx.actor.user_id, on, hidden)
