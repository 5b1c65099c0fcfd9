"""The SQL of sessions and their refresh tokens."""

from collections.abc import Collection
from datetime import datetime

from chatd.core.context import Queries
from chatd.features.accounts.contract import RefreshState, SessionRow


async def open_session(
    db: Queries,
    session_id: str,
    user_id: str,
    token_hash: bytes,
    *,
    checked_hash: str | None,
    new_hash: str | None,
    device_name: str | None,
    device_platform: str | None,
    address: str | None,
    now: datetime,
    expires_at: datetime,
) -> bool:
    """A session with its first refresh token; False where the user was banned, or has another password.

    Where the user was here before, but none of their sessions is of such a device (or, where the device
    does not say what it is, of this address), a notice for them goes with it.

    ``checked_hash`` is what the password was checked against, None for a sign-in that needs none.
    The UPDATE waits for whoever changes the account now, and judges what they have left.
    """
    return bool(
        await db.run(
            """
            WITH entrant AS (
                UPDATE users SET last_active_at = greatest(last_active_at, $7),
                                 password_hash = coalesce($4, password_hash)
                WHERE id = $2 AND ($3::text IS NULL OR password_hash = $3)
                  AND (banned_at IS NULL OR banned_until <= $7)
                RETURNING id
            ), session AS (
                INSERT INTO sessions (id, user_id, device_name, device_platform,
                                      created_at, last_used_at, expires_at, address)
                SELECT $1, id, $5, $6, $7, $7, $8, $10 FROM entrant
                RETURNING id
            ), notice AS (
                INSERT INTO login_notices (session_id, at)
                SELECT session.id, $7 FROM session, users u  -- the user as before this statement
                WHERE u.id = $2 AND u.last_active_at IS NOT NULL AND NOT EXISTS (
                    SELECT 1 FROM sessions s
                    WHERE s.user_id = $2 AND s.device_name IS NOT DISTINCT FROM $5
                      AND s.device_platform IS NOT DISTINCT FROM $6
                      AND (coalesce($5, $6) IS NOT NULL OR s.address IS NOT DISTINCT FROM $10))
            )
            INSERT INTO refresh_tokens (hash, session_id, issued_at, expires_at)
            SELECT $9, id, $7, $8 FROM session
            """,
            session_id,
            user_id,
            checked_hash,
            new_hash,
            device_name,
            device_platform,
            now,
            expires_at,
            token_hash,
            address,
        )
    )


async def lock_refresh_token(db: Queries, token_hash: bytes, now: datetime) -> RefreshState | None:
    """The token and its session, locked: the second of two who bring the same token sees it used."""
    return await db.maybe(
        RefreshState,
        """
        SELECT r.session_id, s.user_id, u.roles, r.used_at, r.expires_at, s.revoked_at,
               u.banned_at IS NOT NULL AND (u.banned_until IS NULL OR u.banned_until > $2)
        FROM refresh_tokens r JOIN sessions s ON s.id = r.session_id JOIN users u ON u.id = s.user_id
        WHERE r.hash = $1
        FOR UPDATE OF r, s
        """,
        token_hash,
        now,
    )


async def rotate(
    db: Queries, session_id: str, old_hash: bytes, new_hash: bytes, now: datetime, expires_at: datetime
) -> int:
    """The old token is used, the new one goes on for it, and the session lives as long as the new one.

    Those of the family that ran out are forgotten: nobody gets in by them, used twice or not.
    """
    return await db.run(
        """
        WITH used AS (
            UPDATE refresh_tokens SET used_at = $4 WHERE hash = $2
        ), session AS (
            UPDATE sessions SET last_used_at = $4, expires_at = greatest(expires_at, $5) WHERE id = $1
        ), forgotten AS (
            DELETE FROM refresh_tokens WHERE session_id = $1 AND expires_at < $4 AND hash <> $2
        )
        INSERT INTO refresh_tokens (hash, session_id, issued_at, expires_at) VALUES ($3, $1, $4, $5)
        """,
        session_id,
        old_hash,
        new_hash,
        now,
        expires_at,
    )


async def end_session(
    db: Queries, session_id: str, reason: str, now: datetime, *, of: str | None = None
) -> int:
    """Revoke it and tell every node; 0 where it had ended already, or is not this user's."""
    return await db.run(
        """
        WITH ended AS (
            UPDATE sessions SET revoked_at = $3, revoked_reason = $2
            WHERE id = $1 AND revoked_at IS NULL AND ($4::uuid IS NULL OR user_id = $4)
            RETURNING id, user_id
        )
        INSERT INTO node_feed (kind, session_id, user_ids, reason)
        SELECT 'session.ended', id, ARRAY[user_id], $2 FROM ended
        """,
        session_id,
        reason,
        now,
        of,
    )


async def end_sessions_of(
    db: Queries, user_id: str, reason: str, now: datetime, *, but: str | None = None
) -> int:
    """As ``end_session``, all that the user has open, but perhaps one; how many there were."""
    return await db.run(
        """
        WITH ended AS (
            UPDATE sessions SET revoked_at = $3, revoked_reason = $2
            WHERE user_id = $1 AND revoked_at IS NULL AND id IS DISTINCT FROM $4
            RETURNING id, user_id
        )
        INSERT INTO node_feed (kind, session_id, user_ids, reason)
        SELECT 'session.ended', id, ARRAY[user_id], $2 FROM ended
        """,
        user_id,
        reason,
        now,
        but,
    )


async def session_states(db: Queries, session_ids: Collection[str], now: datetime | None) -> list[SessionRow]:
    """Those of the sessions that there are; without ``now``, by the database's clock."""
    return await db.rows(
        SessionRow,
        """
        SELECT s.id,
               CASE WHEN u.banned_at IS NOT NULL
                         AND (u.banned_until IS NULL OR u.banned_until > coalesce($2, now())) THEN 'banned'
                    WHEN s.revoked_at IS NOT NULL THEN 'revoked'
                    WHEN s.expires_at <= coalesce($2, now()) THEN 'expired'
                    ELSE 'live' END
        FROM sessions s JOIN users u ON u.id = s.user_id
        WHERE s.id = ANY ($1::uuid[])
        """,
        list(session_ids),
        now,
    )


async def purge_sessions(db: Queries, before: datetime, limit: int) -> int:
    """Forget sessions that ran out before then, at most ``limit``, with what tokens they still have."""
    return await db.run(
        """
        DELETE FROM sessions WHERE id IN (
            SELECT id FROM sessions WHERE expires_at < $1
            ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED
        )
        """,
        before,
        limit,
    )
