"""The SQL of the audit log: it is written and read, nothing else."""

from datetime import datetime
from typing import Any

import msgspec

from chatd.core.context import Queries
from chatd.core.ids import ChatId, UserId


class EntryRow(msgspec.Struct, frozen=True):
    """An Entry whose target has no prefix yet."""

    id: int
    at: datetime
    actor_id: UserId | None
    action: str
    target_kind: str | None
    target_id: bytes | None
    chat_id: ChatId | None
    detail: dict[str, Any]


async def insert(
    q: Queries,
    actor_id: str | None,
    action: str,
    target_kind: str | None,
    target_id: str | None,
    chat_id: str | None,
    detail: bytes,
) -> None:
    await q.run(
        """
        INSERT INTO audit_log (actor_id, action, target_kind, target_id, chat_id, detail)
        VALUES ($1, $2, $3, $4, $5, $6::jsonb)
        """,
        actor_id,
        action,
        target_kind,
        target_id,
        chat_id,
        detail,
    )


async def page(
    q: Queries,
    actor_id: str | None,
    target_id: str | None,
    action: str | None,
    before: int | None,
    limit: int,
) -> list[EntryRow]:
    """Entries before one, newest first."""
    return await q.rows(
        EntryRow,
        """
        SELECT id, at, actor_id, action, target_kind, target_id, chat_id, detail FROM audit_log
        WHERE ($1::uuid IS NULL OR actor_id = $1) AND ($2::uuid IS NULL OR target_id = $2)
          AND ($3::text IS NULL OR action = $3) AND ($4::bigint IS NULL OR id < $4)
        ORDER BY id DESC LIMIT $5
        """,
        actor_id,
        target_id,
        action,
        before,
        limit,
    )
