"""SQL of somebody's leaving for good."""

import msgspec

from chatd.core.context import Queries
from chatd.core.ids import ChatId, UserId


class Place(msgspec.Struct, frozen=True):
    """Where somebody still is."""

    chat_id: ChatId
    type: str


async def places(q: Queries, user_id: UserId, limit: int) -> list[Place]:
    """Chats that the user is in, but direct ones that are closed already."""
    return await q.rows(
        Place,
        """
        SELECT p.chat_id, c.type
        FROM chat_participants p JOIN chat_chats c ON c.id = p.chat_id
        WHERE p.user_id = $1 AND NOT (c.type = 'direct' AND c.read_only)
        ORDER BY p.chat_id LIMIT $2
        """,
        user_id,
        limit,
    )


async def heir(q: Queries, chat_id: ChatId, user_id: UserId) -> UserId | None:
    """Who is owner without the user, or should be: the moderator, or else the member, of longest standing."""
    return await q.maybe(
        UserId,
        """
        SELECT user_id FROM chat_participants WHERE chat_id = $1 AND user_id <> $2
        ORDER BY role = 'owner' DESC, role = 'moderator' DESC, joined_at, user_id LIMIT 1
        """,
        chat_id,
        user_id,
    )
