"""SQL of the outbox of pushes: one function, one statement.

The two big statements read what other rooms write (receipts, wishes, blocks, bans): what may be pushed is
a question about all of them at one moment.
"""

from collections.abc import Sequence
from datetime import datetime

from chatd.core.context import Queries
from chatd.features.devices.contract import Claimed, Due


async def lock_cursor(db: Queries, oldest_s: float) -> datetime | None:
    """Up to where messages have been looked at, but not before ``oldest_s`` ago; None while another looks."""
    return await db.maybe(
        datetime,
        """
        SELECT greatest(at, clock_timestamp() - make_interval(secs => $1))
        FROM push_cursor WHERE one FOR UPDATE SKIP LOCKED
        """,
        oldest_s,
    )


async def move_cursor(db: Queries, since: datetime, grace_s: float, most_s: float) -> datetime:
    """Forward to ``grace_s`` ago by the database's clock, at most ``most_s`` at once; where it is then."""
    return await db.one(
        datetime,
        """
        UPDATE push_cursor SET at = greatest(at, least(
            clock_timestamp() - make_interval(secs => $2), $1::timestamptz + make_interval(secs => $3)))
        WHERE one RETURNING at
        """,
        since,
        grace_s,
        most_s,
    )


async def enqueue_messages(db: Queries, since: datetime, until: datetime, now: datetime) -> int:
    """A push for every device whose user has not received a message of that time, and wants to know of it.

    What of the same chat still waits for the device is joined to it. Muted chats and those at level
    "mentions" are passed by unless the user was called; level "none" always. Each member is met once,
    however much was said: of a chat only its newest message matters, and the newest that is not theirs.
    Blocks are left to the moment of sending.
    """
    # Each second, whatever a planner thinks of the tables: each row is looked up alone (OFFSET 0), so that
    # it reads what was said in this time and who was there, and not the tables from end to end.
    return await db.run(
        """
        WITH fresh AS MATERIALIZED (
            SELECT m.id, m.chat_id, m.seq, m.sender_id FROM chat_messages m
            WHERE m.sent_at > $1 AND m.sent_at <= $2 AND m.client_message_id IS NOT NULL
              AND m.deleted_at IS NULL AND m.moderation_status <> 'hidden'
        ), called AS MATERIALIZED (
            SELECT c.chat_id, c.user_id, c.sender_id, c.seq
            FROM fresh f CROSS JOIN LATERAL (
                SELECT n.chat_id, n.user_id, n.sender_id, n.seq FROM message_mentions n
                WHERE n.message_id = f.id OFFSET 0
            ) c
        ), said AS (
            SELECT s.chat_id, max(s.seq) AS seq, (array_agg(s.sender_id ORDER BY s.seq DESC))[1] AS sender_id,
                   (array_agg(s.seq ORDER BY s.seq DESC))[2] AS others_seq
            FROM (SELECT chat_id, sender_id, max(seq) AS seq FROM fresh GROUP BY chat_id, sender_id) s
            GROUP BY s.chat_id
        ), everybody AS (
            SELECT s.chat_id, max(s.seq) AS seq, (array_agg(s.sender_id ORDER BY s.seq DESC))[1] AS sender_id,
                   (array_agg(s.seq ORDER BY s.seq DESC))[2] AS others_seq
            FROM (SELECT chat_id, sender_id, max(seq) AS seq FROM called WHERE user_id IS NULL
                  GROUP BY chat_id, sender_id) s
            GROUP BY s.chat_id
        ), one AS (
            SELECT chat_id, user_id, max(seq) AS seq FROM called
            WHERE user_id IS NOT NULL AND user_id <> sender_id GROUP BY chat_id, user_id
        ), members AS (
            SELECT p.chat_id, p.user_id, greatest(p.last_received_seq, p.last_read_seq, p.joined_seq) AS mark,
                   CASE WHEN coalesce(w.notifications, 'all') = 'all'
                             AND coalesce(w.muted_until <= clock_timestamp(), true)
                        THEN CASE WHEN s.sender_id = p.user_id THEN s.others_seq ELSE s.seq END END AS said,
                   greatest(o.seq, CASE WHEN e.sender_id = p.user_id THEN e.others_seq ELSE e.seq END)
                       AS called
            FROM said s
            CROSS JOIN LATERAL (
                SELECT h.chat_id, h.user_id, h.last_received_seq, h.last_read_seq, h.joined_seq
                FROM chat_participants h WHERE h.chat_id = s.chat_id OFFSET 0
            ) p
            LEFT JOIN everybody e ON e.chat_id = p.chat_id
            LEFT JOIN one o ON o.chat_id = p.chat_id AND o.user_id = p.user_id
            LEFT JOIN LATERAL (
                SELECT h.notifications, h.muted_until FROM chat_settings h
                WHERE h.user_id = p.user_id AND h.chat_id = p.chat_id OFFSET 0
            ) w ON true
            LEFT JOIN LATERAL (
                SELECT h.push FROM notification_settings h WHERE h.user_id = p.user_id OFFSET 0
            ) n ON true
            WHERE coalesce(n.push, true) AND coalesce(w.notifications, 'all') <> 'none'
        )
        INSERT INTO push_outbox AS o (device_id, collapse_key, chat_id, seq, mention, created_at, due_at)
        SELECT d.id, 'chat:' || m.chat_id, m.chat_id, greatest(m.said, m.called),
               coalesce(m.called > m.mark, false), $3, $3
        FROM members m CROSS JOIN LATERAL (
            SELECT h.id FROM push_devices h WHERE h.user_id = m.user_id OFFSET 0
        ) d
        WHERE greatest(m.said, m.called) > m.mark
        ORDER BY d.id, m.chat_id
        ON CONFLICT (device_id, collapse_key) DO UPDATE SET
            seq = greatest(o.seq, excluded.seq), mention = o.mention OR excluded.mention,
            version = o.version + 1, waited = false
        """,
        since,
        until,
        now,
    )


async def enqueue_notice(db: Queries, user_ids: Sequence[str], key: str, notice: bytes, now: datetime) -> int:
    """For every device of these users that wants pushes."""
    return await db.run(
        """
        INSERT INTO push_outbox AS o (device_id, collapse_key, notification, created_at, due_at)
        SELECT d.id, 'note:' || $2, $3::jsonb, $4, $4
        FROM push_devices d LEFT JOIN notification_settings n ON n.user_id = d.user_id
        WHERE d.user_id = ANY ($1::uuid[]) AND coalesce(n.push, true)
        ORDER BY d.id
        ON CONFLICT (device_id, collapse_key) DO UPDATE SET
            notification = excluded.notification, version = o.version + 1, waited = false
        """,
        list(user_ids),
        key,
        notice,
        now,
    )


async def drop_notice(db: Queries, user_id: str, keys: Sequence[str]) -> int:
    """What need not be pushed any more, because it was read."""
    return await db.run(
        """
        DELETE FROM push_outbox o USING push_devices d
        WHERE d.id = o.device_id AND d.user_id = $1
          AND o.collapse_key IN (SELECT 'note:' || k FROM unnest($2::text[]) AS k)
        """,
        user_id,
        list(keys),
    )


async def claim(db: Queries, now: datetime, until: datetime, limit: int) -> list[Claimed]:
    """Take pushes that are due; nobody else takes them before ``until``."""
    return await db.rows(
        Claimed,
        """
        UPDATE push_outbox o SET attempts = o.attempts + 1, due_at = $2
        FROM (
            SELECT device_id, collapse_key FROM push_outbox WHERE due_at <= $1
            ORDER BY due_at LIMIT $3 FOR UPDATE SKIP LOCKED
        ) c
        WHERE o.device_id = c.device_id AND o.collapse_key = c.collapse_key
        RETURNING o.device_id, o.collapse_key
        """,
        now,
        until,
        limit,
    )


async def due(db: Queries, device_ids: Sequence[str], keys: Sequence[str], now: datetime) -> list[Due]:
    """These pushes with all that may speak against them."""
    return await db.rows(
        Due,
        """
        SELECT o.device_id, o.collapse_key, o.version, o.attempts, o.waited, o.mention, o.created_at,
               d.provider, d.token, d.p256dh, d.auth, d.registered_at, d.user_id, u.time_zone,
               u.banned_at IS NOT NULL AND (u.banned_until IS NULL OR u.banned_until > $3),
               e.revoked_at IS NOT NULL OR e.expires_at <= $3,
               coalesce(n.push, true), coalesce(n.preview, true), n.quiet_from, n.quiet_until,
               o.notification, o.chat_id, c.type, c.title, m.id, m.seq, a.display_name, m.text,
               coalesce(p.last_received_at IS DISTINCT FROM p.last_read_at, false)
        FROM unnest($1::uuid[], $2::text[]) AS i (device_id, collapse_key)
        JOIN push_outbox o ON o.device_id = i.device_id AND o.collapse_key = i.collapse_key
        JOIN push_devices d ON d.id = o.device_id
        JOIN users u ON u.id = d.user_id
        JOIN sessions e ON e.id = d.session_id
        LEFT JOIN notification_settings n ON n.user_id = d.user_id
        LEFT JOIN chat_chats c ON c.id = o.chat_id
        LEFT JOIN chat_settings s ON s.chat_id = o.chat_id AND s.user_id = d.user_id
        LEFT JOIN chat_participants p ON p.chat_id = o.chat_id AND p.user_id = d.user_id
        LEFT JOIN LATERAL (
            SELECT m.id, m.seq, m.sender_id, m.content ->> 'text' AS text
            FROM chat_messages m
            WHERE m.chat_id = o.chat_id AND m.seq > greatest(p.last_received_seq, p.last_read_seq)
              AND m.seq <= o.seq AND m.client_message_id IS NOT NULL AND m.sender_id <> d.user_id
              AND m.deleted_at IS NULL AND m.moderation_status <> 'hidden'
              AND coalesce(s.notifications, 'all') <> 'none'
              AND ((coalesce(s.notifications, 'all') = 'all'
                    AND coalesce(s.muted_until <= clock_timestamp(), true))
                   OR EXISTS (SELECT 1 FROM message_mentions x WHERE x.message_id = m.id
                                AND (x.user_id = d.user_id OR x.user_id IS NULL)))
              AND NOT EXISTS (
                  SELECT 1 FROM user_blocks b
                  WHERE (b.blocker_id = d.user_id AND b.blocked_id = m.sender_id)
                     OR (b.blocker_id = m.sender_id AND b.blocked_id = d.user_id))
            ORDER BY m.seq DESC LIMIT 1
        ) m ON true
        LEFT JOIN users a ON a.id = m.sender_id
        """,
        list(device_ids),
        list(keys),
        now,
    )


async def finish(db: Queries, device_id: str, key: str, version: int, now: datetime) -> int:
    """It is done with, unless something was joined to it meanwhile: then that is due now."""
    return await db.run(
        """
        WITH done AS (
            DELETE FROM push_outbox WHERE device_id = $1 AND collapse_key = $2 AND version = $3
        )
        UPDATE push_outbox SET attempts = 0, due_at = $4
        WHERE device_id = $1 AND collapse_key = $2 AND version <> $3
        """,
        device_id,
        key,
        version,
        now,
    )


async def postpone(
    db: Queries, device_id: str, key: str, version: int, due_at: datetime, *, waited: bool
) -> int:
    """Not now. ``waited`` holds for what is in it now only; a wait is no attempt."""
    return await db.run(
        """
        UPDATE push_outbox SET due_at = $4, waited = $5 AND version = $3,
                               attempts = CASE WHEN $5 THEN 0 ELSE attempts END
        WHERE device_id = $1 AND collapse_key = $2
        """,
        device_id,
        key,
        version,
        due_at,
        waited,
    )


async def hold(db: Queries, device_id: str, key: str, until: datetime) -> int:
    """Until the quiet hours end; it counts as new then, and tells what is unread by then."""
    return await db.run(
        """
        UPDATE push_outbox SET due_at = $3, created_at = $3, attempts = 0
        WHERE device_id = $1 AND collapse_key = $2
        """,
        device_id,
        key,
        until,
    )
