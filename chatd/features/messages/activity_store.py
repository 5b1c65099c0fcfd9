"""SQL that counts what was said."""

from collections.abc import Sequence

from chatd.core.context import Queries
from chatd.features.messages.contract import ChatActivity


async def activity(q: Queries, chat_ids: Sequence[str]) -> list[ChatActivity]:
    """Of these chats; what the server itself wrote (no client id) does not count."""
    return await q.rows(
        ChatActivity,
        """
        SELECT c.id, c.message_count, last.sent_at, said.writers, flagged.count
        FROM chat_chats c
        LEFT JOIN LATERAL (
            SELECT m.sent_at FROM chat_messages m
            WHERE m.chat_id = c.id AND m.client_message_id IS NOT NULL ORDER BY m.seq DESC LIMIT 1
        ) last ON true
        CROSS JOIN LATERAL (
            SELECT coalesce(array_agg(p.user_id), '{}') AS writers
            FROM chat_participants p
            WHERE p.chat_id = c.id AND EXISTS (
                SELECT 1 FROM chat_messages m
                WHERE uuid_send(m.chat_id) = uuid_send(c.id) AND m.sender_id = p.user_id
                  AND m.client_message_id IS NOT NULL OFFSET 0)
        ) said
        CROSS JOIN LATERAL (
            SELECT count(*) AS count FROM chat_messages m
            WHERE m.chat_id = c.id AND m.moderation_status <> 'visible'
        ) flagged
        WHERE c.id = ANY ($1::uuid[])
        """,
        chat_ids,
    )
