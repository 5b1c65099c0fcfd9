"""The SQL of chats as their members see them: heads, cards, and the messages on them."""

from collections.abc import Sequence

from chatd.core.context import Queries
from chatd.core.ids import ChatId, UserId
from chatd.features.chats.rows import Card, HeadRow, MessageRow, PageKey


async def heads(
    q: Queries,
    user_ids: Sequence[str],
    chat_ids: Sequence[str | None],
    unread_cap: int,
    unread_total: int,
) -> list[HeadRow]:
    """Where each asked chat stands (None: all of that user's), in the order of the asks.

    Of the newest ``unread_cap`` messages past the watermark, those of others are unread: so a connect
    costs the same however much lies unread, and the number is exact until that many lie there. Who has so
    many chats that this could pass ``unread_total`` messages has them counted less far in each, to 99 at
    least: a user of thousands of busy chats would hold up all who open with them.
    """
    return await q.rows(
        HeadRow,
        """
        SELECT p.ord, c.id, c.type, c.title, c.head_seq, c.receipt_seq, p.last_read_seq, u.count,
               c.last_event_at, p.role, p.joined_seq
        FROM (
            SELECT a.ord, p.user_id, p.chat_id, p.last_read_seq, p.role, p.joined_seq,
                   count(*) OVER (PARTITION BY a.ord) AS chats
            FROM unnest($1::uuid[], $2::uuid[]) WITH ORDINALITY AS a (user_id, chat_id, ord)
            JOIN chat_participants p ON p.user_id = a.user_id AND (a.chat_id IS NULL OR p.chat_id = a.chat_id)
        ) p
        JOIN chat_chats c ON c.id = p.chat_id
        CROSS JOIN LATERAL (
            SELECT count(*) FROM (
                SELECT m.sender_id, m.client_message_id, m.deleted_at
                FROM chat_messages m
                WHERE m.chat_id = p.chat_id AND m.seq > p.last_read_seq
                ORDER BY m.seq DESC LIMIT least($3::bigint, greatest(99, $4::bigint / p.chats))
            ) m
            WHERE m.sender_id <> p.user_id AND m.client_message_id IS NOT NULL AND m.deleted_at IS NULL
        ) u
        ORDER BY p.ord, c.last_event_at DESC, c.id DESC
        """,
        user_ids,
        chat_ids,
        unread_cap,
        unread_total,
    )


async def page_of_chats(
    q: Queries, user_id: UserId, after: PageKey | None, limit: int, archived: bool, pinned: bool | None
) -> list[PageKey]:
    """The next chats of this user by newest activity, after the given key."""
    return await q.rows(
        PageKey,
        """
        SELECT c.last_event_at, c.id
        FROM chat_participants p JOIN chat_chats c ON c.id = p.chat_id
        LEFT JOIN chat_settings s ON s.user_id = p.user_id AND s.chat_id = p.chat_id
        WHERE p.user_id = $1
          AND ($2::timestamptz IS NULL OR (c.last_event_at, c.id) < ($2::timestamptz, $3::uuid))
          AND (s.archived_at IS NOT NULL) = $5
          AND ($6::boolean IS NULL OR (s.pinned_at IS NOT NULL) = $6)
        ORDER BY c.last_event_at DESC, c.id DESC
        LIMIT $4
        """,
        user_id,
        after and after.last_event_at,
        after and after.id,
        limit,
        archived,
        pinned,
    )


async def cards_of_user(q: Queries, user_id: UserId, chat_ids: Sequence[str], unread_cap: int) -> list[Card]:
    """These chats as this user sees them; those that the user is not in are left out."""
    return await q.rows(
        Card,
        """
        SELECT p.user_id, c.id, c.type, c.title, c.context_id, c.created_at, c.member_count, c.read_only,
               p.role, c.head_seq, p.last_read_seq, u.count,
               CASE p.user_id WHEN c.direct_low THEN c.direct_high ELSE c.direct_low END,
               (SELECT m.id FROM chat_messages m WHERE m.chat_id = c.id ORDER BY m.seq DESC LIMIT 1),
               settings_shown(s)
        FROM unnest($2::uuid[]) AS a (chat_id)
        JOIN chat_participants p ON p.chat_id = a.chat_id AND p.user_id = $1
        JOIN chat_chats c ON c.id = p.chat_id
        LEFT JOIN chat_settings s ON s.user_id = p.user_id AND s.chat_id = p.chat_id
        CROSS JOIN LATERAL (
            SELECT count(*) FROM (
                SELECT m.sender_id, m.client_message_id, m.deleted_at
                FROM chat_messages m
                WHERE m.chat_id = p.chat_id AND m.seq > p.last_read_seq
                ORDER BY m.seq DESC LIMIT $3
            ) m
            WHERE m.sender_id <> p.user_id AND m.client_message_id IS NOT NULL AND m.deleted_at IS NULL
        ) u
        """,
        user_id,
        chat_ids,
        unread_cap,
    )


async def cards_of_chat(q: Queries, chat_id: ChatId, user_ids: Sequence[str], unread_cap: int) -> list[Card]:
    """This chat as each of these users sees it; those who are not in it are left out.

    Counts unread as ``heads`` does.
    """
    # The newest messages are read once for all, not once a member: watermarks and messages are put on one
    # line, newest first, where the running count of messages at a watermark is what came after it. Windows
    # and no join of the two, so that it stays linear whatever the planner thinks of their sizes.
    return await q.rows(
        Card,
        """
        WITH seats AS (
            SELECT p.user_id, p.role, p.last_read_seq
            FROM chat_participants p WHERE p.chat_id = $1 AND p.user_id = ANY ($2::uuid[])
        ), recent AS MATERIALIZED (
            SELECT m.seq, m.sender_id, m.client_message_id, m.deleted_at
            FROM chat_messages m
            WHERE m.chat_id = $1 AND m.seq > (SELECT min(s.last_read_seq) FROM seats s)
            ORDER BY m.seq DESC LIMIT $3
        ), points AS (   -- watermarks, and messages that count (without a role)
            SELECT s.last_read_seq AS seq, s.user_id, s.role FROM seats s
            UNION ALL
            SELECT r.seq, r.sender_id, NULL FROM recent r
            WHERE r.client_message_id IS NOT NULL AND r.deleted_at IS NULL
        ), line AS (
            SELECT p.seq, p.user_id, p.role,
                   count(*) FILTER (WHERE p.role IS NULL) OVER everybody
                   - count(*) FILTER (WHERE p.role IS NULL) OVER own AS unread
            FROM points p
            WINDOW everybody AS (ORDER BY p.seq DESC, p.role IS NULL ROWS UNBOUNDED PRECEDING),
                   own AS (PARTITION BY p.user_id ORDER BY p.seq DESC, p.role IS NULL
                           ROWS UNBOUNDED PRECEDING)
        )
        SELECT l.user_id, c.id, c.type, c.title, c.context_id, c.created_at, c.member_count, c.read_only,
               l.role, c.head_seq, l.seq, l.unread,
               CASE l.user_id WHEN c.direct_low THEN c.direct_high ELSE c.direct_low END,
               (SELECT m.id FROM chat_messages m WHERE m.chat_id = $1 ORDER BY m.seq DESC LIMIT 1),
               settings_shown(s)
        FROM chat_chats c JOIN line l ON l.role IS NOT NULL
        LEFT JOIN chat_settings s ON s.user_id = l.user_id AND s.chat_id = c.id
        WHERE c.id = $1
        """,
        chat_id,
        user_ids,
        unread_cap,
    )


async def messages(q: Queries, ids: Sequence[str]) -> list[MessageRow]:
    """These messages as everybody sees them now, in no order; unknown ids are left out."""
    return await q.rows(
        MessageRow,
        """
        SELECT m.id, m.chat_id, m.seq, m.updated_seq, m.sender_id, m.client_message_id,
               CASE WHEN m.deleted_at IS NULL AND m.moderation_status <> 'hidden'
                    THEN m.content ELSE '{"type":"tombstone"}'::jsonb END,
               m.reply_to, m.sent_at, m.edited_at, m.deleted_at, m.moderation_status, r.emojis, r.reactors,
               q.sender_id, quotable(q.content, q.deleted_at, q.moderation_status), i.root_id,
               t.reply_count, t.last_seq, t.last_reply_at, m.pinned_at, m.pinned_by
        FROM chat_messages m
        CROSS JOIN LATERAL (
            SELECT array_agg(r.emoji ORDER BY r.created_at, r.user_id, r.emoji) AS emojis,
                   array_agg(r.user_id ORDER BY r.created_at, r.user_id, r.emoji) AS reactors
            FROM message_reactions r WHERE r.message_id = m.id AND m.deleted_at IS NULL
        ) r
        LEFT JOIN chat_messages q ON q.id = m.reply_to
        LEFT JOIN thread_replies i ON m.reply_to IS NOT NULL AND i.message_id = m.id
        LEFT JOIN message_threads t ON t.root_id = m.id
        WHERE m.id = ANY ($1::uuid[])
        """,
        ids,
    )
