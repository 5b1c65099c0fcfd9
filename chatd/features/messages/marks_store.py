"""The SQL of watermarks: how far each member has read and received."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from chatd.core.context import Queries
from chatd.core.ids import ChatId, MessageId, UserId


class MarkRow(msgspec.Struct, frozen=True):
    """What advance_marks says of one input. ``secretive`` are those of the chat who show nobody what they
    have read; said once for each chat, with the first of its reads that moved.
    """

    outcome: str
    seq: int | None
    at: datetime | None
    version: int | None
    senders: list[UserId] | None
    hidden_from: list[UserId]
    read_receipts: bool
    secretive: list[UserId] | None


class Watermark(msgspec.Struct, frozen=True):
    """One member's marks; the versions say when each last moved."""

    chat_id: ChatId
    user_id: UserId
    read_message_id: MessageId | None
    read_seq: int
    read_at: datetime | None
    read_version: int
    received_message_id: MessageId | None
    received_seq: int
    received_at: datetime | None
    received_version: int
    hidden_from: list[UserId]
    read_receipts: bool


class Covered(msgspec.Struct, frozen=True):
    """Who has said something shortly before a seq of a chat."""

    chat_id: ChatId
    seq: int
    sender_ids: list[UserId]


class Member(msgspec.Struct, frozen=True):
    """Somebody in a chat."""

    chat_id: ChatId
    user_id: UserId


class Progress(msgspec.Struct, frozen=True):
    """How far one member is, for the delivery state of messages."""

    user_id: UserId
    read_seq: int
    received_seq: int


async def advance(
    q: Queries, chats: Sequence[str], users: Sequence[str], kinds: Sequence[str], messages: Sequence[str]
) -> list[MarkRow]:
    """Move many watermarks in one statement and transaction; a row for each, in order."""
    return await q.rows(
        MarkRow,
        """
        SELECT a.outcome, a.mark_seq, a.mark_at, a.new_receipt_seq, a.senders,
               CASE WHEN a.outcome = 'moved' THEN ARRAY(
                   SELECT b.blocked_id FROM user_blocks b WHERE b.blocker_id = ($2::uuid[])[a.ord]
                   UNION
                   SELECT b.blocker_id FROM user_blocks b WHERE b.blocked_id = ($2::uuid[])[a.ord]
               ) ELSE '{}' END,
               coalesce(y.read_receipts, true),
               CASE WHEN a.outcome = 'moved' AND ($3::text[])[a.ord] = 'read' AND 1 = row_number() OVER (
                             PARTITION BY ($1::uuid[])[a.ord], a.outcome, ($3::text[])[a.ord] ORDER BY a.ord)
                    THEN ARRAY(
                        SELECT s.user_id FROM chat_secretive s WHERE s.chat_id = ($1::uuid[])[a.ord]
                    ) END
        FROM advance_marks($1, $2, $3, $4) a
        LEFT JOIN LATERAL (
            SELECT v.read_receipts FROM user_privacy v WHERE v.user_id = ($2::uuid[])[a.ord] OFFSET 0
        ) y ON a.outcome = 'moved'
        ORDER BY a.ord
        """,
        chats,
        users,
        kinds,
        messages,
    )


async def marks_after(q: Queries, chat_ids: Sequence[str], versions: Sequence[int]) -> list[Watermark]:
    """The watermarks of these chats that moved after a receipt version."""
    return await q.rows(
        Watermark,
        """
        SELECT p.chat_id, p.user_id,
               p.last_read_message_id, p.last_read_seq, p.last_read_at, p.read_receipt_seq,
               p.last_received_message_id, p.last_received_seq, p.last_received_at, p.received_receipt_seq,
               h.ids, coalesce(y.read_receipts, true)
        FROM unnest($1::uuid[], $2::bigint[]) AS w (chat_id, version)
        JOIN chat_participants p ON p.chat_id = w.chat_id
        CROSS JOIN LATERAL (SELECT ARRAY(
            SELECT b.blocked_id FROM user_blocks b WHERE b.blocker_id = p.user_id
            UNION
            SELECT b.blocker_id FROM user_blocks b WHERE b.blocked_id = p.user_id
        ) AS ids) h
        LEFT JOIN LATERAL (
            SELECT v.read_receipts FROM user_privacy v WHERE v.user_id = p.user_id OFFSET 0
        ) y ON true
        WHERE greatest(p.read_receipt_seq, p.received_receipt_seq) > w.version
        """,
        chat_ids,
        versions,
    )


async def covered(q: Queries, chat_ids: Sequence[str], seqs: Sequence[int]) -> list[Covered]:
    """Who has said something among the last 1,000 events up to each of these seqs, which is as far back as
    advance_marks looks for those whom a ``delivery.received`` concerns.
    """
    return await q.rows(
        Covered,
        """
        SELECT w.chat_id, w.seq, s.ids
        FROM (SELECT DISTINCT i.chat_id, i.seq FROM unnest($1::uuid[], $2::bigint[]) AS i (chat_id, seq)) w
        CROSS JOIN LATERAL (SELECT ARRAY(
            SELECT DISTINCT m.sender_id FROM chat_messages m
            WHERE m.chat_id = w.chat_id AND m.seq > w.seq - 1000 AND m.seq <= w.seq
        ) AS ids) s
        """,
        chat_ids,
        seqs,
    )


async def marks_since_event(
    q: Queries, chat_ids: Sequence[str], seqs: Sequence[int], slack_s: float
) -> list[Watermark]:
    """The watermarks that may have moved after someone saw these seqs: those younger than the event that
    took the seq, less ``slack_s`` since a mark and an event travel apart; all, where there is no event.
    """
    return await q.rows(
        Watermark,
        """
        SELECT p.chat_id, p.user_id,
               p.last_read_message_id, p.last_read_seq, p.last_read_at, p.read_receipt_seq,
               p.last_received_message_id, p.last_received_seq, p.last_received_at, p.received_receipt_seq,
               h.ids, coalesce(y.read_receipts, true)
        FROM unnest($1::uuid[], $2::bigint[]) AS w (chat_id, seq)
        LEFT JOIN chat_messages m ON m.chat_id = w.chat_id AND m.seq = w.seq
        LEFT JOIN chat_events e ON e.chat_id = w.chat_id AND e.seq = w.seq
        JOIN chat_participants p ON p.chat_id = w.chat_id
        CROSS JOIN LATERAL (SELECT ARRAY(
            SELECT b.blocked_id FROM user_blocks b WHERE b.blocker_id = p.user_id
            UNION
            SELECT b.blocker_id FROM user_blocks b WHERE b.blocked_id = p.user_id
        ) AS ids) h
        LEFT JOIN LATERAL (
            SELECT v.read_receipts FROM user_privacy v WHERE v.user_id = p.user_id OFFSET 0
        ) y ON true
        WHERE greatest(p.last_read_at, p.last_received_at)
              > coalesce(m.sent_at, e.at, '-infinity') - make_interval(secs => $3)
        """,
        chat_ids,
        seqs,
        slack_s,
    )


async def secretive_members(q: Queries, chat_ids: Sequence[str]) -> list[Member]:
    """Who, in these chats, shows nobody what they have read, and is not shown what others have."""
    return await q.rows(
        Member,
        """
        SELECT chat_id, user_id FROM chat_secretive WHERE chat_id = ANY ($1::uuid[])
        """,
        chat_ids,
    )


async def progress(q: Queries, chat_id: str, from_seq: int, viewer_id: str) -> list[Progress]:
    """The members who have read or received anything from this seq on, as far as they show it the viewer."""
    return await q.rows(
        Progress,
        """
        SELECT p.user_id,
               CASE WHEN p.user_id = $3 OR (coalesce(y.read_receipts, true) AND NOT EXISTS (
                        SELECT 1 FROM user_privacy v WHERE v.user_id = $3 AND NOT v.read_receipts))
                    THEN p.last_read_seq ELSE 0 END,
               p.last_received_seq
        FROM chat_participants p
        LEFT JOIN LATERAL (
            SELECT v.read_receipts FROM user_privacy v WHERE v.user_id = p.user_id OFFSET 0
        ) y ON true
        WHERE p.chat_id = $1 AND greatest(p.last_read_seq, p.last_received_seq) >= $2
          AND NOT EXISTS (SELECT 1 FROM user_blocks b WHERE b.blocker_id = $3 AND b.blocked_id = p.user_id)
          AND NOT EXISTS (SELECT 1 FROM user_blocks b WHERE b.blocker_id = p.user_id AND b.blocked_id = $3)
        ORDER BY p.last_read_at NULLS LAST, p.user_id
        """,
        chat_id,
        from_seq,
        viewer_id,
    )
