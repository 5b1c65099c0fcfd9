"""The SQL of conversations: one function, one statement."""

from datetime import datetime

import msgspec

from chatd.core.context import Queries, Tx
from chatd.core.ids import ChatId, MessageId, UserId
from chatd.features.conversations.contract import Draft

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
