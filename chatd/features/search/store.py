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


class Portion(msgspec.Struct, frozen=True):
    """What one step of the index read."""

    count: int
    last_id: MessageId | None


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


async def find_cursor(q: Queries) -> MessageId | None:
    return await q.maybe(MessageId, "SELECT message_id FROM search_cursor WHERE one")


async def move_cursor(q: Queries, message_id: MessageId) -> None:
    """On, never back."""
    await q.run(
        """
        INSERT INTO search_cursor AS c (message_id) VALUES ($1)
        ON CONFLICT (one) DO UPDATE SET message_id = greatest(c.message_id, EXCLUDED.message_id)
        """,
        message_id,
    )


async def index(q: Queries, after: MessageId, limit: int) -> Portion:
    """Bring the entries of the next messages after an id to what these say now."""
    return await q.one(
        Portion,
        """
        WITH span AS MATERIALIZED (
            SELECT m.id, m.chat_id, m.sender_id, m.sent_at, m.updated_seq, m.content, m.deleted_at,
                   m.client_message_id
            FROM chat_messages m WHERE m.id > $1 ORDER BY m.id LIMIT $2
        ), behind AS (
            SELECT n.* FROM span n
            WHERE n.client_message_id IS NOT NULL AND n.deleted_at IS NULL
              AND NOT EXISTS (SELECT 1 FROM message_search s
                              WHERE s.message_id = n.id AND s.updated_seq = n.updated_seq)
        ), put AS (
            INSERT INTO message_search AS s (message_id, chat_id, sent_at, updated_seq, document)
            SELECT b.id, b.chat_id, b.sent_at, b.updated_seq,
                   search_document(b.content, b.chat_id, b.sender_id)
            FROM behind b
            ON CONFLICT (message_id) DO UPDATE
            SET updated_seq = EXCLUDED.updated_seq, document = EXCLUDED.document
        ), gone AS (
            DELETE FROM message_search s USING span n WHERE s.message_id = n.id AND n.deleted_at IS NOT NULL
        )
        SELECT count(*), (SELECT n.id FROM span n ORDER BY n.id DESC LIMIT 1) FROM span
        """,
        after,
        limit,
    )
