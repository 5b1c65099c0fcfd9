"""The rules of admin. Roles are asked of the table, not of the token: who was an admin a minute ago is none.

Nobody acts on an equal: an admin is made a user first, and only then banned. ``ctx.actor`` with no user id
is whoever has the server's command line, who may do anything.
"""

from typing import Any

from chatd.core.context import Ctx, Tx
from chatd.core.errors import Conflict, Forbidden, ValidationFailed
from chatd.core.ids import ChatId, SessionId, UserId
from chatd.db import feed
from chatd.features.accounts import service as accounts
from chatd.features.accounts.contract import AccountState, Ended, Sessions, Standing
from chatd.features.admin.contract import BanUser, Heads
from chatd.features.audit import service as audit
from chatd.features.chats import service as chats
from chatd.features.chats.contract import LogHead


async def account(ctx: Ctx, user_id: UserId) -> AccountState:
    """Raises Forbidden, UserNotFound."""
    await _require_admin(ctx)
    return await accounts.account(ctx, ctx.db, user_id)


async def set_roles(ctx: Ctx, user_id: UserId, wanted: list[str]) -> AccountState:
    """Give and take global roles. Who loses one is logged out, so that no token says it any longer.

    Raises Forbidden, UserNotFound, Conflict where nobody would be an admin any more.
    """
    async with ctx.db.transaction() as tx:
        admins = await accounts.lock_admins(tx)
        held = await _lock(ctx, tx, user_id)
        now = ["user", *sorted(set(wanted) - {"user"})]
        if "admin" not in now and admins == [user_id] and ctx.actor.user_id:
            raise Conflict("Somebody has to be an admin")
        await accounts.set_roles(tx, ctx, user_id, now)
        if set(held[user_id].roles) - set(now):
            await accounts.end_sessions(tx, ctx, user_id, reason="roles_changed")
        await _record(ctx, tx, "user.roles", user_id, before=held[user_id].roles, after=now)
        return await accounts.account(ctx, tx, user_id)


async def ban(ctx: Ctx, user_id: UserId, wanted: BanUser) -> AccountState:
    """Out: sessions end, and every node closes the sockets with 4403.

    Raises Forbidden, UserNotFound, ValidationFailed for a time that is over.
    """
    if wanted.until is not None and wanted.until <= ctx.clock.now():
        raise ValidationFailed.at("$.until", "is over already")
    async with ctx.db.transaction() as tx:
        held = await _lock(ctx, tx, user_id)
        if accounts.rank(held[user_id].roles) >= _rank_of_actor(ctx):
            raise Forbidden("Take an admin's role away before you ban them")
        await accounts.ban(tx, ctx, user_id, until=wanted.until, reason=wanted.reason)
        await _record(ctx, tx, "user.ban", user_id, until=wanted.until, reason=wanted.reason)
        return await accounts.account(ctx, tx, user_id)


async def unban(ctx: Ctx, user_id: UserId) -> None:
    """May log in again; who was not banned stays so. Raises Forbidden, UserNotFound."""
    async with ctx.db.transaction() as tx:
        await _lock(ctx, tx, user_id)
        if await accounts.unban(tx, ctx, user_id):
            await _record(ctx, tx, "user.unban", user_id)


async def sessions(ctx: Ctx, user_id: UserId) -> Sessions:
    """Where somebody is logged in. Raises Forbidden, UserNotFound."""
    await _require_admin(ctx)
    await accounts.account(ctx, ctx.db, user_id)
    return await accounts.sessions_of(ctx, user_id)


async def end_session(ctx: Ctx, user_id: UserId, session_id: SessionId) -> None:
    """Raises Forbidden, UserNotFound, NotFound."""
    async with ctx.db.transaction() as tx:
        await _lock(ctx, tx, user_id)
        await accounts.end_session_of(tx, ctx, user_id, session_id)
        await _record(ctx, tx, "session.end", user_id, session_id=session_id)


async def end_sessions(ctx: Ctx, user_id: UserId) -> Ended:
    """Log somebody out everywhere. Raises Forbidden, UserNotFound."""
    async with ctx.db.transaction() as tx:
        await _lock(ctx, tx, user_id)
        ended = await accounts.end_sessions(tx, ctx, user_id, reason="ended_by_admin")
        await _record(ctx, tx, "session.end_all", user_id, ended=ended)
    return Ended(ended=ended)


async def chat_head(ctx: Ctx, chat_id: ChatId) -> LogHead:
    """Raises Forbidden, ChatNotFound."""
    await _require_admin(ctx)
    return await chats.head(ctx, chat_id)


async def chat_heads(ctx: Ctx, user_id: UserId, limit: int) -> Heads:
    """Raises Forbidden."""
    await _require_admin(ctx)
    return Heads(items=await chats.heads_of(ctx, user_id, limit))


async def drain(ctx: Ctx) -> None:
    """Every supervisor replaces its workers one by one: a new one is ready before an old one sends its
    sockets elsewhere. Raises Forbidden.
    """
    await _require_admin(ctx)
    async with ctx.db.transaction() as tx:
        await feed.drain(tx)
        await audit.record(tx, ctx.actor.user_id or None, "nodes.drain")
        tx.after_commit(ctx.broker.feed_changed)


def _rank_of_actor(ctx: Ctx) -> int:
    return accounts.rank(["admin"]) + (0 if ctx.actor.user_id else 1)


async def _require_admin(ctx: Ctx) -> None:
    if ctx.actor.user_id and "admin" not in (await accounts.standing(ctx, ctx.db, ctx.actor.user_id)).roles:
        raise Forbidden("This is for admins")


async def _lock(ctx: Ctx, tx: Tx, user_id: UserId) -> dict[str, Standing]:
    """The standings of the actor and the user, held until the end. Raises Forbidden, UserNotFound."""
    actor = ctx.actor.user_id
    # Who is no admin learns nothing of who is there.
    await _require_admin(ctx)
    held = await accounts.lock_standings(ctx, tx, [user_id, *([actor] if actor else [])])
    if actor and "admin" not in held[actor].roles:
        raise Forbidden("This is for admins")
    return held


async def _record(ctx: Ctx, tx: Tx, action: str, user_id: UserId, **detail: Any) -> None:
    await audit.record(tx, ctx.actor.user_id or None, action, target=("user", user_id), **detail)
