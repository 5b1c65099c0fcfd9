"""The SQL of filters, of who is muted everywhere, and of what waits for the classifier."""

from collections.abc import Sequence
from datetime import datetime

import asyncpg
import msgspec

from chatd.core.context import Queries, Tx
from chatd.core.errors import Conflict, UserNotFound
from chatd.core.ids import MessageId, UserId
from chatd.features.moderation.contract import FilterId


class FilterRow(msgspec.Struct, frozen=True):
    """A Filter whose config is JSON still."""

    id: FilterId
    name: str
    action: str
    config: msgspec.Raw
    enabled: bool
    position: int
    updated_at: datetime


class Version(msgspec.Struct, frozen=True):
    """Changes whenever the filters or the mutes do."""

    filters: int
    filters_at: datetime | None
    mutes: int
    mutes_at: datetime | None


class Muted(msgspec.Struct, frozen=True):
    """Who is muted everywhere, until when."""

    user_id: UserId
    until: datetime


class Scan(msgspec.Struct, frozen=True):
    """A message that the classifier shall see, and how often it was tried."""

    message_id: MessageId
    attempts: int


async def version(q: Queries) -> Version:
    return await q.one(
        Version,
        """
        SELECT (SELECT count(*) FROM moderation_filters), (SELECT max(updated_at) FROM moderation_filters),
               (SELECT count(*) FROM server_mutes), (SELECT max(updated_at) FROM server_mutes)
        """,
    )


async def filters(q: Queries) -> list[FilterRow]:
    """All of them."""
    return await q.rows(
        FilterRow,
        """
        SELECT id, name, action, config || jsonb_build_object('kind', kind), enabled, position, updated_at
        FROM moderation_filters ORDER BY id
        """,
    )


async def save_filter(
    tx: Tx,
    filter_id: str,
    name: str,
    kind: str,
    action: str,
    config: bytes,
    enabled: bool,
    position: int,
    *,
    new: bool,
) -> int:
    """0 where it is not new and not there. Raises Conflict where another has the name."""
    try:
        return await tx.run(
            """
            WITH changed AS (
                UPDATE moderation_filters SET name = $2, kind = $3, action = $4, config = $5::jsonb - 'kind',
                       enabled = $6, position = $7, updated_at = clock_timestamp()
                WHERE id = $1 AND NOT $8 RETURNING id
            ), made AS (
                INSERT INTO moderation_filters (id, name, kind, action, config, enabled, position)
                SELECT $1, $2, $3, $4, $5::jsonb - 'kind', $6, $7 WHERE $8 RETURNING id
            )
            SELECT id FROM changed UNION ALL SELECT id FROM made
            """,
            filter_id,
            name,
            kind,
            action,
            config,
            enabled,
            position,
            new,
        )
    except asyncpg.UniqueViolationError:
        raise Conflict("Another filter has this name") from None


async def delete_filter(tx: Tx, filter_id: str) -> int:
    return await tx.run("DELETE FROM moderation_filters WHERE id = $1", filter_id)


async def muted(q: Queries, now: datetime, limit: int) -> list[Muted]:
    """Who is muted everywhere now."""
    return await q.rows(
        Muted,
        """
        SELECT user_id, coalesce(muted_until, '9999-01-01 00:00:00+00') FROM server_mutes
        WHERE muted_until IS NULL OR muted_until > $1 ORDER BY user_id LIMIT $2
        """,
        now,
        limit,
    )


async def save_mute(tx: Tx, user_id: str, by: str, until: datetime | None, reason: str | None) -> None:
    """Raises UserNotFound."""
    try:
        await tx.run(
            """
            INSERT INTO server_mutes (user_id, muted_by, muted_until, reason) VALUES ($1, $2, $3, $4)
            ON CONFLICT (user_id) DO UPDATE SET muted_by = $2, muted_until = $3, reason = $4,
                                                updated_at = clock_timestamp()
            """,
            user_id,
            by,
            until,
            reason,
        )
    except asyncpg.ForeignKeyViolationError:
        raise UserNotFound from None


async def delete_mute(tx: Tx, user_id: str) -> int:
    return await tx.run("DELETE FROM server_mutes WHERE user_id = $1", user_id)


async def take_scans(q: Queries, lease_s: float, limit: int) -> list[Scan]:
    """What is due, for this node alone until the lease is over."""
    return await q.rows(
        Scan,
        """
        WITH due AS (
            SELECT message_id FROM moderation_scans WHERE due_at <= clock_timestamp()
            ORDER BY due_at LIMIT $2 FOR UPDATE SKIP LOCKED
        )
        UPDATE moderation_scans s
        SET attempts = s.attempts + 1, due_at = clock_timestamp() + make_interval(secs => $1)
        FROM due WHERE s.message_id = due.message_id
        RETURNING s.message_id, s.attempts
        """,
        lease_s,
        limit,
    )


async def finish_scans(q: Queries, message_ids: Sequence[str], attempts: Sequence[int]) -> int:
    """These are done; but not one that was edited meanwhile, which starts anew."""
    return await q.run(
        """
        DELETE FROM moderation_scans s USING unnest($1::uuid[], $2::integer[]) AS d (message_id, attempts)
        WHERE s.message_id = d.message_id AND s.attempts = d.attempts
        """,
        message_ids,
        attempts,
    )


async def postpone_scans(q: Queries, message_ids: Sequence[str], after_s: float) -> int:
    """Try these again later."""
    return await q.run(
        """
        UPDATE moderation_scans SET due_at = clock_timestamp() + make_interval(secs => $2)
        WHERE message_id = ANY ($1::uuid[])
        """,
        message_ids,
        after_s,
    )
