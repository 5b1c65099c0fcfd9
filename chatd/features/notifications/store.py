"""SQL of notifications: one function, one statement."""

from collections.abc import Sequence
from datetime import datetime

from chatd.core.context import Queries
from chatd.features.notifications.contract import DigestDue, Notification, NotificationId, Stored


async def insert(
    db: Queries,
    ids: Sequence[str],
    user_ids: Sequence[str],
    type: str,
    title: str,
    message: str,
    action_url: str | None,
    payload: bytes,
    dedupe_key: str | None,
    actor_id: str | None,
    always: bool,
    now: datetime,
) -> list[Stored]:
    """One for each user who wants this type and has no block with the actor; those that are new."""
    return await db.rows(
        Stored,
        """
        INSERT INTO notifications (id, user_id, type, title, message, action_url, payload, dedupe_key,
                                   created_at)
        SELECT i.id, u.id, $3, $4, $5, $6, $7::jsonb, $8, $11
        FROM unnest($1::uuid[], $2::uuid[]) AS i (id, user_id)
        JOIN users u ON u.id = i.user_id
        LEFT JOIN notification_settings s ON s.user_id = u.id
        WHERE ($10 OR NOT coalesce($3 = ANY (s.off_types), false))
          AND ($9::uuid IS NULL OR (u.id <> $9 AND NOT EXISTS (
              SELECT 1 FROM user_blocks b
              WHERE (b.blocker_id = u.id AND b.blocked_id = $9)
                 OR (b.blocker_id = $9 AND b.blocked_id = u.id))))
        ORDER BY u.id
        ON CONFLICT (user_id, type, dedupe_key) WHERE dedupe_key IS NOT NULL DO NOTHING
        RETURNING user_id, id, type, title, message, action_url, payload, read_at IS NOT NULL, created_at
        """,
        list(ids),
        list(user_ids),
        type,
        title,
        message,
        action_url,
        payload,
        dedupe_key,
        actor_id,
        always,
        now,
    )


async def page(
    db: Queries, user_id: str, unread: bool, at: datetime | None, after_id: str | None, limit: int
) -> list[Notification]:
    """Newest first, after that place."""
    return await db.rows(
        Notification,
        """
        SELECT id, type, title, message, action_url, payload, read_at IS NOT NULL, created_at
        FROM notifications
        WHERE user_id = $1 AND (NOT $2 OR read_at IS NULL)
          AND ($3::timestamptz IS NULL OR (created_at, id) < ($3, $4::uuid))
        ORDER BY created_at DESC, id DESC LIMIT $5
        """,
        user_id,
        unread,
        at,
        after_id,
        limit,
    )


async def count_unread(db: Queries, user_id: str, cap: int) -> int:
    return await db.one(
        int,
        """
        SELECT count(*) FROM (
            SELECT FROM notifications WHERE user_id = $1 AND read_at IS NULL LIMIT $2) AS n
        """,
        user_id,
        cap,
    )


async def owned(db: Queries, user_id: str, notification_id: str) -> bool:
    return await db.one(
        bool,
        "SELECT EXISTS (SELECT 1 FROM notifications WHERE id = $2 AND user_id = $1)",
        user_id,
        notification_id,
    )


async def mark_read(db: Queries, user_id: str, notification_id: str | None, now: datetime) -> list[str]:
    """This one, or all that are unread; those that were unread, as the keys of their pushes."""
    return await db.rows(
        NotificationId,
        """
        UPDATE notifications SET read_at = $3
        WHERE user_id = $1 AND read_at IS NULL AND ($2::uuid IS NULL OR id = $2)
        RETURNING id
        """,
        user_id,
        notification_id,
        now,
    )


async def purge(db: Queries, before: datetime, limit: int) -> int:
    return await db.run(
        """
        DELETE FROM notifications WHERE id IN (
            SELECT id FROM notifications WHERE created_at < $1
            ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED
        )
        """,
        before,
        limit,
    )


async def take_digests(db: Queries, now: datetime, limit: int) -> list[DigestDue]:
    """Whose last digest is a day (a week) old; it is made now, with the transaction's commit."""
    return await db.rows(
        DigestDue,
        """
        UPDATE notification_settings s SET digest_at = $1
        FROM (
            SELECT n.user_id, u.email,
                   coalesce(n.digest_at, $1::timestamptz - make_interval(days => 7)) AS since
            FROM notification_settings n JOIN users u ON u.id = n.user_id
            WHERE n.email <> 'off' AND u.email_verified
              AND (u.banned_at IS NULL OR u.banned_until <= $1::timestamptz)
              AND (n.digest_at IS NULL OR n.digest_at <= $1::timestamptz - make_interval(
                  days => CASE n.email WHEN 'daily' THEN 1 ELSE 7 END))
            ORDER BY n.digest_at NULLS FIRST LIMIT $2 FOR UPDATE OF n SKIP LOCKED
        ) due
        WHERE s.user_id = due.user_id
        RETURNING s.user_id, due.email, due.since
        """,
        now,
        limit,
    )


async def unread_since(db: Queries, user_id: str, since: datetime, limit: int) -> list[Notification]:
    return await db.rows(
        Notification,
        """
        SELECT id, type, title, message, action_url, payload, false, created_at
        FROM notifications WHERE user_id = $1 AND read_at IS NULL AND created_at > $2
        ORDER BY created_at DESC, id DESC LIMIT $3
        """,
        user_id,
        since,
        limit,
    )
