"""The SQL of search: one function, one statement."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from chatd.core.context import Queries
from chatd.core.ids import ChatId, MessageId, UserId


class Excerpt(msgspec.Struct, frozen=True):
    """Of a message's text, where the words are, between the marks that the statement was given."""

    message_id: MessageId
    text: str


async def search(
    q: Queries,
    user_id: UserId,
    text: str | None,
    chat_id: ChatId | None,
    sender_id: UserId | None,
    attached: bool,
    after: datetime | None,
    until: datetime | None,
    before: MessageId | None,
    limit: int,
    most: int,
) -> list[MessageId]:
    """The newest messages that match, of those that the user may read; search_messages says how."""
    return await q.rows(
        MessageId,
        "SELECT found FROM search_messages($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        user_id,
        text,
        chat_id,
        sender_id,
        attached,
        after,
        until,
        before,
        limit,
        most,
    )


async def excerpts(
    q: Queries, ids: Sequence[str], text: str, start: str, stop: str, options: str
) -> list[Excerpt]:
    """Where the words are in these messages. Marks that the text itself has are taken out of it, and its
    angle brackets come as U+0004 and U+0005, since PostgreSQL would take them for tags.
    """
    return await q.rows(
        Excerpt,
        r"""
        SELECT m.id, ts_headline('simple'::regconfig,
                                 translate(m.content ->> 'text', '<>' || $3 || $4, E'\x04\x05'),
                                 websearch_to_tsquery('simple', $2),
                                 'StartSel=' || $3 || ', StopSel=' || $4 || ', ' || $5::text)
        FROM chat_messages m
        WHERE m.id = ANY ($1::uuid[]) AND m.content ? 'text'
          AND m.deleted_at IS NULL AND m.moderation_status <> 'hidden'
        """,
        ids,
        text,
        start,
        stop,
        options,
    )


async def index(q: Queries, limit: int) -> int:
    """Make the next entries; index_messages says which. How many messages were read, about ``limit`` where
    there are more. It is in one transaction that does not wait for the disk.
    """
    return await q.one(int, "SELECT index_messages($1)", limit)
