"""Who may act on whom. Staff are moderators and admins of the whole server; a chat has its own.

Nobody acts on an equal or a higher rank. In a chat, staff count as much as its owner does, and rule direct
chats too, which nobody else does. Global roles are asked of the table in the same transaction.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from chatd.core.context import Ctx, Queries, Tx
from chatd.core.errors import ChatNotFound, Forbidden, UserNotFound
from chatd.core.ids import ChatId, UserId
from chatd.features.accounts import service as accounts
from chatd.features.chats import service as chats
from chatd.features.chats.contract import RANKS

#: How "for ever" stands in a column that is compared with now.
FOR_EVER = datetime(9999, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Power:
    """What the actor may do in a chat: the rank there (staff have the owner's), and over the server."""

    chat_type: str
    rank: int
    staff_rank: int


async def staff_rank(ctx: Ctx, q: Queries) -> int:
    """The actor's rank over the whole server: 0 nobody, 1 moderator, 2 admin."""
    return accounts.rank((await accounts.standing(ctx, q, ctx.actor.user_id)).roles)


async def require_staff(ctx: Ctx, q: Queries) -> int:
    """The actor's rank. Raises Forbidden for who is no moderator or admin of the server."""
    rank = await staff_rank(ctx, q)
    if not rank:
        raise Forbidden("This is for moderators of this server")
    return rank


async def require_admin(ctx: Ctx, q: Queries) -> None:
    """Raises Forbidden for who is no admin."""
    if await staff_rank(ctx, q) < 2:
        raise Forbidden("This is for admins of this server")


async def require_power(ctx: Ctx, tx: Tx, chat_id: ChatId) -> Power:
    """Hold the chat's row, and say what the actor may do there. Raises ChatNotFound, Forbidden."""
    chat = await chats.lock(tx, chat_id)
    staff = await staff_rank(ctx, tx)
    if staff:
        return Power(chat.type, RANKS["owner"], staff)
    rank = RANKS[(await chats.require_seat(tx, chat_id, ctx.actor.user_id)).role]
    if chat.type == "direct" or rank < RANKS["moderator"]:
        raise Forbidden("Only an owner or a moderator of this chat may do this")
    return Power(chat.type, rank, 0)


async def require_over(ctx: Ctx, tx: Tx, power: Power, chat_id: ChatId, user_id: UserId) -> bool:
    """Whether the user is in the chat. Raises Forbidden where they stand too high, UserNotFound."""
    if user_id == ctx.actor.user_id:
        raise Forbidden("Not on yourself")
    if accounts.rank((await accounts.standing(ctx, tx, user_id)).roles) >= max(power.staff_rank, 1):
        raise Forbidden("Moderators and admins of the server stand above this")
    try:
        seat = await chats.require_seat(tx, chat_id, user_id)
    except ChatNotFound:
        return False
    if RANKS[seat.role] >= power.rank:
        raise Forbidden("You may only act on members of a lower rank than yours")
    return True


def require_own_members(power: Power) -> None:
    """Raises Forbidden where the members of the chat follow what it belongs to."""
    if power.chat_type != "group":
        raise Forbidden("The members of this chat are not its own to put out")


async def require_over_account(ctx: Ctx, tx: Tx, user_id: UserId) -> None:
    """Hold both accounts. Raises Forbidden where the actor's global rank is not above; UserNotFound."""
    if user_id == ctx.actor.user_id:
        raise Forbidden("Not on yourself")
    found = await accounts.lock_standings(ctx, tx, [ctx.actor.user_id, user_id])
    mine, theirs = accounts.rank(found[ctx.actor.user_id].roles), accounts.rank(found[user_id].roles)
    if not mine:
        raise Forbidden("This is for moderators of this server")
    if theirs >= mine:
        raise Forbidden("You may only act on users of a lower rank than yours")


def until(ctx: Ctx, duration_s: int | None) -> datetime | None:
    """When it ends; None for ever."""
    return ctx.clock.now() + timedelta(seconds=duration_s) if duration_s is not None else None


def require_member(there: bool) -> None:
    """Raises UserNotFound."""
    if not there:
        raise UserNotFound("This user is not in the chat")
