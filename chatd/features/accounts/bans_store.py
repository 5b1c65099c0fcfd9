"""SQL of bans from the server and of global roles: one function, one statement."""

from collections.abc import Sequence
from datetime import datetime

from chatd.core.context import Queries
from chatd.core.ids import UserId
from chatd.features.accounts.contract import BannedUser, Standing


async def standings(q: Queries, user_ids: Sequence[str], now: datetime) -> list[Standing]:
    """The global roles of those of the users that there are."""
    return await q.rows(
        Standing,
        """
        SELECT id, roles, banned_at IS NOT NULL AND (banned_until IS NULL OR banned_until > $2)
        FROM users WHERE id = ANY ($1::uuid[]) ORDER BY id
        """,
        user_ids,
        now,
    )


async def find_present(q: Queries, user_id: str, now: datetime) -> Standing | None:
    """The global roles of a user who is here: neither banned nor gone, nor on the way out."""
    return await q.maybe(
        Standing,
        """
        SELECT id, roles, false FROM users
        WHERE id = $1 AND (banned_at IS NULL OR banned_until <= $2)
          AND NOT EXISTS (SELECT 1 FROM account_deletions WHERE user_id = $1)
        """,
        user_id,
        now,
    )


async def lock_standings(q: Queries, user_ids: Sequence[str], now: datetime) -> list[Standing]:
    """As ``standings``, and nobody changes them until the transaction ends. Rows are locked in id order."""
    return await q.rows(
        Standing,
        """
        SELECT id, roles, banned_at IS NOT NULL AND (banned_until IS NULL OR banned_until > $2)
        FROM users WHERE id = ANY ($1::uuid[]) ORDER BY id FOR NO KEY UPDATE
        """,
        user_ids,
        now,
    )


async def ban(q: Queries, user_id: str, until: datetime | None, reason: str, now: datetime) -> int:
    """Ban, revoke every session and tell every node; 0 where there is no such user."""
    return await q.run(
        """
        WITH banned AS (
            UPDATE users SET banned_at = $4, banned_until = $2, updated_at = $4 WHERE id = $1 RETURNING id
        ), ended AS (
            UPDATE sessions s SET revoked_at = $4, revoked_reason = 'banned'
            FROM banned b WHERE s.user_id = b.id AND s.revoked_at IS NULL
        )
        INSERT INTO node_feed (kind, user_ids, reason) SELECT 'user.banned', ARRAY[id], $3 FROM banned
        """,
        user_id,
        until,
        reason,
        now,
    )


async def unban(q: Queries, user_id: str, now: datetime) -> int:
    """1 where a ban was there."""
    return await q.run(
        """
        UPDATE users SET banned_at = NULL, banned_until = NULL, updated_at = $2
        WHERE id = $1 AND banned_at IS NOT NULL
        """,
        user_id,
        now,
    )


async def page_of_banned(q: Queries, after: UserId | None, now: datetime, limit: int) -> list[BannedUser]:
    """Who is banned now, by id, after one."""
    return await q.rows(
        BannedUser,
        """
        SELECT id, display_name, banned_at, banned_until FROM users
        WHERE banned_at IS NOT NULL AND (banned_until IS NULL OR banned_until > $2)
          AND ($1::uuid IS NULL OR id > $1)
        ORDER BY id LIMIT $3
        """,
        after,
        now,
        limit,
    )
