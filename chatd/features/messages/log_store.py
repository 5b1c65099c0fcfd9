"""The SQL of a chat's log: where it stands, what it holds, and one event more."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from chatd.core.context import Queries, Tx
from chatd.core.ids import ChatId, MessageId, UserId


class EventRow(msgspec.Struct, frozen=True):
    """One place of a chat's log, and which of the asked spans (from 1) it answers; ``kind`` is new ·
    update · delete · moderation.
    """

    span: int
    chat_id: ChatId
    seq: int
    kind: str
    message_id: MessageId
    actor_id: UserId | None
    detail: dict[str, str | None] | None


class HeadRow(msgspec.Struct, frozen=True):
    """How far a chat is."""

    chat_id: ChatId
    seq: int
    receipt_seq: int


class PageRow(msgspec.Struct, frozen=True):
    """A message's place in the history."""

    id: MessageId
    seq: int
    sent_at: datetime


async def append_event(
    tx: Tx, chat_id: str, kind: str, message_id: str, actor_id: str | None, detail: str | None = None
) -> int:
    """Give what happened to a message the chat's next seq."""
    return await tx.one(
        int,
        "SELECT append_event($1, $2, $3, $4, $5::jsonb)",
        chat_id,
        kind,
        message_id,
        actor_id,
        detail,
    )


async def heads(q: Queries, chat_ids: Sequence[str]) -> list[HeadRow]:
    """How far these chats are."""
    return await q.rows(
        HeadRow, "SELECT id, head_seq, receipt_seq FROM chat_chats WHERE id = ANY ($1::uuid[])", chat_ids
    )


async def events(
    q: Queries, chat_ids: Sequence[str], after: Sequence[int], upto: Sequence[int], limit: int
) -> list[EventRow]:
    """Spans of chats' logs, after a seq up to another: both tables merged, in order, ``limit`` a span."""
    return await q.rows(
        EventRow,
        """
        SELECT w.span, w.chat_id, e.seq, e.kind, e.message_id, e.actor_id, e.detail
        FROM unnest($1::uuid[], $2::bigint[], $3::bigint[]) WITH ORDINALITY AS w (chat_id, after, upto, span)
        CROSS JOIN LATERAL (
            (SELECT m.seq, 'new' AS kind, m.id AS message_id, m.sender_id AS actor_id, NULL::jsonb AS detail
             FROM chat_messages m
             WHERE m.chat_id = w.chat_id AND m.seq > w.after AND m.seq <= w.upto
             ORDER BY m.seq LIMIT $4)
            UNION ALL
            (SELECT v.seq, v.kind, v.message_id, v.actor_id, v.detail
             FROM chat_events v
             WHERE v.chat_id = w.chat_id AND v.seq > w.after AND v.seq <= w.upto
             ORDER BY v.seq LIMIT $4)
            ORDER BY seq LIMIT $4
        ) e
        ORDER BY w.span, e.seq
        """,
        chat_ids,
        after,
        upto,
        limit,
    )


async def page(
    q: Queries,
    chat_id: str,
    before: datetime | None,
    before_seq: int | None,
    after_seq: int | None,
    limit: int,
) -> list[PageRow]:
    """A page of the history, newest first. A chat's sent_at never goes back, so the time becomes a seq by
    bisection (seq_before) and needs no index of its own.
    """
    return await q.rows(
        PageRow,
        """
        SELECT id, seq, sent_at FROM chat_messages
        WHERE chat_id = $1
          AND seq < least(coalesce($3::bigint, 9223372036854775807),
                          coalesce(seq_before($1, $2::timestamptz), 9223372036854775807))
          AND seq > coalesce($4::bigint, 0)
        ORDER BY seq DESC LIMIT $5
        """,
        chat_id,
        before,
        before_seq,
        after_seq,
        limit,
    )
