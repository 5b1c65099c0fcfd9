"""The SQL of mentions and drafts: one function, one statement."""

from datetime import datetime

from chatd.core.context import Queries, Tx
from chatd.core.ids import ChatId, MessageId, UserId
from chatd.features.conversations.contract import Draft

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
