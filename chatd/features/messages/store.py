"""The SQL of messages: one function, one statement."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from chatd.core.context import Queries, Tx
from chatd.core.ids import ChatId, MessageId, UserId


class AppendRow(msgspec.Struct, frozen=True):
    """What append_messages says of one input."""

    outcome: str
    message_id: MessageId | None
    seq: int | None
    sent_at: datetime | None


class WovenRow(msgspec.Struct, frozen=True):
    """What append_conversation says of one input."""

    outcome: str
    message_id: MessageId | None
    seq: int | None
    sent_at: datetime | None
    root: MessageId | None
    quoted_sender: UserId | None
    quoted_text: str | None


class MarkRow(msgspec.Struct, frozen=True):
    """What advance_marks says of one input."""

    outcome: str
    seq: int | None
    at: datetime | None
    version: int | None
    senders: list[UserId] | None
    hidden_from: list[UserId]
    read_receipts: bool


class Target(msgspec.Struct, frozen=True):
    """A message that someone wants to change, as the rules need it."""

    sender_id: UserId
    is_system: bool
    deleted: bool
    age_s: float
    same_content: bool
    forwarded: bool
    hidden: bool
    pinned: bool
    attached: bool


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
    detail: dict[str, str] | None


class HeadRow(msgspec.Struct, frozen=True):
    """How far a chat is."""

    chat_id: ChatId
    seq: int
    receipt_seq: int


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


class Spoken(msgspec.Struct, frozen=True):
    """A user who has said something in a chat."""

    chat_id: ChatId
    user_id: UserId


class PageRow(msgspec.Struct, frozen=True):
    """A message's place in the history."""

    id: MessageId
    seq: int
    sent_at: datetime


class Progress(msgspec.Struct, frozen=True):
    """How far one member is, for the delivery state of messages."""

    user_id: UserId
    read_seq: int
    received_seq: int


async def append(
    q: Queries,
    chats: Sequence[str],
    senders: Sequence[str],
    client_ids: Sequence[str],
    fingerprints: Sequence[int],
    ids: Sequence[str],
    contents: Sequence[str],
    replies: Sequence[str | None],
    statuses: Sequence[str] | None,
    reasons: Sequence[str | None] | None,
    scan: bool,
) -> list[AppendRow]:
    """Store many sends in one statement and transaction; a row for each, in order."""
    return await q.rows(
        AppendRow,
        "SELECT outcome, message_id, message_seq, message_sent_at"
        " FROM append_messages($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        chats,
        senders,
        client_ids,
        fingerprints,
        ids,
        contents,
        replies,
        statuses,
        reasons,
        scan,
    )


async def append_conversation(
    q: Queries,
    chats: Sequence[str],
    senders: Sequence[str],
    client_ids: Sequence[str],
    fingerprints: Sequence[int],
    ids: Sequence[str],
    contents: Sequence[str],
    replies: Sequence[str | None],
    statuses: Sequence[str] | None,
    reasons: Sequence[str | None] | None,
    scan: bool,
    everybody: Sequence[bool],
    mention_places: Sequence[int],
    mentioned: Sequence[str],
) -> list[WovenRow]:
    """``append`` for sends of which some reply or mention: threads and mentions are written with them."""
    return await q.rows(
        WovenRow,
        """
        SELECT outcome, message_id, message_seq, message_sent_at, root, quoted_sender, quoted_text
        FROM append_conversation($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
        """,
        chats,
        senders,
        client_ids,
        fingerprints,
        ids,
        contents,
        replies,
        statuses,
        reasons,
        scan,
        everybody,
        mention_places,
        mentioned,
    )


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
               coalesce(y.read_receipts, true)
        FROM advance_marks($1, $2, $3, $4) a
        LEFT JOIN user_privacy y ON a.outcome = 'moved' AND y.user_id = ($2::uuid[])[a.ord]
        ORDER BY a.ord
        """,
        chats,
        users,
        kinds,
        messages,
    )


async def find_target(tx: Tx, chat_id: str, message_id: str, content: str | None) -> Target | None:
    """The message to be changed; the caller holds its chat's row."""
    return await tx.maybe(
        Target,
        """
        SELECT sender_id, client_message_id IS NULL, deleted_at IS NOT NULL,
               extract(epoch FROM clock_timestamp() - sent_at)::float8, coalesce(content = $3::jsonb, false),
               content ? 'forwarded', moderation_status = 'hidden', pinned_at IS NOT NULL,
               coalesce(content -> 'attachments' <> '[]', false)
        FROM chat_messages WHERE id = $2 AND chat_id = $1
        """,
        chat_id,
        message_id,
        content,
    )


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


async def set_content(tx: Tx, message_id: str, content: str) -> None:
    """Replace what a message says, and keep what it said before."""
    await tx.run(
        """
        WITH before AS (
            INSERT INTO message_versions (message_id, version, content, said_at)
            SELECT m.id, (SELECT count(*) + 1 FROM message_versions v WHERE v.message_id = m.id), m.content,
                   coalesce(m.edited_at, m.sent_at)
            FROM chat_messages m WHERE m.id = $1
        )
        UPDATE chat_messages SET content = $2::jsonb, edited_at = clock_timestamp() WHERE id = $1
        """,
        message_id,
        content,
    )


async def bury(tx: Tx, message_id: str, deleted_by: str) -> None:
    """Overwrite a message with a tombstone: its old text is nowhere, it mentions nobody, is pinned no more
    and counts no more as a reply.
    """
    await tx.run(
        """
        WITH said AS (
            DELETE FROM message_versions WHERE message_id = $1
        ), mentioned AS (
            DELETE FROM message_mentions WHERE message_id = $1
        ), thread AS (
            UPDATE message_threads t SET reply_count = t.reply_count - 1
            FROM thread_replies r WHERE r.message_id = $1 AND t.root_id = r.root_id
        )
        UPDATE chat_messages
        SET content = '{"type": "tombstone"}', deleted_at = clock_timestamp(), deleted_by = $2,
            pinned_at = NULL, pinned_by = NULL
        WHERE id = $1
        """,
        message_id,
        deleted_by,
    )


async def drop_reactions(tx: Tx, message_id: str) -> None:
    """A tombstone has no reactions."""
    await tx.run("DELETE FROM message_reactions WHERE message_id = $1", message_id)


async def add_reaction(tx: Tx, message_id: str, emoji: str, user_id: str, most: int) -> int:
    """1 where it is new, 0 where it was there or the message has ``most`` different ones already."""
    return await tx.run(
        """
        INSERT INTO message_reactions (message_id, emoji, user_id)
        SELECT $1, $2, $3
        WHERE EXISTS (SELECT 1 FROM message_reactions WHERE message_id = $1 AND emoji = $2)
           OR (SELECT count(DISTINCT emoji) FROM message_reactions WHERE message_id = $1) < $4
        ON CONFLICT DO NOTHING
        """,
        message_id,
        emoji,
        user_id,
        most,
    )


async def has_reaction(tx: Tx, message_id: str, emoji: str, user_id: str) -> bool:
    """Whether this user has given this emoji."""
    return await tx.one(
        bool,
        """
        SELECT EXISTS (
            SELECT 1 FROM message_reactions WHERE message_id = $1 AND emoji = $2 AND user_id = $3
        )
        """,
        message_id,
        emoji,
        user_id,
    )


async def remove_reaction(tx: Tx, message_id: str, emoji: str, user_id: str) -> int:
    """1 where it was there."""
    return await tx.run(
        "DELETE FROM message_reactions WHERE message_id = $1 AND emoji = $2 AND user_id = $3",
        message_id,
        emoji,
        user_id,
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
        LEFT JOIN user_privacy y ON y.user_id = p.user_id
        WHERE greatest(p.read_receipt_seq, p.received_receipt_seq) > w.version
        """,
        chat_ids,
        versions,
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
        LEFT JOIN user_privacy y ON y.user_id = p.user_id
        WHERE greatest(p.last_read_at, p.last_received_at)
              > coalesce(m.sent_at, e.at, '-infinity') - make_interval(secs => $3)
        """,
        chat_ids,
        seqs,
        slack_s,
    )


async def spoken_in(q: Queries, chat_ids: Sequence[str], user_ids: Sequence[str]) -> list[Spoken]:
    """Those of the pairs where the user has said something in the chat."""
    return await q.rows(
        Spoken,
        """
        SELECT w.chat_id, w.user_id FROM unnest($1::uuid[], $2::uuid[]) AS w (chat_id, user_id)
        WHERE EXISTS (SELECT 1 FROM chat_messages m WHERE m.chat_id = w.chat_id AND m.sender_id = w.user_id)
        """,
        chat_ids,
        user_ids,
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


async def progress(q: Queries, chat_id: str, from_seq: int, viewer_id: str) -> list[Progress]:
    """The members who have read or received anything from this seq on, as far as they show it the viewer."""
    return await q.rows(
        Progress,
        """
        SELECT p.user_id,
               CASE WHEN p.user_id = $3 OR coalesce(y.read_receipts, true) THEN p.last_read_seq ELSE 0 END,
               p.last_received_seq
        FROM chat_participants p LEFT JOIN user_privacy y ON y.user_id = p.user_id
        WHERE p.chat_id = $1 AND greatest(p.last_read_seq, p.last_received_seq) >= $2
          AND NOT EXISTS (SELECT 1 FROM user_blocks b WHERE b.blocker_id = $3 AND b.blocked_id = p.user_id)
          AND NOT EXISTS (SELECT 1 FROM user_blocks b WHERE b.blocker_id = p.user_id AND b.blocked_id = $3)
        ORDER BY p.last_read_at NULLS LAST, p.user_id
        """,
        chat_id,
        from_seq,
        viewer_id,
    )
