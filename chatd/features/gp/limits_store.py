"""SQL of what bounds creating GPs and moving about. Time is always the caller's.

Beginnings are '-infinity' in the tables, which Python has no time for: it is given 1970.
"""

from datetime import datetime

from chatd.core.context import Queries, Tx
from chatd.core.ids import UserId
from chatd.features.gp.rows import Census, Creator


async def find_creator(q: Queries, user_id: UserId) -> Creator | None:
    return await q.maybe(
        Creator,
        """
        SELECT greatest(day_ends_at, 'epoch'), day_count, greatest(cooldown_until, 'epoch')
        FROM gp_creators WHERE user_id = $1
        """,
        user_id,
    )


async def lock_creator(tx: Tx, user_id: UserId) -> Creator:
    """Of a user's creations one happens at a time."""
    return await tx.one(
        Creator,
        """
        INSERT INTO gp_creators (user_id) VALUES ($1)
        ON CONFLICT (user_id) DO UPDATE SET user_id = excluded.user_id
        RETURNING greatest(day_ends_at, 'epoch'), day_count, greatest(cooldown_until, 'epoch')
        """,
        user_id,
    )


async def count_creation(
    tx: Tx, user_id: UserId, day_ends_at: datetime, day_count: int, cooldown_until: datetime, now: datetime
) -> None:
    """One more of the user, and of all."""
    await tx.run(
        """
        WITH census AS (UPDATE gp_census SET active = active + 1 WHERE id)
        UPDATE gp_creators
        SET day_ends_at = $2, day_count = $3, cooldown_until = $4, last_created_at = $5 WHERE user_id = $1
        """,
        user_id,
        day_ends_at,
        day_count,
        cooldown_until,
        now,
    )


async def end_of_category(q: Queries, user_id: UserId, category: str, now: datetime) -> datetime | None:
    """When the user's living GP of this category ends, if there is one."""
    return await q.maybe(
        datetime,
        """
        SELECT expires_at FROM gps
        WHERE created_by = $1 AND category = $2 AND status = 'active' AND expires_at > $3
        ORDER BY expires_at DESC LIMIT 1
        """,
        user_id,
        category,
        now,
    )


async def lock_census(tx: Tx) -> None:
    """Of all creations one is counted at a time."""
    await tx.run("SELECT 1 FROM gp_census WHERE id FOR NO KEY UPDATE")


async def census(q: Queries, now: datetime) -> Census:
    """What is past its time does not count, though no job has said so yet."""
    return await q.one(
        Census,
        """
        SELECT c.active - (SELECT count(*) FROM gps WHERE status = 'active' AND expires_at <= $1),
               c.active_users, greatest(c.counted_at, 'epoch')
        FROM gp_census c WHERE c.id
        """,
        now,
    )


async def set_active_users(q: Queries, count: int, now: datetime) -> None:
    await q.run("UPDATE gp_census SET active_users = $1, counted_at = $2 WHERE id", count, now)


async def next_end(q: Queries, now: datetime) -> datetime | None:
    """When the next GP ends."""
    return await q.maybe(
        datetime,
        "SELECT expires_at FROM gps WHERE status = 'active' AND expires_at > $1 ORDER BY expires_at LIMIT 1",
        now,
    )


# ---------------------------------------------------------------------------------------------- positions


async def find_position(q: Queries, user_id: UserId) -> int | None:
    """The cell where the user last was."""
    return await q.maybe(int, "SELECT cell FROM gp_positions WHERE user_id = $1", user_id)


async def set_position(q: Queries, user_id: UserId, cell: int, now: datetime) -> None:
    await q.run(
        """
        INSERT INTO gp_positions (user_id, cell, moved_at) VALUES ($1, $2, $3)
        ON CONFLICT (user_id) DO UPDATE SET cell = excluded.cell, moved_at = excluded.moved_at
        """,
        user_id,
        cell,
        now,
    )
