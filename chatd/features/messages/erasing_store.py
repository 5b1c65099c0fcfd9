"""SQL of what one user said, over all chats: to give it to them, and to take it away."""

from collections.abc import Sequence

import msgspec

from chatd.core.context import Queries, Tx
from chatd.core.ids import ChatId, MessageId
from chatd.features.messages.contract import Given, Reworded, Said


class Page(msgspec.Struct, frozen=True):
    """The next chat that somebody wrote in, or how far was looked in vain."""

    chat_id: ChatId
    found: bool


class Left(msgspec.Struct, frozen=True):
    """A message that is to be erased."""

    id: MessageId


async def next_spoken(q: Queries, user_id: str, after: str | None, page: int) -> Page | None:
    """Of the next ``page`` chats by id, the first that the user has messages in; None past the last chat.

    There is no index of messages by sender alone: it would cost every send, and this is asked rarely.
    """
    return await q.maybe(
        Page,
        """
        WITH page AS MATERIALIZED (
            SELECT c.id FROM chat_chats c WHERE $2::uuid IS NULL OR c.id > $2 ORDER BY c.id LIMIT $3
        ), found AS (
            SELECT p.id FROM page p
            WHERE EXISTS (SELECT 1 FROM chat_messages m
                          WHERE uuid_send(m.chat_id) = uuid_send(p.id) AND m.sender_id = $1
                            AND m.client_message_id IS NOT NULL
                            AND m.deleted_at IS NULL OFFSET 0)
            ORDER BY p.id LIMIT 1
        )
        SELECT coalesce(f.id, l.id), f.id IS NOT NULL
        FROM (SELECT p.id FROM page p ORDER BY p.id DESC LIMIT 1) l LEFT JOIN found f ON true
        """,
        user_id,
        after,
        page,
    )


async def said(q: Queries, user_id: str, chat_id: str, after: str, limit: int) -> list[Said]:
    """What the user said in the chat and has not deleted, by client id, which the index is in order of."""
    return await q.rows(
        Said,
        """
        SELECT id, chat_id, seq, client_message_id, content, reply_to, sent_at, edited_at
        FROM chat_messages
        WHERE uuid_send(chat_id) = uuid_send($1) AND sender_id = $2 AND client_message_id > $3
          AND deleted_at IS NULL
        ORDER BY client_message_id LIMIT $4
        """,
        chat_id,
        user_id,
        after,
        limit,
    )


async def versions(q: Queries, message_ids: Sequence[str]) -> list[Reworded]:
    """What these messages said before they were edited."""
    return await q.rows(
        Reworded,
        """
        SELECT message_id, version, content, said_at, replaced_at FROM message_versions
        WHERE message_id = ANY ($1::uuid[]) ORDER BY message_id, version
        """,
        message_ids,
    )


async def to_erase(tx: Tx, user_id: str, chat_id: str, limit: int) -> list[Left]:
    return await tx.rows(
        Left,
        """
        SELECT id FROM chat_messages
        WHERE uuid_send(chat_id) = uuid_send($1) AND sender_id = $2 AND client_message_id IS NOT NULL
          AND deleted_at IS NULL
        LIMIT $3
        """,
        chat_id,
        user_id,
        limit,
    )


async def given(q: Queries, user_id: str, limit: int) -> list[Given]:
    """Reactions of the user, and where they are."""
    return await q.rows(
        Given,
        """
        SELECT m.chat_id, r.message_id, r.emoji, r.created_at
        FROM message_reactions r JOIN chat_messages m ON m.id = r.message_id
        WHERE r.user_id = $1 ORDER BY r.message_id, r.emoji LIMIT $2
        """,
        user_id,
        limit,
    )
