"""The SQL of relations: one function, one statement."""

from collections.abc import Sequence

import asyncpg

from chatd.core.context import Queries, Tx
from chatd.core.errors import UserNotFound
from chatd.core.ids import UserId
from chatd.features.relations.contract import Audience, Block, Privacy, Sight


async def find_privacy(q: Queries, user_id: str) -> Privacy | None:
    return await q.maybe(
        Privacy,
        "SELECT last_seen, read_receipts, messages_from, profile FROM user_privacy WHERE user_id = $1",
        user_id,
    )


async def save_privacy(
    tx: Tx,
    user_id: str,
    last_seen: Audience | None,
    read_receipts: bool | None,
    messages_from: Audience | None,
    profile: Audience | None,
) -> Privacy:
    """Set what is not None; how it is then."""
    return await tx.one(
        Privacy,
        """
        INSERT INTO user_privacy AS p (user_id, last_seen, read_receipts, messages_from, profile)
        VALUES ($1, coalesce($2, 'everyone'), coalesce($3::boolean, true), coalesce($4, 'everyone'),
                coalesce($5, 'everyone'))
        ON CONFLICT (user_id) DO UPDATE SET
            last_seen = coalesce($2, p.last_seen),
            read_receipts = coalesce($3::boolean, p.read_receipts),
            messages_from = coalesce($4, p.messages_from),
            profile = coalesce($5, p.profile),
            updated_at = now()
        RETURNING last_seen, read_receipts, messages_from, profile
        """,
        user_id,
        last_seen,
        read_receipts,
        messages_from,
        profile,
    )


async def insert_block(tx: Tx, blocker_id: str, blocked_id: str) -> bool:
    """False where it was there. Raises UserNotFound."""
    try:
        return bool(
            await tx.run(
                """
                INSERT INTO user_blocks (blocker_id, blocked_id) VALUES ($1, $2) ON CONFLICT DO NOTHING
                """,
                blocker_id,
                blocked_id,
            )
        )
    except asyncpg.ForeignKeyViolationError:
        raise UserNotFound from None


async def delete_block(tx: Tx, blocker_id: str, blocked_id: str) -> int:
    return await tx.run(
        "DELETE FROM user_blocks WHERE blocker_id = $1 AND blocked_id = $2", blocker_id, blocked_id
    )


async def page_of_blocks(q: Queries, blocker_id: str, after: UserId | None, limit: int) -> list[Block]:
    """Whom this user has blocked, by their ids."""
    return await q.rows(
        Block,
        """
        SELECT blocked_id, created_at FROM user_blocks
        WHERE blocker_id = $1 AND ($2::uuid IS NULL OR blocked_id > $2)
        ORDER BY blocked_id LIMIT $3
        """,
        blocker_id,
        after,
        limit,
    )


async def feed_hidden(tx: Tx, user_ids: Sequence[str]) -> None:
    """Every node shall stop showing the two to each other; of one alone, when they were last there."""
    await tx.run("INSERT INTO node_feed (kind, user_ids) VALUES ('users.hidden', $1)", user_ids)


async def blocked_with(q: Queries, user_id: str, others: Sequence[str] | None) -> list[UserId]:
    """Those of ``others`` (None: of all) with whom a block stands, whoever made it."""
    return await q.rows(
        UserId,
        """
        SELECT blocked_id FROM user_blocks
        WHERE blocker_id = $1 AND ($2::uuid[] IS NULL OR blocked_id = ANY ($2))
        UNION
        SELECT blocker_id FROM user_blocks
        WHERE blocked_id = $1 AND ($2::uuid[] IS NULL OR blocker_id = ANY ($2))
        """,
        user_id,
        others,
    )


async def sights(q: Queries, viewer_id: str, user_ids: Sequence[str]) -> list[Sight]:
    """What the viewer sees of each of these users, who need not exist."""
    return await q.rows(
        Sight,
        """
        SELECT u.id,
               EXISTS (SELECT 1 FROM user_blocks b WHERE b.blocker_id = u.id AND b.blocked_id = $1)
               OR EXISTS (SELECT 1 FROM user_blocks b WHERE b.blocker_id = $1 AND b.blocked_id = u.id),
               coalesce(p.last_seen, 'everyone')
        FROM unnest($2::uuid[]) AS u (id)
        LEFT JOIN LATERAL (SELECT v.last_seen FROM user_privacy v WHERE v.user_id = u.id OFFSET 0) p ON true
        """,
        viewer_id,
        user_ids,
    )


async def shares_a_chat(q: Queries, one: str, other: str) -> bool:
    """Whether the two are in a chat together that is no direct one."""
    return await q.one(
        bool,
        """
        SELECT EXISTS (
            SELECT 1 FROM chat_participants a
            JOIN chat_participants b ON b.chat_id = a.chat_id AND b.user_id = $2
            JOIN chat_chats c ON c.id = a.chat_id AND c.type <> 'direct'
            WHERE a.user_id = $1
        )
        """,
        one,
        other,
    )


async def unreachable(q: Queries, user_id: str, others: Sequence[str]) -> bool:
    """Whether one of the others wants nothing of this user: by a block, or by whom they want messages of."""
    return await q.one(
        bool,
        """
        SELECT EXISTS (SELECT 1 FROM user_blocks b
                       WHERE b.blocker_id = $1 AND b.blocked_id = ANY ($2::uuid[]))
            OR EXISTS (SELECT 1 FROM user_blocks b
                       WHERE b.blocked_id = $1 AND b.blocker_id = ANY ($2::uuid[]))
            OR EXISTS (
                SELECT 1 FROM user_privacy y
                WHERE y.user_id = ANY ($2::uuid[]) AND (
                    y.messages_from = 'nobody'
                    OR (y.messages_from = 'shared_chats' AND NOT EXISTS (
                        SELECT 1 FROM chat_participants a
                        JOIN chat_participants b ON b.chat_id = a.chat_id AND b.user_id = y.user_id
                        JOIN chat_chats c ON c.id = a.chat_id AND c.type <> 'direct'
                        WHERE a.user_id = $1))))
        """,
        user_id,
        others,
    )


async def profiles_hidden(q: Queries, viewer_id: str | None, user_ids: Sequence[str]) -> list[UserId]:
    """Those of these users whose profile is not for the viewer (None: who has not signed in)."""
    return await q.rows(
        UserId,
        """
        SELECT y.user_id FROM user_privacy y
        WHERE y.user_id = ANY ($2::uuid[]) AND y.user_id IS DISTINCT FROM $1 AND (
            y.profile = 'nobody'
            OR (y.profile = 'shared_chats' AND NOT EXISTS (
                SELECT 1 FROM chat_participants a
                JOIN chat_participants b ON b.chat_id = a.chat_id AND b.user_id = y.user_id
                JOIN chat_chats c ON c.id = a.chat_id AND c.type <> 'direct'
                WHERE a.user_id = $1)))
        """,
        viewer_id,
        user_ids,
    )


async def hide_receipts(q: Queries, user_ids: Sequence[str]) -> list[UserId]:
    """Those of these users who show nobody what they have read."""
    return await q.rows(
        UserId,
        "SELECT user_id FROM user_privacy WHERE user_id = ANY ($1::uuid[]) AND NOT read_receipts",
        user_ids,
    )


async def direct_is_closed(q: Queries, chat_id: str, sender_id: str) -> bool:
    """Whether this is a direct chat whose other side wants nothing of the sender."""
    return await q.one(
        bool,
        """
        SELECT EXISTS (
            SELECT 1 FROM chat_chats c
            WHERE c.id = $1 AND c.type = 'direct' AND (
                EXISTS (SELECT 1 FROM user_blocks b
                        WHERE b.blocker_id IN (c.direct_low, c.direct_high)
                          AND b.blocked_id IN (c.direct_low, c.direct_high))
                OR EXISTS (SELECT 1 FROM user_privacy y
                           WHERE y.user_id = CASE $2::uuid WHEN c.direct_low THEN c.direct_high
                                                     ELSE c.direct_low END
                             AND y.messages_from = 'nobody'))
        )
        """,
        chat_id,
        sender_id,
    )
