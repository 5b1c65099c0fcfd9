"""SQL of what moderators and filters do to messages."""

from chatd.core.context import Queries, Tx
from chatd.features.messages.contract import Subject


async def find_subject(q: Queries, chat_id: str, message_id: str) -> Subject | None:
    """A message as moderation needs it, its text included whatever its state."""
    return await q.maybe(
        Subject,
        """
        SELECT id, chat_id, sender_id, client_message_id IS NULL, deleted_at IS NOT NULL, moderation_status,
               content
        FROM chat_messages WHERE id = $2 AND (chat_id = $1) IS TRUE
        """,
        chat_id,
        message_id,
    )


async def subjects(q: Queries, message_ids: list[str]) -> list[Subject]:
    """As ``find_subject``, many; unknown ids are left out."""
    return await q.rows(
        Subject,
        """
        SELECT id, chat_id, sender_id, client_message_id IS NULL, deleted_at IS NOT NULL, moderation_status,
               content
        FROM chat_messages WHERE id = ANY ($1::uuid[])
        """,
        message_ids,
    )


async def set_status(tx: Tx, message_id: str, status: str) -> None:
    """What is hidden is pinned no more."""
    await tx.run(
        """
        UPDATE chat_messages
        SET moderation_status = $2,
            pinned_at = CASE WHEN $2 = 'hidden' THEN NULL ELSE pinned_at END,
            pinned_by = CASE WHEN $2 = 'hidden' THEN NULL ELSE pinned_by END
        WHERE id = $1
        """,
        message_id,
        status,
    )


async def open_case(tx: Tx, message_id: str, reason: str) -> None:
    """A case of what a filter found in an edited message, unless one is open."""
    await tx.run(
        """
        INSERT INTO moderation_cases (id, subject, subject_id, chat_id, author_id, source, reason, snapshot)
        SELECT gen_random_uuid(), 'message', m.id, m.chat_id, m.sender_id, 'filter', $2, m.content
        FROM chat_messages m WHERE m.id = $1
        ON CONFLICT (subject, subject_id) WHERE status IN ('pending', 'claimed') DO NOTHING
        """,
        message_id,
        reason,
    )


async def queue_scan(tx: Tx, message_id: str) -> None:
    """The outside classifier shall see this message (again)."""
    await tx.run(
        """
        INSERT INTO moderation_scans (message_id) VALUES ($1)
        ON CONFLICT (message_id) DO UPDATE SET attempts = 0, due_at = clock_timestamp()
        """,
        message_id,
    )
