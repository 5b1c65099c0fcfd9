"""The SQL of messages to be sent later: one function, one statement."""

from collections.abc import Sequence
from datetime import datetime

from chatd.core.context import Queries, Tx
from chatd.core.ids import ChatId, MessageId, UserId
from chatd.features.conversations.contract import Asked, DueRow, Scheduled, ScheduledId


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
    client_message_id: str | None,
    fingerprint: bytes | None,
) -> Scheduled | None:
    """A message that waits; None where its author has asked for one under this client_message_id."""
    return await tx.maybe(
        Scheduled,
        """
        INSERT INTO scheduled_messages
            (id, chat_id, user_id, content, reply_to, send_at, due_at, client_message_id, fingerprint)
        VALUES ($1, $2, $3, $4, $5, $6, $6, $7, $8)
        ON CONFLICT (user_id, chat_id, client_message_id) WHERE client_message_id IS NOT NULL DO NOTHING
        RETURNING id, chat_id, content, reply_to, send_at, status, message_id, failure, created_at,
                  client_message_id
        """,
        scheduled_id,
        chat_id,
        user_id,
        content,
        reply_to,
        send_at,
        client_message_id,
        fingerprint,
    )


async def find_asked(tx: Tx, chat_id: ChatId, user_id: UserId, client_message_id: str) -> Asked | None:
    """What the user has asked for in this chat under this id."""
    return await tx.maybe(
        Asked,
        """
        SELECT id, status, fingerprint FROM scheduled_messages
        WHERE user_id = $2 AND chat_id = $1 AND client_message_id = $3
        """,
        chat_id,
        user_id,
        client_message_id,
    )


async def find_scheduled(q: Queries, scheduled_id: ScheduledId, user_id: UserId) -> Scheduled | None:
    return await q.maybe(
        Scheduled,
        """
        SELECT id, chat_id, content, reply_to, send_at, status, message_id, failure, created_at,
                  client_message_id
        FROM scheduled_messages WHERE id = $1 AND user_id = $2 AND status <> 'cancelled'
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
        SELECT id, chat_id, content, reply_to, send_at, status, message_id, failure, created_at,
                  client_message_id
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
            WHERE uuid_send(m.chat_id) = uuid_send(s.chat_id) AND m.sender_id = s.user_id
              AND m.client_message_id = $5 OFFSET 0)
        RETURNING id, chat_id, content, reply_to, send_at, status, message_id, failure, created_at,
                  client_message_id
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
        WHERE id = $1 AND user_id = $2 AND status IN ('pending', 'failed') AND NOT EXISTS (
            SELECT 1 FROM chat_messages m
            WHERE uuid_send(m.chat_id) = uuid_send(s.chat_id) AND m.sender_id = s.user_id
              AND m.client_message_id = $3 OFFSET 0)
        RETURNING id, chat_id, content, reply_to, send_at, status, message_id, failure, created_at,
                  client_message_id
        """,
        scheduled_id,
        user_id,
        scheduled_id,
    )


async def keep_cancelled(tx: Tx, gone: Scheduled, user_id: UserId, now: datetime) -> None:
    """Keep the id under which it was asked for, and nothing else of it."""
    await tx.run(
        """
        INSERT INTO scheduled_messages (id, chat_id, user_id, content, send_at, status, client_message_id)
        VALUES ($1, $2, $3, 'null', $4, 'cancelled', $5)
        """,
        gone.id,
        gone.chat_id,
        user_id,
        now,
        gone.client_message_id,
    )


async def drop_cancelled(tx: Tx, user_id: UserId, keep: int) -> int:
    """Forget all but the newest that the user has taken back."""
    return await tx.run(
        """
        DELETE FROM scheduled_messages WHERE id IN (
            SELECT id FROM scheduled_messages WHERE user_id = $1 AND status = 'cancelled'
            ORDER BY send_at DESC OFFSET $2
        )
        """,
        user_id,
        keep,
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
                  s.created_at, s.client_message_id
        """,
        ids,
        statuses,
        message_ids,
        failures,
        due_at,
    )


async def purge(q: Queries, before: datetime, limit: int) -> int:
    """Forget what was sent, failed or was taken back before this time."""
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
