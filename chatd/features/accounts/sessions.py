"""Sessions: one log-in, a family of refresh tokens, of which one at a time is good.

A refresh token is good once. Whoever brings it a second time ends the session, for the server cannot
tell the thief from the owner (RFC 9700, 4.14.2). There is no grace: a client that retries after a lost
answer has to log in again, and two that race with one token get one success and no session.
"""

import hashlib
import secrets
from collections.abc import Collection
from datetime import datetime, timedelta

from chatd.core.context import Ctx, Queries, Tx
from chatd.core.errors import AppError, Banned, Unauthenticated
from chatd.features.accounts import sessions_store, tokens
from chatd.features.accounts.contract import Device, RefreshState, SessionState, Tokens


async def open_session(
    ctx: Ctx,
    db: Queries,
    user_id: str,
    roles: Collection[str],
    device: Device | None,
    *,
    checked_hash: str | None = None,
    new_hash: str | None = None,
) -> Tokens:
    """A new session and its tokens.

    Raises Unauthenticated where, since it was read, the account was banned or its password changed.
    """
    now = ctx.clock.now()
    session_id, token = ctx.ids.new("ses"), _new_token()
    opened = await sessions_store.open_session(
        db,
        session_id,
        user_id,
        _hash(token),
        checked_hash=checked_hash,
        new_hash=new_hash,
        device_name=device.name if device else None,
        device_platform=device.platform if device else None,
        address=ctx.address or None,
        now=now,
        expires_at=now + timedelta(seconds=ctx.settings.auth.refresh_ttl_s),
    )
    if not opened:
        raise Unauthenticated("The account has changed meanwhile: sign in again")
    return _tokens(ctx, user_id, session_id, roles, token, now)


async def refresh(ctx: Ctx, token: str) -> Tokens:
    """Both tokens new. Raises Unauthenticated, or Banned; a token used before ends its session."""
    now, old = ctx.clock.now(), _hash(token)
    async with ctx.db.transaction() as tx:
        state = await sessions_store.lock_refresh_token(tx, old, now)
        refused = _refusal(state, now)
        if state is not None and refused is None:
            return await _rotate(ctx, tx, state, old)
        if state is not None and state.used_at is not None:
            await end_session(tx, ctx, state.session_id, reason="refresh_token_reused")
    raise refused or Unauthenticated()  # only after the block: the revocation has to be committed


async def logout(ctx: Ctx) -> None:
    """End the actor's session: its tokens are refused and its sockets close. Twice is as good as once."""
    async with ctx.db.transaction() as tx:
        await end_session(tx, ctx, ctx.actor.session_id, reason="logout")


async def session_states(
    db: Queries, session_ids: Collection[str], *, now: datetime | None = None
) -> dict[str, SessionState]:
    """The state of every session asked for, in one statement; ``unknown`` where there is none such.

    Without ``now``, expiry is judged by the database's clock.
    """
    states: dict[str, SessionState] = dict.fromkeys(session_ids, "unknown")
    if states:
        states.update((row.id, row.state) for row in await sessions_store.session_states(db, states, now))
    return states


def session_refusal(state: SessionState) -> AppError | None:
    """What to answer to a good token whose session is in this state; None for ``live``."""
    if state == "live":
        return None
    if state == "banned":
        return Banned()
    return Unauthenticated("The session has expired" if state == "expired" else "The session has ended")


async def require_live_session(ctx: Ctx) -> None:
    """Raises Unauthenticated or Banned where the actor's token has outlived its session."""
    session = ctx.actor.session_id
    if not session:
        raise Unauthenticated
    states = await session_states(ctx.db, (session,), now=ctx.clock.now())
    refused = session_refusal(states[session])
    if refused is not None:
        raise refused


async def end_session(tx: Tx, ctx: Ctx, session_id: str, *, reason: str, of: str | None = None) -> bool:
    """It ends and its sockets close with 4401; False where it had ended already, or is not this user's."""
    ended = await sessions_store.end_session(tx, session_id, reason, ctx.clock.now(), of=of)
    if ended:
        tx.after_commit(ctx.broker.feed_changed)
    return bool(ended)


async def end_sessions(tx: Tx, ctx: Ctx, user_id: str, *, reason: str, but: str | None = None) -> int:
    """Every session of the user, but perhaps one, ends and its sockets close with 4401; how many."""
    ended = await sessions_store.end_sessions_of(tx, user_id, reason, ctx.clock.now(), but=but)
    if ended:
        tx.after_commit(ctx.broker.feed_changed)
    return ended


async def _rotate(ctx: Ctx, tx: Tx, state: RefreshState, old: bytes) -> Tokens:
    now, new = ctx.clock.now(), _new_token()
    expires_at = now + timedelta(seconds=ctx.settings.auth.refresh_ttl_s)
    await sessions_store.rotate(tx, state.session_id, old, _hash(new), now, expires_at)
    return _tokens(ctx, state.user_id, state.session_id, state.roles, new, now)


def _refusal(state: RefreshState | None, now: datetime) -> AppError | None:
    if state is None or state.used_at is not None or state.revoked_at is not None or state.expires_at <= now:
        # One answer for all of them: a stranger learns nothing about a token.
        return Unauthenticated("The refresh token is not valid")
    return Banned() if state.banned else None


def _tokens(
    ctx: Ctx, user_id: str, session_id: str, roles: Collection[str], refresh_token: str, now: datetime
) -> Tokens:
    ttl = ctx.settings.auth.access_ttl_s
    access = tokens.issue(ctx.settings, user_id, session_id, roles, now, ttl)
    return Tokens(access_token=access, expires_in=ttl, refresh_token=refresh_token)


def _new_token() -> str:
    return secrets.token_urlsafe(32)  # 256 bits: its hash needs no salt, and nobody finds it by trying


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
