"""The SQL of threads: one function, one statement."""

from datetime import datetime

import msgspec

from chatd.core.context import Queries, Tx
from chatd.core.ids import ChatId, MessageId, UserId


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
