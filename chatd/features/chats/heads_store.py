"""SQL of chats' logs as admins see them: where they stand, not what they say."""

from chatd.core.context import Queries
from chatd.features.chats.contract import LogHead


async def find_head(q: Queries, chat_id: str) -> LogHead | None:
    """Where the chat's log stands."""
    return await q.maybe(
        LogHead,
        """
        SELECT id, type, title, member_count, head_seq, receipt_seq, message_count, read_only,
               created_at, last_event_at
        FROM chat_chats WHERE id = $1
        """,
        chat_id,
    )


async def heads_of(q: Queries, user_id: str, limit: int) -> list[LogHead]:
    """Where the logs of a user's chats stand, newest activity first."""
    return await q.rows(
        LogHead,
        """
        SELECT c.id, c.type, c.title, c.member_count, c.head_seq, c.receipt_seq, c.message_count, c.read_only,
               c.created_at, c.last_event_at
        FROM chat_participants p JOIN chat_chats c ON c.id = p.chat_id
        WHERE p.user_id = $1
        ORDER BY c.last_event_at DESC, c.id LIMIT $2
        """,
        user_id,
        limit,
    )
