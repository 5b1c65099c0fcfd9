"""Accounts as admins see and change them. Who may is for the caller (the admin room) to say."""

from chatd.core.context import Ctx, Queries, Tx
from chatd.core.errors import NotFound, UserNotFound
from chatd.core.ids import SessionId, UserId
from chatd.features.accounts import roles_store, sessions
from chatd.features.accounts import security_store as safe
from chatd.features.accounts.contract import AccountState, Sessions


async def account(ctx: Ctx, q: Queries, user_id: UserId) -> AccountState:
    """The account as it is kept. Raises UserNotFound."""
    found = await roles_store.find_account(q, user_id, ctx.clock.now())
    if found is None:
        raise UserNotFound
    return found


async def lock_admins(tx: Tx) -> list[UserId]:
    """Everybody with the role admin. Held until the transaction ends, so that the last of them is known."""
    return await roles_store.lock_admins(tx)


async def set_roles(tx: Tx, ctx: Ctx, user_id: UserId, roles: list[str]) -> None:
    """The user's global roles are these now; tokens say so from their next refresh. Raises UserNotFound."""
    if not await roles_store.set_roles(tx, user_id, roles, ctx.clock.now()):
        raise UserNotFound


async def sessions_of(ctx: Ctx, user_id: UserId) -> Sessions:
    """Where somebody is logged in."""
    found = await safe.sessions_of(ctx.db, user_id, ctx.actor.session_id or None, ctx.clock.now())
    return Sessions(sessions=found)


async def end_session_of(tx: Tx, ctx: Ctx, user_id: UserId, session_id: SessionId) -> None:
    """End one of the user's sessions; its sockets close with 4401. Raises NotFound."""
    if not await sessions.end_session(tx, ctx, session_id, reason="ended_by_admin", of=user_id):
        raise NotFound("The user has no such session open")
