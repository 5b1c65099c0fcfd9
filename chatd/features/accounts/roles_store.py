"""SQL of accounts as admins see them: one function, one statement."""

from collections.abc import Sequence
from datetime import datetime

from chatd.core.context import Queries
from chatd.core.ids import UserId
from chatd.features.accounts.contract import AccountState


async def find_account(q: Queries, user_id: str, now: datetime) -> AccountState | None:
    """The account as it is kept; a ban that is over is none."""
    return await q.maybe(
        AccountState,
        """
        SELECT u.id, u.email, u.email_verified, u.display_name, u.roles,
               CASE WHEN b.live THEN u.banned_at END, CASE WHEN b.live THEN u.banned_until END,
               u.created_at, u.last_active_at,
               (SELECT count(*) FROM sessions s
                WHERE s.user_id = u.id AND s.revoked_at IS NULL AND s.expires_at > $2)
        FROM users u
        CROSS JOIN LATERAL (
            SELECT u.banned_at IS NOT NULL AND (u.banned_until IS NULL OR u.banned_until > $2) AS live
        ) b
        WHERE u.id = $1
        """,
        user_id,
        now,
    )


async def lock_admins(q: Queries) -> list[UserId]:
    """Everybody with the role admin, in the order of ids; nobody changes them until the transaction ends."""
    return await q.rows(UserId, "SELECT id FROM users WHERE 'admin' = ANY (roles) ORDER BY id FOR UPDATE")


async def set_roles(q: Queries, user_id: str, roles: Sequence[str], now: datetime) -> int:
    """0 where there is no such user."""
    return await q.run(
        "UPDATE users SET roles = $2::text[], updated_at = $3 WHERE id = $1", user_id, list(roles), now
    )
