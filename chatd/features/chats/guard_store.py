"""SQL of who may be in a chat and speak there: bans, mutes, and the requests of strangers."""

from collections.abc import Sequence
from datetime import datetime

import asyncpg

from chatd.core.context import Queries, Tx
from chatd.core.errors import UserNotFound
from chatd.core.ids import ChatId, UserId
from chatd.features.chats.contract import ChatBan, Member, RequestState
from chatd.features.chats.rows import RequestRow

# ---------------------------------------------------------------------------------------- bans and mutes


async def save_ban(
    tx: Tx,
    chat_id: str,
    user_id: str,
    banned_by: str,
    reason: str | None,
    now: datetime,
    until: datetime | None,
) -> None:
    """Raises UserNotFound."""
    try:
        await tx.run(
            """
            INSERT INTO chat_bans (chat_id, user_id, banned_by, reason, banned_at, banned_until)
            VALUES ($1, $2, $3, $4, $5, $6)
            ON CONFLICT (chat_id, user_id) DO UPDATE SET
                banned_by = $3, reason = $4, banned_at = $5, banned_until = $6
            """,
            chat_id,
            user_id,
            banned_by,
            reason,
            now,
            until,
        )
    except asyncpg.ForeignKeyViolationError:
        raise UserNotFound from None


async def delete_ban(tx: Tx, chat_id: str, user_id: str) -> int:
    """1 where one was there."""
    return await tx.run("DELETE FROM chat_bans WHERE chat_id = $1 AND user_id = $2", chat_id, user_id)


async def banned_among(q: Queries, chat_id: str, user_ids: Sequence[str], now: datetime) -> list[UserId]:
    """Those of ``user_ids`` who are banned from the chat now."""
    return await q.rows(
        UserId,
        """
        SELECT user_id FROM chat_bans
        WHERE chat_id = $1 AND user_id = ANY ($2::uuid[]) AND (banned_until IS NULL OR banned_until > $3)
        """,
        chat_id,
        user_ids,
        now,
    )


async def bans(q: Queries, chat_id: str, after: str | None, now: datetime, limit: int) -> list[ChatBan]:
    """Who is banned from the chat now, by id, after one."""
    return await q.rows(
        ChatBan,
        """
        SELECT user_id, banned_by, reason, banned_at, banned_until FROM chat_bans
        WHERE chat_id = $1 AND (banned_until IS NULL OR banned_until > $3)
          AND ($2::uuid IS NULL OR user_id > $2)
        ORDER BY user_id LIMIT $4
        """,
        chat_id,
        after,
        now,
        limit,
    )


async def set_muted(tx: Tx, chat_id: str, user_id: str, until: datetime | None) -> int:
    """0 where the user is not in the chat."""
    return await tx.run(
        "UPDATE chat_participants SET muted_until = $3 WHERE chat_id = $1 AND user_id = $2",
        chat_id,
        user_id,
        until,
    )


async def muted_everywhere(q: Queries, user_id: str, now: datetime) -> bool:
    """Whether the user is muted on the whole server."""
    return await q.one(
        bool,
        """
        SELECT EXISTS (SELECT 1 FROM server_mutes
                       WHERE user_id = $1 AND (muted_until IS NULL OR muted_until > $2))
        """,
        user_id,
        now,
    )


# ---------------------------------------------------------------------------------------- direct chats


async def insert_request(tx: Tx, chat_id: str, from_id: str, to_id: str) -> None:
    """Raises UserNotFound."""
    try:
        await tx.run(
            "INSERT INTO message_requests (chat_id, from_id, to_id) VALUES ($1, $2, $3)",
            chat_id,
            from_id,
            to_id,
        )
    except asyncpg.ForeignKeyViolationError:
        raise UserNotFound from None


async def lock_request(tx: Tx, chat_id: str, to_id: str) -> RequestState | None:
    """The request for this user, held until the transaction ends."""
    return await tx.maybe(
        RequestState,
        "SELECT chat_id, from_id, status FROM message_requests WHERE chat_id = $1 AND to_id = $2 FOR UPDATE",
        chat_id,
        to_id,
    )


async def answer_request(tx: Tx, chat_id: str, status: str, now: datetime) -> None:
    await tx.run(
        "UPDATE message_requests SET status = $2, answered_at = $3 WHERE chat_id = $1", chat_id, status, now
    )


async def page_of_requests(
    q: Queries, to_id: str, after_at: datetime | None, after_id: str | None, limit: int
) -> list[RequestRow]:
    """The chats that wait for this user's answer and in which something was said, newest first."""
    return await q.rows(
        RequestRow,
        """
        SELECT r.chat_id, r.from_id, r.created_at, m.ids
        FROM message_requests r
        CROSS JOIN LATERAL (SELECT ARRAY(
            SELECT l.id FROM chat_messages l WHERE l.chat_id = r.chat_id ORDER BY l.seq LIMIT 5
        ) AS ids) m
        WHERE r.to_id = $1 AND r.status = 'pending' AND m.ids <> '{}'
          AND ($2::timestamptz IS NULL OR (r.created_at, r.chat_id) < ($2, $3::uuid))
          AND NOT EXISTS (SELECT 1 FROM user_blocks b WHERE b.blocker_id IN (r.to_id, r.from_id)
                                                        AND b.blocked_id IN (r.to_id, r.from_id))
        ORDER BY r.created_at DESC, r.chat_id DESC LIMIT $4
        """,
        to_id,
        after_at,
        after_id,
        limit,
    )


async def members_as_seen(q: Queries, chat_id: ChatId, viewer_id: UserId) -> list[Member]:
    """Everybody in the chat, earliest first; 0 for what somebody has read but does not show the viewer,
    and for a viewer who shows nobody what they have read.
    """
    return await q.rows(
        Member,
        """
        SELECT m.user_id, m.role, m.joined_at,
               CASE WHEN m.user_id = $2 OR (coalesce(y.read_receipts, true) AND h.shown
                                            AND m.user_id <> ALL (h.ids))
                    THEN m.last_read_seq ELSE 0 END
        FROM chat_participants m
        CROSS JOIN (SELECT ARRAY(
            SELECT b.blocked_id FROM user_blocks b WHERE b.blocker_id = $2
            UNION
            SELECT b.blocker_id FROM user_blocks b WHERE b.blocked_id = $2
        ) AS ids, NOT EXISTS (
            SELECT 1 FROM user_privacy v WHERE v.user_id = $2 AND NOT v.read_receipts
        ) AS shown) h
        LEFT JOIN LATERAL (
            SELECT o.read_receipts FROM user_privacy o WHERE o.user_id = m.user_id OFFSET 0
        ) y ON true
        WHERE m.chat_id = $1 ORDER BY m.joined_at, m.user_id
        """,
        chat_id,
        viewer_id,
    )
