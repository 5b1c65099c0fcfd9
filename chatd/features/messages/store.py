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


class Spoken(msgspec.Struct, frozen=True):
    """A user who has said something in a chat."""

    chat_id: ChatId
    user_id: UserId


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


async def find_target(tx: Tx, chat_id: str, message_id: str, content: str | None) -> Target | None:
    """The message to be changed; the caller holds its chat's row."""
    return await tx.maybe(
        Target,
        """
        SELECT sender_id, client_message_id IS NULL, deleted_at IS NOT NULL,
               extract(epoch FROM clock_timestamp() - sent_at)::float8, coalesce(content = $3::jsonb, false),
               content ? 'forwarded', moderation_status = 'hidden', pinned_at IS NOT NULL,
               coalesce(content -> 'attachments' <> '[]', false)
        FROM chat_messages WHERE id = $2 AND (chat_id = $1) IS TRUE
        """,
        chat_id,
        message_id,
        content,
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


async def spoken_in(q: Queries, chat_ids: Sequence[str], user_ids: Sequence[str]) -> list[Spoken]:
    """Those of the pairs where the user has said something in the chat."""
    return await q.rows(
        Spoken,
        """
        SELECT w.chat_id, w.user_id FROM unnest($1::uuid[], $2::uuid[]) AS w (chat_id, user_id)
        WHERE EXISTS (SELECT 1 FROM chat_messages m
                      WHERE uuid_send(m.chat_id) = uuid_send(w.chat_id) AND m.sender_id = w.user_id OFFSET 0)
        """,
        chat_ids,
        user_ids,
    )
