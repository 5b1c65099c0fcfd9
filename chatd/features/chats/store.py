"""The SQL of chats: one function, one statement."""

from collections.abc import Sequence
from datetime import datetime

import asyncpg

from chatd.core.context import Queries, Tx
from chatd.core.errors import UserNotFound
from chatd.core.ids import ChatId, MessageId, UserId
from chatd.features.chats.contract import ChatSettings, ChatType, Member, Role, Seat
from chatd.features.chats.rows import Locked, Stamp

# ------------------------------------------------------------------------------------------------ reading


async def members(q: Queries, chat_id: ChatId) -> list[Member]:
    """Everybody in the chat, earliest first."""
    return await q.rows(
        Member,
        """
        SELECT user_id, role, joined_at, last_read_seq
        FROM chat_participants WHERE chat_id = $1 ORDER BY joined_at, user_id
        """,
        chat_id,
    )


async def find_member(q: Queries, chat_id: ChatId, user_id: UserId) -> Member | None:
    return await q.maybe(
        Member,
        """
        SELECT user_id, role, joined_at, last_read_seq
        FROM chat_participants WHERE chat_id = $1 AND user_id = $2
        """,
        chat_id,
        user_id,
    )


async def find_seat(q: Queries, chat_id: ChatId, user_id: UserId) -> Seat | None:
    """The user's place; muted until the later of the chat's mute and the server's."""
    return await q.maybe(
        Seat,
        """
        SELECT p.chat_id, p.user_id, c.type, p.role, c.read_only,
               CASE WHEN s.user_id IS NULL THEN p.muted_until
                    ELSE greatest(p.muted_until, coalesce(s.muted_until, '9999-01-01 00:00:00+00')) END,
               c.head_seq, c.member_count, c.created_at
        FROM chat_participants p JOIN chat_chats c ON c.id = p.chat_id
        LEFT JOIN server_mutes s ON s.user_id = p.user_id
        WHERE p.chat_id = $1 AND p.user_id = $2
        """,
        chat_id,
        user_id,
    )


async def members_among(q: Queries, chat_id: ChatId, user_ids: Sequence[str]) -> list[UserId]:
    """Those of ``user_ids`` who are in the chat."""
    return await q.rows(
        UserId,
        "SELECT user_id FROM chat_participants WHERE chat_id = $1 AND user_id = ANY ($2::uuid[])",
        chat_id,
        user_ids,
    )


async def owners(q: Queries, chat_id: ChatId) -> list[UserId]:
    return await q.rows(
        UserId,
        "SELECT user_id FROM chat_participants WHERE chat_id = $1 AND role = 'owner'",
        chat_id,
    )


async def members_shared(q: Queries, user_id: UserId, others: Sequence[str]) -> list[UserId]:
    """Those of ``others`` who are in a chat that the user is in."""
    # From the others' chats to the user's: what it costs is the sum of their chats, never of the members.
    return await q.rows(
        UserId,
        """
        SELECT DISTINCT theirs.user_id
        FROM chat_participants theirs
        WHERE theirs.user_id = ANY ($2::uuid[])
          AND theirs.chat_id IN (SELECT mine.chat_id FROM chat_participants mine WHERE mine.user_id = $1)
        """,
        user_id,
        others,
    )


async def find_direct(q: Queries, low: UserId, high: UserId) -> ChatId | None:
    return await q.maybe(
        ChatId,
        "SELECT id FROM chat_chats WHERE type = 'direct' AND direct_low = $1 AND direct_high = $2",
        low,
        high,
    )


# ------------------------------------------------------------------------------------------------ writing


async def lock(tx: Tx, chat_id: ChatId) -> Locked | None:
    """Hold the chat's row until the transaction ends; what is read after this is not changed by others."""
    return await tx.maybe(
        Locked,
        """
        SELECT type, title, read_only, head_seq, member_count
        FROM chat_chats WHERE id = $1 FOR NO KEY UPDATE
        """,
        chat_id,
    )


async def insert_chat(
    tx: Tx, chat_id: ChatId, kind: ChatType, title: str | None, context_id: str | None, created_by: UserId
) -> None:
    await tx.run(
        "INSERT INTO chat_chats (id, type, title, context_id, created_by) VALUES ($1, $2, $3, $4, $5)",
        chat_id,
        kind,
        title,
        context_id,
        created_by,
    )


async def insert_direct(tx: Tx, chat_id: ChatId, low: UserId, high: UserId, created_by: UserId) -> bool:
    """False where the pair has its chat; where another transaction is making it, its end is waited for."""
    made = await tx.run(
        """
        INSERT INTO chat_chats (id, type, direct_low, direct_high, created_by)
        VALUES ($1, 'direct', $2, $3, $4)
        ON CONFLICT (direct_low, direct_high) WHERE type = 'direct' DO NOTHING
        """,
        chat_id,
        low,
        high,
        created_by,
    )
    return made == 1


async def insert_members(
    tx: Tx, chat_id: ChatId, user_ids: Sequence[str], roles: Sequence[str], seq: int
) -> None:
    """Seat these users, who are not in the chat, with everything up to ``seq`` read.

    Raises UserNotFound where one of them has no account, or has one no more; the transaction is of no further
    use then.
    """
    try:
        seated = await tx.one(
            int,
            """
            WITH seated AS (
                INSERT INTO chat_participants (chat_id, user_id, role, joined_at, joined_seq, last_read_seq,
                                               last_received_seq)
                SELECT $1, n.user_id, n.role, statement_timestamp(), $4, $4, $4
                FROM unnest($2::uuid[], $3::text[]) AS n (user_id, role)
                WHERE NOT EXISTS (SELECT 1 FROM account_deletions d WHERE d.user_id = n.user_id)
                ORDER BY n.user_id
                RETURNING user_id
            )
            UPDATE chat_chats SET member_count = member_count + (SELECT count(*) FROM seated) WHERE id = $1
            RETURNING (SELECT count(*) FROM seated)
            """,
            chat_id,
            user_ids,
            roles,
            seq,
        )
    except asyncpg.ForeignKeyViolationError as error:
        if error.constraint_name == "chat_participants_user_id_fkey":
            raise UserNotFound("One of these users does not exist") from None
        raise
    if seated < len(user_ids):
        raise UserNotFound("One of these users does not exist")


async def delete_member(tx: Tx, chat_id: ChatId, user_id: UserId) -> bool:
    """False where the user was not in the chat."""
    touched = await tx.run(
        """
        WITH gone AS (
            DELETE FROM chat_participants WHERE chat_id = $1 AND user_id = $2 RETURNING chat_id
        )
        UPDATE chat_chats SET member_count = member_count - 1 WHERE id = (SELECT chat_id FROM gone)
        """,
        chat_id,
        user_id,
    )
    return touched == 1


async def set_role(tx: Tx, chat_id: ChatId, user_id: UserId, role: Role) -> None:
    await tx.run(
        "UPDATE chat_participants SET role = $3 WHERE chat_id = $1 AND user_id = $2", chat_id, user_id, role
    )


async def set_title(tx: Tx, chat_id: ChatId, title: str | None) -> None:
    await tx.run("UPDATE chat_chats SET title = $2 WHERE id = $1", chat_id, title)


async def set_read_only(tx: Tx, chat_id: ChatId, on: bool) -> None:
    await tx.run("UPDATE chat_chats SET read_only = $2 WHERE id = $1", chat_id, on)


async def set_kind(tx: Tx, chat_id: ChatId, kind: ChatType, context_id: str | None) -> None:
    await tx.run("UPDATE chat_chats SET type = $2, context_id = $3 WHERE id = $1", chat_id, kind, context_id)


async def find_settings(q: Queries, chat_id: ChatId, user_id: UserId) -> ChatSettings | None:
    return await q.maybe(
        ChatSettings,
        """
        SELECT coalesce(muted_until > clock_timestamp(), false),
               CASE WHEN muted_until > clock_timestamp() AND muted_until < 'infinity' THEN muted_until END,
               pinned_at IS NOT NULL, archived_at IS NOT NULL, notifications
        FROM chat_settings WHERE user_id = $2 AND chat_id = $1
        """,
        chat_id,
        user_id,
    )


async def save_settings(
    tx: Tx,
    chat_id: ChatId,
    user_id: UserId,
    *,
    muting: bool,
    muted: bool,
    muted_until: datetime | None,
    pinned: bool | None,
    archived: bool | None,
    notifications: str | None,
) -> None:
    """Change what is given (``muting``: the two after it) and leave the rest."""
    await tx.run(
        """
        INSERT INTO chat_settings AS s (user_id, chat_id, muted_until, pinned_at, archived_at, notifications)
        VALUES ($2, $1, CASE WHEN $4::boolean THEN coalesce($5::timestamptz, 'infinity') END,
                CASE WHEN $6::boolean THEN clock_timestamp() END,
                CASE WHEN $7::boolean THEN clock_timestamp() END, coalesce($8::text, 'all'))
        ON CONFLICT (user_id, chat_id) DO UPDATE SET
            muted_until = CASE WHEN $3::boolean THEN EXCLUDED.muted_until ELSE s.muted_until END,
            pinned_at = CASE WHEN $6 IS NULL THEN s.pinned_at
                             WHEN $6 THEN coalesce(s.pinned_at, EXCLUDED.pinned_at) END,
            archived_at = CASE WHEN $7 IS NULL THEN s.archived_at
                               WHEN $7 THEN coalesce(s.archived_at, EXCLUDED.archived_at) END,
            notifications = coalesce($8, s.notifications)
        """,
        chat_id,
        user_id,
        muting,
        muted,
        muted_until,
        pinned,
        archived,
        notifications,
    )


async def append_system(
    tx: Tx, chat_id: ChatId, message_id: MessageId, actor_id: UserId, content: bytes
) -> Stamp:
    """Take the chat's next seq for a system message."""
    return await tx.one(
        Stamp,
        """
        WITH head AS (
            UPDATE chat_chats
            SET head_seq = head_seq + 1,
                last_event_at = greatest(last_event_at + interval '1 microsecond', clock_timestamp())
            WHERE id = $1 RETURNING id, head_seq, last_event_at
        )
        INSERT INTO chat_messages (chat_id, seq, updated_seq, id, sender_id, content, sent_at)
        SELECT id, head_seq, head_seq, $2, $3, $4, last_event_at FROM head
        RETURNING seq, sent_at
        """,
        chat_id,
        message_id,
        actor_id,
        content,
    )


async def feed(tx: Tx, kind: str, chat_id: ChatId, user_ids: Sequence[str], reason: str | None) -> None:
    await tx.run(
        "INSERT INTO node_feed (kind, chat_id, user_ids, reason) VALUES ($1, $2, $3, $4)",
        kind,
        chat_id,
        user_ids,
        reason,
    )
