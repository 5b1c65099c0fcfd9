"""Bans from the server, and the global roles that decide who may ban whom.

Roles are asked of the table, not of the token: a moderator who was one a minute ago is none now.
"""

from collections.abc import Collection
from datetime import datetime

from chatd.core.context import Ctx, Queries, Tx
from chatd.core.errors import UserNotFound
from chatd.core.ids import UserId
from chatd.features.accounts import bans_store
from chatd.features.accounts.contract import BannedUser, Standing

#: Who may act on whom, over the whole server: only downward.
_RANKS = {"admin": 2, "moderator": 1}


def rank(roles: Collection[str]) -> int:
    """How high somebody with these global roles stands: 0 for whoever is no staff."""
    return max((_RANKS.get(role, 0) for role in roles), default=0)


async def standing(ctx: Ctx, q: Queries, user_id: UserId) -> Standing:
    """A user's global roles now. Raises UserNotFound."""
    found = await bans_store.standings(q, [user_id], ctx.clock.now())
    if not found:
        raise UserNotFound
    return found[0]


async def present(ctx: Ctx, q: Queries, user_id: UserId) -> Standing | None:
    """A user's global roles now; None where they are banned, or their account was deleted."""
    return await bans_store.find_present(q, user_id, ctx.clock.now())


async def lock_standings(ctx: Ctx, tx: Tx, user_ids: Collection[UserId]) -> dict[UserId, Standing]:
    """The global roles of these users, held until the transaction ends. Raises UserNotFound for any."""
    rows = await bans_store.lock_standings(tx, sorted(set(user_ids)), ctx.clock.now())
    if len(rows) < len(set(user_ids)):
        raise UserNotFound
    return {row.user_id: row for row in rows}


async def ban(tx: Tx, ctx: Ctx, user_id: UserId, *, until: datetime | None, reason: str) -> None:
    """Out, until then or (None) for ever: the sessions end, and every node closes the sockets with 4403.

    Raises UserNotFound.
    """
    if not await bans_store.ban(tx, user_id, until, reason, ctx.clock.now()):
        raise UserNotFound
    tx.after_commit(ctx.broker.feed_changed)


async def unban(tx: Tx, ctx: Ctx, user_id: UserId) -> bool:
    """May log in again; False where there was no ban."""
    return bool(await bans_store.unban(tx, user_id, ctx.clock.now()))


async def banned(ctx: Ctx, after: UserId | None, limit: int) -> list[BannedUser]:
    """Who is banned now, by id."""
    return await bans_store.page_of_banned(ctx.db, after, ctx.clock.now(), limit)
