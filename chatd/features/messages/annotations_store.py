"""The SQL of what is put beside messages: mentions, pins, earlier versions."""

from collections.abc import Sequence

from chatd.core.context import Queries, Tx
from chatd.core.ids import ChatId, MessageId, UserId
from chatd.features.messages.contract import Version


async def drop_mentions(tx: Tx, message_id: MessageId, but: Sequence[str], everybody: bool) -> None:
    """Take back the message's mentions, but of these users, and of everybody where that stays."""
    await tx.run(
        """
        DELETE FROM message_mentions
        WHERE message_id = $1 AND CASE WHEN user_id IS NULL THEN NOT $3 ELSE user_id <> ALL ($2::uuid[]) END
        """,
        message_id,
        but,
        everybody,
    )


async def add_mentions(tx: Tx, message_id: MessageId, user_ids: Sequence[str | None]) -> None:
    """Note these mentions (None: everybody); those that are there stay."""
    await tx.run(
        """
        INSERT INTO message_mentions (message_id, user_id, chat_id, seq, sender_id)
        SELECT m.id, n.user_id, m.chat_id, m.seq, m.sender_id
        FROM chat_messages m CROSS JOIN unnest($2::uuid[]) AS n (user_id)
        WHERE m.id = $1
        ON CONFLICT DO NOTHING
        """,
        message_id,
        user_ids,
    )


async def pins(q: Queries, chat_id: ChatId) -> list[MessageId]:
    """The pinned messages, the last pinned first."""
    return await q.rows(
        MessageId,
        """
        SELECT id FROM chat_messages WHERE chat_id = $1 AND pinned_at IS NOT NULL
        ORDER BY pinned_at DESC, seq DESC
        """,
        chat_id,
    )


async def pin(tx: Tx, message_id: MessageId, pinned_by: UserId) -> None:
    await tx.run(
        "UPDATE chat_messages SET pinned_at = clock_timestamp(), pinned_by = $2 WHERE id = $1",
        message_id,
        pinned_by,
    )


async def unpin(tx: Tx, message_id: MessageId) -> None:
    await tx.run("UPDATE chat_messages SET pinned_at = NULL, pinned_by = NULL WHERE id = $1", message_id)


async def versions(q: Queries, message_id: MessageId) -> list[Version]:
    """What the message said before each edit, earliest first."""
    return await q.rows(
        Version,
        """
        SELECT version, content, said_at, replaced_at
        FROM message_versions WHERE message_id = $1 ORDER BY version
        """,
        message_id,
    )
