"""The SQL of conversations: one function, one statement."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from chatd.core.context import Queries, Tx
from chatd.core.ids import ChatId, MessageId, UserId
from chatd.features.conversations.contract import Draft, DueRow, Scheduled, ScheduledId

# ---------------------------------------------------------------------------------------------- threads


class ThreadRow(msgspec.Struct, frozen=True):
    """A thread as one member has read it."""

    root_id: MessageId
    reply_count: int
    last_reply_seq: int
    last_reply_at: datetime
    last_read_seq: int
    unread_count: int


async def threads(
    q: Queries,
    chat_id: ChatId,
    user_id: UserId,
    root_id: MessageId | None,
    before_seq: int | None,
    limit: int,
    unread_cap: int,
) -> list[ThreadRow]:
    """A chat's threads (or one of them), newest reply first, as this member has read them."""
    return await q.rows(
        ThreadRow,
        """
        SELECT t.root_id, t.reply_count, t.last_seq, t.last_reply_at, coalesce(d.last_read_seq, 0), u.count
        FROM chat_participants p
        JOIN message_threads t ON t.chat_id = p.chat_id
        LEFT JOIN thread_reads d ON d.user_id = p.user_id AND d.root_id = t.root_id
        CROSS JOIN LATERAL (
            SELECT count(*) FROM (
                SELECT m.sender_id, m.deleted_at
                FROM thread_replies i JOIN chat_messages m ON m.id = i.message_id
                WHERE i.root_id = t.root_id AND i.seq > greatest(coalesce(d.last_read_seq, 0), p.joined_seq)
                ORDER BY i.seq DESC LIMIT $6
            ) m
            WHERE m.sender_id <> p.user_id AND m.deleted_at IS NULL
        ) u
        WHERE p.chat_id = $1 AND p.user_id = $2
          AND ($3::uuid IS NULL OR t.root_id = $3)
          AND t.last_seq < coalesce($4::bigint, 9223372036854775807)
        ORDER BY t.last_seq DESC LIMIT $5
        """,
        chat_id,
        user_id,
        root_id,
        before_seq,
        limit,
        unread_cap,
    )


async def replies(
    q: Queries, root_id: MessageId, before_seq: int | None, after_seq: int | None, limit: int
) -> list[MessageId]:
    """A page of a thread's replies, newest first."""
    return await q.rows(
        MessageId,
        """
        SELECT message_id FROM thread_replies
        WHERE root_id = $1 AND seq > coalesce($3::bigint, 0)
          AND seq < coalesce($2::bigint, 9223372036854775807)
        ORDER BY seq DESC LIMIT $4
        """,
        root_id,
        before_seq,
        after_seq,
        limit,
    )


async def find_reply(q: Queries, root_id: MessageId, message_id: MessageId) -> int | None:
    """The seq of a reply in this thread."""
    return await q.maybe(
        int, "SELECT seq FROM thread_replies WHERE message_id = $2 AND root_id = $1", root_id, message_id
    )


async def advance(tx: Tx, user_id: UserId, root_id: MessageId, seq: int) -> bool:
    """Move a mark on; False where it is there or further."""
    moved = await tx.run(
        """
        INSERT INTO thread_reads AS t (user_id, root_id, last_read_seq) VALUES ($1, $2, $3)
        ON CONFLICT (user_id, root_id) DO UPDATE
        SET last_read_seq = EXCLUDED.last_read_seq, read_at = EXCLUDED.read_at
        WHERE t.last_read_seq < EXCLUDED.last_read_seq
        """,
        user_id,
        root_id,
        seq,
    )
    return moved == 1


async def mark(q: Queries, user_id: UserId, root_id: MessageId) -> int | None:
    return await q.maybe(
        int, "SELECT last_read_seq FROM thread_reads WHERE user_id = $1 AND root_id = $2", user_id, root_id
    )


# --------------------------------------------------------------------------------------------- mentions


async def mentions(
    q: Queries, user_id: UserId, unread: bool, before: MessageId | None, limit: int
) -> list[MessageId]:
    """Messages that mention this user, by name or with everybody, in chats that the user is in; none of
    somebody with whom a block stands.
    """
    return await q.rows(
        MessageId,
        """
        (SELECT n.message_id
         FROM message_mentions n
         JOIN chat_participants p ON p.chat_id = n.chat_id AND p.user_id = $1
         JOIN chat_messages m ON m.id = n.message_id AND m.moderation_status <> 'hidden'
         WHERE n.user_id = $1 AND n.sender_id <> $1
           AND ($3::uuid IS NULL OR n.message_id < $3)
           AND (NOT $2 OR n.seq > p.last_read_seq)
           AND NOT EXISTS (SELECT 1 FROM user_blocks b WHERE b.blocker_id = $1 AND b.blocked_id = n.sender_id)
           AND NOT EXISTS (SELECT 1 FROM user_blocks b WHERE b.blocker_id = n.sender_id AND b.blocked_id = $1)
         ORDER BY n.message_id DESC LIMIT $4)
        UNION
        (SELECT n.message_id
         FROM chat_participants p
         JOIN message_mentions n ON n.chat_id = p.chat_id AND n.user_id IS NULL AND n.seq > p.joined_seq
         JOIN chat_messages m ON m.id = n.message_id AND m.moderation_status <> 'hidden'
         WHERE p.user_id = $1 AND n.sender_id <> $1
           AND ($3::uuid IS NULL OR n.message_id < $3)
           AND (NOT $2 OR n.seq > p.last_read_seq)
           AND NOT EXISTS (SELECT 1 FROM user_blocks b WHERE b.blocker_id = $1 AND b.blocked_id = n.sender_id)
           AND NOT EXISTS (SELECT 1 FROM user_blocks b WHERE b.blocker_id = n.sender_id AND b.blocked_id = $1)
         ORDER BY n.message_id DESC LIMIT $4)
        ORDER BY message_id DESC LIMIT $4
        """,
        user_id,
        unread,
        before,
        limit,
    )


# ----------------------------------------------------------------------------------------------- drafts


async def save_draft(
    tx: Tx, user_id: UserId, chat_id: ChatId, text: str, reply_to: MessageId | None
) -> Draft:
    return await tx.one(
        Draft,
        """
        INSERT INTO chat_drafts AS d (user_id, chat_id, text, reply_to) VALUES ($1, $2, $3, $4)
        ON CONFLICT (user_id, chat_id) DO UPDATE
        SET text = EXCLUDED.text, reply_to = EXCLUDED.reply_to,
            updated_at = greatest(EXCLUDED.updated_at, d.updated_at + interval '1 microsecond')
        RETURNING chat_id, text, reply_to, updated_at
        """,
        user_id,
        chat_id,
        text,
        reply_to,
    )


async def drop_draft(tx: Tx, user_id: UserId, chat_id: ChatId) -> datetime | None:
    """When it went; None where there was none."""
    return await tx.maybe(
        datetime,
        """
        DELETE FROM chat_drafts WHERE user_id = $1 AND chat_id = $2
        RETURNING greatest(clock_timestamp(), updated_at + interval '1 microsecond')
        """,
        user_id,
        chat_id,
    )


async def drafts(q: Queries, user_id: UserId) -> list[Draft]:
    """In the chats that the user is still in."""
    return await q.rows(
        Draft,
        """
        SELECT d.chat_id, d.text, d.reply_to, d.updated_at
        FROM chat_drafts d JOIN chat_participants p ON p.user_id = d.user_id AND p.chat_id = d.chat_id
        WHERE d.user_id = $1 ORDER BY d.updated_at DESC, d.chat_id LIMIT 1000
        """,
        user_id,
    )


# -------------------------------------------------------------------------------------------- scheduled


async def count_pending(tx: Tx, user_id: UserId) -> int:
    """The user's messages that wait for their time. The caller holds the user's turn (``take_turn``)."""
    return await tx.one(
        int, "SELECT count(*) FROM scheduled_messages WHERE user_id = $1 AND status = 'pending'", user_id
    )


async def take_turn(tx: Tx, user_id: UserId) -> None:
    """One at a time of each user, until the transaction ends."""
    await tx.run("SELECT pg_advisory_xact_lock(hashtextextended('scheduled ' || $1::uuid::text, 0))", user_id)


async def insert_scheduled(
    tx: Tx,
    scheduled_id: ScheduledId,
    chat_id: ChatId,
    user_id: UserId,
    content: bytes,
    reply_to: MessageId | None,
    send_at: datetime,
) -> Scheduled:
    return await tx.one(
        Scheduled,
        """
        INSERT INTO scheduled_messages (id, chat_id, user_id, content, reply_to, send_at, due_at)
        VALUES ($1, $2, $3, $4, $5, $6, $6)
        RETURNING id, chat_id, content, reply_to, send_at, status, message_id, failure, created_at
        """,
        scheduled_id,
        chat_id,
        user_id,
        content,
        reply_to,
        send_at,
    )


async def find_scheduled(q: Queries, scheduled_id: ScheduledId, user_id: UserId) -> Scheduled | None:
    return await q.maybe(
        Scheduled,
        """
        SELECT id, chat_id, content, reply_to, send_at, status, message_id, failure, created_at
        FROM scheduled_messages WHERE id = $1 AND user_id = $2
        """,
        scheduled_id,
        user_id,
    )


async def page_of_scheduled(
    q: Queries,
    user_id: UserId,
    chat_id: ChatId | None,
    status: str,
    after_at: datetime | None,
    after_id: ScheduledId | None,
    limit: int,
) -> list[Scheduled]:
    """By their time, after the given key."""
    return await q.rows(
        Scheduled,
        """
        SELECT id, chat_id, content, reply_to, send_at, status, message_id, failure, created_at
        FROM scheduled_messages
        WHERE user_id = $1 AND ($2::uuid IS NULL OR chat_id = $2) AND status = $3
          AND ($4::timestamptz IS NULL OR (send_at, id) > ($4, $5::uuid))
        ORDER BY send_at, id LIMIT $6
        """,
        user_id,
        chat_id,
        status,
        after_at,
        after_id,
        limit,
    )


async def change_scheduled(
    tx: Tx, scheduled_id: ScheduledId, user_id: UserId, content: bytes | None, send_at: datetime | None
) -> Scheduled | None:
    """Change one that still waits; None where there is none. Waits for one that is being sent."""
    return await tx.maybe(
        Scheduled,
        """
        UPDATE scheduled_messages s
        SET content = coalesce($3::jsonb, content), send_at = coalesce($4, send_at),
            due_at = coalesce($4, due_at)
        WHERE id = $1 AND user_id = $2 AND status = 'pending' AND NOT EXISTS (
            SELECT 1 FROM chat_messages m
            WHERE m.chat_id = s.chat_id AND m.sender_id = s.user_id AND m.client_message_id = $5)
        RETURNING id, chat_id, content, reply_to, send_at, status, message_id, failure, created_at
        """,
        scheduled_id,
        user_id,
        content,
        send_at,
        scheduled_id,
    )


async def delete_scheduled(tx: Tx, scheduled_id: ScheduledId, user_id: UserId) -> Scheduled | None:
    """Take one back that still waits, or forget one that failed; None where there is none: also where it was
    sent, and the node that sent it died before it could write that down.
    """
    return await tx.maybe(
        Scheduled,
        """
        DELETE FROM scheduled_messages s
        WHERE id = $1 AND user_id = $2 AND status <> 'sent' AND NOT EXISTS (
            SELECT 1 FROM chat_messages m
            WHERE m.chat_id = s.chat_id AND m.sender_id = s.user_id AND m.client_message_id = $3)
        RETURNING id, chat_id, content, reply_to, send_at, status, message_id, failure, created_at
        """,
        scheduled_id,
        user_id,
        scheduled_id,
    )


async def take_due(tx: Tx, now: datetime, limit: int) -> list[DueRow]:
    """Hold messages whose time has come, which nobody else holds, until the transaction ends."""
    return await tx.rows(
        DueRow,
        """
        SELECT s.id, s.chat_id, s.user_id, s.content, s.reply_to, s.attempts,
               CASE WHEN EXISTS (SELECT 1 FROM account_deletions d WHERE d.user_id = u.id)
                    THEN 'user_not_found'
                    WHEN u.banned_at IS NOT NULL AND coalesce(u.banned_until > $1, true) THEN 'banned' END
        FROM scheduled_messages s JOIN users u ON u.id = s.user_id
        WHERE s.status = 'pending' AND s.due_at <= $1
        ORDER BY s.due_at LIMIT $2
        FOR UPDATE OF s SKIP LOCKED
        """,
        now,
        limit,
    )


async def finish(
    tx: Tx,
    ids: Sequence[str],
    statuses: Sequence[str],
    message_ids: Sequence[str | None],
    failures: Sequence[str | None],
    due_at: Sequence[datetime | None],
) -> list[Scheduled]:
    """Write down what became of these; those that are still pending come again when they are due."""
    return await tx.rows(
        Scheduled,
        """
        UPDATE scheduled_messages s
        SET status = n.status, message_id = n.message_id, failure = n.failure, due_at = n.due_at,
            attempts = s.attempts + 1
        FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::text[], $5::timestamptz[])
             AS n (id, status, message_id, failure, due_at)
        WHERE s.id = n.id
        RETURNING s.id, s.chat_id, s.content, s.reply_to, s.send_at, s.status, s.message_id, s.failure,
                  s.created_at
        """,
        ids,
        statuses,
        message_ids,
        failures,
        due_at,
    )


async def purge(q: Queries, before: datetime, limit: int) -> int:
    """Forget what was sent or failed before this time."""
    return await q.run(
        """
        DELETE FROM scheduled_messages WHERE id IN (
            SELECT id FROM scheduled_messages
            WHERE status <> 'pending' AND send_at < $1 ORDER BY send_at LIMIT $2
        )
        """,
        before,
        limit,
    )
